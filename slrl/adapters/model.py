"""Planning with a model that the life corrects: what the prior knows of the world, plus what has been different so far.

An ensemble learned from the prior predicts a step; the difference between what it says and what happens is learned by recursive
least squares within some steps. Plans are found by MPPI (Williams et al., 2017) over a short horizon, and what comes after the
horizon is worth what the pretrained critics say (as in POLO: Lowrey et al., 2019, and TD-MPC: Hansen et al., 2022).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slrl.adapters import Pretrainer
from slrl.learning.agents.sac import Sac
from slrl.learning.dynamics import Dynamics
from slrl.learning.networks import mlp
from slrl.learning.state import nest, of_tensors, part, set_tensors
from slrl.priors import Prior
from slrl.types import F32, Metrics, State, Transition


class Model:
    """Before every step: sample plans around the last one, follow each in the corrected model, average them by their returns."""

    def __init__(
        self,
        agent: Sac,
        prior: Prior,
        pretrainer: Pretrainer,
        generator: torch.Generator,
        device: torch.device,
        horizon: int = 10,
        plans: int = 256,
        iterations: int = 2,
        policy_plans: int = 16,
        temperature: float = 0.1,
        noise: float = 0.5,
        keep_noise: float = 0.7,
        disagreement_weight: float = 0.0,
        forgetting: float = 0.98,
        correction_std: float = 1.0,
        model_steps: int = 5000,
        hidden: tuple[int, ...] = (128, 128),
        seed: int | None = None,
    ) -> None:
        seed = pretrainer.seeds.model if seed is None else seed
        self.agent, self._generator, self._device = agent, generator, device
        self._horizon, self._plans, self._iterations, self._policy_plans = (
            horizon,
            plans,
            iterations,
            policy_plans,
        )
        self._temperature, self._noise, self._keep, self._wary = (
            temperature,
            noise,
            keep_noise,
            disagreement_weight,
        )
        self.learned = PriorModel(prior, device, hidden, model_steps, seed)
        pretrainer.once(self.learned, "dynamics", prior.sha256, model_steps, list(hidden), seed)
        self.correction = Correction(
            self.learned.dynamics, prior.action.shape[1], forgetting, correction_std, device
        )
        self._value = agent.frozen_value()
        self.plan = torch.zeros(horizon, agent.action_dim, device=device)

    @torch.inference_mode()
    def act(self, obs: F32) -> F32:
        start = torch.from_numpy(obs).to(self._device)
        mean, std = self.plan, torch.full_like(self.plan, self._noise)
        guided = self._policy_rollouts(start)
        for _ in range(self._iterations):
            shake = torch.randn(self._plans, *mean.shape, generator=self._generator).to(self._device)
            plans = torch.cat([guided, (mean + std * shake).clamp(-1.0, 1.0), mean.unsqueeze(0)])
            returns = self.returns(start, plans)
            weight = mppi_weights(returns, self._temperature)
            mean = (weight[:, None, None] * plans).sum(0)
            std = (weight[:, None, None] * (plans - mean).square()).sum(0).sqrt().clamp(min=0.05)
            std = torch.lerp(std, torch.full_like(std, self._noise), self._keep)
        action: F32 = mean[0].cpu().numpy().copy()
        self.plan = torch.cat([mean[1:], mean[-1:]]).clone()
        return action

    def observe(self, transition: Transition) -> Metrics:
        obs, next_obs, action = (
            torch.from_numpy(np.asarray(values, np.float32)).to(self._device)
            for values in (transition.obs, transition.next_obs, transition.action)
        )
        before, after = self.correction.update(obs, action, next_obs)
        return {"adapter/model_error": before, "adapter/corrected_error": after}

    def returns(self, start: Tensor, plans: Tensor) -> Tensor:
        """(P,) of plans (P, H, A): Σ γ^t r + γ^H V(s_H), less what the members disagree on."""
        scale, discount = self.agent.reward_scale, self.agent.discount
        obs = start.expand(len(plans), -1)
        total = torch.zeros(len(plans), device=self._device)
        for step in range(self._horizon):
            obs, reward, apart = self._step(obs, plans[:, step])
            total += discount**step * (scale * reward - self._wary * apart)
        return total + discount**self._horizon * self._value.v(obs)

    def _step(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Next observation, reward and disagreement of the corrected model."""
        dynamics = self.learned.dynamics
        x = dynamics.inputs(obs, action)
        out = dynamics.outputs(x)
        mean = out.mean(0)
        change = mean[:, :-1] + self.correction.of(obs, action)
        apart = out[..., :-1].std(0, unbiased=False).mean(-1)
        obs = obs + change * dynamics.scale[:-1] + dynamics.mean[:-1]
        reward = (mean[:, -1] * dynamics.scale[-1] + dynamics.mean[-1]) * self.learned.dense
        return obs, reward, apart

    def _policy_rollouts(self, start: Tensor) -> Tensor:
        """(policy_plans, H, A): what the pretrained policy would do, with some noise."""
        obs = start.expand(self._policy_plans, -1)
        actions = []
        for _ in range(self._horizon):
            mode = torch.tanh(mlp(self.agent.actor, self.agent.normaliser(obs)).chunk(2, -1)[0])
            shake = torch.randn(mode.shape, generator=self._generator).to(self._device)
            shake[0] = 0.0
            action = (mode + 0.2 * shake).clamp(-1.0, 1.0)
            actions.append(action)
            obs, _, _ = self._step(obs, action)
        return torch.stack(actions, 1)

    def state_dict(self) -> State:
        own = [self.plan, self._generator.get_state(), *self._value.tensors()]
        return nest(
            agent=self.agent.state_dict(),
            learned=self.learned.state_dict(),
            correction=self.correction.state_dict(),
            model=of_tensors(own),
        )

    def load_state_dict(self, state: State) -> None:
        self.agent.load_state_dict(part(state, "agent"))
        self.learned.load_state_dict(part(state, "learned"))
        self.correction.load_state_dict(part(state, "correction"))
        generator = self._generator.get_state()
        self.plan = self.plan.clone()
        set_tensors([self.plan, generator, *self._value.tensors()], part(state, "model"))
        self._generator.set_state(generator)


class PriorModel:
    """The ensemble as it comes out of the prior."""

    def __init__(
        self, prior: Prior, device: torch.device, hidden: tuple[int, ...], steps: int, seed: int
    ) -> None:
        self.steps, self._rng = steps, np.random.default_rng(seed)
        self.dynamics = Dynamics(prior, torch.Generator().manual_seed(seed), device, hidden=tuple(hidden))
        self._rows = tuple(
            torch.tensor(rows, device=device)
            for rows in (prior.obs, prior.action, prior.reward, prior.next_obs)
        )
        # A sparse reward is in the value at the end of the horizon; the model would only blur it.
        self.dense = float(np.mean(prior.reward != np.median(prior.reward)) > 0.1)

    def learn(self) -> Iterator[Metrics]:
        """Regression on random rows."""
        for _ in range(self.steps):
            at = torch.from_numpy(self._rng.integers(len(self._rows[0]), size=256)).to(self._rows[0].device)
            loss = self.dynamics.loss(*(rows[at] for rows in self._rows))
            self.dynamics.step(loss, [])
            yield {"pretrain/dynamics_loss": loss.detach()}

    def state_dict(self) -> State:
        return self.dynamics.state_dict()

    def load_state_dict(self, state: State) -> None:
        self.dynamics.load_state_dict(state)


class Correction:
    """What the model gets wrong, as a linear function of [1, a, s], by recursive least squares that forgets.

    For features x and standardised errors e: k = P x / (λ + xᵀP x), W ← W + k (e - xᵀW), P ← (P - k xᵀP) / λ. The constant
    may differ most from what the prior knew, actions less, and what depends on the state least: that is what P begins with.
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
        """(B, 1 + A + O)."""
        return torch.cat([torch.ones_like(action[:, :1]), action, self._dynamics.normaliser(obs)], -1)

    def of(self, obs: Tensor, action: Tensor) -> Tensor:
        """(B, O) to be added to the standardised change."""
        return self.features(obs, action) @ self.weights

    @torch.inference_mode()
    def update(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> tuple[Tensor, Tensor]:
        """Learn from one step; returns the mean square of the error without and with the correction."""
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
        # Directions that no step excites would grow without end as the past is forgotten.
        shrink = (self._most / covariance.diagonal().clamp(min=1e-12)).clamp(max=1.0).sqrt()
        self.covariance = covariance * shrink.unsqueeze(0) * shrink.unsqueeze(1)
        return error.square().mean(), left.square().mean()

    def state_dict(self) -> State:
        return {"weights": self.weights.clone(), "covariance": self.covariance.clone()}

    def load_state_dict(self, state: State) -> None:
        self.weights, self.covariance = state["weights"].clone(), state["covariance"].clone()


def mppi_weights(returns: Tensor, temperature: float) -> Tensor:
    """(P,) softmax of returns, standardised so that one temperature does for rewards of any size."""
    spread = returns.std(unbiased=False).clamp(min=1e-8)
    return torch.softmax((returns - returns.max()) / (temperature * spread), 0)


def check(settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the values, if anything."""
    for key in ("horizon", "plans", "iterations", "model_steps"):
        if settings[key] < 1:
            return f"{key} must be 1 or more, not {settings[key]}"
    if settings["policy_plans"] < 1:
        return f"policy_plans must be 1 or more, not {settings['policy_plans']}"
    if settings["temperature"] <= 0 or settings["noise"] <= 0 or settings["correction_std"] <= 0:
        return "temperature, noise and correction_std must be more than 0"
    if not 0 < settings["forgetting"] <= 1 or not 0 <= settings["keep_noise"] <= 1:
        return "forgetting must be more than 0 and at most 1, and keep_noise between 0 and 1"
    return None


make = Model
