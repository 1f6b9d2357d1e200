"""Survival statistics of steps-to-completion, censored where a life did not succeed.

A life is a time and whether it succeeded then. Without success it is *censored*: its steps-to-completion is
only known to be larger. S(t) is the probability not to have succeeded after t steps. Resampling draws from a
generator that is passed in, so that the same seed gives the same intervals.

Lives that began with the same pretraining are not independent. Where the lives of a sample stand on several
pretrainings, these are what is sampled, and not the lives; where they stand on a single one, intervals and
tests are about lives of that one.

Shapes: N lives, C pretrainings, R resamples.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats as sp
from scipy.sparse import csgraph

from slrl.types import Bools

F64 = NDArray[np.float64]
Ints = NDArray[np.intp]
RESAMPLES = 4_000
EXACT = 200_000  # up to so many relabellings, a permutation test counts every one (10 against 10: 184,756),
DRAWN = 19_999  # and beyond it this many random ones
POWER = 0.8  # probability that a test shows a difference that exists


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval, infinite where they are not reached.

    Both bounds are NaN where there is no interval: one life alone does not show how much lives differ.
    """

    estimate: float
    low: float
    high: float

    @property
    def exists(self) -> bool:
        """Whether there is an interval, and not the estimate alone."""
        return not math.isnan(self.low)


@dataclass(frozen=True)
class Lives:
    """Lives of one adapter in one scenario, all times in steps."""

    time: F64  # (N,) steps-to-completion; of lives without success, the steps after which there was none
    success: Bools  # (N,)
    budget: float  # restricted means end here
    optimum: float = 0.0  # of a controller that knows the scenario; 0 if unknown
    pretraining: Ints | None = None  # (N,) which one each life began with; None: each life stands on its own

    def __len__(self) -> int:
        """N, the number of lives."""
        return len(self.time)

    @property
    def known(self) -> Bools:
        """(N,): whether a life succeeded or used up its budget, and was not interrupted before."""
        return self.success | (self.time >= self.budget)

    @property
    def best(self) -> float:
        """Steps of the best life to be expected: the optimum, or 0 if the budget does not reach beyond it.

        A budget of no more steps than the optimum, as a suite may set, leaves no range between the two to
        measure in; the optimum then says no more than one that is unknown, and the range is the budget.
        """
        return self.optimum if self.optimum < self.budget else 0.0

    @property
    def clusters(self) -> Ints:
        """(N,): the lives' pretrainings, numbered from 0 without a gap."""
        if self.pretraining is None:
            return np.arange(len(self))
        return np.unique(self.pretraining, return_inverse=True)[1].astype(np.intp)

    @property
    def pretrainings(self) -> int:
        """C, the number of pretrainings that the lives stand on; N if each stands on its own."""
        return len(np.unique(self.clusters))

    def take(self, rows: Ints) -> "Lives":
        """The lives with these indices, in this order."""
        own = None if self.pretraining is None else self.pretraining[rows]
        return Lives(self.time[rows], self.success[rows], self.budget, self.optimum, own)

    def scores(self) -> F64:
        """(known lives,): 1 for at most :attr:`best` steps, 0 for the budget or no success, else linear."""
        steps = np.where(self.success, self.time, self.budget)[self.known]
        return np.clip((self.budget - steps) / (self.budget - self.best), 0, 1)


# --- one adapter --------------------------------------------------------------------------------------------


def success_rate(lives: Lives, confidence: float = 0.95) -> Interval:
    """Share of the known lives that succeeded, with the exact interval of Clopper and Pearson (1934).

    The interval is that of as many lives as there are independent ones (Korn and Graubard, 1998): see
    :func:`independent_lives`.
    """
    known = lives.take(np.flatnonzero(lives.known))
    if not len(known):
        return Interval(np.nan, np.nan, np.nan)  # all were interrupted: nothing is known
    rate = float(known.success.mean())
    if len(known) == 1:
        return Interval(rate, np.nan, np.nan)
    size, tail = independent_lives(known, confidence), (1 - confidence) / 2
    home, lost = size * rate, size * (1 - rate)
    low = float(sp.beta.ppf(tail, home, lost + 1)) if home else 0.0
    return Interval(rate, low, float(sp.beta.ppf(1 - tail, home + 1, lost)) if lost else 1.0)


def independent_lives(known: Lives, confidence: float = 0.95) -> float:
    """How many independent lives would tell as much about the success rate as these N of C pretrainings.

    N ÷ design effect · (t_{N-1} ÷ t_{C-1})², after Korn and Graubard (1998), but at least C and at most N.
    The design effect is the variance of the rate between pretrainings, C/(C-1) · Σ_c (Σ_{i in c} (x_i -
    rate))² ÷ N², over that between independent lives, rate (1 - rate) ÷ (N - 1). Lives that all ended alike
    do not show it, and count as C. N if there is a single pretraining, or one for every life.
    """
    clusters, n, groups = known.clusters, len(known), known.pretrainings
    if groups in (1, n):
        return float(n)
    rate = known.success.mean()
    if rate in (0, 1):
        return float(groups)
    sums = np.bincount(clusters, known.success - rate)
    between = groups / (groups - 1) * (sums**2).sum() / n**2
    effect = between / (rate * (1 - rate) / (n - 1))
    narrower = sp.t.ppf((1 + confidence) / 2, n - 1) / sp.t.ppf((1 + confidence) / 2, groups - 1)
    return float(np.clip(n / max(effect, 1e-9) * narrower**2, groups, n))


class Survival(NamedTuple):
    """A step function: ``at[i]`` holds from ``steps[i]`` up to the next; before the first it is 1."""

    steps: F64  # (M,) at which a life succeeded or was censored, ascending
    at: F64  # (M,)
    low: F64  # (M,) pointwise band, NaN where it is not defined (S = 1, S = 0)
    high: F64  # (M,)


def kaplan_meier(lives: Lives, confidence: float = 0.95) -> Survival:
    """S(t) after Kaplan and Meier (1958), with a pointwise log-log band and Greenwood's variance.

    The band takes lives for independent, also those that share a pretraining.
    """
    curve = sp.ecdf(
        sp.CensoredData(uncensored=lives.time[lives.success], right=lives.time[~lives.success])
    ).sf
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The confidence interval is undefined")  # NaN says so
        band = curve.confidence_interval(confidence, method="log-log")
    return Survival(
        curve.quantiles.astype(np.float64),
        curve.probabilities,
        band.low.probabilities,
        band.high.probabilities,
    )


def median_steps(lives: Lives, confidence: float = 0.95) -> Interval | None:
    """The first step after which S is at most one half; None if it stays above.

    Its bounds are where the band crosses one half (Brookmeyer and Crowley, 1982), infinite where it does not.
    The band is that of independent lives: where several share each of several pretrainings, there are none.
    """
    curve = kaplan_meier(lives, confidence)

    def first(values: F64) -> float:
        below = np.flatnonzero(values <= 0.5)
        return float(curve.steps[below[0]]) if len(below) else np.inf

    middle = first(curve.at)
    if np.isinf(middle):
        return None
    if len(lives) == 1 or 1 < lives.pretrainings < len(lives):
        return Interval(middle, np.nan, np.nan)
    return Interval(middle, min(first(curve.low), middle), first(curve.high))


def restricted_mean(lives: Lives, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Mean of min(steps-to-completion, budget) = ∫ S(t) dt up to the budget, with a bootstrap interval.

    After the end of an interrupted life, S is estimated from the others (Kaplan and Meier).
    """
    rows = _resampled_rows(lives.clusters, rng)
    means = _area(lives.time[rows], lives.success[rows], lives.budget)
    found = float(_area(lives.time[None], lives.success[None], lives.budget)[0])
    return _within(Interval(found, *_expanded(means, _units(lives.clusters), confidence)), lives.budget)


def _within(found: Interval, most: float) -> Interval:
    """The interval cut to 0 to ``most``; none stays none."""
    return Interval(found.estimate, *np.clip((found.low, found.high), 0.0, most).tolist())


def _resampled_rows(clusters: Ints, rng: np.random.Generator) -> Ints:
    """Rows of R bootstrap resamples (R, N): pretrainings are drawn, and from each of them lives.

    A pretraining with n lives is replaced by n lives, with replacement, of one that is drawn with a chance in
    proportion to its lives. A single pretraining, or one for every life, leaves lives to be drawn.
    """
    sizes = np.bincount(clusters)
    if len(sizes) in (1, len(clusters)):
        return rng.integers(len(clusters), size=(RESAMPLES, len(clusters)))
    drawn = rng.choice(len(sizes), size=(RESAMPLES, len(sizes)), p=sizes / len(clusters))
    of = np.repeat(drawn, sizes, axis=1)  # (R, N): the pretraining of each life that is drawn
    first = np.cumsum(sizes) - sizes
    within = (rng.random(of.shape) * sizes[of]).astype(np.intp)
    rows: Ints = np.argsort(clusters, kind="stable")[first[of] + within]
    return rows


def _units(clusters: Ints) -> int:
    """How many independent parts are resampled: pretrainings, or lives where there is only one of those."""
    groups = len(np.unique(clusters))
    return groups if groups > 1 else len(clusters)


def _area(time: F64, success: Bools, until: float) -> F64:
    """∫ S(t) dt from 0 to ``until`` (R,), of the lives in each row of (R, N)."""
    if (success | (time >= until)).all():  # no life was interrupted: the mean itself
        mean: F64 = np.where(success, np.minimum(time, until), until).mean(1)
        return mean
    order = np.lexsort((~success, time), axis=1)  # by time; at equal times successes come first
    time, success = (
        np.minimum(np.take_along_axis(time, order, 1), until),
        np.take_along_axis(success, order, 1),
    )
    still = np.cumprod(1 - success / np.arange(time.shape[1], 0, -1), axis=1)  # S after each life
    widths = np.diff(time, axis=1, prepend=0.0, append=until)
    area: F64 = widths[:, 0] + (widths[:, 1:] * still).sum(1)
    return area


def _expanded(resampled: F64, count: int, confidence: float) -> tuple[float, float]:
    """Expanded percentiles of a bootstrap (Hesterberg, 2015): plain ones are too narrow for few lives.

    Args:
        resampled: the statistic of each resample, (R,).
        count: independent parts of the sample, lives or pretrainings.
        confidence: of the interval, between 0 and 1.

    Returns:
        The bounds; NaN if there is one part, which does not show how much parts differ.
    """
    if count < 2:
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    tail = float(sp.norm.cdf(np.sqrt(count / (count - 1)) * sp.t.ppf(tail, count - 1)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


# --- one adapter in several scenarios -----------------------------------------------------------------------


def interquartile_mean(
    scenarios: Sequence[Lives], rng: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Mean of the middle half of all scores (Agarwal et al., 2021); resampled within each scenario."""
    return _stratified(scenarios, lambda scores: sp.trim_mean(scores, 0.25, axis=-1), rng, confidence)


class Profile(NamedTuple):
    """Share of the lives that reach at least a score, with a pointwise band."""

    score: F64  # (M,) ascending
    share: F64  # (M,)
    low: F64
    high: F64


def performance_profile(
    scenarios: Sequence[Lives], rng: np.random.Generator, points: int = 101, confidence: float = 0.95
) -> Profile:
    """Share of lives that reach each score, all scenarios with the same weight.

    After Dolan and Moré (2002) and Agarwal et al. (2021).
    """
    at = np.linspace(0, 1, points)
    found = np.mean([_shares(lives.scores()[None], at)[0] for lives in scenarios], axis=0)
    resampled = np.mean([_shares(drawn, at) for drawn in _resampled(scenarios, rng)], axis=0)
    fewest = min(_units(_scored(lives)) for lives in scenarios)
    bounds = np.array([_expanded(resampled[:, i], fewest, confidence) for i in range(points)])
    return Profile(at, found, bounds[:, 0], bounds[:, 1])


def _shares(scores: F64, at: F64) -> F64:
    """Share of N scores that are at least each of M values: (R, N), (M,) -> (R, M)."""
    shares: F64 = (scores[:, :, None] >= at).mean(1)
    return shares


def _scored(lives: Lives) -> Ints:
    """Pretrainings of the lives that have a score, in the order of the scores."""
    return lives.take(np.flatnonzero(lives.known)).clusters


def _resampled(scenarios: Sequence[Lives], rng: np.random.Generator) -> list[F64]:
    """R bootstrap resamples of the scores of each scenario: arrays (R, known lives)."""
    return [lives.scores()[_resampled_rows(_scored(lives), rng)] for lives in scenarios]


def _stratified(
    scenarios: Sequence[Lives], statistic: Callable[[F64], F64], rng: np.random.Generator, confidence: float
) -> Interval:
    scores = np.concatenate([lives.scores() for lives in scenarios])
    parts = [_units(_scored(lives)) for lives in scenarios]
    count = (
        1 if min(parts) == 1 else sum(parts)
    )  # one life of a scenario leaves open how much its lives differ
    low, high = _expanded(statistic(np.concatenate(_resampled(scenarios, rng), axis=1)), count, confidence)
    return Interval(float(statistic(scores[None])[0]), low, high)


# --- two adapters -------------------------------------------------------------------------------------------

Pair = tuple[Lives, Lives]  # of two adapters in one scenario; row i of both has the same seed


def paired_clusters(pair: Pair) -> Ints:
    """(N,): which pairs of lives belong together, because they share a pretraining of either adapter.

    Numbered from 0 without a gap; pairs that are linked by others belong together too.
    """
    alike = np.any([lives.clusters[:, None] == lives.clusters for lives in pair], axis=0)
    found: Ints = csgraph.connected_components(alike, directed=False)[1].astype(np.intp)
    return found


def log_rank(pairs: Sequence[Pair]) -> tuple[float, float]:
    """χ² of the log-rank test, stratified by scenario (Mantel, 1966), and p of it as a permutation test.

    The null hypothesis: in each scenario, both adapters have the same S(t), and which of them a pretraining
    with its lives belongs to might as well be the other way round. p is the share of such relabellings with
    at least as large a difference, observed minus expected successes: of all if there are at most ``EXACT``,
    else (1 + k) / (1 + ``DRAWN``) of random ones, the same at every call. Lives are relabelled one by one
    where each has its own pretraining, and where both adapters have a single one. Pretrainings of as many
    lives on either side are relabelled whole. Where they are not alike, their sums have not the same spread,
    and may not be mixed: then adapters change sides within each part that shares no pretraining with another.
    """
    observed, relabelled = 0.0, []
    parts = [_exchangeable(pair) for pair in pairs]
    exact = math.prod(part.relabellings for part in parts) <= EXACT
    for stratum, part in enumerate(parts):
        observed += part.one.sum()
        relabelled.append(part.relabelled(stratum, exact=exact))
    if exact:
        sums = relabelled[0]
        for more in relabelled[1:]:
            sums = np.add.outer(sums, more).ravel()
    else:
        sums = np.sum(relabelled, axis=0)
    extreme = np.count_nonzero(np.abs(sums) >= abs(observed) - 1e-9)
    return _mantel(pairs), extreme / len(sums) if exact else (1 + extreme) / (1 + len(sums))


@dataclass(frozen=True)
class _Exchangeable:
    """Log-rank scores of each adapter's lives, summed over those that are relabelled together."""

    one: F64
    two: F64
    in_pairs: bool  # whether one[i] may only change sides with two[i], and not with all others

    @property
    def relabellings(self) -> int:
        """How many there are."""
        return (
            2 ** len(self.one) if self.in_pairs else math.comb(len(self.one) + len(self.two), len(self.one))
        )

    def relabelled(self, stratum: int, *, exact: bool) -> F64:
        """The first adapter's sum after each relabelling: of all, or of ``DRAWN`` random ones."""
        if self.in_pairs:
            swap = _all_swaps(len(self.one)) if exact else _drawn_swaps(len(self.one), stratum)
            swapped: F64 = np.where(swap, self.two, self.one).sum(1)
            return swapped
        sizes = len(self.one), len(self.two)
        labels = _all_labels(*sizes) if exact else _drawn_labels(*sizes, stratum)
        summed: F64 = labels @ np.concatenate([self.one, self.two])
        return summed


def _exchangeable(pair: Pair) -> _Exchangeable:
    """What may be relabelled of a pair: lives, pretrainings, or sides within independent parts.

    The score of a life is its event, 0 or 1, minus the pooled cumulative hazard until its time (Nelson and
    Aalen): the scores of one adapter sum up to its observed minus its expected successes.
    """
    time = np.concatenate([lives.time for lives in pair])
    event = np.concatenate([lives.success for lives in pair])
    scores = event.astype(np.float64)
    for t in np.unique(time[event]):
        scores[time >= t] -= (event & (time == t)).sum() / (time >= t).sum()
    single = max(lives.pretrainings for lives in pair) == 1
    sizes = [sorted(np.bincount(lives.clusters)) for lives in pair]
    alike = single or sizes[0] == sizes[1] or len({*sizes[0], *sizes[1]}) == 1
    if alike:
        units = [np.arange(len(lives)) if single else lives.clusters for lives in pair]
    else:
        units = [paired_clusters(pair)] * 2
    parts = np.split(scores, [len(pair[0])])
    one, two = (np.bincount(own, part).astype(np.float64) for own, part in zip(units, parts, strict=True))
    return _Exchangeable(one, two, in_pairs=not alike)


@lru_cache(maxsize=16)
def _all_swaps(parts: int) -> Bools:
    """(2^parts, parts): every way to swap the adapters' sides in some of the parts."""
    return (np.arange(2**parts)[:, None] >> np.arange(parts) & 1).astype(bool)


@lru_cache(maxsize=16)
def _drawn_swaps(parts: int, stratum: int) -> Bools:
    """(``DRAWN``, parts): random ones, the same for the same arguments."""
    return np.random.default_rng([parts, stratum]).random((DRAWN, parts)) < 0.5


@lru_cache(maxsize=16)
def _all_labels(one: int, two: int) -> Bools:
    """(R, one + two): every way to call ``one`` of them the first adapter's."""
    chosen = np.array(list(combinations(range(one + two), one)), np.intp)
    labels = np.zeros((len(chosen), one + two), bool)
    np.put_along_axis(labels, chosen, values=True, axis=1)
    return labels


@lru_cache(maxsize=16)
def _drawn_labels(one: int, two: int, stratum: int) -> Bools:
    """(``DRAWN``, one + two): random ones, the same for the same arguments."""
    rng = np.random.default_rng([one, two, stratum])
    labels: Bools = rng.permuted(np.tile(np.arange(one + two) < one, (DRAWN, 1)), axis=1)
    return labels


def _mantel(pairs: Sequence[Pair]) -> float:
    """χ² of the log-rank test, with one degree of freedom where lives are many and independent."""
    difference = variance = 0.0
    for pair in pairs:
        time = np.concatenate([lives.time for lives in pair])
        event = np.concatenate([lives.success for lives in pair])
        first = np.repeat([True, False], [len(lives) for lives in pair])
        for t in np.unique(time[event]):
            at_risk, now = time >= t, event & (time == t)
            n, n1, d = at_risk.sum(), (at_risk & first).sum(), now.sum()
            difference += (now & first).sum() - d * n1 / n
            if n > 1:
                variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1)
    return float(difference**2 / variance) if variance > 0 else 0.0


def mean_difference(pairs: Sequence[Pair], rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Restricted mean of the first minus that of the second: negative if the first is faster.

    In steps for one scenario; for several, the mean of their differences, each divided by (budget - optimum),
    or by the budget alone where it does not reach beyond the optimum (:attr:`Lives.best`). Seeds are
    resampled in pairs, with the pretrainings that pairs share.
    """
    found, resampled = [], []
    for one, two in pairs:
        unit = 1.0 if len(pairs) == 1 else one.budget - one.best
        rows = _resampled_rows(paired_clusters((one, two)), rng)
        areas = [_area(lives.time[rows], lives.success[rows], lives.budget) for lives in (one, two)]
        resampled.append((areas[0] - areas[1]) / unit)
        whole = [_area(lives.time[None], lives.success[None], lives.budget)[0] for lives in (one, two)]
        found.append((whole[0] - whole[1]) / unit)
    low, high = _expanded(np.mean(resampled, axis=0), _fewest(pairs), confidence)
    return Interval(float(np.mean(found)), low, high)


def _fewest(pairs: Sequence[Pair]) -> int:
    """Independent parts of the scenario that has the fewest."""
    return min(_units(paired_clusters(pair)) for pair in pairs)


def probability_of_improvement(
    pairs: Sequence[Pair], rng: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Probability that a life of the first is faster than one of the second, ties counting half.

    All lives of one against all of the other, as in Agarwal et al. (2021), averaged over scenarios. Those
    that were interrupted are censored at their last step: what they would have done is what Kaplan and Meier
    estimate from the lives that went on (Efron, 1967). Seeds are resampled in pairs, with the pretrainings
    that pairs share.
    """
    found, resampled = [], []
    for one, two in pairs:
        steps = [np.append(np.where(lives.success, lives.time, np.inf), np.inf) for lives in (one, two)]
        wins = (steps[0][:, None] < steps[1]) + 0.5 * (steps[0][:, None] == steps[1])  # (N + 1, N + 1)
        rows = _resampled_rows(paired_clusters((one, two)), rng)
        counts = np.concatenate([np.ones((1, len(one)), np.intp), _counts(rows, len(one))])  # first as it is
        chances = ((_shares_of_steps(one, counts) @ wins) * _shares_of_steps(two, counts)).sum(1)
        found.append(chances[0])
        resampled.append(chances[1:])
    bounds = _expanded(np.mean(resampled, axis=0), _fewest(pairs), confidence)
    return _within(Interval(float(np.mean(found)), *bounds), 1.0)


def _shares_of_steps(lives: Lives, counts: Ints) -> F64:
    """The drop of S at each life's success, and in the last column what is left of S: (R, N) -> (R, N + 1).

    Args:
        lives: N of them. Those known not to succeed stay at risk; interrupted ones leave where they stopped.
        counts: how often each life is in each resample.
    """
    time = np.where(lives.known & ~lives.success, np.inf, lives.time)
    order = np.lexsort((~lives.success, time))  # at equal times successes come first
    weight = counts[:, order].astype(np.float64)
    at_risk = weight[:, ::-1].cumsum(1)[:, ::-1]
    hazard = np.divide(weight * lives.success[order], at_risk, out=np.zeros_like(weight), where=at_risk > 0)
    still = np.cumprod(np.column_stack([np.ones(len(counts)), 1 - hazard]), axis=1)  # S before each, and left
    shares = np.empty_like(still)
    shares[:, order] = still[:, :-1] * hazard
    shares[:, -1] = still[:, -1]
    return shares


def _counts(rows: Ints, size: int) -> Ints:
    """How often each of the numbers 0 to ``size - 1`` is in each row: (R, N) -> (R, size)."""
    flat = rows + size * np.arange(len(rows))[:, None]
    return np.bincount(flat.ravel(), minlength=size * len(rows)).reshape(len(rows), size)


def seeds_needed(pair: Pair, confidence: float = 0.95, power: float = POWER) -> int | None:
    """Pairs of lives that would show a difference as large as this sample's; None if that is 0.

    n = ((z₁₋α/₂ + z_power) · sd / mean)², of the differences of min(steps, budget) between paired lives.
    """
    one, two = pair
    steps = [np.where(lives.success, np.minimum(lives.time, lives.budget), lives.budget) for lives in pair]
    both = one.known & two.known
    differences = (steps[0] - steps[1])[both]
    if len(differences) < 2 or differences.mean() == 0:
        return None
    effect = abs(differences.mean()) / max(differences.std(ddof=1), 1e-12)
    needed = ((sp.norm.ppf((1 + confidence) / 2) + sp.norm.ppf(power)) / effect) ** 2
    return max(2, int(np.ceil(needed)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values after Holm (1979): rejecting those of at most α keeps the family-wise error at α or less."""
    order = np.argsort(p_values)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
