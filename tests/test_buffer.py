"""The buffer: the prior is never overwritten, shares are exact, and look-ahead returns are right."""

import numpy as np
import pytest
import torch

from slrl.learning.buffer import Buffer
from slrl.priors import Prior
from slrl.types import Transition

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")


def step(number: float, *, terminated: bool = False) -> Transition:
    return Transition(
        np.full(6, number, np.float32),
        np.zeros(2, np.float32),
        number,
        np.full(6, number + 0.5, np.float32),
        terminated,
        False,
    )


def buffer_of(prior: Prior, life_rows: int) -> Buffer:
    return Buffer(prior, life_rows, np.random.default_rng(0), CPU)


def test_the_prior_is_never_overwritten(small_prior: Prior) -> None:
    buffer = buffer_of(small_prior, 10)
    n = len(small_prior)
    for number in range(1000, 1035):  # three and a half times around
        buffer.append(step(number), bootstrap=True)
    kept = buffer.rows(np.arange(n))
    for column, rows in zip(
        kept, (small_prior.obs, small_prior.action, small_prior.reward, small_prior.next_obs), strict=False
    ):
        np.testing.assert_array_equal(column.numpy(), rows)
    np.testing.assert_array_equal(kept.bootstrap.numpy(), 1.0 - small_prior.terminated)
    assert sorted(buffer.rows(np.arange(n, n + 10)).reward.tolist()) == list(
        range(1025, 1035)
    )  # the oldest of the life went first
    assert buffer.newest().tolist() == [1034.5] * 6


@pytest.mark.parametrize(("size", "fraction"), [(256, 0.5), (256, 0.25), (7, 0.5), (64, 0.0), (64, 1.0)])
def test_a_fixed_share_is_exact(small_prior: Prior, size: int, fraction: float) -> None:
    buffer = buffer_of(small_prior, 100)
    for number in range(50):
        buffer.append(step(number), bootstrap=True)
    for _ in range(20):
        rows = buffer.sample(size, fraction).row
        assert int((rows < len(small_prior)).sum()) == round(size * fraction)
        assert int(rows.max()) < len(small_prior) + 50


def test_a_proportional_share_is_uniform_over_all_rows(small_prior: Prior) -> None:
    buffer = buffer_of(small_prior, 100)
    for number in range(3 * len(small_prior)):
        buffer.append(step(number), bootstrap=True)
    rows = torch.cat([buffer.sample(1000).row for _ in range(20)])
    assert (rows < len(small_prior)).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert len(rows.unique()) == 4 * len(small_prior)


def test_without_a_life_every_row_is_prior(small_prior: Prior) -> None:
    assert int(buffer_of(small_prior, 5).sample(100, 0.5).row.max()) < len(small_prior)


def test_termination_and_a_cut_target_are_two_things(small_prior: Prior) -> None:
    buffer = buffer_of(small_prior, 5)
    n = len(small_prior)
    buffer.append(step(1), bootstrap=True)
    buffer.append(step(2), bootstrap=False)
    buffer.append(step(3, terminated=True), bootstrap=False)
    life = buffer.rows(np.arange(n, n + 3))
    assert life.terminated.tolist() == [0, 0, 1]
    assert life.bootstrap.tolist() == [1, 0, 0]


def test_look_ahead_by_hand() -> None:
    """One episode of four steps that ends terminated, one of two that is cut; γ = 0.5, three steps."""
    rows = rows_of([4, 2])._replace(reward=np.array([1, 2, 4, 8, 16, 32], np.float32))
    prior = prior_of(rows)
    buffer = buffer_of(prior, 0)
    buffer.look_ahead(3, prior, discount=0.5)
    batch = buffer.rows(np.arange(6))
    # 1 + 2/2 + 4/4 = 3 | 2 + 4/2 + 8/4 = 6 | 4 + 8/2 = 8 | 8 || 16 + 32/2 = 32 | 32
    assert batch.reward.tolist() == [3, 6, 8, 8, 32, 32]
    # γ^{m-1}: three steps 0.25; the next three rows end terminated; the cut episode has two steps, then one
    assert batch.bootstrap.tolist() == [0.25, 0, 0, 0, 0.5, 1]
    assert batch.terminated.tolist() == [0, 1, 1, 1, 0, 0]
    np.testing.assert_array_equal(batch.next_obs.numpy(), rows.next_obs[[2, 3, 3, 3, 5, 5]])


def test_memory_per_transition_is_close_to_the_raw_floats() -> None:
    for obs_dim, action_dim in ((6, 2), (17, 6)):
        prior = prior_of(rows_of([1000], obs_dim=obs_dim, action_dim=action_dim))
        buffer = buffer_of(prior, 0)
        raw = 4 * (2 * obs_dim + action_dim + 2)
        assert buffer.bytes_per_row / raw <= 1.2
