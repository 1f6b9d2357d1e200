"""What a prior tells of its rows: episodes, returns, ranges, the hash of its content, how it fits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box

from slrl import priors
from slrl.errors import BadInput
from slrl.priors import Prior, check_fit, column_range, content_hash, join, validate, with_unit_actions

from .conftest import layouts, prior_of, rows_of


def of(lengths: list[int], rewards: list[float] | None = None, **sizes: int) -> Prior:
    rows = rows_of(lengths, **sizes)
    return prior_of(rows if rewards is None else rows._replace(reward=np.array(rewards, np.float32)))


def test_starts_and_ends_of_episodes() -> None:
    prior = of([3, 1, 4])
    assert (prior.starts.tolist(), prior.ends.tolist()) == ([0, 3, 4], [2, 3, 7])
    assert (prior.episodes, len(prior)) == (3, 8)
    alone = of([5])
    assert (alone.starts.tolist(), alone.ends.tolist(), alone.episodes) == ([0], [4], 1)


def test_returns_are_sums_of_episodes() -> None:
    assert of([3, 1, 2], [1, 2, 4, 8, 16, 32]).returns().tolist() == [7, 8, 48]


def test_a_success_ends_terminated_and_with_a_reward() -> None:
    """Of four episodes the even ones end terminated; the first is paid there, the third only before."""
    assert of([2, 2, 2, 2], [0, 1, 0, 1, 1, 0, 0, 0]).successes() == 1


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 1.0])
def test_returns_to_go_are_sums_to_the_end_of_the_episode(discount: float) -> None:
    rewards = np.random.default_rng(2).normal(size=17)
    prior = of([6, 1, 10], rewards.tolist())
    ends = [6] * 6 + [7] + [17] * 10
    expected = [
        sum(discount ** (i - row) * rewards[i] for i in range(row, end)) for row, end in enumerate(ends)
    ]
    np.testing.assert_allclose(prior.returns_to_go(discount), expected, rtol=1e-4, atol=1e-6)


# --- joining ------------------------------------------------------------------------------------------------


def test_episodes_and_behaviours_of_joined_priors_go_on_counting() -> None:
    one = replace(of([2, 3]), behaviour=np.array([7, 7, 4, 4, 4], np.int32))
    both = join([one, of([1, 2]), one])
    assert both.episode.tolist() == [0, 0, 1, 1, 1, 2, 3, 3, 4, 4, 5, 5, 5]
    assert both.behaviour is not None
    assert both.behaviour.tolist() == [1, 1, 0, 0, 0, 2, 2, 2, 4, 4, 3, 3, 3]
    assert (both.episode.dtype, both.behaviour.dtype) == (np.int32, np.int32)


@pytest.mark.parametrize("key", ["obs", "action", "reward", "next_obs", "terminated", "truncated"])
def test_rows_of_joined_priors_stand_one_after_the_other(key: str) -> None:
    one, two = of([2, 3]), prior_of(rows_of([4], seed=1))
    joined = getattr(join([one, two]), key)
    np.testing.assert_array_equal(joined[:5], getattr(one, key))
    np.testing.assert_array_equal(joined[5:], getattr(two, key))


def test_physical_parameters_are_joined_only_where_all_have_alike() -> None:
    one = replace(of([2]), env_params=np.array([[1.0], [2.0]], np.float32))
    wide = replace(of([1]), env_params=np.array([[3.0, 4.0]], np.float32))
    both = join([one, one]).env_params
    assert both is not None
    assert both.tolist() == [[1], [2], [1], [2]]
    assert join([one, wide]).env_params is None
    assert join([one, of([1])]).env_params is None
    assert join([of([1]), one]).env_params is None


def test_joined_priors_keep_their_notes_and_lose_their_recipe() -> None:
    one = replace(of([1]), name="a", notes=("first",), recipe="a.toml")
    both = join([one, replace(one, name="b", notes=("second", "third"))])
    assert (both.name, both.notes, both.recipe) == ("a + b", ("first", "second", "third"), None)


def test_priors_with_actions_of_other_sizes_are_not_joined() -> None:
    one, two = replace(of([3]), name="a"), replace(of([3], action_dim=5), name="b")
    with pytest.raises(BadInput, match="priors a and b have actions of sizes 2 and 5; all must be alike"):
        join([one, two])


# --- the hash -----------------------------------------------------------------------------------------------


def test_the_hash_does_not_depend_on_how_arrays_lie_in_memory_or_on_names() -> None:
    prior = of([4, 3])
    turned = replace(prior, name="other", notes=("x",), obs=np.asfortranarray(prior.obs))
    strided = replace(prior, action=np.repeat(prior.action, 2, axis=0)[::2])
    assert not turned.obs.flags.c_contiguous
    assert turned.sha256 == strided.sha256 == prior.sha256


@pytest.mark.parametrize("key", ["obs", "action", "reward", "next_obs", "terminated", "truncated", "episode"])
def test_every_array_of_rows_is_in_the_hash(key: str) -> None:
    prior = of([4, 3])
    changed = getattr(prior, key).copy()
    changed.reshape(-1)[-1] = not changed.reshape(-1)[-1]
    assert replace(prior, **{key: changed}).sha256 != prior.sha256


def test_the_shape_of_rows_is_in_the_hash_and_so_is_what_only_some_have() -> None:
    prior = of([4], obs_dim=6)
    flat = replace(prior, obs=prior.obs.reshape(6, 4))
    labelled = replace(prior, behaviour=np.zeros(4, np.int32))
    assert len({content_hash(one) for one in (prior, flat, labelled)}) == 3


def test_a_hash_is_of_the_rows_and_not_of_the_file(tmp_path: Path) -> None:
    of_files = {priors.load(path).sha256 for path in layouts(tmp_path, rows_of([3, 4])).values()}
    assert of_files == {content_hash(rows_of([3, 4]))}
    assert content_hash(rows_of([4, 3])) not in of_files


# --- ranges and units of actions ----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("extreme", [0, -1])
def test_ranges_of_columns_are_those_of_numpy_wherever_the_extremes_stand(rows: int, extreme: int) -> None:
    values = np.random.default_rng(rows).normal(size=(rows, 3)).astype(np.float32)
    values[extreme, 1], values[extreme, 2] = 9.0, -9.0
    low, high = column_range(values)
    np.testing.assert_array_equal(low, values.min(0))
    np.testing.assert_array_equal(high, values.max(0))


def test_actions_are_mapped_to_unit_bounds_and_back() -> None:
    """[-2, 6] has middle 2 and half 4: -2, 2, 6 become -1, 0, 1."""
    low, high = np.array([-2, 0], np.float32), np.array([6, 1], np.float32)
    action = np.array([[-2, 0], [2, 0.5], [6, 1], [4, 0.25]], np.float32)
    prior = replace(of([4]), action=action, action_space=Box(low, high))
    unit = with_unit_actions(prior, low, high)
    assert unit.action.tolist() == [[-1, -1], [0, 0], [1, 1], [0.5, -0.5]]
    assert unit.action.dtype == np.float32
    assert unit.action_space == Box(-1, 1, (2,), np.float32)
    np.testing.assert_allclose(low + (unit.action + 1) / 2 * (high - low), action, atol=1e-6)
    np.testing.assert_array_equal(unit.obs, prior.obs)


def test_actions_a_hair_outside_their_bounds_become_unit_ones_and_unit_bounds_change_nothing() -> None:
    low, high = np.array([0, 0], np.float32), np.array([2, 2], np.float32)
    prior = replace(of([1]), action=np.array([[-1e-6, 2.000001]], np.float32))
    assert with_unit_actions(prior, low, high).action.tolist() == [[-1, 1]]
    assert with_unit_actions(prior, np.full(2, -1.0), np.full(2, 1.0)) is prior
    assert with_unit_actions(prior, np.full(2, -1.0), np.array([1.0, 3.0])) is not prior


# --- fit ----------------------------------------------------------------------------------------------------

OUTSIDE = "prior test has actions outside the bounds of s: "
OBS, ACTION = Box(-np.inf, np.inf, (6,)), Box(-1, 1, (2,))


def test_a_prior_that_fits_is_let_through_and_so_are_actions_at_the_bounds() -> None:
    prior = of([3])
    check_fit(
        replace(prior, action=np.array([[-1, 1], [1, -1], [0, 1.000005]], np.float32)), OBS, ACTION, "s"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"obs": np.zeros((3, 4))}, "prior test has observations of size 4, but s has size 6."),
        ({"action": np.zeros((3, 1))}, "prior test has actions of size 1, but s has size 2."),
        (
            {"action": np.array([[0, -1], [0.5, 1.25], [0, 0.0]])},
            f"{OUTSIDE}dimension 1 goes from -1 to 1.25, allowed are -1 to 1.",
        ),
        (
            {"action": np.array([[-1.0001, 0], [1, 3], [0, 0]])},
            f"{OUTSIDE}dimension 0 goes from -1 to 1, allowed are -1 to 1.",
        ),
    ],
)
def test_a_prior_that_does_not_fit_is_refused_in_a_sentence(change: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_fit(replace(of([3]), **change), OBS, ACTION, "s")
    assert str(caught.value) == says


@pytest.mark.parametrize("key", ["obs", "action", "reward", "next_obs", "env_params"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 5])
def test_a_number_that_is_none_is_found_in_its_row(key: str, value: float, row: int) -> None:
    rows = rows_of([6])._replace(env_params=np.zeros((6, 2), np.float32))
    array = getattr(rows, key).copy()
    array.reshape(6, -1)[row, -1] = value
    with pytest.raises(BadInput, match=f"w has a NaN or infinite {key} in row {row}; remove or repair"):
        validate(rows._replace(**{key: array}), "w")
    validate(rows, "w")


def test_a_behaviour_may_change_only_between_episodes() -> None:
    rows = rows_of([2, 2])
    validate(rows._replace(behaviour=np.array([1, 1, 0, 0], np.int32)), "w")
    with pytest.raises(BadInput, match="w: the behaviour changes within an episode, at row 3; cut"):
        validate(rows._replace(behaviour=np.array([1, 1, 0, 2], np.int32)), "w")
