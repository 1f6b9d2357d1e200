"""The page on all scenarios, docs/scenarios.md: does each of them test something, and what does it look like?

Part of `make gallery`. A scenario tests something if the frozen policy, pretrained on its prior, succeeds
where the prior comes from and fails where the life takes place. The lives are those of the suite `gallery`
in the CSV that tables.py writes; this draws a still of each scenario and writes the page.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

from tables import RECORDS, Row, read_csv

from slrl import envs, files, scenarios
from slrl.envs import camera
from slrl.errors import BadInput
from slrl.evaluation import store
from slrl.files import made_folder, write_text
from slrl.lives import render
from slrl.recording import recipes

SUITE = "gallery"
SOLVED = "solved"  # the suite of the default
STILL_SEED = 1000
REFERENCE = Path("eval/reference")
PAGE = Path("docs/scenarios.md")
STILLS = Path("docs/scenarios")
STILL_STEPS = {"windy_pointmass": 400, "gusty_pointmass": 400, "calm_pointmass": 150}  # others: 300


def main() -> None:
    """Draw what is missing, write the page, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="folder of the CSV with the lives")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"default: {PAGE}; stills lie beside it")
    parser.add_argument("--redraw", action="store_true", help="draw all stills anew")
    parser.add_argument("--no-stills", action="store_true", help="draw none")
    arguments = parser.parse_args()
    rows = read_csv(arguments.reference / RECORDS[SUITE].csv)
    if not rows:
        raise BadInput(
            f"{arguments.reference} has no {RECORDS[SUITE].csv}; benchmarks/tables.py {SUITE} writes it."
        )
    if not arguments.no_stills:
        draw(files.names("scenarios"), again=arguments.redraw)
    solved = read_csv(arguments.reference / RECORDS[SOLVED].csv)
    write_text(arguments.page, page(rows, solved))
    print(table(rows, solved))


def draw(names: list[str], *, again: bool) -> None:
    """A still of every scenario."""
    camera.headless()
    made_folder(STILLS)
    for name in names:
        still = STILLS / f"{name}.png"
        if again or not still.is_file():
            render.animate(name, still, steps=STILL_STEPS.get(name, 300), frames=30, seed=STILL_SEED)


def successes(rows: list[Row], name: str, world: str) -> str:
    """How many lives of ``frozen`` succeeded in a world of a scenario, as ``19 of 20``.

    Where some did not, and were cut before the scenario's budget, it says after how many steps.
    """
    lives = [
        row for row in rows if (row["scenario"], row["world"], row["adapter"]) == (name, world, "frozen")
    ]
    if not lives:
        return "not lived"
    cut = [row["life_steps"] for row in lives if not_to_its_budget(row)]
    within = f" within {min(cut):,}" if cut else ""
    return f"{sum(row['outcome'] == 'success' for row in lives)} of {len(lives)}{within}"


def not_to_its_budget(row: Row) -> bool:
    """Whether a life was cut before its scenario's budget, and had not succeeded: it has no result."""
    ended = row["outcome"] in ("success", *store.LOST)
    return not ended and row["life_steps"] < scenarios.load(row["scenario"]).life_steps


def table(rows: list[Row], solved: list[Row]) -> str:
    """A line per scenario: budget, optimum, successes of ``frozen``, and those of the default."""
    lines = [
        "| scenario | what is new | budget | optimum | `frozen` in the source | `frozen` in the target | "
        f"`{files.DEFAULT_ADAPTER}`, the default |",
        "|---" * 7 + "|",
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
        lines.append(f"| {about} | {frozen} | {of_default(solved, name)} |")
    return "\n".join(lines)


def of_default(rows: list[Row], name: str) -> str:
    """How many lives of the default succeeded, and their mean steps, a budget for one that did not."""
    lives = [row for row in rows if (row["scenario"], row["adapter"]) == (name, files.DEFAULT_ADAPTER)]
    if not lives:
        return "not run"
    steps = [row["life_steps"] if row["censored"] else row["steps"] for row in lives]
    succeeded = sum(row["outcome"] == "success" for row in lives)
    return f"{succeeded} of {len(lives)}, {statistics.mean(steps):,.0f} steps"


def page(rows: list[Row], solved: list[Row]) -> str:
    """The text of docs/scenarios.md, from lives of ``frozen`` and of the default."""
    frozen = [row for row in rows if row["adapter"] == "frozen"]
    cut, seeds = max(row["life_steps"] for row in frozen), sorted({row["seed"] for row in frozen})
    head = f"""# The scenarios

<!-- Written by `make gallery`; do not edit. -->

A scenario tests something if the policy that was pretrained on its prior succeeds where the prior comes
from (the source) and fails where the life takes place (the target). Below: lives of `frozen`, seeds
{seeds[0]} to {seeds[-1]}, after one pretraining, cut after the scenario's budget or {cut:,} steps, whichever
is less (`slrl check NAME --lives 20` lives the same ones); and beside them the default's lives over whole
budgets, ten after each of five pretrainings, from
[the README's table](../README.md#which-scenarios-are-solved) (`make solved`). A life that did not succeed
counts as its budget in the mean. "Not run": no life of it is recorded here.

Made by `make gallery`. Every life: [eval/reference/gallery.csv](../eval/reference/gallery.csv).
`slrl check NAME` tests the contract of each; `slrl render NAME` draws an animation.

{table(rows, solved)}
"""
    return "\n".join([head, *(line for name in files.names("scenarios") for line in section(name))])


def section(name: str) -> Iterator[str]:
    """Lines on one scenario: its still, why it is there, worlds, success test, optimum, prior."""
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
