"""How soon the switch notices a change, and how often it raises a false alarm. Part of `make adapters`.

    slrl eval detection --out runs/adapters
    python benchmarks/detection.py runs/adapters --readme docs/adapters.md

reads the changes of mode in lives of `switch` in the target of a scenario whose shift begins at some step,
and in its source, where nothing is new. With --readme every life is written into eval/reference/detection.csv
too.
"""

import argparse
import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tables import fill

from slrl import scenarios
from slrl.errors import BadInput
from slrl.evaluation import store
from slrl.files import write_text
from slrl.lives.results import read_metrics


@dataclass(frozen=True)
class Changes:
    """When the mode of one life changed to another than nominal."""

    at: tuple[int, ...]  # steps
    steps: int  # of the life
    seed: int = 0


def main() -> None:
    """Read the lives and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder with the lives of the suite detection")
    parser.add_argument("--scenario", default="gusty_pointmass", help="default: gusty_pointmass")
    parser.add_argument(
        "--readme",
        type=Path,
        default=None,
        help="also put the table between its markers there, and the lives into the CSV",
    )
    parser.add_argument("--reference", type=Path, default=Path("eval/reference"), help="folder of the CSV")
    arguments = parser.parse_args()
    onset = onset_of(arguments.scenario)
    lives = {
        world: [
            changes(arguments.runs / row.folder, row.steps, row.seed)
            for row in store.scan(arguments.runs).rows
            if (row.scenario, row.adapter, row.world, row.replaced)
            == (arguments.scenario, "switch", world, False)
        ]
        for world in ("target", "source")
    }
    if not all(lives.values()):
        raise BadInput(
            f"{arguments.runs} lacks lives of switch in {arguments.scenario} or in its source; "
            f"`slrl eval detection --out {arguments.runs}` lives them."
        )
    text = table(lives["target"], lives["source"], onset)
    print(text)
    if arguments.readme:
        write_csv(arguments.reference / "detection.csv", lives)
        fill(arguments.readme, "detection", text)


def onset_of(scenario: str) -> int:
    """The step at which the first shift of a scenario begins."""
    return min(int(shift.get("start_step", 0)) for shift in scenarios.load(scenario).target.shifts)


def write_csv(path: Path, lives: Mapping[str, Sequence[Changes]]) -> None:
    """A line per life: its world, seed, steps, and the steps at which its mode left nominal."""
    lines = [
        f"{world},{life.seed},{life.steps},{' '.join(map(str, life.at))}"
        for world, found in lives.items()
        for life in found
    ]
    write_text(path, "\n".join(["world,seed,steps,left_nominal_at", *lines]) + "\n")


def read_csv(path: Path) -> dict[str, list[Changes]]:
    """The lives that :func:`write_csv` wrote, by world."""
    found: dict[str, list[Changes]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = tuple(int(step) for step in row["left_nominal_at"].split())
            found.setdefault(row["world"], []).append(Changes(at, int(row["steps"]), int(row["seed"])))
    return found


def changes(folder: Path, steps: int, seed: int = 0) -> Changes:
    """Read the ``metrics.csv`` of a life, which has a row for each change of mode."""
    try:
        rows = read_metrics(folder)
    except (OSError, ValueError):
        raise BadInput(f"{folder} has no metrics.csv that can be read; live it again.") from None
    away = [row for row in rows if "adapter/changed" in row and row["adapter/mode"] > 0]
    return Changes(tuple(int(row["life/step"]) for row in away), steps, seed)


def table(target: Sequence[Changes], source: Sequence[Changes], onset: int) -> str:
    """Delays after the onset of the shift, and false alarms: changes before it, or in the source."""
    delays = [next((step - onset for step in life.at if step > onset), None) for life in target]
    alarms = sum(step <= onset for life in target for step in life.at) + sum(len(life.at) for life in source)
    quiet = sum(min(onset, life.steps) for life in target) + sum(life.steps for life in source)
    noticed = [delay for delay in delays if delay is not None]
    median = f"{statistics.median(noticed)} steps" if noticed else "none"
    each = ", ".join("never" if delay is None else str(delay) for delay in delays)
    rate = f"{10_000 * alarms / quiet:.1f} ({alarms} in {quiet:,})"
    return "\n".join(
        (
            "| noticed | delay in the median | each life | false alarms per 10,000 steps |",
            "|---|---|---|---|",
            f"| {len(noticed)} of {len(delays)} | {median} | {each} | {rate} |",
        )
    )


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(f"detection: {error}") from None
