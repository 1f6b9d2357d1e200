"""Statistics of lives against scipy, lifelines and brute force, at their edges; and the words of verdicts."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as sp

from slrl.evaluation import stats, verdict
from slrl.evaluation.stats import Interval, Lives
from slrl.evaluation.verdict import Contest


def of(
    time: list[float], success: list[int] | None = None, budget: float = 10.0, optimum: float = 0.0
) -> Lives:
    return Lives(np.array(time, float), np.array(success or [1] * len(time), bool), budget, optimum)


def some(seed: int, size: int, cut: float = 0.3, budget: float = 40.0) -> Lives:
    """Lives of which some are cut short, with many ties."""
    rng = np.random.default_rng(seed)
    time, gone = (
        rng.integers(1, 60, size).astype(float),
        np.where(rng.random(size) < cut, rng.integers(1, 40, size), budget),
    )
    return Lives(np.minimum(time, gone), time <= gone, budget, 2.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- one adapter --------------------------------------------------------------------------------------------


def test_known_lives_succeeded_or_used_up_their_budget() -> None:
    assert of([3, 3, 10, 9.9], [1, 0, 0, 0]).known.tolist() == [True, False, True, False]


def test_scores_leave_out_lives_that_were_cut_short_and_stay_between_0_and_1() -> None:
    """Budget 10, optimum 2: after 4 steps (10 - 4) / 8; faster than the optimum is 1."""
    assert of([4, 1, 3, 10], [1, 1, 0, 0], optimum=2).scores().tolist() == [0.75, 1, 0]


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(("home", "lost"), [(0, 7), (7, 0), (3, 4), (1, 19)])
def test_rates_have_the_bounds_of_beta_distributions(home: int, lost: int, confidence: float) -> None:
    """Clopper and Pearson: quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k)."""
    found = stats.success_rate(of([5.0] * home + [10.0] * lost, [1] * home + [0] * lost), confidence)
    tail = (1 - confidence) / 2
    low = sp.beta.ppf(tail, home, lost + 1) if home else 0.0
    high = sp.beta.ppf(1 - tail, home + 1, lost) if lost else 1.0
    np.testing.assert_allclose(found, (home / (home + lost), low, high), atol=1e-9)


def test_a_rate_of_lives_that_all_were_cut_short_is_unknown() -> None:
    found = stats.success_rate(of([3, 4], [0, 0]))
    assert np.isnan(found).all()


def brute_survival(lives: Lives, t: float) -> float:
    """Π over times of success up to t of (1 - succeeded / at risk)."""
    product = 1.0
    for at in sorted(set(lives.time[lives.success].tolist())):
        if at <= t:
            product *= 1 - np.sum((lives.time == at) & lives.success) / np.sum(lives.time >= at)
    return product


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cut", [0.0, 0.4, 1.0])
def test_survival_and_its_area_are_those_of_a_brute_force(seed: int, cut: float) -> None:
    lives = some(seed, 15, cut)
    curve = stats.kaplan_meier(lives)
    np.testing.assert_allclose(curve.at, [brute_survival(lives, t) for t in curve.steps], atol=1e-12)
    area = sum(brute_survival(lives, t) for t in range(40))  # steps are whole numbers
    found = stats.restricted_mean(lives, rng())
    assert found.estimate == pytest.approx(area)
    assert 0 <= found.low <= found.estimate <= found.high <= 40


def test_the_band_of_survival_is_log_log_with_greenwoods_variance() -> None:
    """Of four, one succeeds at 2: S = 3/4; log(-log S) has variance 1/(4·3) / (log S)².

    Bounds are S^exp(±1.96 · deviation).
    """
    curve = stats.kaplan_meier(of([2, 10, 10, 10], [1, 0, 0, 0]))
    width = sp.norm.ppf(0.975) * math.sqrt(1 / 12) / abs(math.log(0.75))
    assert curve.low[0] == pytest.approx(0.75 ** math.exp(width))
    assert curve.high[0] == pytest.approx(0.75 ** math.exp(-width))


@pytest.mark.parametrize(
    ("time", "success", "median"),
    [
        ([1, 2, 3], [1, 1, 1], 2),
        ([1, 2, 3, 4], [1, 1, 1, 1], 2),  # exactly half are home after 2
        ([1, 2, 3, 4], [0, 1, 1, 1], 3),  # 2/3, then 1/3
        ([1, 10, 10], [1, 0, 0], None),
        ([5], [1], 5),
    ],
)
def test_medians_by_hand(time: list[float], success: list[int], median: float | None) -> None:
    found = stats.median_steps(of(time, success))
    assert (None if found is None else found.estimate) == median
    assert found is None or len(time) == 1 or found.low <= found.estimate <= found.high


def test_area_of_those_cut_short_at_the_same_time_as_one_came_home() -> None:
    """At 4 one of three comes home before the one cut short leaves: S = 2/3 until 6: 4 + 4/3."""
    assert stats.restricted_mean(of([4, 4, 6], [0, 1, 1]), rng()).estimate == pytest.approx(4 + 2 * 2 / 3)


def test_who_comes_home_after_the_budget_counts_as_the_budget() -> None:
    assert stats.restricted_mean(of([4, 16], [1, 1]), rng()).estimate == 7
    assert stats.restricted_mean(of([4, 16, 2], [1, 1, 0]), rng()).estimate == pytest.approx(4 + 6 / 2)


def test_a_bootstrap_is_widened_as_students_t_is_and_that_of_one_is_none() -> None:
    """n = 4: Φ(sqrt(4/3) · t(3)) of 2.5 % is Φ(-3.675) = 0.012 %; one life has no bounds."""
    even = np.linspace(0, 1, 100_001)
    tail = sp.norm.cdf(-math.sqrt(4 / 3) * sp.t.ppf(0.975, 3))
    assert tail == pytest.approx(1.19e-4, rel=0.01)
    np.testing.assert_allclose(stats._expanded(even, 4, 0.95), (tail, 1 - tail), atol=1e-5)
    assert np.isnan(stats._expanded(even, 1, 0.95)).all()


def test_an_interval_of_the_mean_is_a_bootstrap_over_lives() -> None:
    """Of n = 30 without anybody cut short, about mean ± t · deviation / sqrt(n)."""
    time = rng().uniform(100, 300, 30)
    found = stats.restricted_mean(of(time.tolist(), budget=1000), rng())
    half = sp.t.ppf(0.975, 29) * time.std(ddof=1) / math.sqrt(30)
    assert found.low == pytest.approx(time.mean() - half, abs=0.12 * half)
    assert found.high == pytest.approx(time.mean() + half, abs=0.12 * half)


# --- several scenarios --------------------------------------------------------------------------------------


def test_the_interquartile_mean_drops_a_quarter_at_each_end() -> None:
    """Scores 0, 0.1, …, 0.7 of eight lives: the middle four have mean 0.35, whatever the ends are."""
    assert stats.interquartile_mean([of([10 - i for i in range(8)])], rng()).estimate == pytest.approx(0.35)
    ends = of([0, 1, 6, 7, 5, 4, 10, 10], [1, 1, 1, 1, 1, 1, 0, 0])
    assert stats.interquartile_mean([ends], rng()).estimate == pytest.approx((0.3 + 0.4 + 0.5 + 0.6) / 4)


def test_a_profile_counts_scores_of_at_least_so_much_and_scenarios_alike() -> None:
    """Scores 1, 0.5, 0.5, 0 in one scenario and 0.25 in another; a score itself is reached."""
    profile = stats.performance_profile([of([0, 5, 5, 10], [1, 1, 1, 0]), of([7.5] * 2)], rng(), points=5)
    assert profile.score.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(profile.share, [1, (3 / 4 + 1) / 2, 3 / 8, 1 / 8, 1 / 8])
    assert (profile.low <= profile.share + 1e-12).all()
    assert (profile.share <= profile.high + 1e-12).all()


# --- two adapters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_stratified_log_rank_test_is_that_of_lifelines_summed_over_strata(seed: int) -> None:
    """lifelines' own stratified version adds up differences and variances of each stratum."""
    lifelines = pytest.importorskip("lifelines.statistics")
    pairs = [(some(10 * seed + i, 12), some(10 * seed + i + 5, 9)) for i in range(2)]
    alone = [stats.log_rank([pair]) for pair in pairs]
    for (one, two), found in zip(pairs, alone, strict=True):
        theirs = lifelines.logrank_test(one.time, two.time, one.success, two.success)
        assert found[0] == pytest.approx(theirs.test_statistic, abs=1e-9)
        assert found[1] == pytest.approx(theirs.p_value, abs=0.04)
    differences, variances = zip(*(brute_log_rank(*pair) for pair in pairs), strict=True)
    assert stats.log_rank(pairs)[0] == pytest.approx(sum(differences) ** 2 / sum(variances))


def brute_log_rank(one: Lives, two: Lives) -> tuple[float, float]:
    """Sums over times of the hypergeometric mean and variance, from scipy's chances."""
    difference = variance = 0.0
    for t in {*one.time[one.success].tolist(), *two.time[two.success].tolist()}:
        home = [int(np.sum((x.time == t) & x.success)) for x in (one, two)]
        risk = [int(np.sum(x.time >= t)) for x in (one, two)]
        counts = np.arange(sum(home) + 1)
        chance = sp.hypergeom.pmf(counts, sum(risk), risk[0], sum(home))
        mean = float(chance @ counts)
        difference += home[0] - mean
        variance += float(chance @ (counts - mean) ** 2)
    return difference, variance


def test_improvement_counts_pairs_won_and_half_of_ties() -> None:
    """2 against 2, 3, 9+: ½, 1, 1; 4+ against them: 0, 0, ½; 3 against them: 0, ½, 1."""
    pair = (of([2, 4, 3], [1, 0, 1]), of([2, 3, 9], [1, 1, 0]))
    wins = (0.5 + 1 + 1) + (0 + 0 + 0.5) + (0 + 0.5 + 1)
    found = stats.probability_of_improvement([pair], rng())
    assert found.estimate == pytest.approx(wins / 9)
    assert stats.probability_of_improvement([pair[::-1]], rng()).estimate == pytest.approx(1 - wins / 9)
    assert 0 <= found.low <= found.estimate <= found.high <= 1


def test_a_difference_is_first_minus_second_and_over_scenarios_in_parts_of_the_way() -> None:
    """2 steps of 10 - 0 and -10 steps of 90 - 40: 0.2 and -0.2."""
    small, large = (
        (of([5, 7]), of([3, 5])),
        (of([50], budget=90, optimum=40), of([60], budget=90, optimum=40)),
    )
    assert stats.mean_difference([small], rng()) == pytest.approx((2, 2, 2))
    assert stats.mean_difference([large], rng()).estimate == -10
    assert stats.mean_difference([small, large], rng()).estimate == pytest.approx(0)


@pytest.mark.parametrize(("confidence", "power"), [(0.95, 0.8), (0.99, 0.9)])
def test_seeds_needed_are_those_of_a_paired_test(confidence: float, power: float) -> None:
    """Differences -1, -3, 10 - 10 (beyond the budget is the budget); a pair cut short does not count."""
    pair = (of([5, 4, 2, 12], [1, 1, 0, 1]), of([6, 7, 9, 10], [1, 1, 1, 0]))
    z = sp.norm.ppf((1 + confidence) / 2) + sp.norm.ppf(power)
    differences = np.array([-1.0, -3.0, 0.0])
    expected = math.ceil((z * differences.std(ddof=1) / differences.mean()) ** 2)
    assert stats.seeds_needed(pair, confidence, power) == expected


def test_differences_that_are_all_alike_need_two_seeds() -> None:
    assert stats.seeds_needed((of([1, 2, 3]), of([4, 5, 6]))) == 2
    assert stats.seeds_needed((of([1]), of([4]))) is None


@pytest.mark.parametrize("seed", range(5))
def test_holms_adjustment_is_that_of_its_definition(seed: int) -> None:
    """The smallest α at which stepping down from the smallest p rejects it."""
    p = np.random.default_rng(seed).random(6) ** 3

    def rejected(alpha: float) -> set[int]:
        out: set[int] = set()
        for rank, i in enumerate(sorted(range(6), key=lambda i: float(p[i]))):
            if p[i] > alpha / (6 - rank):
                break
            out.add(i)
        return out

    for i, adjusted in enumerate(stats.holm(p.tolist())):
        assert i in rejected(adjusted * (1 + 1e-9)) or adjusted == 1
        assert i not in rejected(adjusted * (1 - 1e-9))
    assert stats.holm([]) == []


# --- verdicts -----------------------------------------------------------------------------------------------


def contest(low: float, high: float, adjusted: float, count: int = 5, **more: Any) -> Contest:
    lives = of([float(i) for i in range(1, count + 1)])
    gap, chance = Interval((low + high) / 2, low, high), Interval(0.5, 0.25, 0.75)
    usual = {"one": "a", "two": "b", "scenarios": ("w",), "pairs": ((lives, lives),), "p_value": adjusted}
    return Contest(**{**usual, "adjusted": adjusted, "difference": gap, "improvement": chance, **more})


@pytest.mark.parametrize(
    ("low", "high", "adjusted", "pairs", "who"),
    [
        (-3, -1, 0.049, 5, "a"),
        (1, 3, 0.049, 5, "b"),
        (-3, -1, 0.05, 5, None),
        (-3, 0, 0.01, 5, None),
        (0, 3, 0.01, 5, None),
        (-3, -1, 0.01, 4, None),
    ],
)
def test_ahead_is_who_both_tests_and_pairs_enough_speak_for(
    low: float, high: float, adjusted: float, pairs: int, who: str | None
) -> None:
    assert verdict.faster_of(contest(low, high, adjusted, pairs)) == who


def test_the_fastest_met_all_others_and_is_ahead_of_each() -> None:
    wins, loses, open_ = (-3, -1, 0.01), (1, 3, 0.01), (-3, 1, 0.5)
    ab, ac, bc = (contest(*wins), contest(*wins, two="c"), contest(*open_, one="b", two="c"))
    assert verdict.fastest("abc", [ab, ac, bc]) == "a"
    assert verdict.unbeaten("abc", [ab, ac, bc]) == ["a"]
    assert verdict.fastest("abc", [ab, bc]) is None  # a never met c
    assert verdict.unbeaten("abc", [ab, bc]) == ["a", "c"]
    late = [contest(*loses), contest(*loses, one="c", two="b"), contest(*open_, two="c")]
    assert verdict.fastest("abc", late) == "b"
    assert verdict.fastest("a", []) is None
    assert verdict.unbeaten("ab", [contest(*open_)]) == ["a", "b"]


def test_contests_are_adjusted_for_their_number() -> None:
    """Of three pairs of adapters, Holm multiplies the smallest p by three."""
    lives = {
        ("w", name): of([float(base + i) for i in range(5)])
        for name, base in zip("abc", (1, 3, 4), strict=True)
    }
    met = verdict.contests(lives, {key: [(i, 0) for i in range(5)] for key in lives}, "abc", rng())
    assert [contest.adjusted for contest in met] == stats.holm([contest.p_value for contest in met])
    first = min(met, key=lambda contest: contest.p_value)
    assert first.adjusted == pytest.approx(3 * first.p_value)
    assert first.p_value < 0.05


def said(found: Contest) -> str:
    return "\n".join(verdict.verdict(found))


@pytest.mark.parametrize(
    ("low", "high", "adjusted", "there", "missing"),
    [
        (
            -3,
            -1,
            0.01,
            "  a was faster than b, by 2 steps in the restricted mean (95 % interval of the",
            "disagree",
        ),
        (
            1,
            3,
            0.01,
            "  b was faster than a, by 2 steps in the restricted mean (95 % interval of the",
            "disagree",
        ),
        (1, 3, 0.05, "Interval and test disagree", "No difference is shown"),
        (-1, 3, 0.04, "Interval and test disagree", "was faster"),
        (-1, 3, 0.05, "the restricted means differ by 1 steps (95 % interval: -1 to 3)", "disagree"),
        (0, 0, 0.9, "  No difference at all: every pair of lives took equally long.", "tell them apart"),
        (0, 3, 0.9, "No difference is shown", "was faster"),
    ],
)
def test_what_is_said_of_an_interval_and_a_test(
    low: float, high: float, adjusted: float, there: str, missing: str
) -> None:
    text = said(contest(low, high, adjusted))
    assert there in text
    assert missing not in text
    assert "with a chance of 50 % (95 % interval: 25 to 75 %), ties counting half" in text


def test_a_verdict_names_its_scenarios_pairs_and_adjustment() -> None:
    one = said(contest(-3, -1, 0.0004))
    assert one.startswith("a and b in w, 5 pairs of lives with the same seeds:")
    assert "they differ (log-rank test: p < 0.001)." in one
    assert "to be relied on" not in one
    lives = of([1.0, 2, 3, 4])
    two = said(contest(-0.3, -0.1, 0.04, scenarios=("w", "v"), pairs=((lives, lives),) * 2, p_value=0.02))
    assert two.startswith("a and b in 2 scenarios, 8 pairs of lives")
    assert "by 0.20 of the range from optimum to budget" in two
    assert "they differ (log-rank test, stratified by scenario: p = 0.020, p = 0.040 after Holm's" in two
    assert "  With 4 pairs in a scenario the intervals are unreliable." in two


@pytest.mark.parametrize(
    ("second", "says"),
    [([40.0] * 4, "about 42 seeds show one (power 80 %)"), ([10.0, 50, 10, 50], "")],
)
def test_how_many_seeds_it_takes_is_said_where_it_is_more_than_there_are(
    second: list[float], says: str
) -> None:
    """The example of the statistics' own test: 42."""
    pair = (of([10, 50, 10, 50], budget=100), of(second, budget=100))
    text = said(contest(-30, 10, 0.5, pairs=(pair,)))
    assert says in text
    assert ("seeds show one" in text) == bool(says)
    assert "seeds show one" not in said(contest(-30, -10, 0.5, pairs=(pair,)))


@pytest.mark.parametrize(
    ("lives", "says"),
    [
        (
            of([4, 4, 4, 4]),
            "4 of 4 succeeded (100 %, 95 % interval: 40 to 100 %); median 4 steps (95 % interval: from 4)",
        ),
        (
            of([4, 10, 10], [1, 0, 0]),
            "1 of 3 succeeded (33 %, 95 % interval: 1 to 91 %); median not reached; restricted",
        ),
        (of([4, 4, 3], [1, 1, 0]), "2 of 2 succeeded (100 %, 95 % interval: 16 to 100 %)"),
        (of([4, 3], [0, 0]), "all 2 lives were interrupted, so nothing is known."),
    ],
)
def test_what_is_said_of_one_adapter(lives: Lives, says: str) -> None:
    text = verdict.figures(lives, rng())
    assert text.startswith(says)
    cut = int((~lives.known).sum())
    assert text.endswith("; 1 were interrupted.") == (cut == 1)
