"""Planning with a learned model that is corrected online during the life.

An ensemble trained on the prior predicts a step; its error is learned by recursive least squares within a few
steps. Plans are optimised by MPPI (Williams et al., 2017) over a short horizon, and the pretrained critics
value the state at its end (as in POLO: Lowrey et al., 2019, and TD-MPC: Hansen et al., 2022).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slrl.adapters.setup import Plan, Setup
from slrl.learning.agents.sac import Sac
from slrl.learning.cache import Artefact
from slrl.learning.dynamics import Dynamics
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.plugins import at_least, layers, require, seed
from slrl.priors import Prior
from slrl.types import F32, Metrics, State, Transition


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    horizon: int = 10  # steps
    plans: int = 256  # random plans per iteration
    iterations: int = 2
    policy_plans: int = 16  # further plans, by the pretrained policy with noise
    temperature: float = 0.1  # of the mean over plans, in standard deviations of their returns
    noise: float = 0.5  # standard deviation of the plans' actions
    keep_noise: float = 0.7  # 0: the spread follows the best plans; 1: it stays at ``noise``
    disagreement_weight: float = 0.0  # subtracted per standard deviation of disagreement
    forgetting: float = 0.98  # of the correction: a step weighs half after 34
    correction_std: float = 1.0  # expected error of the prior's model, in standard deviations of a step
    model_steps: int = 5000
    hidden: tuple[int, ...] = (128, 128)
    linear: bool = True  # whether the model has a linear path beside its layers
    seed: int | None = None  # that of the pretraining if unset

    def __post_init__(self) -> None:
        at_least(self, 1, "horizon", "plans", "iterations", "model_steps", "policy_plans")
        fine = self.temperature > 0 and self.noise > 0 and self.correction_std > 0
        require(fine, "temperature, noise and correction_std must be more than 0")
        fine = 0 < self.forgetting <= 1 and 0 <= self.keep_noise <= 1
        require(fine, "forgetting must be more than 0 and at most 1, and keep_noise between 0 and 1")
        seed(self)
        layers(self, "hidden")


class Model:
    """MPPI before every step: sample plans around the last one, roll them out, average them by their returns.

    Shapes: P plans, H steps of the horizon, A action, O observation.
    """

    def __init__(
        self, settings: Settings, agent: Sac, learned: "PriorModel", generator: torch.Generator
    ) -> None:
        self._settings, self.agent, self.learned, self._generator = settings, agent, learned, generator
        self._device = agent.device
        self.correction = Correction(
            learned.dynamics, agent.action_dim, settings.forgetting, settings.correction_std, self._device
        )
        self._value = agent.frozen_value()
        self.plan = torch.zeros(settings.horizon, agent.action_dim, device=self._device)

    @torch.inference_mode()
    def act(self, obs: F32) -> F32:
        """The first action (A,) of the optimised plan; the rest, shifted by one step, starts the next search.

        Each iteration weighs P plans (policy rollouts, Gaussian samples, the mean) by :func:`mppi_weights`,
        and moves mean and standard deviation (H, A) to the weighted ones.
        """
        start = torch.from_numpy(obs).to(self._device)
        mean, std = self.plan, torch.full_like(self.plan, self._settings.noise)
        guided = self._policy_rollouts(start)
        for _ in range(self._settings.iterations):
            noise = torch.randn(self._settings.plans, *mean.shape, generator=self._generator).to(self._device)
            plans = torch.cat([guided, (mean + std * noise).clamp(-1.0, 1.0), mean.unsqueeze(0)])
            returns = self.returns(start, plans)
            weight = mppi_weights(returns, self._settings.temperature)
            mean = (weight[:, None, None] * plans).sum(0)
            std = (weight[:, None, None] * (plans - mean).square()).sum(0).sqrt().clamp(min=0.05)
            std = torch.lerp(std, torch.full_like(std, self._settings.noise), self._settings.keep_noise)
        action: F32 = mean[0].cpu().numpy().copy()
        self.plan = torch.cat([mean[1:], mean[-1:]]).clone()
        return action

    def observe(self, transition: Transition) -> Metrics:
        """Correct the model by one step. Metrics: its mean squared error without and with the correction."""
        obs, next_obs, action = (
            torch.from_numpy(np.asarray(values, np.float32)).to(self._device)
            for values in (transition.obs, transition.next_obs, transition.action)
        )
        before, after = self.correction.update(obs, action, next_obs)
        return {"adapter/model_error": before, "adapter/corrected_error": after}

    def learn(self) -> Metrics:
        """Nothing: the correction is updated in :meth:`observe`, and no weight changes."""
        return {}

    def returns(self, start: Tensor, plans: Tensor) -> Tensor:
        """Returns (P,) of plans (P, H, A): Σ γ^t (r - w · disagreement) + γ^H V(s_H)."""
        scale, discount = self.agent.reward_scale, self.agent.discount
        obs = start.expand(len(plans), -1)
        total = torch.zeros(len(plans), device=self._device)
        for step in range(self._settings.horizon):
            obs, reward, disagreement = self._step(obs, plans[:, step])
            total += discount**step * (scale * reward - self._settings.disagreement_weight * disagreement)
        return total + discount**self._settings.horizon * self._value.v(obs)

    def _step(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Next observation, reward and disagreement of the corrected model."""
        dynamics = self.learned.dynamics
        x = dynamics.inputs(obs, action)
        out = dynamics.outputs(x)
        mean = out.mean(0)
        change = mean[:, :-1] + self.correction.predict(obs, action)
        disagreement = out[..., :-1].std(0, unbiased=False).mean(-1)
        obs = obs + change * dynamics.scale[:-1] + dynamics.mean[:-1]
        reward = (mean[:, -1] * dynamics.scale[-1] + dynamics.mean[-1]) * self.learned.dense
        return obs, reward, disagreement

    def _policy_rollouts(self, start: Tensor) -> Tensor:
        """(policy_plans, H, A): what the pretrained policy would do, with some noise."""
        obs = start.expand(self._settings.policy_plans, -1)
        actions = []
        for _ in range(self._settings.horizon):
            mode = self.agent.mode(obs)
            noise = torch.randn(mode.shape, generator=self._generator).to(self._device)
            noise[0] = 0.0
            action = (mode + 0.2 * noise).clamp(-1.0, 1.0)
            actions.append(action)
            obs, _, _ = self._step(obs, action)
        return torch.stack(actions, 1)

    def state_dict(self) -> State:
        """Agent, ensemble, correction, the plan (H, A), the noise generator and the frozen value."""
        own = [self.plan, self._generator.get_state(), *self._value.tensors()]
        return nest(
            agent=self.agent.state_dict(),
            learned=self.learned.state_dict(),
            correction=self.correction.state_dict(),
            model=of_tensors(own),
        )

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.agent.load_state_dict(substate(state, "agent"))
        self.learned.load_state_dict(substate(state, "learned"))
        self.correction.load_state_dict(substate(state, "correction"))
        generator = self._generator.get_state()
        self.plan = self.plan.clone()
        set_tensors([self.plan, generator, *self._value.tensors()], substate(state, "model"))
        self._generator.set_state(generator)


class PriorModel:
    """The ensemble of dynamics, trained on the prior."""

    def __init__(self, settings: Settings, seed: int, prior: Prior, device: torch.device) -> None:
        self.steps, self._rng = settings.model_steps, np.random.default_rng(seed)
        self.dynamics = Dynamics(
            prior,
            torch.Generator().manual_seed(seed),
            device,
            hidden=settings.hidden,
            linear=settings.linear,
        )
        self._rows = tuple(
            torch.tensor(rows, device=device)
            for rows in (prior.obs, prior.action, prior.reward, prior.next_obs)
        )
        # The value at the end of the horizon already contains a sparse reward; the model would only blur it.
        self.dense = float(prior.dense)

    def learn(self) -> Iterator[Metrics]:
        """Regression on batches of 256 random rows of the prior."""
        for _ in range(self.steps):
            at = torch.from_numpy(self._rng.integers(len(self._rows[0]), size=256)).to(self._rows[0].device)
            loss = self.dynamics.loss(*(rows[at] for rows in self._rows))
            self.dynamics.step(loss, [])
            yield {"pretrain/dynamics_loss": loss.detach()}

    def state_dict(self) -> State:
        """The ensemble's weights, optimiser and scales."""
        return self.dynamics.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load the ensemble, in place."""
        self.dynamics.load_state_dict(state)


class Correction:
    """The model's error as a linear function of [1, a, s], by recursive least squares with forgetting.

    For features x and standardised errors e: k = P x / (λ + xᵀP x), W ← W + k (e - xᵀW), P ← (P - k xᵀP) / λ.
    P begins with the variances expected of W: largest for the constant, a tenth for actions, 1e-4 for the
    state.
    """

    def __init__(
        self, dynamics: Dynamics, actions: int, forgetting: float, std: float, device: torch.device
    ) -> None:
        self._dynamics, self._forgetting = dynamics, forgetting
        variance = torch.cat(
            [
                torch.full((1,), std**2),
                torch.full((actions,), 0.1 * std**2),
                torch.full((dynamics.obs_dim,), 1e-4 * std**2),
            ]
        )
        self.weights = torch.zeros(len(variance), dynamics.obs_dim, device=device)
        self.covariance = torch.diag(variance).to(device)
        self._most = variance.to(device)

    def features(self, obs: Tensor, action: Tensor) -> Tensor:
        """x (B, 1 + A + O) = [1, a, normalised s]."""
        return torch.cat([torch.ones_like(action[:, :1]), action, self._dynamics.normaliser(obs)], -1)

    def predict(self, obs: Tensor, action: Tensor) -> Tensor:
        """The expected error (B, O) to add to the model's standardised change."""
        return self.features(obs, action) @ self.weights

    @torch.inference_mode()
    def update(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> tuple[Tensor, Tensor]:
        """Learn from one step; returns the mean squared error without and with the correction so far."""
        dynamics = self._dynamics
        row, done = obs.unsqueeze(0), action.unsqueeze(0)
        happened = (next_obs - obs - dynamics.mean[:-1]) / dynamics.scale[:-1]
        error = happened - dynamics.outputs(dynamics.inputs(row, done)).mean(0)[0, :-1]
        x = self.features(row, done)[0]
        left = error - x @ self.weights
        px = self.covariance @ x
        gain = px / (self._forgetting + x @ px)
        self.weights = self.weights + torch.outer(gain, left.clamp(-10.0, 10.0))
        covariance = (self.covariance - torch.outer(gain, px)) / self._forgetting
        # P grows without bound in directions that no step excites: cap its variances at the initial ones.
        shrink = (self._most / covariance.diagonal().clamp(min=1e-12)).clamp(max=1.0).sqrt()
        self.covariance = covariance * shrink.unsqueeze(0) * shrink.unsqueeze(1)
        return error.square().mean(), left.square().mean()

    def state_dict(self) -> State:
        """W (1 + A + O, O) and P (1 + A + O, 1 + A + O)."""
        return {"weights": self.weights.clone(), "covariance": self.covariance.clone()}

    def load_state_dict(self, state: State) -> None:
        """Replace W and P by copies of the saved ones."""
        self.weights, self.covariance = state["weights"].clone(), state["covariance"].clone()


def mppi_weights(returns: Tensor, temperature: float) -> Tensor:
    """(P,) softmax of standardised returns, so that the temperature does not depend on the reward's scale."""
    spread = returns.std(unbiased=False).clamp(min=1e-8)
    return torch.softmax((returns - returns.max()) / (temperature * spread), 0)


def dependencies(settings: Settings, plan: Plan) -> tuple[Artefact[Any], Artefact[PriorModel]]:
    """The agent whose policy proposes plans and whose value ends them, and the model of the prior."""
    seed = plan.seeds.model if settings.seed is None else settings.seed
    device = plan.device
    model = Artefact(
        name="dynamics",
        build=lambda prior: PriorModel(settings, seed, prior, device),
        about={
            "steps": settings.model_steps,
            "hidden": list(settings.hidden),
            "linear": settings.linear,
            "seed": seed,
        },
        needs=(plan.prior,),
        version=2,
        steps=settings.model_steps,
        ms_per_step=3.5,
    )
    return plan.agent(), model


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The agent and the ensemble of dynamics."""
    return list(dependencies(settings, plan))


def make(settings: Settings, setup: Setup) -> Model:
    """Assemble from the artefacts."""
    agent, model = dependencies(settings, setup.plan)
    return Model(settings, setup.agent(agent), setup.get(model), setup.generator)
