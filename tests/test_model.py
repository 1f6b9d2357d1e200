"""Planning with a corrected model: least squares and MPPI weights by hand, and what the correction learns."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl.adapters.model import Correction, Model, PriorModel, Settings, mppi_weights
from slrl.priors import Prior

from .conftest import prior_of, rows_of
from .test_sac import make_sac

CPU = torch.device("cpu")


class Still:
    """Dynamics that expect nothing to happen, in standard units."""

    obs_dim = 2

    def __init__(self) -> None:
        self.mean, self.scale = torch.zeros(3), torch.ones(3)
        self.normaliser: Callable[[torch.Tensor], torch.Tensor] = lambda obs: obs

    def inputs(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return torch.cat([obs, action], -1)

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, len(x), 3)


def correction(forgetting: float = 0.98) -> Correction:
    return Correction(Still(), 1, forgetting, 1.0, CPU)  # type: ignore[arg-type]


def test_the_first_step_of_least_squares_by_hand() -> None:
    """x = [1, 0.5, 2, 0], P = diag(1, 0.1, 1e-4, 1e-4): k = Px / (0.5 + xᵀPx), xᵀPx = 1 + 0.025 + 0.0004."""
    found = correction(forgetting=0.5)
    before, after = found.update(torch.tensor([2.0, 0.0]), torch.tensor([0.5]), torch.tensor([5.0, -1.0]))
    gain = np.array([1.0, 0.05, 2e-4, 0.0]) / (0.5 + 1.0254)
    np.testing.assert_allclose(found.weights, np.outer(gain, [3.0, -1.0]), rtol=1e-5)
    covariance = (np.diag([1.0, 0.1, 1e-4, 1e-4]) - np.outer(gain, [1.0, 0.05, 2e-4, 0.0])) / 0.5
    shrink = np.sqrt(np.minimum(1.0, np.array([1.0, 0.1, 1e-4, 1e-4]) / np.diag(covariance)))
    np.testing.assert_allclose(found.covariance, covariance * np.outer(shrink, shrink), rtol=1e-4, atol=1e-9)
    assert float(before) == pytest.approx((9 + 1) / 2)
    assert float(after) == pytest.approx((9 + 1) / 2)  # of the prediction before this step was learned from


def test_a_wind_is_known_after_five_steps_and_a_turned_one_soon_again() -> None:
    found, rng = correction(), np.random.default_rng(0)

    def live(wind: list[float], steps: int) -> None:
        for _ in range(steps):
            obs, action = rng.normal(size=2), rng.uniform(-1, 1, 1)
            found.update(*(torch.tensor(x, dtype=torch.float32) for x in (obs, action, obs + wind)))

    def wind() -> np.ndarray:
        return found.predict(torch.zeros(1, 2), torch.zeros(1, 1))[0].numpy()

    live([-0.2, 0.85], 5)
    np.testing.assert_allclose(wind(), [-0.2, 0.85], atol=0.2)
    live([-0.2, 0.85], 200)
    np.testing.assert_allclose(wind(), [-0.2, 0.85], atol=0.01)
    live([0.9, 0.0], 200)
    np.testing.assert_allclose(wind(), [0.9, 0.0], atol=0.05)


def test_a_reversed_actuator_is_corrected() -> None:
    found, rng = correction(), np.random.default_rng(0)
    for _ in range(300):
        obs, action = rng.normal(size=2), rng.uniform(-1, 1, 1)
        change = np.array([-2.0 * action[0], 0.0])
        found.update(*(torch.tensor(x, dtype=torch.float32) for x in (obs, action, obs + change)))
    np.testing.assert_allclose(found.predict(torch.zeros(1, 2), torch.ones(1, 1))[0], [-2.0, 0.0], atol=0.05)


def test_least_squares_stay_finite_where_nothing_new_happens() -> None:
    found = correction(forgetting=0.9)
    for _ in range(5000):
        found.update(torch.zeros(2), torch.zeros(1), torch.tensor([1.0, 0.0]))
    assert bool(torch.isfinite(found.weights).all())
    assert float(found.covariance.diagonal().max()) <= 1.0 + 1e-6


def test_weights_of_plans_by_hand() -> None:
    """Returns 1, 2, 3 have standard deviation √(2/3): the weights are as exp(-2.449), exp(-1.225) and 1."""
    weights = mppi_weights(torch.tensor([1.0, 2.0, 3.0]), 1.0)
    raw = np.exp(np.array([-2.0, -1.0, 0.0]) / np.sqrt(2 / 3))
    np.testing.assert_allclose(weights, raw / raw.sum(), rtol=1e-5)
    assert mppi_weights(torch.zeros(4), 0.1).tolist() == [0.25] * 4


def planner(**settings: Any) -> tuple[Model, Prior]:
    """Plans with an untrained model of a random prior."""
    prior = prior_of(rows_of([40, 40], obs_dim=3))
    agent = make_sac(prior, discount=0.5, reward_scale=10.0)
    made = Settings(horizon=2, model_steps=1, hidden=(8,), **settings)
    return Model(made, agent, PriorModel(made, 0, prior, CPU), torch.Generator().manual_seed(0)), prior


def test_plans_are_made_with_the_corrected_model() -> None:
    """An error of 2 and -1 standard deviations, whatever is done, moves every prediction by so much."""
    model, prior = planner()
    obs, action = torch.tensor(prior.obs[:5]), torch.tensor(prior.action[:5])
    before, reward, _ = model._step(obs, action)
    model.correction.weights[0] = torch.tensor([2.0, -1.0, 0.0])
    after, same, _ = model._step(obs, action)
    scale = model.learned.dynamics.scale[:-1]
    torch.testing.assert_close(after - before, (torch.tensor([2.0, -1.0, 0.0]) * scale).expand(5, 3))
    assert torch.equal(reward, same)


def test_the_return_of_a_plan_by_hand() -> None:
    """Rewards 3 and disagreement 0.5 at each of two steps, γ = 1/2, V = 8 at the end.

    10 · 3 - 2 · 0.5 = 29, once and a half, and a quarter of 8: 43.5 + 2.
    """
    model, _ = planner(disagreement_weight=2.0)

    def step(obs: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return obs + 1, torch.full((len(obs),), 3.0), torch.full((len(obs),), 0.5)

    model._step = step  # type: ignore[method-assign, assignment]
    model._value = SimpleNamespace(v=lambda obs: 4 * obs[:, 0])  # type: ignore[assignment]
    assert model.returns(torch.zeros(3), torch.zeros(2, 2, 2)).tolist() == [45.5, 45.5]


@pytest.mark.slow
def test_planning_mostly_succeeds_in_the_wind() -> None:
    """Not always: a life that passes the goal may return after thousands of steps (docs/adapters.md)."""
    scenario, prior = slrl.load_scenario("windy_pointmass"), slrl.load_prior("pointmass_breezy")
    successes = 0
    for seed in range(20, 26):
        adapter = slrl.load_adapter("model", prior, scenario, seed=seed, life_steps=1000)
        successes += slrl.live(slrl.make(scenario, life_steps=1000), adapter, seed=seed).outcome == "success"
    assert successes >= 3  # frozen: none of ten in 20,000 steps
