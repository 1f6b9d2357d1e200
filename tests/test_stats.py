"""Statistics against numbers worked out by hand and against lifelines; coverage by simulation."""

import math
from collections.abc import Callable
from dataclasses import replace

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
    Twice the same stratum: 16/13. Scores of the lives: 1 - 1/4 = 9/12, 9/12 - 1/3 = 5/12, 5/12 - 1/2 = -1/12
    and -13/12. Sums of two: ±14/12, ±8/12, ±4/12; four of the six are 8/12 or more, so p = 4/6.
    """
    pair = (lives("1 3"), lives("2 4"))
    assert stats.log_rank([pair])[0] == pytest.approx(8 / 13)
    assert stats.log_rank([pair, pair])[0] == pytest.approx(16 / 13)
    assert stats.log_rank([pair])[1] == pytest.approx(4 / 6)
    # Over two strata 16/12 or more: 14 with 14, 8 and 4, 8 with 14 and 8, 4 with 14; and with both signs.
    assert stats.log_rank([pair, pair])[1] == pytest.approx(2 * 6 / 36)
    assert stats.log_rank([(lives("10+"), lives("10+"))]) == (0.0, 1.0)


def test_complete_separation_of_three_and_three_is_two_of_twenty_relabellings() -> None:
    """This one and its mirror image are the most extreme of C(6, 3) = 20."""
    assert stats.log_rank([(lives("1 2 3"), lives("4 5 6"))])[1] == pytest.approx(2 / 20)
    assert stats.log_rank([(lives("4 5 6"), lives("1 2 3"))])[1] == pytest.approx(2 / 20)
    assert stats.log_rank([(lives("1 2 3"), lives("10+ 10+ 10+"))])[1] == pytest.approx(2 / 20)


def test_pretrainings_are_relabelled_whole() -> None:
    """Twelve lives of three and three pretrainings are no more than six: 2/20, and not 2/924."""
    one, two = lives("1 1 2 2 3 3"), lives("4 4 5 5 6 6")
    apart = [np.array([7, 7, 8, 8, 9, 9]), np.array([1, 2, 3, 1, 2, 3])]
    pair = tuple(replace(some, pretraining=of) for some, of in zip((one, two), apart, strict=True))
    assert stats.log_rank([pair])[1] == pytest.approx(2 / 20)
    assert stats.log_rank([(one, two)])[1] == pytest.approx(2 / 924)


def test_pretrainings_of_unlike_sizes_only_change_sides_within_independent_parts() -> None:
    """Six lives of their own against pretrainings of 1, 2 and 3: sides may change in three parts, 2/8."""
    own, two = lives("1 1 2 2 3 3"), lives("4 4 5 5 6 6")
    shared = replace(two, pretraining=np.array([1, 2, 2, 3, 3, 3]))
    assert stats.log_rank([(own, shared)])[1] == pytest.approx(2 / 8)
    assert stats.log_rank([(shared, own)])[1] == pytest.approx(2 / 8)
    assert stats.log_rank([(own, shared), (own, shared)])[1] == pytest.approx(2 / 64)
    # of one pretraining, all is one part, which looks the same from either side
    single = replace(two, pretraining=np.zeros(6, np.intp))
    assert stats.log_rank([(own, single)])[1] == 1.0
    # where both have a single one, the test is about those two agents, life by life
    other = replace(own, pretraining=np.zeros(6, np.intp))
    assert stats.log_rank([(other, single)])[1] == pytest.approx(2 / 924)


def test_sides_change_at_random_where_there_are_too_many_parts() -> None:
    """Of 40 parts, the first has two lives: sides change in 2^39 ways."""
    early, late = lives(" ".join(["1"] * 40)), lives(" ".join(["2"] * 40))
    shared = replace(late, pretraining=np.maximum(np.arange(40), 1))
    assert stats.log_rank([(early, shared)])[1] == pytest.approx(1 / (1 + stats.DRAWN))


def test_many_lives_are_relabelled_at_random_and_always_alike() -> None:
    """12 against 12 have 2.7 million relabellings. Complete separation: none of those drawn is as extreme."""
    early, late = lives(" ".join(map(str, range(1, 13))), 99), lives(" ".join(map(str, range(13, 25))), 99)
    assert stats.log_rank([(early, late)])[1] == pytest.approx(1 / (1 + stats.DRAWN))
    rows = np.arange(12)
    mixed = (replace(early, time=2.0 * rows + rows % 3), replace(late, time=2.0 * rows + 1))
    assert stats.log_rank([mixed]) == stats.log_rank([mixed])
    assert 0.3 < stats.log_rank([mixed])[1] <= 1


@pytest.mark.parametrize("seed", range(3))
def test_the_permutation_test_is_that_of_scipy(seed: int) -> None:
    """For one stratum of independent lives scipy has it, and a symmetric distribution makes them equal."""
    r = np.random.default_rng(seed)
    time = np.minimum(np.ceil(r.exponential(6, 10)), 10)
    pair = tuple(Lives(part, part < 10, 10.0) for part in np.split(time, 2))

    def difference(one: np.ndarray, two: np.ndarray) -> float:
        whole = [Lives(part, part < 10, 10.0) for part in (one, two)]
        return float(stats._exchangeable((whole[0], whole[1])).one.sum())

    theirs = sp.permutation_test([some.time for some in pair], difference, n_resamples=252)
    assert stats.log_rank([pair])[1] == pytest.approx(theirs.pvalue)


def test_the_size_of_the_test_of_five_and_five_is_five_percent_at_most() -> None:
    """4,000 samples of two adapters that are alike; with χ² and its asymptotic distribution it is 7 %."""
    r, trials = np.random.default_rng(2), 4000
    exact = asymptotic = 0
    for _ in range(trials):
        time = np.minimum(np.ceil(r.exponential(60, 10)), 100)
        pair = tuple(Lives(part, part < 100, 100.0) for part in np.split(time, 2))
        chi2, p = stats.log_rank([pair])
        exact += p <= 0.05
        asymptotic += sp.chi2.sf(chi2, 1) <= 0.05
    error = 3 * math.sqrt(0.05 * 0.95 / trials)
    assert 0.02 < exact / trials <= 0.05 + error
    assert asymptotic / trials > 0.05 + error


def test_improvement_by_hand() -> None:
    """1 beats 2, ∞, ∞; 3 beats ∞, ∞; ∞ ties with ∞, ∞: (3 + 2 + 1) / 9. With a scenario that is lost: 1/3."""
    pair = (lives("1 3 10+"), lives("2 10+ 10+"))
    assert stats.probability_of_improvement([pair], rng()).estimate == pytest.approx(6 / 9)
    assert stats.probability_of_improvement(
        [pair, (lives("5 5"), lives("4 4"))], rng()
    ).estimate == pytest.approx(1 / 3)


def test_an_interrupted_life_is_censored_where_it_stopped_and_has_not_lost() -> None:
    """Of two lives one stops at 1 and the other succeeds at 2: S = 0 from 2, which is before 3.

    With one more that succeeds at 8: 2/3 of two that went on at 2 and at 8, so S = 1/2 from 2, and 0 from 8.
    """
    late = lives("3 3")
    assert stats.probability_of_improvement([(lives("2 1+"), late)], rng()).estimate == 1
    assert stats.probability_of_improvement([(late, lives("2 1+"))], rng()).estimate == 0
    three = (lives("2 1+ 8"), lives("3 3 3"))
    assert stats.probability_of_improvement([three], rng()).estimate == pytest.approx(1 / 2)
    # As long as 4 it had not succeeded: at 5 one of one does, so nobody is as fast as 3.
    assert stats.probability_of_improvement([(lives("5 4+"), late)], rng()).estimate == 0
    # Who stops last is the only one left: what it would have done is not known, and as never as the others.
    assert stats.probability_of_improvement([(lives("2 9+"), lives("10+ 10+"))], rng()).estimate == 0.75


def test_one_life_has_no_interval() -> None:
    alone, other = lives("4"), lives("6")
    pair = (alone, other)
    both = [(lives("4 5"), lives("6 7")), pair]
    for found, estimate in (
        (stats.success_rate(alone), 1),
        (stats.success_rate(lives("4 3+")), 1),  # one known life
        (stats.median_steps(alone), 4),
        (stats.restricted_mean(alone, rng()), 4),
        (stats.interquartile_mean([alone], rng()), 0.6),
        (stats.interquartile_mean([alone, lives("4 4")], rng()), 0.6),
        (stats.mean_difference([pair], rng()), -2),
        (stats.mean_difference(both, rng()), -0.2),
        (stats.probability_of_improvement([pair], rng()), 1),
    ):
        assert found is not None
        assert found.estimate == pytest.approx(estimate)
        assert not found.exists
        assert np.isnan(found.high)
    assert np.isnan(stats.performance_profile([alone, lives("4 4")], rng(), points=3).low).all()
    assert stats.median_steps(lives("4+")) is None
    for of, exists in (([0, 0, 1, 1], False), ([0] * 4, True), ([0, 1, 2, 3], True)):
        middle = stats.median_steps(replace(lives("2 3 4 5"), pretraining=np.array(of)))
        assert middle is not None
        assert (middle.estimate, middle.exists) == (3, exists)  # the band takes lives for independent
    assert stats.success_rate(lives("4 5")).exists


def test_lives_that_share_a_pretraining_are_drawn_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lives of pretraining 5, two of 3, one of 9: a resample has two of one, two of one, one of one."""
    monkeypatch.setattr(stats, "RESAMPLES", 500)
    some = replace(lives("1 2 3 4 5"), pretraining=np.array([5, 3, 5, 9, 3]))
    assert some.clusters.tolist() == [1, 0, 1, 2, 0]
    assert some.pretrainings == 3
    rows = stats._resampled_rows(some.clusters, rng())
    drawn = some.clusters[rows]
    assert rows.shape == (500, 5)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 2] == drawn[:, 3]).all()
    assert (rows[:, 0] != rows[:, 1]).any()  # lives are drawn within it
    assert np.bincount(drawn[:, 4]) / 500 == pytest.approx([2 / 5, 2 / 5, 1 / 5], abs=0.06)
    alone = stats._resampled_rows(np.zeros(5, np.intp), rng())
    assert len(np.unique(alone[:, 0])) == 5  # of one pretraining, lives are drawn


def test_pairs_belong_together_if_they_share_a_pretraining_of_either() -> None:
    four = lives("1 2 3 4")
    own, two, same = (replace(four, pretraining=np.array(of)) for of in ([1, 2, 3, 4], [1, 1, 2, 2], [0] * 4))
    assert stats.paired_clusters((own, four)).tolist() == [0, 1, 2, 3]
    assert stats.paired_clusters((own, two)).tolist() == [0, 0, 1, 1]
    assert stats.paired_clusters((two, same)).tolist() == [0] * 4
    linked = replace(four, pretraining=np.array([1, 2, 2, 3]))
    assert stats.paired_clusters((two, linked)).tolist() == [0] * 4


def test_rates_of_several_pretrainings_by_hand() -> None:
    """Two pretrainings of four lives: 4 of 4 and 1 of 4, so 5/8; sums of x - rate: 1.5 and -1.5.

    Between them 2/1 · 4.5 / 64 = 0.1406, of independent lives (15/64) / 7 = 0.0335: a design effect of 4.2.
    8 / 4.2 · (2.365 / 12.706)² = 0.066, which is less than the two that there are. Clopper and Pearson of
    1.25 of 2.
    """
    some = replace(lives("1 1 1 1 1 10+ 10+ 10+"), pretraining=np.array([0] * 4 + [1] * 4))
    assert stats.independent_lives(some) == 2
    found = stats.success_rate(some)
    assert found.estimate == 5 / 8
    assert found.low == pytest.approx(sp.beta.ppf(0.025, 1.25, 1.75))
    assert found.high == pytest.approx(sp.beta.ppf(0.975, 2.25, 0.75))
    # Three of four: 3/4 each, no difference between them, so no more than there are lives.
    even = replace(lives("1 1 1 10+ 1 1 1 10+"), pretraining=np.array([0] * 4 + [1] * 4))
    assert stats.independent_lives(even) == 8
    # 20 of 5 · 4: sums 0, 0, 1, -1, 0 of a rate of 1/2: 5/4 · 2/400 = 1/160 of (1/4) / 19 = 1/76.
    rows = [1, 1, 0, 0] * 2 + [1, 1, 1, 0] + [1, 0, 0, 0] + [1, 1, 0, 0]
    many = Lives(np.full(20, 10.0), np.array(rows, bool), 10.0, 0.0, np.repeat(np.arange(5), 4))
    t19, t4 = sp.t.ppf(0.975, 19), sp.t.ppf(0.975, 4)
    assert stats.independent_lives(many) == pytest.approx(min(20, 20 / (76 / 160) * (t19 / t4) ** 2))
    every = replace(many, success=np.ones(20, bool))
    assert stats.success_rate(every) == pytest.approx((1, 0.025 ** (1 / 5), 1))  # as five lives
    single = replace(every, pretraining=np.zeros(20, np.intp))
    assert stats.success_rate(single) == pytest.approx((1, 0.025 ** (1 / 20), 1))


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
    assert np.isnan(stats._expanded(uniform, 1, 0.95)).all()
    assert stats._expanded(uniform, 10**6, 0.9) == pytest.approx((0.05, 0.95), abs=1e-5)


def test_a_profile_is_as_uncertain_as_its_smallest_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def expanded(values: np.ndarray, count: int, confidence: float) -> tuple[float, float]:
        counts.append(count)
        return 0.0, 0.0

    monkeypatch.setattr(stats, "_expanded", expanded)
    stats.performance_profile([lives("1 2"), lives("1 2 3 4 5")], rng(), points=3)
    assert counts == [2, 2, 2]
    shared = replace(lives("1 2 3 4"), pretraining=np.array([0, 0, 1, 1]))
    stats.performance_profile([shared, lives("1 2 3 4 5")], rng(), points=1)
    assert counts == [2, 2, 2, 2]


def test_a_median_whose_band_is_not_defined_is_its_own_lower_bound() -> None:
    """Both lives succeed at 3: S falls from 1 to 0, and a log-log band has no value at either."""
    assert stats.median_steps(lives("3 3")) == (3, 3, np.inf)


def test_lives_at_the_budget_are_known_and_interrupted_ones_are_not() -> None:
    some = lives("10+ 9+ 4", budget=10)
    assert some.known.tolist() == [True, False, True]
    assert some.take(np.array([2, 0])).time.tolist() == [4, 10]
    assert len(some) == 3
    none = stats.success_rate(lives("3+ 4+"))
    assert np.isnan(none).all()


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


# --- coverage with several pretrainings ---------------------------------------------------------------------


def pretrained(r: np.random.Generator, count: int, each: int, home: float, alike: float) -> Lives:
    """Lives of ``count`` pretrainings, budget 200; ``alike`` is the correlation of two of one pretraining."""
    spread = (1 - alike) / alike  # of a beta distribution with this correlation
    rates = r.beta(home * spread, (1 - home) * spread, count) if spread else (r.random(count) < home) * 1.0
    success = r.random((count, each)) < rates[:, None]
    time = np.where(success, np.clip(r.normal(40, 10, success.shape), 1, None), 200.0)
    return Lives(time.ravel(), success.ravel(), 200.0, 0.0, np.repeat(np.arange(count), each))


def covered(count: int, home: float, alike: float, *, known: bool = True) -> tuple[float, float]:
    """Share of 1,000 intervals of rate and restricted mean that hold the truth; ten lives a pretraining.

    Not ``known``: the lives are taken for independent ones.
    """
    r, trials, inside = np.random.default_rng(3), 1000, np.zeros(2)
    for _ in range(trials):
        found = pretrained(r, count, 10, home, alike)
        found = found if known else replace(found, pretraining=None)
        rate, mean = stats.success_rate(found), stats.restricted_mean(found, r)
        inside += rate.low <= home <= rate.high, mean.low <= home * 40 + (1 - home) * 200 <= mean.high
    rates, means = inside / trials
    return float(rates), float(means)


@pytest.mark.parametrize("alike", [0.1, 0.3, 0.6, 1.0])
def test_intervals_of_five_pretrainings_of_ten_lives_are_covered(
    alike: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a success rate of 60 %, whatever the correlation within a pretraining is."""
    monkeypatch.setattr(stats, "RESAMPLES", 500)
    assert min(covered(5, 0.6, alike)) >= 0.92


@pytest.mark.parametrize(("alike", "most"), [(0.1, 0.9), (0.6, 0.6)])
def test_lives_taken_for_independent_ones_are_not_covered(
    alike: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "RESAMPLES", 500)
    assert max(covered(5, 0.6, alike, known=False)) <= most


@pytest.mark.parametrize(
    ("count", "home", "alike", "low", "high"),
    [(3, 0.6, 0.3, 0.89, 0.95), (3, 0.6, 1.0, 0.68, 0.77), (5, 0.9, 0.3, 0.84, 0.91)],
)
def test_what_few_pretrainings_do_not_show_is_not_in_the_interval_of_the_mean(
    count: int, home: float, alike: float, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the docs say. Intervals of the success rate hold it even then."""
    monkeypatch.setattr(stats, "RESAMPLES", 500)
    rates, means = covered(count, home, alike)
    assert rates >= 0.95
    assert low <= means <= high


def test_the_size_of_the_test_of_five_and_five_pretrainings_is_five_percent_at_most() -> None:
    """Four lives each, with a correlation of 0.6. Lives relabelled one by one are rejected far too often."""
    r, trials = np.random.default_rng(4), 1000
    whole = single = 0
    for _ in range(trials):
        pair = (pretrained(r, 5, 4, 0.6, 0.6), pretrained(r, 5, 4, 0.6, 0.6))
        one, two = (replace(lives, pretraining=None) for lives in pair)
        whole += stats.log_rank([pair])[1] <= 0.05
        single += stats.log_rank([(one, two)])[1] <= 0.05
    error = 3 * math.sqrt(0.05 * 0.95 / trials)
    assert 0.02 < whole / trials <= 0.05 + error
    assert single / trials > 0.15


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
    chi2, p = stats.log_rank([(groups[0], groups[1])])
    assert chi2 == pytest.approx(test.test_statistic, abs=1e-9)
    assert p == pytest.approx(test.p_value, abs=0.02)  # of 30 lives the asymptotic test is about right


def test_the_size_of_the_test_of_lives_of_their_own_against_shared_pretrainings() -> None:
    """Thirty against six of five, correlation 0.3. Mixed as if they were alike, a tenth would be rejected."""
    r, trials, rejected = np.random.default_rng(5), 600, 0
    for _ in range(trials):
        own = replace(pretrained(r, 30, 1, 0.6, 0.3), pretraining=None)
        rejected += stats.log_rank([(own, pretrained(r, 6, 5, 0.6, 0.3))])[1] <= 0.05
    assert 0.005 < rejected / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
