"""Write every life of a suite into its CSV in eval/reference, and tables of them into README and docs.

    slrl eval solved
    python benchmarks/tables.py solved

A life that is not in the folder of runs keeps its row in the CSV if the SHA-256 of its settings is still the
same. If lives are in neither, nothing is written, unless `--partial` asks for it.
"""

import argparse
import csv
import hashlib
import io
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slrl import adapters, files, scenarios
from slrl.adapters import latent
from slrl.errors import BadInput, unknown
from slrl.evaluation import stats, store, suites
from slrl.evaluation.engines import folder_of
from slrl.files import made_folder, read_toml, write_text
from slrl.lives.results import ERROR, mode_names, read_metrics
from slrl.lives.settings import LifeSettings

COLUMNS = (
    "scenario",
    "world",
    "adapter",
    "seed",
    "pretraining",
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
    "mujoco",
    "turns",
)
Row = dict[str, Any]
# (critics, updates per step) of the paper, where a method as shipped has fewer
FEWER = {"rlpd": (10, 20)}
# Modes to which the default turns where something does not go on; `modes` goes back after each thing, too.
TURNS = ("graph", "arrive", "back", "play")


@dataclass(frozen=True)
class Table:
    """One table in a document, between ``<!-- table:NAME -->`` and ``<!-- end -->``."""

    scenario: str = ""  # default: a row for each scenario, of one adapter
    adapter: str = ""  # default: all
    world: str = ""  # default: both
    paired: bool = False  # only seeds that every adapter has lived
    name: str = ""  # default: the scenario's
    beside_frozen: bool = False  # a row for each scenario, of ``frozen`` and another adapter
    by_number: bool = False  # a row for each number that labels end in, a column for each adapter
    document: str = ""  # default: the record's

    @property
    def marker(self) -> str:
        """The name that its place in the document has."""
        return self.name or self.scenario

    def text(self, rows: list[Row]) -> str:
        """The table in Markdown, of those rows that belong to it."""
        asked = {"scenario": self.scenario, "adapter": self.adapter, "world": self.world}
        mine = [row for row in rows if all(row.get(key) == value for key, value in asked.items() if value)]
        own = sorted(
            paired(mine) if self.paired else mine,
            key=lambda row: (row.get("pretraining") or 0, int(row["seed"])),
        )
        if not self.scenario:
            return beside_frozen(own) if self.beside_frozen else by_scenario(own)
        return by_number(own) if self.by_number else table(own)


@dataclass(frozen=True)
class Record:
    """Where the lives of a suite are written down."""

    csv: str  # in eval/reference
    document: str = ""  # with the tables
    tables: tuple[Table, ...] = ()


RECORDS = {
    "qwale": Record(
        "qwale.csv",
        "docs/adapters/qwale.md",
        (
            Table("calm_pointmass"),
            Table("windy_pointmass"),
            Table("windy_pointmass", document="README.md"),
        ),
    ),
    "ablation": Record(
        "ablation.csv",
        "docs/adapters/qwale.md",
        (Table("calm_pointmass", name="ablation_calm"), Table("windy_pointmass", name="ablation_windy")),
    ),
    "solved": Record("solved.csv", "README.md", (Table(name="solved"),)),
    "variants": Record("variants.csv", "docs/adapters/levels.md", (Table(name="variants"),)),
    "source": Record("source.csv", "docs/adapters/levels.md", (Table(name="source", beside_frozen=True),)),
    "parts": Record(
        "parts.csv",
        "docs/adapters/levels.md",
        (
            Table("windy_pointmass", name="parts_windy"),
            Table("maze_blocked", name="parts_maze"),
            Table("kitchen_pairs", name="parts_kitchen"),
            Table("peg_moved", name="parts_peg"),
            Table("door_stiff", name="parts_door"),
        ),
    ),
    "steps": Record(
        "steps.csv", "docs/adapters/rma.md", (Table("windy_pointmass", name="steps", by_number=True),)
    ),
    "repertoire": Record(
        "repertoire.csv",
        "docs/adapters/repertoire.md",
        (
            Table(name="repertoire_lives", adapter="repertoire", world="target"),
            Table("cheetah_upside_down", name="repertoire_controls", world="target", paired=True),
            Table(name="repertoire_source", world="source", beside_frozen=True),
        ),
    ),
    "baseline": Record("baseline.csv", "docs/adapters.md", (Table(name="baseline"),)),
    "gallery": Record("gallery.csv"),  # its page is written by gallery.py
}


def main() -> None:
    """Read the lives, write the CSV, print the tables and put them into their document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", help=f"one of {', '.join(RECORDS)}")
    parser.add_argument("--runs", type=Path, default=None, help="default: runs/SUITE")
    parser.add_argument("--reference", type=Path, default=Path("eval/reference"), help="folder of the CSV")
    parser.add_argument(
        "--partial", action="store_true", help="write what there is, without the lives that are missing"
    )
    arguments = parser.parse_args()
    if arguments.suite not in RECORDS:
        raise unknown("suite with a record", arguments.suite, RECORDS)
    record, runs = RECORDS[arguments.suite], arguments.runs or Path("runs") / arguments.suite
    path = arguments.reference / record.csv
    known, lives = read_csv(path), suites.load(arguments.suite).lives
    rows = rows_of(lives, runs, known)
    print(f"{len(rows)} of {len(lives)} lives of suite {arguments.suite} are in {runs} or {path}.")
    if len(rows) < len(lives) and not arguments.partial:
        raise BadInput(
            f"{len(lives) - len(rows)} lives are missing, or have other settings; "
            f"`slrl eval {arguments.suite} --out {runs}` lives them, and --partial does without."
        )
    write_csv(path, rows)
    for one in record.tables:
        text = one.text(rows)
        print(f"{one.marker}\n{text}")
        fill(Path(one.document or record.document), one.marker, text)


def rows_of(lives: Sequence[LifeSettings], runs: Path, known: list[Row]) -> list[Row]:
    """The row of each life that is in ``runs``, or else in ``known`` with the same settings.

    Rows that were known come first, in their order, so that a CSV changes only where lives do.
    """
    before, found = {identity(row): row for row in known}, dict[tuple[str, ...], Row]()
    for life in lives:
        who = (life.scenario.name, life.world, life.method.name, str(life.seed), str(life.pretraining))
        row = _lived(folder_of(runs, life), life) or before.get(who)
        if row is not None and row.get("settings_sha256") in (None, settings_hash(life, row["prior_sha256"])):
            found[who] = row
    return [found.pop(who) for who in before if who in found] + list(found.values())


def identity(row: Row) -> tuple[str, ...]:
    """Scenario, world, adapter and seeds: which life it is. A CSV without a world has lives in the target."""
    world = row.get("world", "target")
    return row["scenario"], world, row["adapter"], str(row["seed"]), str(row["pretraining"])


def _lived(folder: Path, life: LifeSettings) -> Row | None:
    """The row of a life that was lived with these settings and is whole in its folder, or crashed."""
    if (folder / ERROR).is_file() and not (folder / "result.json").is_file():
        return _crashed(folder, life)
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        sha256, progress, versions = result["prior_sha256"], result["progress"], result["versions"]
        lived = _without_prose(read_toml(folder / "settings.toml"))
        if lived != _without_prose(life.table(sha256)) or result["outcome"] == "interrupted":
            return None
        turns = _turns(folder)
    except (OSError, ValueError, KeyError, BadInput):
        return None  # `slrl eval` says what is wrong with it, and lives it again
    about = {
        "progress": "" if progress is None else f"{progress:.3f}",
        "torch": versions["torch"],
        "mujoco": versions["mujoco"],
        "turns": turns,
    }
    return {**{key: result.get(key) for key in COLUMNS}, **about, **_seeds_and_settings(life, sha256)}


def _turns(folder: Path) -> int:
    """How often something else than the acting level took over in a life, but for its last step."""
    rows = read_metrics(folder)[:-1]
    changes = [int(row["adapter/mode"]) for row in rows if "adapter/changed" in row]
    names = mode_names(folder, max(changes, default=0) + 1)
    return sum(names[mode] in TURNS for mode in changes)


def _without_prose(settings: Any) -> Any:
    """Settings without summary and literature of scenario and adapters: other words are no other life."""
    if not isinstance(settings, dict):
        return settings
    return {k: _without_prose(v) for k, v in settings.items() if k not in ("summary", "literature")}


def _crashed(folder: Path, life: LifeSettings) -> Row | None:
    """The row of a life that has an error and no result: a failure."""
    try:
        settings = read_toml(folder / "settings.toml")
        sha256 = settings["prior"]["sha256"]
        if settings != life.table(sha256):
            return None
    except (BadInput, KeyError, TypeError):
        return None
    about = {"scenario": life.scenario.name, "world": life.world, "adapter": life.method.name}
    ended = {"outcome": store.CRASHED, "steps": 0, "life_steps": life.life_steps, "censored": True}
    seeds = {"seed": life.seed, "prior_sha256": sha256, **_seeds_and_settings(life, sha256)}
    return {**dict.fromkeys(COLUMNS, ""), **about, **ended, **seeds}


def _seeds_and_settings(life: LifeSettings, sha256: str) -> Row:
    """The seed of the pretraining, None without one, and the SHA-256 of all settings."""
    return {"pretraining": life.pretraining, "settings_sha256": settings_hash(life, sha256)}


def settings_hash(life: LifeSettings, prior_sha256: str) -> str:
    """SHA-256 of everything that the steps of a life depend on, besides versions."""
    return hashlib.sha256(json.dumps(life.table(prior_sha256), sort_keys=True).encode()).hexdigest()


def read_csv(path: Path) -> list[Row]:
    """Lives that were written down before; none if there is no such file."""
    if not path.is_file():
        return []
    numbers: dict[str, Callable[[str], Any]] = {"seed": int, "steps": int, "life_steps": int}
    kinds = {**numbers, "censored": lambda text: text == "True"}
    kinds["pretraining"] = lambda text: int(text) if text else None
    with path.open(newline="", encoding="utf-8") as file:
        return [  # lives of before their pretraining was written down shared the one with seed 0
            {"pretraining": 0, **{key: kinds.get(key, str)(value) for key, value in row.items()}}
            for row in csv.DictReader(file)
        ]


def write_csv(path: Path, rows: list[Row]) -> None:
    """Every life a line, in the columns that the file has already, and its pretraining if that is not 0."""
    columns: Sequence[str] = COLUMNS
    if path.is_file():
        columns = path.read_text(encoding="utf-8").partition("\n")[0].split(",")
        if "pretraining" not in columns and any(row["pretraining"] for row in rows):
            columns = [*columns, "pretraining"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    made_folder(path.parent)
    write_text(path, text.getvalue())


def table(rows: list[Row]) -> str:
    """Successes, median and restricted mean steps of each adapter, best first, as Markdown."""
    lines = []
    for name in dict.fromkeys(row["adapter"] for row in rows):
        lives = [row for row in rows if row["adapter"] == name]
        steps = [row["steps"] if not row["censored"] else row["life_steps"] for row in lives]
        mean, successes = statistics.mean(steps), sum(not row["censored"] for row in lives)
        median = f"{statistics.median(steps):,.0f}" if 2 * successes > len(lives) else "not reached"
        each = ", ".join(
            f"{'> ' if row['censored'] else ''}{n:,}{_lost(row)}" for row, n in zip(lives, steps, strict=True)
        )
        cells = (shown(name), f"{successes} of {len(lives)}", median, f"{mean:,.0f}", each)
        lines.append((mean, f"| {' | '.join(cells)} |"))
    head = "| adapter | succeeded | median steps | restricted mean steps | steps of each life |"
    return "\n".join([head, "|---|---|---|---|---|", *(line for _, line in sorted(lines))])


def paired(rows: list[Row]) -> list[Row]:
    """The rows of those seeds and pretrainings that every adapter among them has."""
    lived: dict[str, set[tuple[Any, Any]]] = {}
    for row in rows:
        lived.setdefault(row["adapter"], set()).add((row["seed"], row["pretraining"]))
    common = set.intersection(*lived.values()) if lived else set()
    return [row for row in rows if (row["seed"], row["pretraining"]) in common]


def by_number(rows: list[Row]) -> str:
    """Successes and mean steps of adapters whose labels are numbers, by these numbers, as Markdown."""
    found: dict[int, dict[str, list[Row]]] = {}
    for row in rows:
        name, _, number = row["adapter"].rpartition("-")
        found.setdefault(int(number), {}).setdefault(name, []).append(row)
    names = list(dict.fromkeys(name for own in found.values() for name in own))
    lines = [
        f"| pretraining steps | {' | '.join(f'`{name}`' for name in names)} |",
        "|--:|" + "---|" * len(names),
    ]
    for number, own in sorted(found.items()):
        cells = [f"{number:,}"]
        for name in names:
            lives = own.get(name, [])
            steps = [row["life_steps"] if row["censored"] else row["steps"] for row in lives]
            success = sum(not row["censored"] for row in lives)
            cells.append(f"{success} of {len(lives)}, {statistics.mean(steps):,.0f}" if lives else "not run")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_scenario(rows: list[Row]) -> str:
    """Successes and restricted mean steps of one adapter in each scenario, as Markdown.

    The 95 % interval of the mean takes pretrainings whole.
    """
    lines = []
    for name in dict.fromkeys(sorted(row["scenario"] for row in rows)):
        own = [row for row in rows if row["scenario"] == name]
        steps = np.array([float(row["life_steps"] if row["censored"] else row["steps"]) for row in own])
        success = np.array([not row["censored"] for row in own])
        of = np.array([row["pretraining"] or 0 for row in own])
        optimum = scenarios.load(files.shipped("scenarios", name) or name).optimum_steps or 0
        lives = stats.Lives(steps, success, float(own[0]["life_steps"]), float(optimum), of)
        mean = stats.restricted_mean(lives, np.random.default_rng(0))
        each = ", ".join(
            f"{int(success[of == one].sum())}: {steps[of == one].mean():,.0f}" for one in np.unique(of)
        )
        cells = (
            f"`{name}`",
            f"{optimum:,}" if optimum else "unknown",
            f"{success.sum()} of {len(own)}",
            f"{np.median(steps):,.0f}",
            f"{mean.estimate:,.0f} ({mean.low:,.0f}–{mean.high:,.0f})",
            each,
        )
        lines.append(f"| {' | '.join(cells)} |")
    head = "| scenario | optimum | succeeded | median steps | restricted mean steps | of each pretraining |"
    return "\n".join([head, "|---|--:|---|--:|---|---|", *lines])


def beside_frozen(rows: list[Row]) -> str:
    """Another adapter beside ``frozen`` in each scenario, and how often something took over, as Markdown."""
    lines = []
    others = [row["adapter"] for row in rows if row["adapter"] != "frozen"]
    other = others[0] if others else files.DEFAULT_ADAPTER
    for name in dict.fromkeys(sorted(row["scenario"] for row in rows)):
        cells, means = [f"`{name}`"], []
        for adapter in ("frozen", other):
            own = [row for row in rows if (row["scenario"], row["adapter"]) == (name, adapter)]
            if not own:
                break  # with --partial
            steps = [row["life_steps"] if row["censored"] else row["steps"] for row in own]
            means.append(statistics.mean(steps))
            cells.append(f"{sum(not row['censored'] for row in own)} of {len(own)}, {means[-1]:,.0f}")
        if len(means) < 2:
            continue
        turns, lived = sum(int(row.get("turns") or 0) for row in own), sum(row["steps"] for row in own)
        cells += [f"{means[1] / means[0]:.2f}", f"{1e4 * turns / lived:.1f} ({turns} in {lived:,})"]
        lines.append(f"| {' | '.join(cells)} |")
    head = f"| source of | frozen | {other} | ratio | turns per 10,000 steps |"
    return "\n".join([head, "|---|---|---|--:|---|", *lines])


def _lost(row: Row) -> str:
    """`` (diverged)`` or `` (crashed)``, where that is how a life ended."""
    return f" ({row['outcome']})" if row.get("outcome") in store.LOST else ""


def shown(name: str) -> str:
    """An adapter as tables name it, with what must be known to read its row; others by their name alone."""
    notes = "; ".join(_notes(name)) if name in files.names("adapters") else ""
    return f"`{name}` ({notes})" if notes else f"`{name}`"


def _notes(name: str) -> Iterator[str]:
    """What a shipped adapter lacks: the latent's changes, somebody to ask, or what its paper has more of."""
    method = adapters.load(name)
    settings: Any = method.adapter.settings
    if isinstance(settings, latent.Settings) and settings.latent == "fixed":
        yield "control: z fixed"
    if any(not planner.url and not planner.replay for _, planner in adapters.planners(method)):
        yield "nobody to ask"
    if name in FEWER:
        critics, updates = method.agent.settings.critics, settings.updates_per_step
        yield f"{critics} critics, {updates} update{'s' * (updates != 1)} a step"
        yield "paper: {} and {}".format(*FEWER[name])


def figures(rows: list[Row]) -> str:
    """The matrix of scenarios by adapters, as `slrl report --format md` has it, from its CSV.

    Adapters stand in the order of their mean score, from 0 for the budget to 1 for the optimum.
    """
    scores: dict[str, list[float]] = {}
    for row in rows:
        budget, optimum = float(row["life_steps"]), float(row["optimum_steps"] or 0)
        score = (budget - float(row["restricted_mean_steps"])) / (budget - optimum)
        scores.setdefault(row["adapter"], []).extend([score] * int(row["lives"]))
    names = sorted(scores, key=lambda name: (-statistics.fmean(scores[name]), name))
    lines = [f"| scenario | budget | optimum | {' | '.join(names)} |", "|---|--:|--:|" + "---|" * len(names)]
    for scenario in sorted({row["scenario"] for row in rows}):
        own = {row["adapter"]: row for row in rows if row["scenario"] == scenario}
        first = next(iter(own.values()))
        optimum = f"{int(first['optimum_steps']):,}" if first["optimum_steps"] else "unknown"
        cells = [_figure(own[name]) if name in own else "" for name in names]
        lines.append(f"| {scenario} | {int(first['life_steps']):,} | {optimum} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(row: Row) -> str:
    """Successes, and the restricted mean with its interval; bold where it is marked as the fastest."""
    mean, low, high = (float(row[f"restricted_mean_steps{end}"]) for end in ("", "_low", "_high"))
    text = f"{row['came_home']} of {row['lives']}, {mean:,.0f} ({low:,.0f}–{high:,.0f})"
    return f"**{text}**" if row["fastest"] == "1" else text


def fill(path: Path, name: str, text: str) -> None:
    """Put a table between ``<!-- table:NAME -->`` and ``<!-- end -->``.

    Raises:
        BadInput: if the document has no such place.
    """
    before, marker, rest = path.read_text(encoding="utf-8").partition(f"<!-- table:{name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (marker and end):
        raise BadInput(
            f"{path} has no place for the table {name}: a line <!-- table:{name} --> and <!-- end -->."
        )
    write_text(path, f"{before}{marker}{text}\n{end}{after}")


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(f"tables: {error}") from None
