"""Survival curves of all scenarios as one figure for papers."""

from pathlib import Path
from typing import Any

import numpy as np

from slrl.evaluation import stats
from slrl.evaluation.report.evidence import Chapter, Evidence
from slrl.evaluation.report.svg import LIGHT, log_steps

ACROSS = 3
DASHES = ("-", "--", ":")


def draw(path: Path, evidence: Evidence) -> None:
    """Write a PNG with one panel per scenario. Without pyplot, which keeps figures in global state."""
    from matplotlib.figure import Figure

    across = min(ACROSS, max(1, len(evidence.chapters)))
    down = max(1, -(-len(evidence.chapters) // across))
    figure = Figure(figsize=(4.2 * across, 3.1 * down + 0.5), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(evidence.chapters) :]:
        axes.set_axis_off()
    if not evidence.chapters:
        grid[0, 0].text(0.5, 0.5, "no lives to compare", ha="center", transform=grid[0, 0].transAxes)
    for axes, chapter in zip(grid.flat, evidence.chapters, strict=False):
        _draw_curves(axes, chapter, evidence.adapters)
    handles = [
        grid[0, 0].plot(
            [], [], color=LIGHT[i % len(LIGHT)], ls=DASHES[i // len(LIGHT) % 3], label=_plain(name)
        )[0]
        for i, name in enumerate(evidence.adapters)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(6, max(1, len(handles))),
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, dpi=150, format="png")


def _draw_curves(axes: Any, chapter: Chapter, adapters: tuple[str, ...]) -> None:
    for one in chapter.standings:
        i = adapters.index(one.adapter)
        curve = stats.kaplan_meier(one.lives)
        steps = np.concatenate([[1.0], curve.steps, [chapter.budget]])
        look = {"color": LIGHT[i % len(LIGHT)], "ls": DASHES[i // len(LIGHT) % 3], "lw": 1.6}
        axes.step(steps, np.concatenate([[1.0], curve.at, curve.at[-1:]]), where="post", **look)
        low, high = (np.where(np.isnan(band), curve.at, band) for band in (curve.low, curve.high))
        axes.fill_between(curve.steps, low, high, step="post", color=look["color"], alpha=0.12, lw=0)
    if log_steps(chapter):
        axes.set_xscale("log")
        axes.set_xlim(left=max(1.0, min(one.lives.time.min() for one in chapter.standings) / 2))
    axes.set(ylim=(0, 1.03), xlabel="steps", ylabel="not yet succeeded")
    axes.set_title(_plain(chapter.name), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _plain(text: str) -> str:
    """Text in which matplotlib finds no mathematics ($) and no label that it hides (leading underscore)."""
    return text.replace("$", r"\$").removeprefix("_")
