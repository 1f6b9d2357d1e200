"""Comparisons of adapters in sentences: what `slrl compare` prints, and no more than the statistics allow."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slrl.errors import BadInput, unknown
from slrl.evaluation import stats, store
from slrl.evaluation.stats import Interval, Lives, Pair
from slrl.evaluation.store import Seeds

ALPHA = 0.05
FEW = 5  # with fewer pairs of lives, intervals are unreliable, and no adapter is called faster
PRETRAININGS = 3  # nor with fewer pretrainings than these: what one agent shows may be its own luck


@dataclass(frozen=True)
class Contest:
    """Two adapters in the scenarios and with the seeds that both have lived."""

    one: str
    two: str
    scenarios: tuple[str, ...]
    pairs: tuple[Pair, ...]
    p_value: float  # of the stratified log-rank test
    adjusted: float  # the same after Holm's adjustment for all contests of the comparison or the report
    # Restricted mean of `one` minus that of `two`: in steps, or shares of (budget - best) over scenarios.
    difference: Interval
    improvement: Interval  # chance that a life of `one` is faster than a life of `two`

    @property
    def pretrainings(self) -> int:
        """Pretrainings behind it that no pairs of lives share, in the scenario that has the fewest.

        Where neither adapter has a pretraining, each pair of lives counts.
        """
        return min(len(np.unique(stats.paired_clusters(pair))) for pair in self.pairs)


def compare(
    runs: Path, adapters: Sequence[str] = (), scenarios: Sequence[str] = (), seed: int = 0
) -> Iterator[str]:
    """Sentences on the lives under ``runs``: the figures of each adapter, then each pair of adapters.

    Args:
        runs: folder of lives.
        adapters: two or more; every adapter in the folder if none is named.
        scenarios: those to count; every scenario in the folder if none is named.
        seed: of the resampling.

    Raises:
        BadInput: for an unknown name, fewer than two adapters, or no scenario and seed in common.
    """
    found = store.scan(runs)
    groups, left_out = store.comparable(found)
    present = sorted({adapter for _, adapter in groups})
    for name in adapters:
        if name not in present:
            raise unknown("adapter", name, present)
    for name in scenarios:
        if name not in {scenario for scenario, _ in groups}:
            raise unknown("scenario", name, {scenario for scenario, _ in groups})
    names = list(dict.fromkeys(adapters)) or present
    if len(names) < 2:
        raise BadInput(
            f"{runs} holds lives of {', '.join(present) or 'no adapter'}; a comparison takes two adapters."
        )
    wanted = [key for key in groups if key[1] in names and (not scenarios or key[0] in scenarios)]
    lives = {
        key: store.lives_of(groups[key], store.optimum_of(runs, groups[key][0])) for key in sorted(wanted)
    }
    seeds = {key: [row.seeds for row in groups[key]] for key in wanted}
    rng = np.random.default_rng(seed)
    met = contests(lives, seeds, names, rng)
    if not met:
        raise BadInput(
            f"{' and '.join(names)} have no scenario and seed in common; let them live with the same seeds."
        )
    for key, one in lives.items():
        yield f"{key[1]} in {key[0]}: {figures(one, rng, store.lost(groups[key]))}"
    for contest in met:
        yield ""
        yield from verdict(contest)
    yield ""
    if any(one.pretrainings == 1 < len(one) for one in lives.values()):
        yield "Of lives with one pretraining, the intervals do not cover the spread over pretrainings."
    yield from (f"Note: {text}" for text in (*left_out, *found.problems))


@dataclass(frozen=True)
class Standing:
    """Lives and figures of one adapter in one scenario, with 95 % intervals."""

    scenario: str
    adapter: str
    rows: tuple[store.Row, ...]  # in the order of their seeds
    lives: Lives
    rate: Interval  # share of the known lives that succeeded
    median: Interval | None  # steps; None if it is not reached
    mean: Interval  # restricted mean of the steps

    @property
    def seeds(self) -> list[Seeds]:
        """Seeds of the lives and their pretrainings, in the order of ``rows``."""
        return [row.seeds for row in self.rows]

    @property
    def succeeded(self) -> int:
        """Number of lives that met the scenario's success test."""
        return int(self.lives.success.sum())

    @property
    def known(self) -> int:
        """Number of lives whose outcome is known: all but those that were interrupted."""
        return int(self.lives.known.sum())

    @property
    def lost(self) -> str:
        """How many of its lives diverged or crashed, by name; empty if none did."""
        return store.lost(self.rows)


def standings(runs: Path, found: store.Scan, rng: np.random.Generator) -> tuple[list[Standing], list[str]]:
    """Every adapter in every scenario, sorted by name; and a sentence on each group that was left out."""
    groups, left_out = store.comparable(found)
    result = []
    for (scenario, adapter), rows in sorted(groups.items()):
        lives = store.lives_of(rows, store.optimum_of(runs, rows[0]))
        rate, median, mean = (
            stats.success_rate(lives),
            stats.median_steps(lives),
            stats.restricted_mean(lives, rng),
        )
        result.append(Standing(scenario, adapter, tuple(rows), lives, rate, median, mean))
    return result, left_out


def summary(runs: Path, seed: int = 0) -> str:
    """A table with a line per scenario and adapter: what `slrl eval` prints at its end."""
    found, left_out = standings(runs, store.scan(runs), np.random.default_rng(seed))
    lines = [("scenario", "adapter", "succeeded", "median steps", "restricted mean steps", "95 % interval")]
    for one in found:
        median = "not reached" if one.median is None else f"{one.median.estimate:,.0f}"
        bounds = f"{one.mean.low:,.0f} to {one.mean.high:,.0f}" if one.mean.exists else "–"
        succeeded = f"{one.succeeded} of {one.known}" + (f" ({one.lost})" if one.lost else "")
        lines.append((one.scenario, one.adapter, succeeded, median, f"{one.mean.estimate:,.0f}", bounds))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*table, *(f"Note: {text}" for text in left_out)])


def figures(lives: Lives, rng: np.random.Generator, lost: str = "") -> str:
    """One adapter in one scenario, in a sentence: successes, median and restricted mean.

    ``lost`` says how many lives diverged or crashed, by name.
    """
    rate, mean = stats.success_rate(lives), stats.restricted_mean(lives, rng)
    middle = stats.median_steps(lives)
    known = int(lives.known.sum())
    if not known:
        return f"all {len(lives)} lives were interrupted, so nothing is known."
    text = f"{int(lives.success.sum())} of {known} succeeded ({_percent(rate)}); "
    text += "median not reached" if middle is None else f"median {_steps(middle)}"
    text += f"; restricted mean of {lives.budget:,.0f} steps: {_steps(mean)}"
    cut = len(lives) - known
    text += (f"; {lost}" if lost else "") + (f"; {cut} were interrupted" if cut else "")
    return text + (f"; {_pretrainings(lives.pretrainings)}" if lives.pretrainings < len(lives) else "") + "."


class Meeting(NamedTuple):
    """Adapters that meet, every two of them."""

    lives: dict[tuple[str, str], Lives]  # by scenario and adapter
    seeds: dict[tuple[str, str], list[Seeds]]  # of these lives, in their order; the same seeds are paired
    names: Sequence[str]  # of the adapters


def contests(
    lives: dict[tuple[str, str], Lives],
    seeds: dict[tuple[str, str], list[Seeds]],
    names: Sequence[str],
    rng: np.random.Generator,
) -> list[Contest]:
    """All contests of one meeting: see :func:`contests_of_all`."""
    return contests_of_all([Meeting(lives, seeds, names)], rng)[0]


def contests_of_all(meetings: Sequence[Meeting], rng: np.random.Generator) -> list[list[Contest]]:
    """All pairs of adapters with a scenario and a seed in common, of each meeting.

    The p-values are adjusted (Holm) for the number of pairs in all meetings together, for each may be marked.
    """
    drafts = [list(_drafts(*meeting)) for meeting in meetings]
    adjusted = iter(stats.holm([draft[-1] for own in drafts for draft in own]))
    return [
        [
            Contest(
                *draft,
                next(adjusted),
                stats.mean_difference(draft[3], rng),
                stats.probability_of_improvement(draft[3], rng),
            )
            for draft in own
        ]
        for own in drafts
    ]


_Draft = tuple[str, str, tuple[str, ...], tuple[Pair, ...], float]  # a contest as far as its p-value


def _drafts(
    lives: dict[tuple[str, str], Lives], seeds: dict[tuple[str, str], list[Seeds]], names: Sequence[str]
) -> Iterator[_Draft]:
    for one, two in combinations(names, 2):
        both = [scenario for scenario, adapter in lives if adapter == one and (scenario, two) in lives]
        pairs, kept = [], []
        for scenario in both:
            common = paired(seeds[scenario, one], seeds[scenario, two])
            if common:
                kept.append(scenario)
                rows = np.array(common).T
                pairs.append((lives[scenario, one].take(rows[0]), lives[scenario, two].take(rows[1])))
        if pairs:
            yield one, two, tuple(kept), tuple(pairs), stats.log_rank(pairs)[1]


def paired(one: Sequence[Seeds], two: Sequence[Seeds]) -> list[tuple[int, int]]:
    """Which life of one meets which of the other: those with the same seed.

    Where a seed was lived after several pretrainings, these must be the same too. If none is, as where only
    one of the two has any, a life meets each life that has its seed.
    """
    by_seed = [(i, j) for i, a in enumerate(one) for j, b in enumerate(two) if a[0] == b[0]]
    if all(len({seed for seed, _ in lives}) == len(lives) for lives in (one, two)):
        return by_seed
    return [(i, j) for i, j in by_seed if one[i] == two[j]] or by_seed


def faster_of(contest: Contest) -> str | None:
    """The adapter that may be called faster, of ``PRETRAININGS`` pretrainings or more; else None."""
    return ahead_of(contest) if contest.pretrainings >= PRETRAININGS else None


def ahead_of(contest: Contest) -> str | None:
    """The adapter for which test and interval speak, of ``FEW`` pairs or more; else None.

    Of fewer than ``PRETRAININGS`` pretrainings this is about lives of these alone.
    """
    if contest.adjusted >= ALPHA or min(len(one) for one, _ in contest.pairs) < FEW:
        return None
    gap = contest.difference
    return contest.one if gap.high < 0 else contest.two if gap.low > 0 else None


def fastest(
    names: Sequence[str], met: Sequence[Contest], who: Callable[[Contest], str | None] = faster_of
) -> str | None:
    """The adapter that is faster than each of the others, if any; ``who`` says which of two is."""
    for name in names:
        own = [contest for contest in met if name in (contest.one, contest.two)]
        if own and len(own) == len(names) - 1 and all(who(contest) == name for contest in own):
            return name
    return None


def unbeaten(names: Sequence[str], met: Sequence[Contest]) -> list[str]:
    """Adapters that no other is shown to be faster than."""
    beaten = {
        (contest.two if contest.one == who else contest.one)
        for contest in met
        if (who := faster_of(contest)) is not None
    }
    return [name for name in names if name not in beaten]


def verdict(contest: Contest) -> Iterator[str]:
    """Sentences on two adapters: difference, chance to be faster, log-rank test, number of seeds needed."""
    counts, gap, better = [len(one) for one, _ in contest.pairs], contest.difference, contest.improvement
    single = len(counts) == 1
    where = contest.scenarios[0] if single else f"{len(counts)} scenarios"
    yield f"{contest.one} and {contest.two} in {where}, {sum(counts)} pairs of lives with the same seeds:"

    digits, unit = (0, "steps") if single else (2, "of the range from optimum to budget")
    size, bounds = (
        f"{abs(gap.estimate):,.{digits}f} {unit}",
        f"{gap.low:,.{digits}f} to {gap.high:,.{digits}f}",
    )
    faster, slower = (contest.one, contest.two) if gap.estimate < 0 else (contest.two, contest.one)
    separated = gap.low > 0 or gap.high < 0
    if not gap.exists:
        yield f"  No difference is shown: the restricted means differ by {size}; one pair has no interval."
    elif gap.low == gap.high == 0:
        yield "  No difference at all: every pair of lives took equally long."
    elif separated:
        interval = f"95 % interval of the difference: {bounds}"
        yield f"  {faster} was faster than {slower}, by {size} in the restricted mean ({interval})."
    else:
        yield f"  No difference is shown: the restricted means differ by {size} (95 % interval: {bounds})."
    chance = f"{100 * better.estimate:.0f} %"
    if better.exists:
        chance += f" (95 % interval: {100 * better.low:.0f} to {100 * better.high:.0f} %)"
    which = f"A life of {contest.one} is faster than one of {contest.two}"
    yield f"  {which} with a chance of {chance}, ties counting half."
    adjusted = (
        "" if contest.adjusted == contest.p_value else f", {_p(contest.adjusted)} after Holm's adjustment"
    )
    differs = "differ" if contest.adjusted < ALPHA else "are not shown to differ"
    strata = "" if single else ", stratified by scenario"
    yield f"  In when they succeed they {differs} (log-rank test{strata}: {_p(contest.p_value)}{adjusted})."

    short = [
        name for name, (lives, _) in zip(contest.scenarios, contest.pairs, strict=True) if _is_short(lives)
    ]
    if short and not single:
        where = ", ".join(short)
        yield f"  The budget does not reach beyond the optimum in {where}: there the range is the budget."
    if separated != (contest.adjusted < ALPHA):
        yield "  Interval and test disagree: they measure different things; quote both or neither."
    shared = contest.pretrainings < min(counts)
    if shared and contest.pretrainings < PRETRAININGS and (separated or contest.adjusted < ALPHA):
        yield f"  But {behind(contest)}, and it may be the luck of what was learned then."
    if min(counts) < FEW:
        yield f"  With {min(counts)} pairs in a scenario the intervals are unreliable."
    elif shared and 1 < contest.pretrainings < FEW:
        yield f"  With {contest.pretrainings} pretrainings in a scenario the intervals are unreliable."
    if (
        not separated
        and single
        and (needed := stats.seeds_needed(contest.pairs[0])) is not None
        and needed > counts[0]
    ):
        power = f"power {100 * stats.POWER:.0f} %"
        yield f"  If the differences stay like this, about {needed:,} seeds show one ({power})."


def behind(contest: Contest) -> str:
    """Why a contest gives no mark: ``one pretraining stands behind this``."""
    return f"{_pretrainings(contest.pretrainings)} stand{'s' * (contest.pretrainings == 1)} behind this"


def _pretrainings(count: int) -> str:
    return "one pretraining" if count == 1 else f"{count} pretrainings"


def _is_short(lives: Lives) -> bool:
    """Whether the budget ends at or before the optimum, which then says nothing."""
    return lives.best != lives.optimum


def _steps(found: Interval) -> str:
    if not found.exists:
        return f"{found.estimate:,.0f} steps"
    bounds = f"from {found.low:,.0f}" if np.isinf(found.high) else f"{found.low:,.0f} to {found.high:,.0f}"
    return f"{found.estimate:,.0f} steps (95 % interval: {bounds})"


def _percent(found: Interval) -> str:
    if not found.exists:
        return f"{100 * found.estimate:.0f} %"
    return f"{100 * found.estimate:.0f} %, 95 % interval: {100 * found.low:.0f} to {100 * found.high:.0f} %"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
