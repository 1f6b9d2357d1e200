"""The gallery of scenarios: does each of them test something, and what does it look like? `make gallery`.

A scenario tests something if the frozen policy, pretrained on its prior, succeeds where the prior comes from and fails where
the life takes place. This lives 20 lives of it in each, one life of qwale and of switch besides, draws a still, and writes
docs/scenarios.md.
What is in the CSV already is not lived again.
"""

import argparse
import csv
import io
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from slrl import envs, files, scenarios
from slrl.envs import camera
from slrl.errors import BadInput
from slrl.files import made_folder, write_text
from slrl.lives import render
from slrl.lives.life import live
from slrl.lives.results import git_revision, versions
from slrl.lives.run import load_adapter
from slrl.recording import recipes
from slrl.recording.recipes import load_prior

COLUMNS = (
    "scenario",
    "world",
    "adapter",
    "seed",
    "outcome",
    "steps",
    "life_steps",
    "steps_per_s",
    "prior_sha256",
    "git_revision",
    "torch",
    "mujoco",
)
SEEDS = range(1000, 1020)  # nothing was chosen on them
ADAPTING = ("switch", "qwale")  # one life of each
CSV = Path("eval/reference/gallery.csv")
PAGE = Path("docs/scenarios.md")
STILLS = Path("docs/scenarios")
STILL_STEPS = {"windy_pointmass": 400, "gusty_pointmass": 400, "calm_pointmass": 150}  # others: 300


def main() -> None:
    """Live what is missing, draw what is missing, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", default=",".join(files.names("scenarios")), help="default: all")
    parser.add_argument(
        "--most-steps", type=int, default=10_000, help="lives of frozen are cut here (default: 10000)"
    )
    parser.add_argument(
        "--adapting-steps", type=int, default=5_000, help="the budget of those that adapt (default: 5000)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--redraw", action="store_true", help="draw all stills anew")
    parser.add_argument(
        "--report-only", action="store_true", help="live and draw nothing; write down what is there"
    )
    arguments = parser.parse_args()
    names = arguments.scenarios.split(",")
    torch.set_num_threads(1)
    rows = read()
    if not arguments.report_only:
        todo = [name for name in names if missing(rows, name)]
        with (
            ProcessPoolExecutor(
                arguments.jobs,
                multiprocessing.get_context("spawn"),
                initializer=torch.set_num_threads,
                initargs=(1,),
            ) as pool,
            tqdm(total=len(todo), desc="scenarios", unit="scenario") as bar,
        ):
            jobs = {
                pool.submit(
                    lives, name, missing(rows, name), arguments.most_steps, arguments.adapting_steps
                ): name
                for name in todo
            }
            for job in as_completed(jobs):
                bar.update()
                name = jobs[job]
                try:
                    rows += job.result()
                except BadInput as error:  # of one scenario; the others go on
                    bar.write(f"{name}: {error}")
                    continue
                write(rows)  # what was lived stays, also if the next one is interrupted
                bar.write(f"{name}: {summary(rows, name)}")
        draw(names, again=arguments.redraw)
    write_text(PAGE, page(rows))
    print(table(rows))


def missing(rows: list[dict[str, Any]], name: str) -> list[tuple[str, str, int]]:
    """World, adapter and seed of the lives of a scenario that are not in the CSV."""
    wanted = [(world, "frozen", seed) for world in ("source", "target") for seed in SEEDS]
    wanted += [("target", adapter, SEEDS[0]) for adapter in ADAPTING]
    there = {(row["world"], row["adapter"], int(row["seed"])) for row in rows if row["scenario"] == name}
    return [life for life in wanted if life not in there]


def lives(
    name: str, wanted: list[tuple[str, str, int]], most_steps: int, adapting_steps: int
) -> list[dict[str, Any]]:
    """Live them, in a worker."""
    scenario = scenarios.load(name)
    prior = load_prior(scenario.prior, quiet=True)
    rows = []
    for world, adapter, seed in wanted:
        steps = min(scenario.life_steps, adapting_steps if adapter in ADAPTING else most_steps)
        build = envs.make_source if world == "source" else envs.make
        env = build(scenario, life_steps=steps)
        life = live(env, load_adapter(adapter, prior, scenario, seed=seed, life_steps=steps), seed)
        env.close()
        found = versions()
        rows.append(
            {
                "scenario": name,
                "world": world,
                "adapter": adapter,
                "seed": seed,
                "outcome": life.outcome,
                "steps": life.steps,
                "life_steps": steps,
                "steps_per_s": round(life.steps / life.wall_clock_s, 1),
                "prior_sha256": prior.sha256,
                "git_revision": git_revision(),
                "torch": found["torch"],
                "mujoco": found["mujoco"],
            }
        )
    return rows


def draw(names: list[str], *, again: bool) -> None:
    """A still of every scenario."""
    camera.headless()
    made_folder(STILLS)
    for name in names:
        still = STILLS / f"{name}.png"
        if again or not still.is_file():
            render.animate(name, still, steps=STILL_STEPS.get(name, 300), frames=30, seed=SEEDS[0])


def read() -> list[dict[str, Any]]:
    """The lives of an earlier run."""
    if not CSV.is_file():
        return []
    with CSV.open(newline="") as file:
        return list(csv.DictReader(file))


def write(rows: list[dict[str, Any]]) -> None:
    """All lives, sorted."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        sorted(rows, key=lambda row: (row["scenario"], row["adapter"], row["world"], int(row["seed"])))
    )
    write_text(CSV, text.getvalue())


def successes(rows: list[dict[str, Any]], name: str, world: str) -> str:
    """As 19 of 20."""
    found = [
        row["outcome"] == "success"
        for row in rows
        if (row["scenario"], row["world"], row["adapter"]) == (name, world, "frozen")
    ]
    return f"{sum(found)} of {len(found)}" if found else "not lived"


def summary(rows: list[dict[str, Any]], name: str) -> str:
    """For the progress."""
    return f"source {successes(rows, name, 'source')}, target {successes(rows, name, 'target')}"


def table(rows: list[dict[str, Any]]) -> str:
    """A line per scenario."""
    lines = [
        "| scenario | what is new | budget | optimum | frozen in the source | frozen in the target | "
        + " | ".join(f"one life of `{adapter}`" for adapter in ADAPTING)
        + " |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in files.names("scenarios"):
        scenario = scenarios.load(name)
        trained = scenario.optimum is not None and scenario.optimum["name"] == "policy"
        optimum = (
            f"{scenario.optimum_steps:,}{' (trained)' if trained else ''}"
            if scenario.optimum_steps
            else "not known"
        )
        frozen = f"{successes(rows, name, 'source')} | {successes(rows, name, 'target')}"
        about = f"[`{name}`](#{name}) | {scenario.novelty} | {scenario.life_steps:,} | {optimum}"
        lines.append(
            f"| {about} | {frozen} | {' | '.join(one_life(rows, name, adapter) for adapter in ADAPTING)} |"
        )
    return "\n".join(lines)


def one_life(rows: list[dict[str, Any]], name: str, adapter: str) -> str:
    """How far the one life of an adapter got, and how fast."""
    for row in rows:
        if (row["scenario"], row["adapter"]) == (name, adapter):
            steps = f"{int(row['steps']):,}"
            came = steps if row["outcome"] == "success" else f"> {steps}"
            return f"{came} steps ({float(row['steps_per_s']):.0f}/s)"
    return "not lived"


def page(rows: list[dict[str, Any]]) -> str:
    """docs/scenarios.md."""
    cut = max((int(row["life_steps"]) for row in rows if row["adapter"] == "frozen"), default=0)
    head = f"""# The scenarios

<!-- Written by `make gallery`; do not edit. -->

A scenario tests something if the policy that was pretrained on its prior succeeds where the prior comes from (the source) and
fails where the life takes place (the target). Below: lives of `frozen`, seeds {SEEDS[0]} to {SEEDS[-1]}, cut after the scenario's
budget or {cut:,} steps, whichever is less; and one life each of `switch`, the default, and of `qwale`, seed {SEEDS[0]}, with its
budget lowered. Their settings were chosen on the point mass, those of `switch` in the maze too, and none on these lives.
Every life: [eval/reference/gallery.csv](../eval/reference/gallery.csv).
`slrl check NAME` tests the contract of each; `slrl render NAME` draws an animation.

{table(rows)}
"""
    return "\n".join([head, *(line for name in files.names("scenarios") for line in section(name))])


def section(name: str) -> Iterator[str]:
    """Everything about one scenario."""
    scenario = scenarios.load(name)
    yield from (f"## {name}", "", scenario.summary, "")
    if (STILLS / f"{name}.png").is_file():
        yield from (
            f"![{name}: source and target at the start, after a third, and at the end](scenarios/{name}.png)",
            "",
        )
    yield from ((scenario.why or "").replace("\n", " ").strip(), "")
    changes = [description.text for description in envs.describe(scenario.target)]
    yield f"* World: `{scenario.target.env}`" + (f" (extra `{scenario.extra}`)" if scenario.extra else "")
    yield f"* New: {scenario.novelty}" + (f": {'; '.join(changes)}" if changes else "")
    yield f"* Success: {success(scenario)}; reward: {scenario.reward}; budget {scenario.life_steps:,} steps"
    if scenario.optimum is not None and scenario.optimum_steps:
        trained = scenario.optimum["name"] == "policy"
        by = (
            "a policy trained in the target"
            if trained
            else f"`{scenario.optimum['name']}`, which knows the target"
        )
        yield f"* {'Reached' if trained else 'Optimum'}: about {scenario.optimum_steps:,} steps, by {by}"
    yield f"* Prior: {prior_line(scenario.prior)}"
    yield from (f"* After: {scenario.literature}", "")


def success(scenario: scenarios.Scenario) -> str:
    """The success test in words."""
    if scenario.success_function:
        return f"`{scenario.success_function}`"
    what = (
        f"`{scenario.success_info}`"
        if scenario.success_obs is None
        else f"entry {scenario.success_obs} of the observation"
    )
    limits = [
        f"{word} {value:g}"
        for word, value in (("at least", scenario.success_above), ("at most", scenario.success_below))
        if value is not None
    ]
    return " ".join([what, " and ".join(limits)]).strip()


def prior_line(name: str) -> str:
    """The recipe in a line."""
    recipe, _ = recipes.read(name)
    file = recipes.shipped(name)
    command = f"slrl prior build {name} --rebuild --out priors/{name}.hdf5"
    size = f", shipped built ({file.stat().st_size / 1e6:.1f} MB; made by `{command}`)" if file else ""
    about = f"[`{name}`](../priors/{name}.toml), {recipe.rows:,} rows by `{recipe.behaviour['name']}`{size}"
    return f"{about}. {recipe.summary}"


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(f"gallery: {error}") from None
