"""Implicit Q-learning (Kostrikov et al., 2021): expectile values and an advantage-weighted policy."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slrl.learning.agents.sac import Sac
from slrl.learning.networks import Adam, mlp, mlp_params
from slrl.plugins import at_least, positive, require
from slrl.types import Batch, Metrics


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[pretrain.objective]`` table."""

    expectile: float = 0.7  # ξ
    advantage_temperature: float = 3.0  # β
    max_weight: float = 100.0  # of a row in the policy's loss

    def __post_init__(self) -> None:
        require(0 < self.expectile < 1, f"expectile must be between 0 and 1, not {self.expectile}")
        at_least(self, 0, "advantage_temperature")
        positive(self, "max_weight")


class Iql:
    """Updates V, π, Q and the targets in this order, as in the paper's code."""

    def __init__(self, settings: Settings, agent: Sac) -> None:
        self._agent, self._settings = agent, settings
        sizes = (agent.prior.obs.shape[1], *agent.settings.hidden, 1)
        self.value = mlp_params(sizes, agent.generator, agent.device)
        self._value_optimiser = Adam(self.value, agent.settings.critic_lr)

    def update(self, batch: Batch) -> Metrics:
        """One step of V, π, Q and the targets.

        L_V by :func:`expectile_loss` of min_k Q̄_k(s, a) - V(s); L_π = -mean w log π(a|s) with w by
        :func:`advantage_weight` of the V that was just updated;
        L_Q = Σ_k mean (r + γ · bootstrap · V(s') - Q_k)².
        """
        agent = self._agent
        obs, next_obs = agent.normaliser(batch.obs), agent.normaliser(batch.next_obs)
        with agent.autocast():
            with torch.no_grad():
                q = agent.q(agent.target, obs, batch.action).amin(0)
            value = mlp(self.value, obs)[:, 0].float()
            value_loss = expectile_loss(q - value, self._settings.expectile)
            self._value_optimiser.step(torch.autograd.grad(value_loss, self.value))

            with torch.no_grad():  # V after its step, as in the paper's code
                advantage = q - mlp(self.value, obs)[:, 0].float()
            weight = advantage_weight(
                advantage, self._settings.advantage_temperature, self._settings.max_weight
            )
            actor_loss = -(weight * agent.log_prob(obs, batch.action)).mean()
            agent.actor_optimiser.step(torch.autograd.grad(actor_loss, agent.actor))

            with torch.no_grad():
                next_value = mlp(self.value, next_obs)[:, 0].float()
                target = agent.reward_scale * batch.reward + agent.discount * batch.bootstrap * next_value
            critic_loss = (agent.q(agent.critic, obs, batch.action) - target).square().mean(1).sum()
        agent.critic_optimiser.step(torch.autograd.grad(critic_loss, agent.critic))
        agent.move_targets()
        losses = {
            "value_loss": value_loss,
            "actor_loss": actor_loss,
            "critic_loss": critic_loss,
            "v": value.mean(),
        }
        return {f"pretrain/{key}": loss.detach() for key, loss in losses.items()}


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """mean |ξ - 1(u < 0)| u² (eq. 5)."""
    weight = torch.where(error < 0, 1.0 - expectile, expectile)
    return (weight * error.square()).mean()


def advantage_weight(advantage: Tensor, beta: float, largest: float) -> Tensor:
    """min(exp(β A), largest) (eq. 7)."""
    return (beta * advantage).exp().clamp(max=largest)


def make(settings: Settings, agent: Sac, **more: Any) -> Iql:
    """It draws nothing and needs no latents."""
    return Iql(settings, agent)
