"""The contents of a report: the lives of a folder by scenario and adapter, with their statistics."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slrl import files, scenarios
from slrl.errors import BadInput
from slrl.evaluation import stats, store, verdict
from slrl.evaluation.stats import Interval, Profile
from slrl.evaluation.store import Row
from slrl.evaluation.verdict import Contest, Standing
from slrl.lives.settings import read_scenario
from slrl.scenarios import Scenario


@dataclass(frozen=True)
class Chapter:
    """The lives of one scenario, by adapter."""

    name: str
    scenario: Scenario | None  # None if its settings cannot be read
    standings: tuple[Standing, ...]  # in the order of all adapters
    contests: tuple[Contest, ...]  # every two of them, adjusted for the number of those in all chapters
    fastest: str | None  # the adapter that is shown to be faster than each of the others
    # the one that would be, and is not marked because too few pretrainings stand behind it
    withheld: str | None = None
    # Whether the scenario comes with slrl, as it stands there: no other is animated, because that would run
    # the code that a folder of lives names, and such a folder may be anybody's.
    shipped: bool = False

    @property
    def budget(self) -> float:
        """Budget in steps, the same for all its lives."""
        return self.standings[0].lives.budget

    @property
    def optimum(self) -> float:
        """Steps of a controller that knows the scenario; 0 if unknown."""
        return self.standings[0].lives.optimum

    def standing(self, adapter: str) -> Standing | None:
        """The standing of an adapter; None if it has no lives in this scenario."""
        return next((one for one in self.standings if one.adapter == adapter), None)

    def conclusion(self) -> str:
        """A sentence on which adapter is fastest, or why none can be called so."""
        names = [one.adapter for one in self.standings]
        if len(names) == 1:
            return f"Only {names[0]} has lives here."
        others = "the other" if len(names) == 2 else "each of the others"
        if self.fastest is not None:
            return f"{self.fastest} is faster than {others}."
        if self.withheld is not None:
            return f"{self.withheld} was faster than {others}, but {self.why_withheld()}: no mark."
        fewest = min((len(one) for contest in self.contests for one, _ in contest.pairs), default=0)
        if fewest < verdict.FEW:
            needed = f"{verdict.FEW} seeds that all adapters have lived are needed, and there are {fewest}"
            return f"No adapter can be called the fastest: {needed}."
        left = verdict.unbeaten(names, self.contests)
        return (
            f"No adapter is shown to be the fastest; not shown to be slower than another: {', '.join(left)}."
        )

    def why_withheld(self) -> str:
        """How few pretrainings stand behind the adapter that would be marked, in words."""
        own = [contest for contest in self.contests if self.withheld in (contest.one, contest.two)]
        return verdict.behind(min(own, key=lambda contest: contest.pretrainings))


@dataclass(frozen=True)
class Total:
    """One adapter over the scenarios in which all adapters lived."""

    adapter: str
    score: Interval  # interquartile mean: 1 for the optimum, 0 for the budget
    profile: Profile


@dataclass(frozen=True)
class Evidence:
    """Everything that a report shows."""

    runs: Path
    rows: tuple[Row, ...]  # every life in the target that could be read, also those that cannot be compared
    adapters: tuple[str, ...]  # by mean score, the best first
    chapters: tuple[Chapter, ...]
    shared: tuple[str, ...]  # scenarios in which all adapters lived
    totals: tuple[Total, ...]
    problems: tuple[str, ...]  # a sentence on everything that could not be read or compared


def collect(runs: Path, seed: int = 0) -> Evidence:
    """Read every life under ``runs``.

    Raises:
        BadInput: if there is no such folder.
    """
    found = store.scan(runs)
    rng = np.random.default_rng(seed)
    standings, left_out = verdict.standings(runs, found, rng)
    if not store.in_target(found):
        left_out = [f"{runs} holds no lives.", *left_out]
    adapters = _in_order(standings)
    chapters = list(_chapters(runs, standings, adapters, rng))
    shared = tuple(chapter.name for chapter in chapters if len(chapter.standings) == len(adapters))
    return Evidence(
        runs=runs,
        rows=tuple(store.in_target(found)),
        adapters=tuple(adapters),
        chapters=tuple(chapters),
        shared=shared,
        totals=tuple(_totals(standings, adapters, shared, rng)),
        problems=(*found.problems, *left_out),
    )


def _chapters(
    runs: Path, standings: list[Standing], adapters: list[str], rng: np.random.Generator
) -> Iterator[Chapter]:
    """A chapter for each scenario. Holm's adjustment is for all of them: every one may have a mark."""
    of = {one.scenario: list[Standing]() for one in sorted(standings, key=lambda one: one.scenario)}
    for one in sorted(standings, key=lambda one: adapters.index(one.adapter)):
        of[one.scenario].append(one)
    met = verdict.contests_of_all([_meeting(own) for own in of.values()], rng)
    for (name, own), contests in zip(of.items(), met, strict=True):
        names = [one.adapter for one in own]
        best = verdict.fastest(names, contests)
        ahead = verdict.fastest(names, contests, verdict.ahead_of) if best is None else None
        scenario, shipped = _scenario(runs, own[0].rows[0])
        yield Chapter(name, scenario, tuple(own), tuple(contests), best, ahead, shipped)


def _meeting(standings: list[Standing]) -> verdict.Meeting:
    lives = {(one.scenario, one.adapter): one.lives for one in standings}
    seeds = {(one.scenario, one.adapter): one.seeds for one in standings}
    return verdict.Meeting(lives, seeds, [one.adapter for one in standings])


def _in_order(standings: list[Standing]) -> list[str]:
    """Adapters by their mean score, the best first (scores: :meth:`slrl.evaluation.stats.Lives.scores`)."""
    scores: dict[str, list[float]] = {}
    for one in standings:
        scores.setdefault(one.adapter, []).extend(one.lives.scores())
    return sorted(scores, key=lambda name: (-np.mean(scores[name] or [0.0]), name))


def _scenario(runs: Path, row: Row) -> tuple[Scenario | None, bool]:
    """The scenario of a life, None if it cannot be read, and whether it is one that comes with slrl."""
    try:
        lived = read_scenario(runs / row.folder / "settings.toml")
    except BadInput:
        return None, False  # its lives count all the same
    if (name := files.shipped("scenarios", lived.name)) is not None:
        shipped = scenarios.load(name)
        if shipped.life_table() == lived.life_table():
            return shipped, True
    return lived, False


def _totals(
    standings: list[Standing], adapters: list[str], shared: tuple[str, ...], rng: np.random.Generator
) -> Iterator[Total]:
    for name in adapters:
        lives = [
            one.lives for one in standings if one.adapter == name and one.scenario in shared and one.known
        ]
        if len(shared) > 1 and len(lives) == len(shared):
            yield Total(name, stats.interquartile_mean(lives, rng), stats.performance_profile(lives, rng))
