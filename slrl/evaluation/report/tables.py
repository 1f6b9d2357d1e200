"""The figures of a report as text: Markdown to read, CSV for other programs."""

import csv
import io
import math

from slrl.evaluation import store, verdict
from slrl.evaluation.report.evidence import Evidence
from slrl.evaluation.stats import Interval
from slrl.evaluation.verdict import Standing

COLUMNS = (
    "scenario",
    "adapter",
    "lives",
    "came_home",
    "success_rate",
    "success_rate_low",
    "success_rate_high",
    "median_steps",
    "median_steps_low",
    "median_steps_high",
    "restricted_mean_steps",
    "restricted_mean_steps_low",
    "restricted_mean_steps_high",
    "life_steps",
    "optimum_steps",
    "fastest",
    "diverged",
    "crashed",
    "pretrainings",
)


def markdown(evidence: Evidence) -> tuple[str, list[str]]:
    """A table of scenarios by adapters with conclusions, for a README or a paper; and no problems."""
    if not evidence.chapters:
        return "\n".join(
            ["No lives yet.", "", *(f"* Note: {problem}" for problem in evidence.problems)]
        ) + "\n", []
    lines = [
        "| scenario | budget | optimum | " + " | ".join(_escaped(name) for name in evidence.adapters) + " |"
    ]
    lines.append("|---|--:|--:|" + "---|" * len(evidence.adapters))
    for chapter in evidence.chapters:
        cells = [_cell(chapter.standing(name), name == chapter.fastest) for name in evidence.adapters]
        optimum = f"{chapter.optimum:,.0f}" if chapter.optimum else "unknown"
        lines.append(
            f"| {_escaped(chapter.name)} | {chapter.budget:,.0f} | {optimum} | {' | '.join(cells)} |"
        )
    lines += [
        "",
        "Each cell: lives that succeeded, and the restricted mean of the steps with its 95 % interval.",
    ]
    marked = (
        "**Bold**: shown to be faster than each other adapter (log-rank tests after Holm for all scenarios, "
        f"and intervals), of {verdict.PRETRAININGS} pretrainings or more."
    )
    none = "No adapter is marked as the fastest of a scenario: these lives do not show it."
    lines.append(marked if any(chapter.fastest for chapter in evidence.chapters) else none)
    lines += [
        f"* {chapter.name}: {chapter.conclusion()}".replace("<", "&lt;") for chapter in evidence.chapters
    ]
    lines += [f"* Note: {problem}".replace("<", "&lt;") for problem in evidence.problems]
    return "\n".join(lines) + "\n", []


def _cell(one: Standing | None, fastest: bool) -> str:
    if one is None:
        return ""
    if not one.known:
        return f"all {len(one.rows)} interrupted"
    lost = f" ({one.lost})" if one.lost else ""
    text = f"{one.succeeded} of {one.known}{lost}, {_steps(one.mean)}"
    return f"**{text}**" if fastest else text


def _steps(found: Interval) -> str:
    bounds = f" ({found.low:,.0f}–{found.high:,.0f})" if found.exists else ""
    return f"{found.estimate:,.0f}{bounds}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def comma_separated(evidence: Evidence) -> tuple[str, list[str]]:
    """A row per scenario and adapter with every figure.

    Medians and bounds that are not reached are ``inf``; a bound is empty where there is no interval.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for chapter in evidence.chapters:
        for one in chapter.standings:
            median = one.median or Interval(float("inf"), float("inf"), float("inf"))
            optimum = f"{chapter.optimum:.0f}" if chapter.optimum else ""
            figures = [_number(value, 6) for value in one.rate]
            figures += [_number(value, 8) for value in (*median, *one.mean)]
            lost = [sum(row.outcome == outcome for row in one.rows) for outcome in store.LOST]
            fastest = int(one.adapter == chapter.fastest)
            writer.writerow(
                [
                    one.scenario,
                    one.adapter,
                    len(one.rows),
                    one.succeeded,
                    *figures,
                    f"{chapter.budget:.0f}",
                    optimum,
                    fastest,
                    *lost,
                    one.lives.pretrainings,
                ]
            )
    return text.getvalue(), []


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}g}"
