"""The page's drawings as SVG text: survival curves with a dot for each life, paths or progress, metrics.

Colours are classes of the page's style sheet, so that light, dark and print each have their own. All text is
escaped here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from slrl.evaluation import stats
from slrl.evaluation.report.evidence import Chapter
from slrl.evaluation.stats import F64, Profile
from slrl.evaluation.store import CRASHED
from slrl.evaluation.verdict import Standing
from slrl.lives.trace import MODE_COLOURS
from slrl.scenarios import Plane

# Colours of adapters, distinguishable with the common colour vision deficiencies (after Okabe and Ito, 2008).
# Beyond eight adapters, dashes tell them apart.
LIGHT = ("#0b63b0", "#c2410c", "#0f7b5f", "#a33c86", "#8a6a00", "#3f8fd2", "#5b5b5b", "#7b4fc9")
DARK = ("#6db3f2", "#ff9a5c", "#4fd1a5", "#ee8fd0", "#e3c04a", "#a9d4f7", "#bdbdbd", "#b99cf5")

WIDTH, LEFT, RIGHT, TOP, CURVES, ROW = 400, 92, 14, 10, 170, 20
MOST_POINTS = 200  # of a path or a curve
SEGMENTS = 8  # of a path, each of its own colour: from the first steps to the last
FAR = 20  # budget ÷ fastest life, from which steps are drawn on a logarithmic axis


@dataclass(frozen=True)
class DrawnLife:
    """The data for the drawings of one life of T steps."""

    seed: int
    words: str  # its ending, as ``succeeded after 124 steps``
    anchor: str  # of its section
    path: F64 | None  # (T + 1, 2) positions, if the scenario has a plane
    curve: F64  # (T,) progress, or the sum of rewards where there is none
    modes: tuple[tuple[int, int, int], ...]  # of an adapter with several: (mode, first step, last step)
    metrics: dict[str, tuple[F64, F64]]  # name: steps and values
    mode_names: tuple[str, ...] = ()


def log_steps(chapter: Chapter) -> bool:
    """Whether the axis of steps is logarithmic: the fastest life took less than 1 / ``FAR`` of the budget."""
    return chapter.budget / max(1.0, min(float(one.lives.time.min()) for one in chapter.standings)) > FAR


class _Axis:
    """The horizontal axis: maps steps to x coordinates."""

    def __init__(self, chapter: Chapter) -> None:
        self._log, self.budget = log_steps(chapter), chapter.budget
        fastest = max(1.0, min(float(one.lives.time.min()) for one in chapter.standings))
        self._first = max(1.0, fastest / 2) if self._log else 0.0

    def __call__(self, steps: float) -> float:
        if self._log:
            share = np.log(max(steps, self._first) / self._first) / np.log(self.budget / self._first)
        else:
            share = steps / self.budget
        return round(float(LEFT + min(share, 1.0) * (WIDTH - LEFT - RIGHT)), 1)

    def ticks(self) -> list[float]:
        """Round numbers whose labels do not overlap, and the budget."""
        if self._log:
            wanted = [m * 10**e for e in range(12) for m in (1, 2, 5)]
        else:
            unit = 10 ** np.floor(np.log10(max(self.budget, 1)))
            unit *= 1 if self.budget / unit >= 4 else 0.5 if self.budget / unit >= 2 else 0.25
            wanted = [unit * i for i in range(12)]
        kept = [float(self.budget)]
        for step in sorted(
            (step for step in wanted if self._first <= step < self.budget), key=lambda step: _roundness(step)
        ):
            if all(abs(self(step) - self(other)) > 38 for other in kept):
                kept.append(step)
        return sorted(kept)


def _roundness(step: float) -> tuple[bool, float]:
    """Sort key for ticks: powers of ten first, then the smallest."""
    return (step > 0 and not np.log10(step).is_integer(), step)


def short(number: float) -> str:
    """1200 as 1.2k."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.4g}{unit}"
    return f"{number:.4g}"


def survival(chapter: Chapter, order: Sequence[str], anchors: dict[str, str]) -> Markup:
    """Kaplan–Meier curves with bands, and below them a dot for each life, which links to its section.

    Args:
        chapter: the scenario.
        order: all adapters of the page: it gives each its colour.
        anchors: of the lives' sections, by folder.
    """
    axis, bottom = _Axis(chapter), TOP + CURVES
    height = bottom + 34 + ROW * len(chapter.standings) + 6
    label = "; ".join(f"{one.adapter}: {one.succeeded} of {one.known} succeeded" for one in chapter.standings)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="group" ',
        f'aria-label="{escape(_label(chapter, label))}">',
        *_frame(axis, bottom),
    ]
    for one in chapter.standings:
        parts += _curve(one, axis, order.index(one.adapter), bottom)
    for row, one in enumerate(chapter.standings):
        parts += _dots(one, axis, order.index(one.adapter), bottom + 34 + ROW * (row + 0.5), anchors)
    return Markup("".join([*parts, "</svg>"]))


def _label(chapter: Chapter, label: str) -> str:
    what = "share of lives that have not succeeded after so many steps (Kaplan–Meier), and each life"
    return f"{chapter.name}: {what}. {label}."


def _frame(axis: _Axis, bottom: int) -> Iterator[str]:
    yield from _shares(bottom)
    for line, y in (("not yet", TOP + 4), ("succeeded", TOP + 19)):
        yield f'<text class="what" x="4" y="{y}">{line}</text>'
    for step in axis.ticks():
        x = axis(step)
        last = x > WIDTH - RIGHT - 16  # its label would leave the drawing if it were centred
        anchor, at = ("end", x + 8) if last else ("middle", x)
        yield f'<path class="grid" d="M{x} {bottom}v4"/>'
        yield f'<text x="{at}" y="{bottom + 17}" text-anchor="{anchor}">{short(step)}</text>'
    yield f'<text class="what" x="4" y="{bottom + 17}">steps</text>'


def _shares(bottom: int) -> Iterator[str]:
    """The vertical axis: 0 %, 50 % and 100 %."""
    for share in (0.0, 0.5, 1.0):
        y = _height(share, bottom)
        yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{100 * share:.0f} %</text>'


def _height(share: float, bottom: float) -> float:
    return round(bottom - share * CURVES, 1)


def _curve(one: Standing, axis: _Axis, colour: int, bottom: int) -> Iterator[str]:
    curve = stats.kaplan_meier(one.lives)
    low, high = (np.where(np.isnan(band), curve.at, band) for band in (curve.low, curve.high))
    until = axis(min(axis.budget, float(one.lives.time.max())))

    def stairs(values: F64, before: float = 1.0) -> list[tuple[float, float]]:
        points = [(axis(0.0), _height(before, bottom))]
        for step, value in zip(curve.steps, values, strict=True):
            x = axis(float(step))
            points += [(x, points[-1][1]), (x, _height(float(value), bottom))]
        return [*points, (until, points[-1][1])]

    band = [*stairs(low), *reversed(stairs(high))]
    yield f'<g data-adapter="{escape(one.adapter)}">'
    yield f'<path class="band {look(colour)}" d="M{_points(band)}Z"/>'
    yield f'<path class="line {look(colour)}" d="M{_points(stairs(curve.at))}">'
    yield f"<title>{escape(one.adapter)}</title></path></g>"


def look(colour: int) -> str:
    """CSS classes of the adapter with this number: one of eight colours, one of three dash patterns."""
    return f"c{colour % len(LIGHT)} d{colour // len(LIGHT) % 3}"


def _points(points: Sequence[tuple[float, float]]) -> str:
    """Points as SVG writes them, repeated ones left out."""
    kept = [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]
    return " ".join(f"{x:g},{y:g}" for x, y in kept)


def _dots(one: Standing, axis: _Axis, colour: int, y: float, anchors: dict[str, str]) -> Iterator[str]:
    """A row with a dot for each life, hollow without success; equal ones are moved apart vertically."""
    yield f'<g data-adapter="{escape(one.adapter)}"><path class="grid" d="M{LEFT} {y:g}H{WIDTH - RIGHT}"/>'
    name = one.adapter if len(one.adapter) <= 13 else f"{one.adapter[:12]}…"
    yield f'<text class="name {look(colour)}" x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{escape(name)}'
    yield f"<title>{escape(one.adapter)}</title></text>"
    crowd: dict[int, int] = {}
    for row, time, succeeded in zip(one.rows, one.lives.time, one.lives.success, strict=True):
        x = axis(float(time))
        place = crowd[int(x // 5)] = crowd.get(int(x // 5), -1) + 1
        off = (place + 1) // 2 * (1 if place % 2 else -1) % 8 if place < 8 else 0
        off = off - 8 if off > 4 else off
        label = f"{one.adapter}, seed {row.seed}: {ending_in_words(row.outcome, row.steps)}"
        kind = "succeeded" if succeeded else "censored"
        yield f'<a href="#{anchors[row.folder]}" tabindex="-1"><circle class="{kind} {look(colour)}" '
        yield f'cx="{x:g}" cy="{y + off:g}" r="3.4"><title>{escape(label)}</title></circle></a>'
    yield "</g>"


def ending_in_words(outcome: str, steps: int) -> str:
    """How a life ended, for a reader: ``succeeded after 124 steps``."""
    words = {
        "success": "succeeded after",
        "timeout": "did not succeed in",
        "failure": "failed after",
        "interrupted": "interrupted after",
        "diverged": "diverged after",
    }
    if outcome == CRASHED:
        return "crashed"
    return f"{words.get(outcome, outcome)} {steps:,} steps"


# --- what a life did ----------------------------------------------------------------------------------------


def trace(life: DrawnLife, plane: Plane | None, limits: tuple[float, float]) -> Markup:
    """The path of a life in its plane, or its progress; below it the modes of its adapter over the steps."""
    if plane is not None and life.path is not None:
        width, height, spots, goal = _path(life.path, plane)
        what = "path"
    else:
        width, height, goal, what = 180.0, 110.0, "", "progress"
        spots = _progress(life.curve, limits, width, height)
    strip = 10 if life.modes else 0
    parts = [
        f'<svg class="trace" viewBox="-4 -4 {width + 8:g} {height + strip + 8:g}" ',
        f'width="{width + 8:g}" role="img"',
    ]
    parts.append(f' aria-label="{escape(f"{what} of seed {life.seed}, {life.words}")}">')
    parts.append(f'<rect class="paper" width="{width:g}" height="{height:g}"/>{goal}')
    if len(spots):
        edges = np.linspace(0, len(spots) - 1, SEGMENTS + 1).astype(int)
        for i, (first, last) in enumerate(pairwise(edges)):
            if last > first:
                points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots[first : last + 1])
                parts.append(f'<polyline class="t{i}" points="{points}"/>')
        for name, (x, y) in (("start", spots[0]), ("end", spots[-1])):
            parts.append(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    for mode, first, last in life.modes:
        scale = width / max(1, life.modes[-1][2])
        where = f'x="{first * scale:.1f}" y="{height + 4:g}" width="{(last - first) * scale:.1f}" height="6"'
        parts.append(f'<rect class="m{mode % len(MODE_COLOURS)}" {where}/>')
    return Markup("".join([*parts, "</svg>"]))


def _path(path: F64, plane: Plane) -> tuple[float, float, F64, str]:
    """Width and height of a plane's drawing, the points (K, 2) of a path (T + 1, 2), and the goal as SVG."""
    (x0, x1), (y0, y1) = plane.x_limits, plane.y_limits
    width, height = _fitted(x1 - x0, y1 - y0)
    scale = np.array([width / (x1 - x0), height / (y1 - y0)])

    def places(points: F64) -> F64:
        spots: F64 = np.abs(points - np.array([x0, y1])) * scale
        return spots

    kept = path[_thinned(len(path))]
    kept = np.clip(kept[np.isfinite(kept).all(1)], (x0, y0), (x1, y1))
    goal = ""
    if plane.goal is not None:
        (x, y), radius = (
            places(np.array(plane.goal, np.float64)),
            max(4.0, plane.goal_radius * float(scale[0])),
        )
        goal = f'<circle class="goal" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
    return width, height, places(kept), goal


def _progress(curve: F64, limits: tuple[float, float], width: float, height: float) -> F64:
    """Points (K, 2) of a curve (T,) over the steps."""
    kept = _thinned(len(curve))
    down = (limits[1] - curve[kept]) / max(limits[1] - limits[0], 1e-9)
    spots = np.column_stack([kept / max(1, len(curve) - 1) * width, down * height])
    return spots[np.isfinite(spots).all(1)]


def _fitted(wide: float, high: float) -> tuple[float, float]:
    """Width and height of a plane's drawing: its proportions, within 1:2 and 2:1; all have the same area."""
    ratio = float(np.clip(wide / high, 0.5, 2.0))
    return round(150 * ratio**0.5), round(150 / ratio**0.5)


def _thinned(length: int) -> NDArray[np.intp]:
    """Indices of at most ``MOST_POINTS`` rows, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, max(0, length - 1), min(length, MOST_POINTS)).astype(np.intp))


def metric(name: str, lives: Sequence[tuple[int, DrawnLife]]) -> Markup:
    """One metric of the best (0), the median (1) and the worst (2) life, each over its own steps."""
    known = [(which, *life.metrics[name]) for which, life in lives if name in life.metrics]
    values = np.concatenate([value for _, _, value in known])
    low, high = float(values.min()), float(values.max())
    parts = [
        '<svg class="spark" viewBox="0 0 160 52" role="img" ',
        f'aria-label="{escape(name)}, {short(low)} to {short(high)}">',
    ]
    for which, steps, value in known:
        kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 80)).astype(int))
        x, y = (
            steps[kept] / max(steps[-1], 1) * 156 + 2,
            (high - value[kept]) / max(high - low, 1e-12) * 48 + 2,
        )
        points = " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))
        parts.append(f'<polyline class="w{which}" points="{points}"/>')
    return Markup("".join([*parts, "</svg>"]))


def profile(totals: Sequence[tuple[int, str, Profile]]) -> Markup:
    """Performance profiles: the share of lives with at least a score. Items: colour, adapter, profile."""
    bottom = TOP + CURVES
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {bottom + 40}" role="img" ']
    parts.append(
        'aria-label="Performance profiles: share of lives with at least a score. Means: see the table.">'
    )
    parts += _shares(bottom)
    parts.append(f'<text class="what" x="4" y="{TOP + 19}">of the lives</text>')
    parts.append(
        f'<text class="what" x="{WIDTH - RIGHT}" y="{bottom + 34}" text-anchor="end">score of at least</text>'
    )

    def x(score: float) -> float:
        return round(LEFT + score * (WIDTH - LEFT - RIGHT), 1)

    parts += [
        f'<text x="{x(score)}" y="{bottom + 17}" text-anchor="middle">{score:g}</text>'
        for score in (0, 0.5, 1)
    ]
    for colour, name, found in totals:
        at = [x(float(score)) for score in found.score]
        line, low, high = (
            [(a, _height(float(share), bottom)) for a, share in zip(at, shares, strict=True)]
            for shares in (found.share, found.low, found.high)
        )
        parts.append(f'<g data-adapter="{escape(name)}">')
        if np.isfinite(found.low).all():
            parts.append(f'<path class="band {look(colour)}" d="M{_points([*low, *reversed(high)])}Z"/>')
        parts.append(f'<path class="line {look(colour)}" d="M{_points(line)}"/></g>')
    return Markup("".join([*parts, "</svg>"]))
