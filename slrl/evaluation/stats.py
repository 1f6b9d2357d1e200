"""Steps-to-completion, analysed as what they are: times of an event that some lives did not see.

A life is a time and whether it succeeded then. One that did not is *censored*: its steps-to-completion is only known to be
larger. S(t) is the probability to be still on the way after t steps. Resampling draws from a generator that is passed in, so that
the same seed gives the same intervals.

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
POWER = 0.8  # of a test that tells two adapters apart


class Interval(NamedTuple):
    """An estimate and its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Lives:
    """Lives of one adapter in one scenario."""

    time: F64  # (N,) steps-to-completion of those that succeeded; of the others, how long they are known not to have
    success: Bools  # (N,)
    budget: float  # steps, up to which all is restricted
    optimum: float = 0.0  # steps of one who knows the scenario

    def __len__(self) -> int:
        return len(self.time)

    @property
    def known(self) -> Bools:
        """(N,): lives that succeeded or used up their budget, and were not cut short by somebody."""
        return self.success | (self.time >= self.budget)

    def take(self, rows: NDArray[np.intp]) -> "Lives":
        """Some of them, in that order."""
        return Lives(self.time[rows], self.success[rows], self.budget, self.optimum)

    def scores(self) -> F64:
        """(known lives,): 1 for as fast as the optimum, 0 for the budget or no success, even in between."""
        steps = np.where(self.success, self.time, self.budget)[self.known]
        return np.clip((self.budget - steps) / (self.budget - self.optimum), 0, 1)


# --- one adapter -------------------------------------------------------------------------------------------------------------


def success_rate(lives: Lives, confidence: float = 0.95) -> Interval:
    """Share of the known lives that succeeded; its interval is the exact one of Clopper and Pearson (1934), never too narrow."""
    if not lives.known.any():
        return Interval(np.nan, 0.0, 1.0)  # all were cut short: nothing is known of it
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
    """The first step after which at most half are still on the way; None if that is never.

    Its bounds are where the band crosses one half (Brookmeyer and Crowley, 1982); one that is not reached is infinite.
    """
    curve = kaplan_meier(lives, confidence)

    def first(values: F64) -> float:
        below = np.flatnonzero(values <= 0.5)
        return float(curve.steps[below[0]]) if len(below) else np.inf

    middle = first(curve.at)
    return None if np.isinf(middle) else Interval(middle, min(first(curve.low), middle), first(curve.high))


def restricted_mean(lives: Lives, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Mean of min(steps-to-completion, budget) = ∫ S(t) dt up to the budget, with a bootstrap interval.

    Lives that were cut short count by what is known of the others (Kaplan and Meier).
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
    if (success | (time >= until)).all():  # nobody was cut short: the mean itself
        mean: F64 = np.where(success, np.minimum(time, until), until).mean(1)
        return mean
    order = np.lexsort(
        (~success, time), axis=1
    )  # of those at one time, who succeeded stands before who was cut short
    time, success = (
        np.minimum(np.take_along_axis(time, order, 1), until),
        np.take_along_axis(success, order, 1),
    )
    still = np.cumprod(1 - success / np.arange(time.shape[1], 0, -1), axis=1)  # S after each of them
    widths = np.diff(time, axis=1, prepend=0.0, append=until)
    area: F64 = widths[:, 0] + (widths[:, 1:] * still).sum(1)
    return area


def _expanded(resampled: F64, count: int, confidence: float) -> tuple[float, float]:
    """Percentiles of a bootstrap, moved outwards as Student's t is: plain ones are too narrow of few lives (Hesterberg, 2015)."""
    tail = (1 - confidence) / 2
    if count > 1:
        tail = float(sp.norm.cdf(np.sqrt(count / (count - 1)) * sp.t.ppf(tail, count - 1)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


# --- one adapter in several scenarios ----------------------------------------------------------------------------------------


def interquartile_mean(
    scenarios: Sequence[Lives], rng: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Mean of the middle half of all scores (Agarwal et al., 2021); resampled within each scenario."""
    return _stratified(scenarios, lambda scores: sp.trim_mean(scores, 0.25, axis=-1), rng, confidence)


class Profile(NamedTuple):
    """Which share of the lives scores at least so much, with a pointwise band."""

    score: F64  # (M,) ascending
    share: F64  # (M,)
    low: F64
    high: F64


def performance_profile(
    scenarios: Sequence[Lives], rng: np.random.Generator, points: int = 101, confidence: float = 0.95
) -> Profile:
    """Score distributions of all scenarios, each with the same weight (Dolan and Moré, 2002; Agarwal et al., 2021)."""
    at = np.linspace(0, 1, points)
    found = np.mean([_shares(lives.scores()[None], at)[0] for lives in scenarios], axis=0)
    resampled = np.mean([_shares(drawn, at) for drawn in _resampled(scenarios, rng)], axis=0)
    fewest = min(len(lives.scores()) for lives in scenarios)
    bounds = np.array([_expanded(resampled[:, i], fewest, confidence) for i in range(points)])
    return Profile(at, found, bounds[:, 0], bounds[:, 1])


def _shares(scores: F64, at: F64) -> F64:
    """(R, N) -> (R, M)."""
    shares: F64 = (scores[:, :, None] >= at).mean(1)
    return shares


def _resampled(scenarios: Sequence[Lives], rng: np.random.Generator) -> list[F64]:
    """Scores (R, N) of each scenario."""
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


# --- two adapters ------------------------------------------------------------------------------------------------------------

Pair = tuple[Lives, Lives]  # of two adapters in one scenario; row i of both has the same seed


def log_rank(pairs: Sequence[Pair]) -> tuple[float, float]:
    """χ² with one degree of freedom and its p, stratified by scenario (Mantel, 1966): do the two differ in when they succeed?"""
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
    """Restricted mean of the first minus that of the second: negative is faster. Seeds are resampled in pairs.

    In one scenario it is in steps. Over several it is the mean of their differences, each divided by its (budget - optimum).
    """
    found, resampled = [], []
    for one, two in pairs:
        unit = 1.0 if len(pairs) == 1 else one.budget - one.optimum
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
    """How likely a life of the first is faster than one of the second; ties count half. The mean over scenarios.

    All lives of one against all of the other, as in Agarwal et al. (2021); seeds are resampled in pairs.
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
    """How often each of ``size`` numbers is in each row: (R, N) -> (R, size)."""
    flat = rows + size * np.arange(len(rows))[:, None]
    return np.bincount(flat.ravel(), minlength=size * len(rows)).reshape(len(rows), size)


def seeds_needed(pair: Pair, confidence: float = 0.95, power: float = POWER) -> int | None:
    """Pairs of lives that would tell these two apart, if their differences go on as they did; None if there was no difference.

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
    """Adjusted for their number (Holm, 1979): reject those of at most α, and no more than α of such families err at all."""
    order = np.argsort(p_values)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
