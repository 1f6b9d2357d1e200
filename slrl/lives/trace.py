"""The picture of a life: its path over the prior's states, coloured by time, and its progress."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slrl import envs
from slrl.lives.life import Life
from slrl.priors import Prior
from slrl.scenarios import Scenario

MOST_POINTS = 20_000  # longer lives are thinned out evenly; the last step always stays
# Of modes in turn; with more modes than these they begin again.
MODE_COLOURS = (
    "#d9dde3",
    "#6baed6",
    "#f2b134",
    "#b5497b",
    "#7fb77e",
    "#8e7cc3",
    "#c98b6b",
    "#4d5d75",
)
SUCCESS, FAILURE, INK, QUIET = "#2e7d32", "#b3261e", "#222222", "#8a8a8a"


def draw(path: Path, life: Life, who: str, scenario: Scenario, prior: Prior) -> None:
    """Write a PNG titled with ``who``. Uses no pyplot: no global state and no window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.2), layout="constrained")
    modes = modes_of(life.metrics, life.steps)
    grid = figure.add_gridspec(
        2, 2, width_ratios=(1.15, 1), height_ratios=(1, 0.045) if modes else (1, 0.001)
    )
    left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    if modes:
        _draw_modes(figure.add_subplot(grid[1, :]), modes, life)
    kept = np.unique(np.linspace(0, life.steps, min(life.steps + 1, MOST_POINTS)).astype(int))
    if scenario.plane is not None:
        _draw_plane(figure, left, life, scenario, prior, kept)
    else:
        _draw_curve(left, kept[1:], np.cumsum(life.reward)[kept[1:] - 1], "return", "sum of rewards so far")
    if scenario.progress_info:
        _draw_curve(
            right,
            kept[1:],
            life.progress[kept[1:] - 1],
            scenario.progress_info,
            f"{scenario.progress_info} after each step",
        )
    else:
        _draw_curve(right, kept[1:], life.reward[kept[1:] - 1], "reward", "reward of each step")
    words = {
        "success": "succeeded after",
        "timeout": "had not succeeded after",
        "failure": "failed after",
        "interrupted": "was interrupted after",
        "diverged": "diverged after",
    }
    figure.suptitle(
        f"{scenario.name} · {who}: {words[life.outcome]} {life.steps:,} steps",
        color=SUCCESS if life.outcome == "success" else FAILURE,
        fontsize=13,
    )
    figure.savefig(path, dpi=110, format="png")


def modes_of(metrics: Sequence[Mapping[str, float]], steps: int) -> list[tuple[int, int, int]]:
    """The modes of a life as (mode, first step, last step), in order; empty without modes."""
    rows = [row for row in metrics if "adapter/mode" in row]
    if not rows:
        return []
    found, mode, began = [], 0 if "adapter/changed" in rows[0] else int(rows[0]["adapter/mode"]), 0
    for row in rows:  # a change has a row of its own, which names the new mode
        if int(row["adapter/mode"]) != mode:
            found.append((mode, began, int(row["life/step"])))
            mode, began = int(row["adapter/mode"]), int(row["life/step"])
    return [*found, (mode, began, steps)]


def _draw_modes(axes: Any, modes: list[tuple[int, int, int]], life: Life) -> None:
    """A band below the plots, coloured by mode."""
    for mode, first, last in modes:
        axes.axvspan(first, last, color=MODE_COLOURS[mode % len(MODE_COLOURS)], lw=0)
    shown = sorted({mode for mode, _, _ in modes})
    handles = [
        axes.plot([], [], color=MODE_COLOURS[mode % len(MODE_COLOURS)], lw=6, label=life.modes[mode])[0]
        for mode in shown
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -1.2), ncols=4, fontsize=8, frameon=False
    )
    axes.set(xlim=(0, life.steps), yticks=[], xlabel="")
    axes.set_ylabel("mode", rotation=0, ha="right", va="center", fontsize=8, color=QUIET)
    axes.tick_params(labelsize=7)


def _draw_plane(
    figure: Any, axes: Any, life: Life, scenario: Scenario, prior: Prior, kept: np.ndarray
) -> None:
    from matplotlib.patches import Circle

    plane = scenario.plane
    assert plane is not None
    x, y = plane.obs
    (x0, x1), (y0, y1) = plane.x_limits, plane.y_limits
    known, x_edges, y_edges = np.histogram2d(
        prior.obs[:, x], prior.obs[:, y], bins=40, range=((x0, x1), (y0, y1))
    )
    axes.pcolormesh(
        x_edges, y_edges, np.log1p(known).T, cmap="Greys", alpha=0.35, linewidth=0, rasterized=True
    )
    path = life.obs[kept]
    points = axes.scatter(path[:, x], path[:, y], c=kept, s=5, cmap="viridis", linewidths=0, zorder=3)
    figure.colorbar(points, ax=axes, label="step", shrink=0.8)
    axes.plot(*life.obs[0, [x, y]], marker="o", mfc="white", mec=INK, ms=8, ls="", zorder=4, label="start")
    axes.plot(*life.obs[-1, [x, y]], marker="X", mfc=INK, mec="white", ms=8, ls="", zorder=6, label="end")
    if plane.goal is not None:
        axes.plot(*plane.goal, marker="*", mfc=SUCCESS, mec="white", ms=20, ls="", zorder=5, label="goal")
        axes.add_patch(Circle(plane.goal, plane.goal_radius, fill=False, ec=SUCCESS, zorder=4))
    for shift in envs.describe(scenario.target):
        if shift.drift is not None and any(shift.drift):
            _draw_drift(axes, shift.drift, (x0, x1), (y0, y1), shift.text)
    margin_x, margin_y = 0.06 * (x1 - x0), 0.04 * (y1 - y0)
    axes.set(xlim=(x0 - margin_x, x1 + margin_x), ylim=(y0 - margin_y, y1 + margin_y), aspect="equal")
    axes.set(xlabel=f"x ({plane.unit})", ylabel=f"y ({plane.unit})")
    axes.set_title("path; grey: states in the prior", fontsize=10, color=QUIET)
    axes.legend(loc="lower left", fontsize=8, framealpha=0.9)


def _draw_drift(
    axes: Any,
    drift: tuple[float, float],
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
    text: str,
) -> None:
    """A grid of small arrows for a drift, as on a weather map."""
    xs, ys = np.meshgrid(np.linspace(*x_limits, 6)[1:-1], np.linspace(*y_limits, 9)[1:-1])
    length = 0.09 * (y_limits[1] - y_limits[0]) / float(np.hypot(*drift))
    axes.quiver(
        xs,
        ys,
        length * drift[0],
        length * drift[1],
        angles="xy",
        scale_units="xy",
        scale=1,
        color="#d08770",
        alpha=0.75,
        width=0.006,
        zorder=2,
    )
    axes.annotate(text, (0.5, -0.13), xycoords="axes fraction", ha="center", fontsize=8, color="#b35c3c")


def _draw_curve(axes: Any, steps: np.ndarray, values: np.ndarray, label: str, title: str) -> None:
    axes.plot(steps, values, color="#31688e", lw=1)
    axes.set(xlabel="step", ylabel=label)
    axes.set_title(title, fontsize=10, color=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.02)
