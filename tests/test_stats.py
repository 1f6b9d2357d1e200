"""Statistics against numbers worked out by hand and against lifelines; coverage by simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as sp

from slrl.evaluation import stats, verdict
from slrl.evaluation.stats import Lives
from slrl.evaluation.verdict import Contest


def lives(text: str, budget: float = 10.0, optimum: float = 0.0) -> Lives:
    """ "2 3+ 5" are lives that succeeded after 2 and 5 steps, and one that had not after 3."""
    items = text.split()
    time = np.array([float(item.rstrip("+")) for item in items])
    return Lives(time, np.array([not item.endswith("+") for item in items]), budget, optimum)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_kaplan_meier_by_hand() -> None:
    """Five lives: 4/5 after 2; one leaves at 3; of three, two succeed at 5: 4/5 · 1/3; the last leaves at 8.

    Area up to 8: 2 · 1 + 3 · 4/5 + 3 · 4/15 = 5.2.
    """
    five = lives("2 3+ 5 5 8+", budget=8)
    curve = stats.kaplan_meier(five)
    assert curve.steps.tolist() == [2, 3, 5, 8]
    np.testing.assert_allclose(curve.at, [4 / 5, 4 / 5, 4 / 15, 4 / 15])
    assert stats.restricted_mean(five, rng()).estimate == pytest.approx(5.2)
    middle = stats.median_steps(five)
    assert middle is not None
    assert middle.estimate == 5
    assert middle.high == np.inf


def test_a_median_exists_where_half_succeeded() -> None:
    assert stats.median_steps(lives("1 2 10+ 10+ 10+")) is None
    two = stats.median_steps(lives("1 2 10+ 10+"))
    assert two is not None
    assert two.estimate == 2


def test_rates_by_hand() -> None:
    """None of ten: 1 - 0.025^(1/10); all of ten: the mirror image. Interrupted lives do not count."""
    limit = 1 - 0.025**0.1
    none, every = stats.success_rate(lives("10+ " * 10)), stats.success_rate(lives("4 " * 10))
    assert none == pytest.approx((0, 0, limit))
    assert every == pytest.approx((1, 1 - limit, 1))
    assert stats.success_rate(lives("4 10+ 3+ 2+")).estimate == 0.5


def test_restricted_means_by_hand() -> None:
    assert stats.restricted_mean(lives("4 6 10+ 12"), rng()).estimate == pytest.approx((4 + 6 + 10 + 10) / 4)
    same = stats.restricted_mean(lives("4 4 4"), rng())
    assert same == pytest.approx((4, 4, 4))
    alone = stats.restricted_mean(lives("4"), rng())
    assert alone.estimate == 4


def test_scores_and_their_interquartile_mean_by_hand() -> None:
    """Budget 10, optimum 2: 2 steps score 1, 6 score 1/2, no success 0. Middle half of 0, 1/2, 1, 1: 3/4."""
    found = lives("2 6 10+ 1", optimum=2)
    assert found.scores().tolist() == [1, 0.5, 0, 1]
    assert stats.interquartile_mean([found], rng()).estimate == 0.75
    other = lives("20 60 100+ 10", budget=100, optimum=20)
    assert stats.interquartile_mean([found, other], rng()).estimate == 0.75


def test_the_profile_by_hand() -> None:
    """Scenarios weigh alike: 1/2 of two lives and 1 of one reach a score of 1/2."""
    profile = stats.performance_profile([lives("0 10+"), lives("5")], rng(), points=3)
    assert profile.score.tolist() == [0, 0.5, 1]
    assert profile.share.tolist() == [1, 0.75, 0.25]


def test_log_rank_by_hand() -> None:
    """Successes at 1, 3 against 2, 4. At risk 2 of 4, 1 of 3, 1 of 2, 0 of 1.

    O - E = 2 - (1/2 + 1/3 + 1/2) = 2/3; V = 1/4 + 2/9 + 1/4 = 13/18; χ² = (4/9) / (13/18) = 8/13.
    Twice the same stratum: 16/13.
    """
    pair = (lives("1 3"), lives("2 4"))
    assert stats.log_rank([pair])[0] == pytest.approx(8 / 13)
    assert stats.log_rank([pair, pair])[0] == pytest.approx(16 / 13)
    assert stats.log_rank([pair])[1] == pytest.approx(math.erfc(math.sqrt(8 / 13 / 2)))
    assert stats.log_rank([(lives("10+"), lives("10+"))]) == (0.0, 1.0)


def test_improvement_by_hand() -> None:
    """1 beats 2, ∞, ∞; 3 beats ∞, ∞; ∞ ties with ∞, ∞: (3 + 2 + 1) / 9. With a scenario that is lost: 1/3."""
    pair = (lives("1 3 10+"), lives("2 10+ 10+"))
    assert stats.probability_of_improvement([pair], rng()).estimate == pytest.approx(6 / 9)
    assert stats.probability_of_improvement(
        [pair, (lives("5 5"), lives("4 4"))], rng()
    ).estimate == pytest.approx(1 / 3)


def test_differences_are_paired() -> None:
    """The second is 1 faster for each seed: no width, which unpaired lives would not give."""
    one, two = lives("2 5 9"), lives("1 4 8")
    assert stats.mean_difference([(one, two)], rng()) == pytest.approx((1, 1, 1))
    assert stats.mean_difference([(one, two), (one, two)], rng()) == pytest.approx((0.1, 0.1, 0.1))


def test_seeds_needed_by_hand() -> None:
    """Differences -30, 10, -30, 10 have mean -10 and deviation 23.09: ((1.960 + 0.842) · 2.309)² = 41.9."""
    one, two = lives("10 50 10 50", budget=100), lives("40 40 40 40", budget=100)
    assert stats.seeds_needed((one, two)) == 42
    assert stats.seeds_needed((one, one)) is None


def test_holm_by_hand() -> None:
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.5, 0.9]) == [1.0, 1.0]


def test_bootstrap_percentiles_are_expanded_by_hand() -> None:
    """Ten lives: Φ(√(10/9) · -2.262) = 0.0086 instead of 0.025. Two: √2 · -12.71, so nothing lies outside."""
    uniform = np.linspace(0, 1, 100_001)
    assert stats._expanded(uniform, 10, 0.95) == pytest.approx((0.00855, 0.99145), abs=2e-5)
    assert stats._expanded(uniform, 2, 0.95) == pytest.approx((0, 1), abs=1e-12)
    assert stats._expanded(uniform, 1, 0.95) == pytest.approx((0.025, 0.975))
    assert stats._expanded(uniform, 10**6, 0.9) == pytest.approx((0.05, 0.95), abs=1e-5)


def test_a_profile_is_as_uncertain_as_its_smallest_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def expanded(values: np.ndarray, count: int, confidence: float) -> tuple[float, float]:
        counts.append(count)
        return 0.0, 0.0

    monkeypatch.setattr(stats, "_expanded", expanded)
    stats.performance_profile([lives("1 2"), lives("1 2 3 4 5")], rng(), points=3)
    assert counts == [2, 2, 2]


def test_a_median_whose_band_is_not_defined_is_its_own_lower_bound() -> None:
    """Both lives succeed at 3: S falls from 1 to 0, and a log-log band has no value at either."""
    assert stats.median_steps(lives("3 3")) == (3, 3, np.inf)


def test_lives_at_the_budget_are_known_and_interrupted_ones_are_not() -> None:
    some = lives("10+ 9+ 4", budget=10)
    assert some.known.tolist() == [True, False, True]
    assert some.take(np.array([2, 0])).time.tolist() == [4, 10]
    assert len(some) == 3
    none = stats.success_rate(lives("3+ 4+"))
    assert (np.isnan(none.estimate), none.low, none.high) == (True, 0, 1)


def test_a_success_counts_before_an_interruption_at_the_same_step() -> None:
    """At 4 one of two succeeds, the other is interrupted: S(4) = 1/2, and the area is 4 + 6 / 2."""
    for order in ("4 4+", "4+ 4"):
        assert stats.restricted_mean(lives(order), rng()).estimate == pytest.approx(7)


def test_differences_over_scenarios_are_shares_of_budget_less_optimum() -> None:
    """One step of 10 - 2, and ten of 100 - 20: an eighth each."""
    small = (lives("5 6", optimum=2), lives("4 5", optimum=2))
    large = (lives("50 60", budget=100, optimum=20), lives("40 50", budget=100, optimum=20))
    assert stats.mean_difference([small, large], rng()) == pytest.approx((1 / 8, 1 / 8, 1 / 8))


@pytest.mark.parametrize("optimum", [10.0, 12.0, 25.0])
def test_a_budget_that_does_not_reach_beyond_the_optimum_is_the_range_itself(optimum: float) -> None:
    """One step of 10, and ten of 100 - 20: the first adapter is slower by (1/10 + 1/8) / 2, not faster."""
    small = (lives("5 6", optimum=optimum), lives("4 5", optimum=optimum))
    large = (lives("50 60", budget=100, optimum=20), lives("40 50", budget=100, optimum=20))
    assert stats.mean_difference([small, large], rng()) == pytest.approx((9 / 80,) * 3)
    assert stats.mean_difference([small], rng()).estimate == 1
    assert lives("2 6 10+", optimum=optimum).scores().tolist() == [0.8, 0.4, 0]


def test_that_a_budget_does_not_reach_beyond_the_optimum_is_said() -> None:
    small = (lives("5 6", optimum=12), lives("4 5", optimum=12))
    large = (lives("50 60", budget=100, optimum=20), lives("40 50", budget=100, optimum=20))

    def said(scenarios: tuple[str, ...], *pairs: stats.Pair) -> str:
        gap, better = stats.mean_difference(pairs, rng()), stats.probability_of_improvement(pairs, rng())
        return "\n".join(verdict.verdict(Contest("a", "b", scenarios, pairs, 0.5, 0.5, gap, better)))

    both = said(("short", "long"), small, large)
    assert "b was faster than a, by 0.11 of the range from optimum to budget" in both
    assert "The budget does not reach beyond the optimum in short: there the range is the budget." in both
    assert "reach beyond" not in said(("long", "long"), large, large)
    assert "reach beyond" not in said(("short",), small)


def test_seeds_needed_leaves_out_interrupted_lives_and_asks_for_two_at_least() -> None:
    one, two = lives("10 50 10 50 3+", budget=100), lives("40 40 40 40 40", budget=100)
    assert stats.seeds_needed((one, two)) == 42
    assert stats.seeds_needed((two, one)) == 42
    assert stats.seeds_needed((lives("2 3"), lives("1 2"))) == 2
    assert stats.seeds_needed((lives("2"), lives("1"))) is None


def test_the_same_seed_gives_the_same_intervals() -> None:
    some = lives("1 2 4 8 10+ 10+")
    for statistic in (stats.restricted_mean, lambda x, r: stats.interquartile_mean([x], r)):
        assert statistic(some, rng()) == statistic(some, rng())
    assert stats.restricted_mean(some, rng()) != stats.restricted_mean(some, np.random.default_rng(1))


# --- coverage -----------------------------------------------------------------------------------------------


def test_success_rates_are_covered() -> None:
    """Summing the binomial, n = 20: at least 95 % for every rate, and 97.2 % on average from 0.2 to 0.8.

    The interval is conservative by definition; it cannot be within 95 ± 2 % everywhere.
    """
    n, counts = 20, np.arange(21)
    bounds = [stats.success_rate(lives("1 " * k + "10+ " * (n - k))) for k in counts]
    rates = np.linspace(0.01, 0.99, 99)
    inside = np.array([[found.low <= p <= found.high for found in bounds] for p in rates])
    coverage = (sp.binom.pmf(counts, n, rates[:, None]) * inside).sum(1)
    assert coverage.min() >= 0.95
    assert coverage[(rates > 0.2) & (rates < 0.8)].mean() == pytest.approx(0.972, abs=0.002)


TIMES = {  # steps-to-completion; the budget is 200
    "exponential": lambda r, size: r.exponential(100, size),
    "log-normal, a third censored": lambda r, size: np.exp(r.normal(4.6, 1.2, size)),
    "normal": lambda r, size: r.normal(100, 20, size),
    "soon or never": lambda r, size: np.where(r.random(size) < 0.6, r.normal(40, 10, size), np.inf),
}


def coverage(times: Callable[[np.random.Generator, int], np.ndarray]) -> float:
    """Share of 2,000 samples of 20 lives whose interval of the restricted mean holds the true one."""
    r, budget, trials = np.random.default_rng(1), 200.0, 2000
    truth = np.clip(times(r, 2_000_000), 0, budget).mean()
    inside = 0
    for _ in range(trials):
        time = np.clip(times(r, 20), 0, budget)
        found = stats.restricted_mean(Lives(time, time < budget, budget), r)
        inside += found.low <= truth <= found.high
    return inside / trials


@pytest.mark.parametrize("name", TIMES)
def test_restricted_means_are_covered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """95 ± 2 % of the intervals of 20 lives hold the true mean."""
    monkeypatch.setattr(stats, "RESAMPLES", 1000)
    assert 0.93 <= coverage(TIMES[name]) <= 0.97


def test_what_a_sample_does_not_show_is_not_in_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth never succeeds; in 0.9^20 = 12 % of the samples all did. As the docs say."""
    monkeypatch.setattr(stats, "RESAMPLES", 1000)
    assert (
        0.85
        <= coverage(lambda r, size: np.where(r.random(size) < 0.9, r.normal(40, 10, size), np.inf))
        <= 0.90
    )


# --- lifelines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_lifelines(seed: int) -> None:
    lifelines = pytest.importorskip("lifelines")
    from lifelines.statistics import logrank_test
    from lifelines.utils import restricted_mean_survival_time

    r = np.random.default_rng(seed)
    groups = []
    for scale in (80, 120):
        time, cut = (
            np.ceil(r.exponential(scale, 30)),
            np.where(r.random(30) < 0.2, r.integers(1, 200, 30), 200),
        )
        groups.append(Lives(np.minimum(time, cut), time <= cut, 200.0))
    for found in groups:
        fitter = lifelines.KaplanMeierFitter().fit(found.time, found.success)
        curve = stats.kaplan_meier(found)
        theirs = fitter.survival_function_at_times(curve.steps).to_numpy()
        np.testing.assert_allclose(curve.at, theirs, atol=1e-9)
        band = fitter.confidence_interval_survival_function_.loc[curve.steps].to_numpy()
        inner = (curve.at > 0) & (curve.at < 1)
        np.testing.assert_allclose(np.stack([curve.low, curve.high], 1)[inner], band[inner], atol=1e-9)
        middle = stats.median_steps(found)
        assert (np.inf if middle is None else middle.estimate) == fitter.median_survival_time_
        mean = restricted_mean_survival_time(fitter, t=200)
        assert stats.restricted_mean(found, r).estimate == pytest.approx(mean, abs=1e-9)
    test = logrank_test(groups[0].time, groups[1].time, groups[0].success, groups[1].success)
    assert stats.log_rank([(groups[0], groups[1])]) == pytest.approx(
        (test.test_statistic, test.p_value), abs=1e-9
    )
