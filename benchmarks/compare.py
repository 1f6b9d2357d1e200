"""Compare adapters on one scenario with paired seeds, and write every life down: `make reference`.

Lives run in parallel processes of one thread each. A life whose result is there already, in the folder of runs or in the
CSV, is not lived again, so an interrupted comparison continues where it was stopped, also on another machine. Only lives
of the present settings count: the CSV has a SHA-256 of them.
"""

import argparse
import csv
import hashlib
import io
import json
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from slrl import adapters, scenarios
from slrl.files import made_folder, read_toml, write_text
from slrl.lives.run import adapt_as, load_adapter
from slrl.lives.settings import LifeSettings
from slrl.recording.recipes import load_prior

COLUMNS = (
    "scenario",
    "adapter",
    "seed",
    "outcome",
    "steps",
    "life_steps",
    "censored",
    "wall_clock_s",
    "steps_per_s",
    "progress",
    "prior_sha256",
    "settings_sha256",
    "git_revision",
    "torch",
)
ADAPTERS = "frozen,finetune,gail_s,gail_sa,rnd,rlpd,qwale,rma,switch,vlm_pc"


def main() -> None:
    """Live what is missing, then write the CSV and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="windy_pointmass")
    parser.add_argument("--adapters", default=ADAPTERS, help=f"default: {ADAPTERS}")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="default: 0,1,2,3,4")
    parser.add_argument("--prior", default=None, help="default: the scenario's own")
    parser.add_argument(
        "--life-steps", type=int, default=None, help="budget of each life (default: the scenario's)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--runs", type=Path, default=Path("runs/compare"))
    parser.add_argument(
        "--csv",
        type=Path,
        default=None,
        help="default: eval/reference/<scenario>.csv; other lives in it are kept",
    )
    parser.add_argument(
        "--readme", type=Path, default=None, help="also put the table between its markers in this file"
    )
    parser.add_argument("--table", default=None, help="name of these markers (default: the scenario's)")
    parser.add_argument(
        "--distance", action="store_true", help="the table is of the progress at the end, more is better"
    )
    parser.add_argument("--report-only", action="store_true", help="live nothing; write down what is there")
    arguments = parser.parse_args()
    names, seeds = arguments.adapters.split(","), [int(seed) for seed in arguments.seeds.split(",")]

    torch.set_num_threads(1)
    path = arguments.csv or Path("eval/reference") / f"{arguments.scenario}.csv"
    known = read_csv(path)
    about = {"prior": arguments.prior, "life_steps": arguments.life_steps}
    lives = [life_settings(arguments.scenario, name, seed, **about) for seed in seeds for name in names]
    missing = [settings for settings in lives if find(arguments.runs, known, settings) is None]
    if arguments.report_only:
        missing = []
    if missing:
        prepare_once(
            arguments.scenario,
            arguments.prior,
            list(dict.fromkeys(settings.method.name for settings in missing)),
        )
    with (
        ProcessPoolExecutor(
            arguments.jobs,
            multiprocessing.get_context("spawn"),
            initializer=torch.set_num_threads,
            initargs=(1,),
        ) as pool,
        tqdm(total=len(lives), initial=len(lives) - len(missing), desc="lives", unit="life") as bar,
    ):
        for future in as_completed([pool.submit(live_one, settings, arguments.runs) for settings in missing]):
            bar.write(future.result())
            bar.update()

    rows = [row for settings in lives if (row := find(arguments.runs, known, settings)) is not None]
    present = {identity(row) for row in rows}
    write_csv(path, [row for row in known if identity(row) not in present] + rows)
    text = distances(rows) if arguments.distance else table(rows)
    print(text)
    if arguments.readme:
        fill(arguments.readme, arguments.table or arguments.scenario, text)


def identity(row: dict[str, Any]) -> tuple[str, str, int]:
    """Which life it is."""
    return row["scenario"], row["adapter"], row["seed"]


def prepare_once(scenario_name: str, prior_spec: str | None, names: list[str]) -> None:
    """Build the prior and pretrain each agent before the processes start, so that none does it twice."""
    scenario = scenarios.load(scenario_name)
    prior = load_prior(prior_spec or scenario.prior)
    for name in names:
        load_adapter(name, prior, scenario, quiet=False)


def life_settings(
    scenario_name: str, adapter: str, seed: int, *, prior: str | None = None, life_steps: int | None = None
) -> LifeSettings:
    """The settings of one life of the comparison."""
    scenario = scenarios.load(scenario_name)
    return LifeSettings(
        scenario=scenario,
        method=adapters.load(adapter, suggested=scenario.overrides()),
        prior=prior or scenario.prior,
        seed=seed,
        life_steps=life_steps or scenario.life_steps,
    )


def live_one(settings: LifeSettings, runs: Path) -> str:
    """One life, in a worker."""
    result, _ = adapt_as(settings, out=runs)
    return f"{result.adapter} seed {result.seed}: {result.outcome} after {result.steps:,} steps in {result.wall_clock_s:.0f} s"


def settings_hash(table: dict[str, Any]) -> str:
    """Of everything that the steps of a life depend on, besides versions."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def find(runs: Path, known: list[dict[str, Any]], settings: LifeSettings) -> dict[str, Any] | None:
    """The CSV row of a life that was lived with these settings: from its folder, or from the CSV as it was before."""
    names = {"scenario": settings.scenario.name, "adapter": settings.method.name, "seed": settings.seed}
    folder = runs / settings.scenario.name / settings.method.name / f"seed-{settings.seed}"
    if (folder / "result.json").is_file():
        result = json.loads((folder / "result.json").read_text())
        if (
            read_toml(folder / "settings.toml") == settings.table(result["prior_sha256"])
            and result["outcome"] != "interrupted"
        ):
            of = settings_hash(settings.table(result["prior_sha256"]))
            with np.load(folder / "life.npz") as life:
                progress = "" if np.isnan(life["progress"][-1]) else f"{life['progress'][-1]:.3f}"
            row = {**{key: result.get(key) for key in COLUMNS}, "settings_sha256": of, "progress": progress}
            return {**row, "torch": result["versions"]["torch"]}
    for row in known:
        of = settings_hash(settings.table(row["prior_sha256"]))
        if row["settings_sha256"] == of and all(row[key] == value for key, value in names.items()):
            return row
    return None


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The lives of an earlier comparison."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        numbers = ("seed", "steps", "life_steps")
        return [
            {**row, **{key: int(row[key]) for key in numbers}, "censored": row["censored"] == "True"}
            for row in csv.DictReader(file)
        ]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Every life a line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    made_folder(path.parent)
    write_text(path, text.getvalue())


def table(rows: list[dict[str, Any]]) -> str:
    """Successes, median and restricted mean steps of each adapter, best first, as Markdown."""
    lines = []
    for name in dict.fromkeys(row["adapter"] for row in rows):
        lives = [row for row in rows if row["adapter"] == name]
        steps = [row["steps"] if not row["censored"] else row["life_steps"] for row in lives]
        successes = sum(not row["censored"] for row in lives)
        median = f"{statistics.median(steps):,.0f}" if 2 * successes > len(lives) else "not reached"
        each = ", ".join(
            f"{row['steps']:,}" if not row["censored"] else f"> {row['life_steps']:,}" for row in lives
        )
        lines.append(
            (
                statistics.mean(steps),
                f"| `{name}` | {successes} of {len(lives)} | {median} | {statistics.mean(steps):,.0f} | {each} |",
            )
        )
    head = "| adapter | came home | median steps | restricted mean steps | steps of each life |\n|---|---|---|---|---|\n"
    return head + "\n".join(line for _, line in sorted(lines))


def distances(rows: list[dict[str, Any]]) -> str:
    """Mean, standard error and median of the progress at the end of each life, the farthest first, as Markdown."""
    lines = []
    for name in dict.fromkeys(row["adapter"] for row in rows):
        far = [float(row["progress"]) for row in rows if row["adapter"] == name]
        error = statistics.stdev(far) / len(far) ** 0.5 if len(far) > 1 else float("nan")
        each = ", ".join(f"{distance:.1f}" for distance in far)
        mean = statistics.mean(far)
        lines.append(
            (-mean, f"| `{name}` | {mean:.2f} ± {error:.2f} | {statistics.median(far):.2f} | {each} |")
        )
    head = "| adapter | mean ± standard error | median | each life |\n|---|---|---|---|\n"
    return head + "\n".join(line for _, line in sorted(lines))


def fill(path: Path, scenario: str, text: str) -> None:
    """Put the table between ``<!-- table:SCENARIO -->`` and ``<!-- end -->``."""
    before, marker, rest = path.read_text(encoding="utf-8").partition(f"<!-- table:{scenario} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (marker and end):
        raise SystemExit(f"{path} has no place for the table of {scenario}.")
    write_text(path, f"{before}{marker}{text}\n{end}{after}")


if __name__ == "__main__":
    main()
