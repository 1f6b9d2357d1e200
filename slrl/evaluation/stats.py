"""Survival statistics of steps-to-completion, censored where a life did not succeed.

A life is a time and whether it succeeded then. Without success it is *censored*: its steps-to-completion is
only known to be larger. S(t) is the probability not to have succeeded after t steps. Resampling draws from a
generator that is passed in, so that the same seed gives the same intervals.

Shapes: N lives, R resamples.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats as sp

from slrl.types import Bools

F64 = NDArray[np.float64]
RESAMPLES = 4_000
POWER = 0.8  # probability that a test shows a difference that exists


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval, infinite where they are not reached."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Lives:
    """Lives of one adapter in one scenario, all times in steps."""

    time: F64  # (N,) steps-to-completion; of lives without success, the steps after which there was none
    success: Bools  # (N,)
    budget: float  # restricted means end here
    optimum: float = 0.0  # of a controller that knows the scenario; 0 if unknown

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

    def take(self, rows: NDArray[np.intp]) -> "Lives":
        """The lives with these indices, in this order."""
        return Lives(self.time[rows], self.success[rows], self.budget, self.optimum)

    def scores(self) -> F64:
        """(known lives,): 1 for at most :attr:`best` steps, 0 for the budget or no success, else linear."""
        steps = np.where(self.success, self.time, self.budget)[self.known]
        return np.clip((self.budget - steps) / (self.budget - self.best), 0, 1)


# --- one adapter --------------------------------------------------------------------------------------------


def success_rate(lives: Lives, confidence: float = 0.95) -> Interval:
    """Share of the known lives that succeeded, with the exact interval of Clopper and Pearson (1934)."""
    if not lives.known.any():
        return Interval(np.nan, 0.0, 1.0)  # all were interrupted: nothing is known
    found = sp.binomtest(int(lives.success.sum()), int(lives.known.sum()))
    exact = found.proportion_ci(confidence, method="exact")
    return Interval(float(found.statistic), float(exact.low), float(exact.high))


class Survival(NamedTuple):
    """A step function: ``at[i]`` holds from ``steps[i]`` up to the next; before the first it is 1."""

    steps: F64  # (M,) at which a life succeeded or was censored, ascending
    at: F64  # (M,)
    low: F64  # (M,) pointwise band, NaN where it is not defined (S = 1, S = 0)
    high: F64  # (M,)


def kaplan_meier(lives: Lives, confidence: float = 0.95) -> Survival:
    """S(t) after Kaplan and Meier (1958), with a pointwise log-log band and Greenwood's variance."""
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
    """
    curve = kaplan_meier(lives, confidence)

    def first(values: F64) -> float:
        below = np.flatnonzero(values <= 0.5)
        return float(curve.steps[below[0]]) if len(below) else np.inf

    middle = first(curve.at)
    return None if np.isinf(middle) else Interval(middle, min(first(curve.low), middle), first(curve.high))


def restricted_mean(lives: Lives, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Mean of min(steps-to-completion, budget) = ∫ S(t) dt up to the budget, with a bootstrap interval.

    After the end of an interrupted life, S is estimated from the others (Kaplan and Meier).
    """
    rows = rng.integers(len(lives), size=(RESAMPLES, len(lives)))
    means = _area(lives.time[rows], lives.success[rows], lives.budget)
    low, high = _expanded(means, len(lives), confidence)
    return Interval(
        float(_area(lives.time[None], lives.success[None], lives.budget)[0]),
        max(low, 0.0),
        min(high, lives.budget),
    )


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
        count: lives in the sample.
        confidence: of the interval, between 0 and 1.
    """
    tail = (1 - confidence) / 2
    if count > 1:
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
    fewest = min(len(lives.scores()) for lives in scenarios)
    bounds = np.array([_expanded(resampled[:, i], fewest, confidence) for i in range(points)])
    return Profile(at, found, bounds[:, 0], bounds[:, 1])


def _shares(scores: F64, at: F64) -> F64:
    """Share of N scores that are at least each of M values: (R, N), (M,) -> (R, M)."""
    shares: F64 = (scores[:, :, None] >= at).mean(1)
    return shares


def _resampled(scenarios: Sequence[Lives], rng: np.random.Generator) -> list[F64]:
    """R bootstrap resamples of the scores of each scenario: arrays (R, known lives)."""
    drawn = []
    for lives in scenarios:
        scores = lives.scores()
        drawn.append(scores[rng.integers(len(scores), size=(RESAMPLES, len(scores)))])
    return drawn


def _stratified(
    scenarios: Sequence[Lives], statistic: Callable[[F64], F64], rng: np.random.Generator, confidence: float
) -> Interval:
    scores = np.concatenate([lives.scores() for lives in scenarios])
    low, high = _expanded(
        statistic(np.concatenate(_resampled(scenarios, rng), axis=1)), len(scores), confidence
    )
    return Interval(float(statistic(scores[None])[0]), low, high)


# --- two adapters -------------------------------------------------------------------------------------------

Pair = tuple[Lives, Lives]  # of two adapters in one scenario; row i of both has the same seed


def log_rank(pairs: Sequence[Pair]) -> tuple[float, float]:
    """χ² (one degree of freedom) and p of the log-rank test, stratified by scenario (Mantel, 1966).

    The null hypothesis: in each scenario, both adapters have the same S(t).
    """
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
    chi2 = difference**2 / variance if variance > 0 else 0.0
    return float(chi2), float(sp.chi2.sf(chi2, 1))


def mean_difference(pairs: Sequence[Pair], rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Restricted mean of the first minus that of the second: negative if the first is faster.

    In steps for one scenario; for several, the mean of their differences, each divided by (budget - optimum),
    or by the budget alone where it does not reach beyond the optimum (:attr:`Lives.best`). Seeds are
    resampled in pairs.
    """
    found, resampled = [], []
    for one, two in pairs:
        unit = 1.0 if len(pairs) == 1 else one.budget - one.best
        rows = rng.integers(len(one), size=(RESAMPLES, len(one)))
        areas = [_area(lives.time[rows], lives.success[rows], lives.budget) for lives in (one, two)]
        resampled.append((areas[0] - areas[1]) / unit)
        whole = [_area(lives.time[None], lives.success[None], lives.budget)[0] for lives in (one, two)]
        found.append((whole[0] - whole[1]) / unit)
    low, high = _expanded(np.mean(resampled, axis=0), min(len(one) for one, _ in pairs), confidence)
    return Interval(float(np.mean(found)), low, high)


def probability_of_improvement(
    pairs: Sequence[Pair], rng: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Probability that a life of the first is faster than one of the second, ties counting half.

    All lives of one against all of the other, as in Agarwal et al. (2021), averaged over scenarios; seeds are
    resampled in pairs.
    """
    found, resampled = [], []
    for one, two in pairs:
        steps = [np.where(lives.success, lives.time, np.inf) for lives in (one, two)]
        wins = (steps[0][:, None] < steps[1]) + 0.5 * (steps[0][:, None] == steps[1])  # (N, N)
        rows = rng.integers(len(one), size=(RESAMPLES, len(one)))
        counts = _counts(rows, len(one)) / len(one)  # (R, N): weight of each seed
        resampled.append(((counts @ wins) * counts).sum(1))
        found.append(wins.mean())
    low, high = _expanded(np.mean(resampled, axis=0), min(len(one) for one, _ in pairs), confidence)
    return Interval(float(np.mean(found)), max(low, 0.0), min(high, 1.0))


def _counts(rows: NDArray[np.intp], size: int) -> NDArray[np.intp]:
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
