"""The report as one HTML page that opens from disk and fetches nothing; every text of a file is escaped."""

import base64
import hashlib
import json
import shlex
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from markupsafe import Markup, escape
from tqdm import tqdm

from slrl import __version__
from slrl.errors import BadInput
from slrl.evaluation import store, verdict
from slrl.evaluation.report import svg
from slrl.evaluation.report.animations import animation
from slrl.evaluation.report.evidence import Chapter, Evidence
from slrl.evaluation.report.svg import DrawnLife
from slrl.evaluation.stats import Interval
from slrl.evaluation.store import Row
from slrl.evaluation.verdict import Standing
from slrl.files import read_toml
from slrl.lives import results, trace

HERE = Path(__file__).parent
PLACES = ("best", "median", "worst")


def render(evidence: Evidence, *, animations: bool = True, quiet: bool = True) -> tuple[str, list[str]]:
    """The page as HTML, and a sentence on each life or animation that it cannot show."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": lambda name: Markup("_<wbr>").join(escape(part) for part in name.split("_")),
        "steps": _steps,
        "bounds": _bounds,
        "percents": _percents,
        "scores": _scores,
        "ending_in_words": svg.ending_in_words,
    }
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    anchors = {row.folder: f"life-{number}" for number, row in enumerate(evidence.rows, 1)}
    problems: list[str] = []
    cards = [
        _card(evidence, chapter, anchors, problems, animations=animations, quiet=quiet)
        for chapter in tqdm(evidence.chapters, desc="report", unit="scenario", disable=quiet)
    ]
    settings, versions, lives = _lives(evidence, anchors, problems)
    text = environment.get_template("page.html.j2").render(
        evidence=evidence,
        cards=cards,
        lives=lives,
        settings=settings,
        versions=versions,
        few=verdict.FEW,
        few_pretrainings=verdict.PRETRAININGS,
        totals=_totals(evidence),
        script=script,
        style=f"{_palette()}\n{style}",
        version=__version__,
        mode_colours=len(trace.MODE_COLOURS),
        problems=[*evidence.problems, *problems],
        colours={name: svg.look(i) for i, name in enumerate(evidence.adapters)},
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return text, problems


def _palette() -> str:
    """CSS rules with the colours of adapters and of modes, for the light and the dark scheme."""
    light = "".join(f"--c{i}:{colour};" for i, colour in enumerate(svg.LIGHT))
    light += "".join(f"--m{i}:{colour};" for i, colour in enumerate(trace.MODE_COLOURS))
    dark = "".join(f"--c{i}:{colour};" for i, colour in enumerate(svg.DARK))
    rules = "".join(f".c{i}{{--c:var(--c{i})}}" for i in range(len(svg.LIGHT)))
    rules += "".join(
        f".m{i}{{fill:var(--m{i});background:var(--m{i})}}" for i in range(len(trace.MODE_COLOURS))
    )
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}"


def _steps(number: float) -> str:
    return "not reached" if np.isinf(number) else f"{number:,.0f}"


def _bounds(found: Interval) -> str:
    if not found.exists:
        return "–"
    return f"from {found.low:,.0f}" if np.isinf(found.high) else f"{found.low:,.0f}–{found.high:,.0f}"


def _percents(found: Interval) -> str:
    return f"{100 * found.low:.0f} %–{100 * found.high:.0f} %" if found.exists else "–"


def _scores(found: Interval) -> str:
    return f"{found.low:.2f}–{found.high:.2f}" if found.exists else "–"


# --- a card per scenario ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AdapterSection:
    """One adapter in the card of a scenario."""

    standing: Standing
    traces: list[tuple[str, DrawnLife, Any]]  # best, median or worst; the life; its drawing
    metrics: list[tuple[str, Any]]  # name, drawing


@dataclass(frozen=True)
class Card:
    """One scenario, as the template shows it."""

    chapter: Chapter
    anchor: str
    chart: Any
    moving: str  # data URI
    still: str
    unseen: str  # why there is no animation; empty if there is one
    sections: list[AdapterSection]  # in the order of the page's adapters
    notes: dict[str, str]  # by adapter: what must be known to read its lives
    contests: list[list[str]]  # the sentences of each
    modes: tuple[str, ...]  # of the lives that are drawn, in the order of their numbers
    traced: str  # what the drawings of lives show


def _card(
    evidence: Evidence,
    chapter: Chapter,
    anchors: dict[str, str],
    problems: list[str],
    *,
    animations: bool,
    quiet: bool,
) -> Card:
    moving = still = unseen = ""
    if animations and chapter.scenario is None:
        unseen = "its settings cannot be read"
    elif animations and not chapter.shipped:
        unseen = "it does not come with slrl, and a report runs no code that a folder of lives names"
    elif animations and chapter.scenario is not None:
        try:
            moving, still = animation(chapter.scenario, quiet=quiet)
        except BadInput as error:
            unseen = str(error)
    if unseen:
        problems.append(f"{chapter.name} is shown without an animation: {unseen}")
    plane = None if chapter.scenario is None else chapter.scenario.plane
    drawn = {
        one.adapter: list(_typical(evidence.runs, one, anchors, chapter, problems))
        for one in chapter.standings
    }
    curves = [life.curve[np.isfinite(life.curve)] for lives in drawn.values() for _, life in lives]
    values = np.concatenate([*curves, np.zeros(0)])
    limits = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    sections = [
        AdapterSection(
            one,
            [(which, life, svg.trace(life, plane, limits)) for which, life in drawn[one.adapter]],
            list(_metrics([(PLACES.index(which.split()[0]), life) for which, life in drawn[one.adapter]])),
        )
        for one in chapter.standings
    ]
    drawn_lives = [life for lives in drawn.values() for _, life in lives]
    return Card(
        chapter=chapter,
        anchor=f"scenario-{evidence.chapters.index(chapter) + 1}",
        moving=moving,
        still=still,
        unseen=unseen,
        chart=svg.survival(chapter, evidence.adapters, anchors),
        sections=sections,
        notes={one.adapter: note for one in chapter.standings if (note := _note(evidence.runs, one))},
        modes=max((life.mode_names for life in drawn_lives), key=len, default=()),
        contests=[[line.strip() for line in verdict.verdict(contest)] for contest in chapter.contests],
        traced=_traced(chapter, limits),
    )


def _note(runs: Path, one: Standing) -> str:
    """``nobody to ask`` for lives whose adapter asks a planner and whose settings name no server."""
    try:
        planner = read_toml(runs / one.rows[0].folder / "settings.toml").get("adapter", {}).get("planner")
    except (BadInput, AttributeError):  # the section of that life says what is wrong with its settings
        return ""
    return "nobody to ask" if isinstance(planner, dict) and not planner.get("url") else ""


def _traced(chapter: Chapter, limits: tuple[float, float]) -> str:
    scenario = chapter.scenario
    if scenario is not None and scenario.plane is not None:
        x, y = scenario.plane.x_limits, scenario.plane.y_limits
        size = f"{x[1] - x[0]:g} by {y[1] - y[0]:g} {scenario.plane.unit}"
        return f"paths from dark to bright, in a plane of {size}"
    what = scenario.progress_info if scenario is not None and scenario.progress_info else "sum of rewards"
    return f"{what} over the life, from {svg.short(limits[0])} (bottom) to {svg.short(limits[1])} (top)"


def _typical(
    runs: Path, one: Standing, anchors: dict[str, str], chapter: Chapter, problems: list[str]
) -> Iterator[tuple[str, DrawnLife]]:
    """The best, the median and the worst life, each once, with its names: ``best``, ``median and worst``."""
    order = sorted(range(len(one.rows)), key=lambda i: (not one.lives.success[i], one.lives.time[i]))
    wanted: dict[int, list[str]] = {}
    for which, place in zip(PLACES, (0, (len(order) - 1) // 2, len(order) - 1), strict=True):
        wanted.setdefault(order[place], []).append(which)
    for i, names in wanted.items():
        row = one.rows[i]
        if row.outcome == store.CRASHED:
            continue  # it left nothing to draw, and a note says that it crashed
        try:
            life = _read_life(runs / row.folder, row, anchors[row.folder], chapter)
        except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile, zlib.error) as error:
            problems.append(
                f"{row.folder} cannot be drawn: its life.npz or metrics.csv is missing or damaged ({error})."
            )
            continue
        yield " and ".join(names), life


def _read_life(folder: Path, row: Row, anchor: str, chapter: Chapter) -> DrawnLife:
    """Read what is drawn of a life from its ``metrics.csv`` and ``life.npz``."""
    metrics = results.read_metrics(folder)
    with np.load(folder / "life.npz") as life:
        progress, reward = life["progress"].astype(np.float64), life["reward"].astype(np.float64)
        plane = None if chapter.scenario is None else chapter.scenario.plane
        path = None if plane is None else life["obs"][:, plane.obs].astype(np.float64)
    columns: dict[str, list[tuple[float, float]]] = {}
    for values in metrics:
        for key, value in values.items():
            if np.isfinite(value):
                columns.setdefault(key, []).append((values["life/step"], value))
    kept = {key: np.array(pairs).T for key, pairs in columns.items() if key != "life/step" and len(pairs) > 1}
    modes = tuple(trace.modes_of(metrics, row.steps))
    return DrawnLife(
        seed=row.seed,
        words=svg.ending_in_words(row.outcome, row.steps),
        anchor=anchor,
        path=path,
        curve=progress if np.isfinite(progress).any() else np.cumsum(reward),
        modes=modes,
        mode_names=results.mode_names(folder, 1 + max((mode for mode, _, _ in modes), default=-1)),
        metrics={key: (pair[0], pair[1]) for key, pair in kept.items()},
    )


def _metrics(lives: Sequence[tuple[int, DrawnLife]]) -> Iterator[tuple[str, Any]]:
    for name in dict.fromkeys(name for _, life in lives for name in life.metrics):
        yield name, svg.metric(name, lives)


# --- over all scenarios -------------------------------------------------------------------------------------


def _totals(evidence: Evidence) -> Any:
    """The drawing of the performance profiles; None with fewer than two scenarios in common."""
    if not evidence.totals:
        return None
    return svg.profile(
        [(evidence.adapters.index(total.adapter), total.adapter, total.profile) for total in evidence.totals]
    )


# --- a section per life -------------------------------------------------------------------------------------


@dataclass
class Shared:
    """Settings or versions that several lives have in common, printed once."""

    anchor: str
    of: str  # the first of these lives, as ``switch in maze_blocked``
    text: str
    count: int = 0  # lives


@dataclass(frozen=True)
class LifeSection:
    """The section of one life: figures, links to its settings and versions, the command that repeats it."""

    row: Row
    anchor: str
    settings: str  # anchor
    versions: str  # anchor
    command: str


def _lives(
    evidence: Evidence, anchors: dict[str, str], problems: list[str]
) -> tuple[list[Shared], list[Shared], list[LifeSection]]:
    """Settings and versions, each text once, and a section for each life."""
    settings, versions = dict[str, Shared](), dict[str, Shared]()
    lives = []
    for row in evidence.rows:
        folder = evidence.runs / row.folder
        try:
            text = (folder / "settings.toml").read_text(encoding="utf-8")
            crashed = row.outcome == store.CRASHED
            found = {} if crashed else json.loads((folder / "result.json").read_bytes()).get("versions")
        except (OSError, ValueError, AttributeError) as error:
            problems.append(f"{row.folder} changed while it was read: {error}.")
            text, found = "", {}
        known = (
            "\n".join(f"{key:<18} {value}" for key, value in found.items()) if isinstance(found, dict) else ""
        )
        of = f"{row.adapter} in {row.scenario}"
        own = settings.setdefault(row.settings_sha256, Shared(f"settings-{len(settings) + 1}", of, text))
        under = versions.setdefault(known, Shared(f"versions-{len(versions) + 1}", of, known))
        own.count, under.count = own.count + 1, under.count + 1
        again = f"slrl adapt --from {shlex.quote(str(folder / 'settings.toml'))}"
        lives.append(LifeSection(row, anchors[row.folder], own.anchor, under.anchor, again))
    return list(settings.values()), list(versions.values()), lives
