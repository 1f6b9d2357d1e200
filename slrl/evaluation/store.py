"""All lives under a folder, and an SQLite index of them, which is made anew from the folders each time.

A life is a folder with a ``result.json``, or one that `slrl eval` left with ``error.txt`` and no result: that
life crashed, and counts as one without success. Unreadable folders are reported; they neither raise nor
disappear silently.
"""

import csv
import hashlib
import io
import json
import os
import re
import sqlite3
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from slrl import files
from slrl.errors import BadInput
from slrl.evaluation.stats import Lives
from slrl.files import atomic_write
from slrl.lives.life import Outcome
from slrl.lives.results import ERROR, SCHEMA
from slrl.lives.settings import WorldName

INDEX = "index.sqlite"
CRASHED = "crashed"  # outcome of a life that has an error and no result
# In settings.toml: the seed of the method's pretraining, and what stands before it in its table.
PRETRAINING = re.compile(rb"(^\[adapter\.pretrain\]\n(?:[^\[\n][^\n]*\n)*?)seed = (\d+)\n", re.MULTILINE)
OUTCOMES = (*get_args(Outcome), CRASHED)
LOST = ("diverged", CRASHED)  # not the world's doing; named wherever lives are counted
PRETRAINED = re.compile(rb"^\[adapter\.(?:[\w.-]+\.)?pretrain\b", re.MULTILINE)  # of the method or a level
LIFE = re.compile(r"seed-\d+(\.\d+)?")  # seed-0.1: a life that was moved aside for another one


Seeds = tuple[int, int | None]  # of a life and of its pretraining, if it has one


@dataclass(frozen=True, kw_only=True)
class Row:
    """One life, as its ``result.json`` and ``settings.toml`` describe it: a row of the index."""

    scenario: str
    world: str  # "target", or "source": the prior's own world
    adapter: str
    seed: int
    pretraining: int | None = 0  # its seed; None of a method without one, each of whose lives is on its own
    outcome: str  # of the result, or "crashed"
    reason: str = ""  # why it diverged or crashed
    progress: float | None  # the scenario's progress_info at the end of the life, if it has one
    steps: int
    life_steps: int
    wall_clock_s: float
    steps_per_s: float
    prior: str
    prior_sha256: str
    settings_sha256: str  # of settings.toml without its seeds: equal for lives that may be compared
    replaced: bool  # moved to seed-N.1, because another life was lived in its place
    mujoco: str
    torch: str
    instructions: str  # of the processor, as torch uses them
    slrl: str
    git_revision: str
    folder: str  # relative to the folder of runs

    @property
    def seeds(self) -> Seeds:
        """Seed of the life and of its pretraining."""
        return self.seed, self.pretraining


SHOWN = (
    "scenario",
    "adapter",
    "seed",
    "pretraining",
    "outcome",
    "steps",
    "life_steps",
    "progress",
    "steps_per_s",
    "prior",
    "folder",
)
COLUMNS = tuple(field.name for field in fields(Row))
_KINDS = {
    int: "INTEGER",
    int | None: "INTEGER",
    bool: "INTEGER",
    float: "REAL",
    float | None: "REAL",
    str: "TEXT",
}
_UNSAID: dict[str, Any] = {
    "reason": "",
    "world": "target",  # results of before there were lives in the source
    "mujoco": "not installed",
    "torch": "not installed",
    "slrl": "not installed",
    "instructions": "unknown",
}


@dataclass(frozen=True)
class Scan:
    """Lives in the order of their folders, and a sentence on each folder that could not be read."""

    rows: list[Row]
    problems: list[str]


def scan(runs: Path) -> Scan:
    """Read every life under ``runs``.

    Raises:
        BadInput: if there is no such folder.
    """
    if not runs.is_dir():
        raise BadInput(
            f"there is no folder {runs}; name one that holds lives, as `slrl adapt --out` writes them."
        )
    rows, problems = [], []
    for folder, names in _life_folders(runs):
        name = str(folder.relative_to(runs))
        if "result.json" not in names and ERROR not in names:
            problems.append(
                f"{name} has no result.json: the life is under way, or was killed; live it again."
            )
            continue
        try:
            rows.append(_read(folder, name) if "result.json" in names else _read_crashed(folder, name))
        except BadInput as error:
            problems.append(f"{name}: {error}")
    problems += [
        f"{row.folder} {row.outcome} and counts as a failure: {' '.join(row.reason.split())}"
        for row in rows
        if row.outcome in LOST and not row.replaced
    ]
    versions = sorted({row.mujoco for row in rows} - {"not installed"})
    if len(versions) > 1:
        used = " and ".join(versions)
        problems.append(f"lives were lived with MuJoCo {used}: its trajectories differ between versions.")
    processors = sorted({row.instructions for row in rows} - {"unknown"})
    if len(processors) > 1:
        used = " and ".join(processors)
        problems.append(
            f"lives were lived on processors with {used}: what is learned may differ in its last digits."
        )
    return Scan(rows, problems)


def _life_folders(runs: Path) -> Iterator[tuple[Path, set[str]]]:
    for path, folders, names in os.walk(runs):
        folders.sort()
        if LIFE.fullmatch(Path(path).name):
            folders.clear()
            yield Path(path), set(names)


def _read(folder: Path, name: str) -> Row:
    settings = _settings(folder)
    try:
        table = json.loads((folder / "result.json").read_bytes())
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}.") from None
    except ValueError:
        raise BadInput("its result.json is damaged: it is no JSON.") from None
    if not isinstance(table, dict):
        raise BadInput("its result.json is damaged: it is no table.")
    if table.get("schema") != SCHEMA:
        raise BadInput(f"its result.json has schema {table.get('schema')!r}, and this slrl reads {SCHEMA}.")
    versions = table.get("versions")
    table = _UNSAID | table | (versions if isinstance(versions, dict) else {})
    table |= {"settings_sha256": _of_settings(settings), "replaced": "." in folder.name, "folder": name}
    table |= {"pretraining": pretraining_of(settings), "git_revision": table.get("git_revision") or ""}
    for field in fields(Row):
        value = table.setdefault(field.name, None)
        kinds = get_args(field.type) or (field.type,)
        if float in kinds and type(value) is int:
            value = table[field.name] = float(value)
        if type(value) not in kinds:
            raise BadInput(f"its result.json is damaged: {field.name!r} is {value!r}.")
    row = Row(**{key: table[key] for key in COLUMNS})
    for key, values in (("outcome", get_args(Outcome)), ("world", get_args(WorldName))):
        if table[key] not in values:
            raise BadInput(f"its result.json is damaged: {key!r} is {table[key]!r}.")
    if not 0 <= row.steps <= row.life_steps:
        raise BadInput(f"its result.json is damaged: {row.steps} steps of {row.life_steps}.")
    return row


def _settings(folder: Path) -> bytes:
    try:
        return (folder / "settings.toml").read_bytes()
    except FileNotFoundError:
        raise BadInput("its settings.toml is missing.") from None
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}.") from None


def _read_crashed(folder: Path, name: str) -> Row:
    """The row of a life without a result, from its settings and the last line of its error."""
    settings = _settings(folder)
    try:
        table = tomllib.loads(settings.decode())
        error = (folder / ERROR).read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
        return Row(
            scenario=str(table["scenario"]["name"]),
            world=str(table.get("world", "target")),
            adapter=str(table["adapter"]["name"]),
            seed=int(table["seed"]),
            pretraining=pretraining_of(settings),
            outcome=CRASHED,
            reason=error or f"its {ERROR} is empty.",
            progress=None,
            steps=0,
            life_steps=int(table["life_steps"]),
            wall_clock_s=0.0,
            steps_per_s=0.0,
            prior="",
            prior_sha256=str(table["prior"]["sha256"]),
            settings_sha256=_of_settings(settings),
            replaced="." in folder.name,
            mujoco=_UNSAID["mujoco"],
            torch=_UNSAID["torch"],
            instructions=_UNSAID["instructions"],
            slrl=_UNSAID["slrl"],
            git_revision="",
            folder=name,
        )
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise BadInput(f"the life crashed, and its settings.toml or {ERROR} is damaged ({wrong}).") from None


def _of_settings(text: bytes) -> str:
    """SHA-256 of a settings.toml without the seeds of the life and of its pretraining."""
    head, opening, rest = text.partition(b"\n[")
    kept = b"\n".join(line for line in head.splitlines() if not line.startswith(b"seed ="))
    return hashlib.sha256(kept + opening + PRETRAINING.sub(rb"\1", rest)).hexdigest()


def pretraining_of(settings: bytes) -> int | None:
    """The seed of the method's pretraining in a settings.toml; None where the method has no pretraining.

    It is 0 where nothing is said of it, as in lives of before it was kept, which all shared one.
    """
    found = PRETRAINING.search(settings)
    if found is not None:
        return int(found[2])
    return 0 if PRETRAINED.search(settings) or b"[adapter]" not in settings else None


# --- the index ----------------------------------------------------------------------------------------------


def index(found: Scan) -> sqlite3.Connection:
    """A database in memory with the tables ``lives`` (columns as :class:`Row`) and ``problems``."""
    base = sqlite3.connect(":memory:")
    columns = ", ".join(f"{field.name} {_KINDS[field.type]}" for field in fields(Row))  # type: ignore[index]
    base.execute(f"CREATE TABLE lives ({columns})")
    base.execute("CREATE TABLE problems (sentence TEXT)")
    base.executemany(f"INSERT INTO lives VALUES ({', '.join('?' * len(COLUMNS))})", map(astuple, found.rows))
    base.executemany("INSERT INTO problems VALUES (?)", ((problem,) for problem in found.problems))
    base.commit()
    return base


def write_index(runs: Path, base: sqlite3.Connection) -> None:
    """Write the index as ``index.sqlite``; does nothing in a read-only folder."""
    if not os.access(runs, os.W_OK):
        return
    with atomic_write(runs / INDEX) as temporary:
        file = sqlite3.connect(temporary)
        base.backup(file)
        file.close()


def select(
    base: sqlite3.Connection, *, where: str = "", sort: str = "", columns: Iterable[str] = COLUMNS
) -> list[tuple[Any, ...]]:
    """Query the index: ``where="adapter = 'qwale' AND steps < 500"``, ``sort="steps DESC"``, both in SQL.

    Raises:
        BadInput: if SQLite does not understand it.
    """
    base.execute("PRAGMA query_only = ON")
    text = f"SELECT {', '.join(columns)} FROM lives"
    text += (f" WHERE ({where})" if where.strip() else "") + (f" ORDER BY {sort}" if sort.strip() else "")
    try:
        return base.execute(text).fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        known = ", ".join(COLUMNS)
        raise BadInput(
            f"SQLite does not understand the condition or the order ({error}); columns are {known}."
        ) from None


def printed(rows: list[tuple[Any, ...]], form: str) -> str:
    """Rows of all columns as CSV or JSON, or as a table of the columns in ``SHOWN``."""
    tables = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    if form == "json":
        return json.dumps(tables, indent=1)
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(tables)
        return text.getvalue().rstrip("\n")
    cells = [[_cell(key, table[key]) for key in SHOWN] for table in tables]
    widths = [max(map(len, column)) for column in zip(SHOWN, *cells, strict=True)]
    numbers = [bool(tables) and not isinstance(tables[0][key], str) for key in SHOWN]
    lines = [
        "  ".join(
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(line, widths, numbers, strict=True)
        )
        for line in (SHOWN, *cells)
    ]
    total = f"{len(rows):,} lives"
    if tables:
        known = sum(table["outcome"] != "interrupted" for table in tables)
        home = sum(table["outcome"] == "success" for table in tables)
        total += f": {counted(table['outcome'] for table in tables)}; {home:,} of {known:,} succeeded"
    return "\n".join(line.rstrip() for line in (*lines, total))


def lost(rows: Iterable[Row]) -> str:
    """How many lives diverged or crashed, by name: ``2 diverged, 1 crashed``; empty if none did."""
    return counted(row.outcome for row in rows if row.outcome in LOST)


def counted(outcomes: Iterable[str]) -> str:
    """How many lives ended in which way: ``1 success, 2 diverged``; in the order of :data:`OUTCOMES`."""
    found = Counter(outcomes)
    return ", ".join(f"{found[name]:,} {name}" for name in OUTCOMES if found[name])


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:,.4g}" if key == "progress" else f"{value:,.0f}"


# --- for the statistics -------------------------------------------------------------------------------------


def in_target(found: Scan) -> list[Row]:
    """The lives in the target; those in the source are never counted with them."""
    return [row for row in found.rows if row.world == "target"]


def comparable(found: Scan) -> tuple[dict[tuple[str, str], list[Row]], list[str]]:
    """Lives that may be compared, by scenario and adapter, and a sentence on each group left out.

    Only lives in the target count, with the settings that most of their adapter's lives in the scenario
    have, and the budget that most lives in the scenario have. Replaced lives do not count, nor second lives
    with a seed after the same pretraining. Rows are sorted by seed and pretraining.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in in_target(found):
        if not row.replaced:
            groups.setdefault((row.scenario, row.adapter), []).append(row)
    left_out = []
    in_source = len(found.rows) - len(in_target(found))
    if in_source:
        left_out.append(f"{in_source:,} lives took place in the source world and are left out.")
    for (scenario, adapter), rows in groups.items():
        alike = _most_frequent([row.settings_sha256 for row in rows])
        kept = [row for row in rows if row.settings_sha256 == alike]
        if len(kept) < len(rows):
            others = f"{len(rows) - len(kept)} lives of {adapter} in {scenario}"
            left_out.append(f"{others} have other settings and are left out.")
        groups[scenario, adapter] = kept
    for scenario in {scenario for scenario, _ in groups}:
        budget = _most_frequent(
            [row.life_steps for (of, _), rows in groups.items() if of == scenario for row in rows]
        )
        for key in [key for key in groups if key[0] == scenario]:
            if groups[key][0].life_steps != budget:
                own = groups[key][0].life_steps
                left_out.append(
                    f"{key[1]} in {scenario} has a budget of {own:,} and not {budget:,}, and is left out."
                )
                del groups[key]
    for key, rows in groups.items():
        rows.sort(key=lambda row: (row.seed, row.pretraining or 0))
        seeds = [row.seeds for row in rows]
        if len(set(seeds)) < len(seeds):
            twice = len(seeds) - len(set(seeds))
            left_out.append(
                f"{twice} lives of {key[1]} in {key[0]} repeat a seed in another folder and are left out."
            )
            groups[key] = [row for i, row in enumerate(rows) if i == 0 or seeds[i] != seeds[i - 1]]
    return groups, left_out


def _most_frequent(values: list[Any]) -> Any:
    """The most frequent value; of several, the one that comes last."""
    counts = {value: values.count(value) for value in values}
    return max(reversed(list(counts)), key=lambda value: counts[value])


def lives_of(rows: list[Row], optimum: float | None) -> Lives:
    """The lives for :mod:`slrl.evaluation.stats`: censored at the budget, or where they were interrupted.

    A life that failed, diverged or crashed cannot succeed any more, and is censored at the budget.
    """
    time = [row.steps if row.outcome in ("success", "interrupted") else row.life_steps for row in rows]
    success = [row.outcome == "success" for row in rows]
    # Methods without pretraining share none: each life gets a number of its own, below those of seeds.
    of = [-1 - i if row.pretraining is None else row.pretraining for i, row in enumerate(rows)]
    return Lives(
        np.array(time, np.float64),
        np.array(success),
        float(rows[0].life_steps),
        optimum or 0.0,
        np.array(of, np.intp),
    )


def optimum_of(runs: Path, row: Row) -> float | None:
    """``optimum_steps`` of the scenario in the life's settings; None if it has none."""
    scenario = files.read_toml(runs / row.folder / "settings.toml").get("scenario", {})
    optimum = scenario.get("optimum_steps")
    return float(optimum) if isinstance(optimum, int) else None
