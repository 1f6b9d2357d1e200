"""How often each signal of the switch is raised in the source of a scenario, where nothing is new.

    slrl eval false_alarms
    python benchmarks/false_alarms.py runs/false_alarms --readme docs/adapters/switch.md

The promise is per trajectory: one like the prior's raises a signal with probability 5 % at most. A trajectory
is one life in the source, from its start to its success or its 1,000th step, and no longer than the prior's
longest episode: the promise says nothing of longer ones. Alarms per 10,000 steps are counted in whole lives;
an alarm is a step on which a signal is raised and was not on the step before. Signals are computed from the
steps of each life as in the mode nominal, with the monitor of its settings (learned, where the cache lacks
it), so that signals that change no mode count too.
"""

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from tables import fill

from slrl import envs
from slrl.adapters import switch
from slrl.adapters.monitor import SIGNALS, Monitor
from slrl.errors import BadInput
from slrl.evaluation import store
from slrl.files import write_text
from slrl.learning.cache import LearnedCache
from slrl.lives.run import learning_plan, torch_device
from slrl.lives.settings import LifeSettings
from slrl.priors import Prior
from slrl.recording.recipes import load_prior

COLUMNS = (
    "scenario",
    "signal",
    "lives",
    "steps",
    "longest",
    "raised",
    "low",
    "high",
    "alarms",
    "per_10000_steps",
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Watched:
    """One life, as the monitor would have seen it."""

    raised: NDArray[np.bool_]  # (T, 5) which signals were raised on each step
    longest: int  # steps of the prior's longest episode
    off: tuple[str, ...]  # signals that the prior cannot calibrate


def main() -> None:
    """Read the lives, write the CSV and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder with the lives of the suite false_alarms")
    parser.add_argument("--csv", type=Path, default=None, help="also write every figure there")
    parser.add_argument(
        "--readme", type=Path, default=None, help="also put the table between its markers there"
    )
    arguments = parser.parse_args()
    found = [row for row in store.scan(arguments.runs).rows if _counts(row)]
    if not found:
        raise BadInput(
            f"{arguments.runs} has no lives of switch in a source; "
            f"`slrl eval false_alarms --out {arguments.runs}` lives them."
        )
    rows: list[Row] = []
    for scenario in sorted({row.scenario for row in found}):
        folders = [arguments.runs / row.folder for row in found if row.scenario == scenario]
        rows += figures(scenario, list(watched(folders)))
    if arguments.csv:
        write_csv(arguments.csv, rows)
    text = table(rows)
    print(text)
    if arguments.readme:
        fill(arguments.readme, "false_alarms", text)


def _counts(row: store.Row) -> bool:
    return (row.adapter, row.world, row.replaced) == (
        "switch",
        "source",
        False,
    ) and row.outcome != "interrupted"


def watched(folders: Sequence[Path]) -> Iterator[Watched]:
    """Each of the lives in these folders; a monitor is read once for all lives that share it."""
    monitors: dict[str, tuple[Monitor, Prior]] = {}
    for folder in folders:
        settings = LifeSettings.read(folder / "settings.toml")
        env = envs.make_source(settings.scenario)
        plan = learning_plan(
            settings.method,
            settings.scenario,
            env,
            load_prior(settings.prior),
            seed=settings.seed,
            device=torch_device(settings.device),
        )
        env.close()
        artefact = switch.monitored(settings.method.adapter.settings, plan)
        if artefact.key not in monitors:
            monitors[artefact.key] = LearnedCache().get(artefact), plan.root
        monitor, prior = monitors[artefact.key]
        yield watch(monitor, prior, *_arrays(folder))


def _arrays(folder: Path) -> tuple[Any, Any, Any]:
    try:
        with np.load(folder / "life.npz") as life:
            return life["obs"], life["action"], life["reward"]
    except (OSError, ValueError, KeyError):
        raise BadInput(f"{folder} has no life.npz that can be read; live it again.") from None


def watch(monitor: Monitor, prior: Prior, obs: Any, action: Any, reward: Any) -> Watched:
    """The signals of a life with observations (T + 1, O), actions (T, A) and rewards (T,)."""
    never = np.zeros(len(reward), bool)
    life = replace(
        prior,
        obs=obs[:-1],
        action=action,
        reward=reward,
        next_obs=obs[1:],
        terminated=never,
        truncated=never,
        episode=np.zeros(len(reward), np.int32),
        env_params=None,
        behaviour=None,
    )
    (signals,) = monitor.of_episodes(life, [0])
    longest = int((prior.ends - prior.starts).max()) + 1
    return Watched(monitor.raised(signals), longest, tuple(monitor.unsupported()))


def figures(scenario: str, lives: Sequence[Watched]) -> list[Row]:
    """A row per signal: in how many trajectories it was raised, with the exact 95 % interval; alarms."""
    steps, rows = sum(len(life.raised) for life in lives), list[Row]()
    for signal, name in enumerate(SIGNALS):
        columns = [life.raised[:, signal] for life in lives if name not in life.off]
        about: Row = {"scenario": scenario, "signal": name, "lives": len(columns), "steps": steps}
        about["longest"] = max(life.longest for life in lives)
        if columns:
            once = sum(
                bool(column[: life.longest].any()) for column, life in zip(columns, lives, strict=False)
            )
            low, high = stats.binomtest(once, len(columns)).proportion_ci(0.95, "exact")
            alarms = sum(int(column[0]) + sum(b and not a for a, b in pairwise(column)) for column in columns)
            about |= {"raised": once, "low": f"{low:.4f}", "high": f"{high:.4f}", "alarms": alarms}
            about["per_10000_steps"] = f"{1e4 * alarms / steps:.2f}"
        rows.append(about)
    return rows


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line per scenario and a column per signal."""
    lines = [
        f"| source of | lives, steps | {' | '.join(f'`{name}`' for name in SIGNALS)} |",
        f"|---|---|{'---|' * len(SIGNALS)}",
    ]
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        own = {row["signal"]: row for row in rows if row["scenario"] == scenario}
        first = own[SIGNALS[0]]
        most = max(row["lives"] for row in own.values())
        cells = [_cell(own[name]) for name in SIGNALS]
        lines.append(f"| `{scenario}` | {most:,}, {first['steps']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    """Trajectories with an alarm, the interval of their share, and alarms per 10,000 steps."""
    if not row["lives"]:
        return "off"
    low, high = (100 * float(row[key]) for key in ("low", "high"))
    return f"{row['raised']} ({low:.1f}–{high:.1f} %), {float(row['per_10000_steps']):.1f}"


def read_csv(path: Path) -> list[Row]:
    """The rows that :func:`write_csv` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        rows: list[Row] = list(csv.DictReader(file))
    return [{**row, **{key: int(row[key]) for key in ("lives", "steps", "longest")}} for row in rows]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Every figure; what is empty is a signal that is off."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(f"false_alarms: {error}") from None
