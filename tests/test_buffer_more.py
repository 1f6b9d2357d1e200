"""The buffer again: look-ahead against a brute force, the ring of the life, shares of batches, and states."""

import numpy as np
import pytest
import torch

from slrl.learning.buffer import Buffer
from slrl.priors import Prior
from slrl.types import Transition

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")


def buffer_of(prior: Prior, life_rows: int, seed: int = 0) -> Buffer:
    return Buffer(prior, life_rows, np.random.default_rng(seed), CPU)


def lived(number: int) -> Transition:
    """Every entry says which step it was and which column it is of."""
    obs, action = np.arange(6) + 100.0 * number, np.arange(2) + 100.0 * number + 10
    next_obs = np.arange(6) + 100.0 * number + 20
    ended = number % 3 == 0
    return Transition(
        obs.astype(np.float32), action.astype(np.float32), float(number), next_obs, ended, False
    )


def look_ahead(prior: Prior, row: int, steps: int, discount: float) -> tuple[float, int, float]:
    """(return, last row, bootstrap) as the text says it, one step at a time."""
    total, at = 0.0, row
    for i in range(steps):
        at = row + i
        total += discount**i * float(prior.reward[at])
        if prior.terminated[at] or prior.truncated[at]:
            break
    return total, at, 0.0 if prior.terminated[at] else discount ** (at - row)


@pytest.mark.parametrize("steps", [1, 2, 5, 50])
@pytest.mark.parametrize("discount", [1.0, 0.9, 0.0])
def test_look_ahead_is_what_walking_through_the_episode_gives(steps: int, discount: float) -> None:
    rewards = np.random.default_rng(1).normal(size=33).astype(np.float32)
    prior = prior_of(rows_of([5, 9, 1, 7, 11])._replace(reward=rewards))
    buffer = buffer_of(prior, 3)
    buffer.look_ahead(steps, prior, discount)
    batch = buffer.rows(np.arange(33))
    for row in range(33):
        total, last, bootstrap = look_ahead(prior, row, steps, discount)
        assert batch.reward[row].item() == pytest.approx(total, abs=1e-5)
        assert batch.bootstrap[row].item() == pytest.approx(bootstrap, abs=1e-6)
        assert batch.terminated[row].item() == float(prior.terminated[last])
        np.testing.assert_array_equal(batch.next_obs[row], prior.next_obs[last])
        np.testing.assert_array_equal(batch.obs[row], prior.obs[row])
        np.testing.assert_array_equal(batch.action[row], prior.action[row])


def test_every_column_of_a_step_comes_back_where_it_belongs(small_prior: Prior) -> None:
    buffer = buffer_of(small_prior, 4)
    for number in range(1, 4):
        buffer.append(lived(number), bootstrap=number == 2)
    batch = buffer.rows(np.array([len(small_prior) + 1, len(small_prior) + 2]))
    assert batch.obs.tolist() == [[200, 201, 202, 203, 204, 205], [300, 301, 302, 303, 304, 305]]
    assert batch.action.tolist() == [[210, 211], [310, 311]]
    assert batch.next_obs[0].tolist() == [220, 221, 222, 223, 224, 225]
    assert batch.reward.tolist() == [2, 3]
    assert batch.terminated.tolist() == [0, 1]
    assert batch.bootstrap.tolist() == [1, 0]
    assert batch.row.tolist() == [len(small_prior) + 1, len(small_prior) + 2]


def test_a_life_that_is_longer_than_its_rows_overwrites_the_oldest_one_at_a_time(small_prior: Prior) -> None:
    buffer, n = buffer_of(small_prior, 3), len(small_prior)
    seen = []
    for number in range(1, 8):
        buffer.append(lived(number), bootstrap=True)
        rewards = buffer.rows(np.arange(n, n + buffer.life_size)).reward.tolist()
        assert buffer.newest().tolist() == (np.arange(6) + 100.0 * number + 20).tolist()
        seen.append(rewards)
    assert seen == [[1], [1, 2], [1, 2, 3], [4, 2, 3], [4, 5, 3], [4, 5, 6], [7, 5, 6]]
    np.testing.assert_array_equal(buffer.rows(np.arange(n)).obs, small_prior.obs)
    assert (buffer.life_size, buffer.lived) == (3, 7)


@pytest.mark.parametrize(("fraction", "of_prior"), [(0.0, 0), (0.3, 3), (0.5, 5), (1.0, 10)])
def test_a_batch_has_its_share_of_the_prior_first_and_then_the_life(
    small_prior: Prior, fraction: float, of_prior: int
) -> None:
    buffer, n = buffer_of(small_prior, 8), len(small_prior)
    for number in range(1, 6):
        buffer.append(lived(number), bootstrap=True)
    rows = torch.stack([buffer.sample(10, fraction).row for _ in range(60)])
    assert (rows[:, :of_prior] < n).all()
    assert (rows[:, of_prior:] >= n).all()
    if of_prior < 10:
        assert sorted(set((rows[:, of_prior:] - n).flatten().tolist())) == [0, 1, 2, 3, 4]
    if of_prior:
        assert len(set(rows[:, :of_prior].flatten().tolist())) > n // 2


def test_batches_are_drawn_from_the_generator_that_was_given(small_prior: Prior) -> None:
    one, same, other = (buffer_of(small_prior, 2, seed).sample(50).row.tolist() for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize("steps", [2, 3, 8])
def test_a_saved_life_is_taken_over_with_its_place_in_the_ring(small_prior: Prior, steps: int) -> None:
    buffer, other = buffer_of(small_prior, 3), buffer_of(small_prior, 3)
    for number in range(1, steps + 1):
        buffer.append(lived(number), bootstrap=True)
    saved = buffer.state_dict()
    kept = saved["life"].clone()
    assert saved["life"].shape == (min(steps, 3), 6 + 2 + 1 + 6 + 1 + 1)
    buffer.append(lived(50), bootstrap=True)
    assert torch.equal(saved["life"], kept)  # what was saved does not change with it
    other.load_state_dict(saved)
    assert other.newest().tolist() == (np.arange(6) + 100.0 * steps + 20).tolist()
    other.append(lived(50), bootstrap=True)
    everything = np.arange(len(small_prior) + buffer.life_size)
    for mine, theirs in zip(buffer.rows(everything), other.rows(everything), strict=True):
        assert torch.equal(mine, theirs)
