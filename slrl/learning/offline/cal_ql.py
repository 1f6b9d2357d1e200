"""Calibrated Q-learning (Nakamoto et al., 2023): conservative critics, bounded by the prior's returns."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slrl.learning.agents.sac import Sac
from slrl.plugins import at_least
from slrl.types import Batch, Metrics


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[pretrain.objective]`` table."""

    conservative_weight: float = 5.0
    sampled_actions: int = 10  # per state, of each of the three sources
    # n: the target is the largest value of n actions drawn from π(·|s') (the paper's max-target backup); 0:
    # that of one action, as in SAC
    max_target_actions: int = 0

    def __post_init__(self) -> None:
        at_least(self, 0, "conservative_weight", "max_target_actions")
        at_least(self, 1, "sampled_actions")


class CalQl:
    """SAC on the prior plus the calibrated conservative term; policy and temperature learn as in SAC."""

    def __init__(self, settings: Settings, agent: Sac) -> None:
        self._agent, self._weight, self._n = agent, settings.conservative_weight, settings.sampled_actions
        self._targets = settings.max_target_actions
        returns = agent.reward_scale * agent.prior.returns_to_go(agent.discount)
        self._returns = torch.as_tensor(returns, device=agent.device)

    def update(self, batch: Batch) -> Metrics:
        """One step of critics, actor, temperature and targets.

        L_Q = L_TD + w · gap with the calibrated conservative term of :func:`calibrated_gap`; the actor and
        the temperature as in SAC. L_TD is SAC's, or with the targets of :meth:`targets`.
        """
        agent, size = self._agent, len(batch.reward)
        obs, next_obs = agent.normaliser(batch.obs), agent.normaliser(batch.next_obs)
        reward = agent.reward_scale * batch.reward
        with agent.autocast():
            q_data = agent.q(agent.critic, obs, batch.action)
            if self._targets:
                target = self.targets(reward, next_obs, batch.bootstrap)
                td_loss, q_mean = (q_data - target).square().mean(1).sum(), q_data.detach().mean()
            else:
                td_loss, q_mean = agent.critic_loss(
                    obs, batch.action, reward, next_obs, batch.bootstrap, agent.noise(size), agent.heads()
                )
            gap = self._conservative_gap(obs, next_obs, q_data, self._returns[batch.row])
            loss = td_loss + self._weight * gap
        agent.critic_optimiser.step(torch.autograd.grad(loss, agent.critic))
        with agent.autocast():
            actor_loss, log_prob = agent.actor_loss(obs, agent.noise(size))
        agent.actor_optimiser.step(torch.autograd.grad(actor_loss, agent.actor))
        agent.step_temperature(log_prob)
        agent.move_targets()
        return {
            "pretrain/td_loss": td_loss.detach(),
            "pretrain/conservative_gap": gap.detach(),
            "pretrain/q": q_mean,
        }

    @torch.no_grad()
    def targets(self, reward: Tensor, next_obs: Tensor, bootstrap: Tensor) -> Tensor:
        """y (B,) = r + γ · bootstrap · :func:`largest` of min_k Q̄_k(s', a_i), with a_1 … a_n from π(·|s')."""
        agent, n, size = self._agent, self._targets, len(reward)
        many, heads = next_obs.repeat(n, 1), agent.heads()
        action, log_prob = agent.sample(many, agent.noise(n * size))
        q = agent.q(agent.target, many, action)
        lowest = (q if heads is None else q[heads]).amin(0)
        temperature = agent.log_temperature.exp() if agent.settings.backup_entropy else 0.0
        value = largest(lowest.view(n, size), log_prob.view(n, size), temperature)
        return reward + agent.discount * bootstrap * value

    def _conservative_gap(self, obs: Tensor, next_obs: Tensor, q_data: Tensor, returns: Tensor) -> Tensor:
        """Σ_k mean [log Σ_a exp(Q_k(s, a) - log p(a)) - Q_k(s, a_data)] over uniform and policy actions."""
        agent, n, size = self._agent, self._n, len(obs)
        shape = (n * size, agent.action_dim)
        many = obs.repeat(n, 1)
        uniform = (2 * torch.rand(shape, generator=agent.generator, device=agent.generator.device) - 1).to(
            agent.device
        )
        with torch.no_grad():
            now, now_log_prob = agent.sample(many, agent.noise(n * size))
            later, later_log_prob = agent.sample(next_obs.repeat(n, 1), agent.noise(n * size))
        actions, states = torch.cat([uniform, now, later]), many.repeat(3, 1)
        q = agent.q(agent.critic, states, actions).view(agent.critics, 3, n, size)
        log_p = torch.stack(
            [torch.full_like(now_log_prob, -agent.action_dim * math.log(2.0)), now_log_prob, later_log_prob]
        )
        return calibrated_gap(q, log_p.view(3, n, size), q_data, returns)


def calibrated_gap(q: Tensor, log_p: Tensor, q_data: Tensor, returns: Tensor) -> Tensor:
    """The conservative term with the calibration max(Q, G) on policy actions only.

    ``q`` (K, 3, n, B): sources uniform, π(·|s), π(·|s'); ``log_p`` (3, n, B) their log densities; ``q_data``
    (K, B); ``returns`` (B,) the Monte-Carlo return-to-go G of the data.
    """
    bounded = torch.cat([q[:, :1], torch.maximum(q[:, 1:], returns)], 1)
    total = torch.logsumexp((bounded - log_p).flatten(1, 2), 1)  # (K, B)
    return (total - q_data).mean(1).sum()


def largest(q: Tensor, log_prob: Tensor, temperature: Tensor | float) -> Tensor:
    """(B,) max over actions of q (n, B), minus temperature · log π of that action; log_prob is (n, B)."""
    value, best = q.max(0)
    return value - temperature * log_prob.gather(0, best.unsqueeze(0))[0]


def make(settings: Settings, agent: Sac, **more: Any) -> CalQl:
    """It draws from the agent's generator and needs no latents."""
    return CalQl(settings, agent)
