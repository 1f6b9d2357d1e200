"""Soft actor-critic on counterfactual rows of the prior: other latents and other actions, for latent agents.

Rows get a latent z' of another row, and some a new action a'. Their next state is the prior's plus f(s, a',
z') - f(s, a, z), in which the model's error at s cancels. With ``widen`` > 1 the latents lie beyond the
prior's. Without other actions the critics have no targets outside the prior's actions, and the policy
exploits that.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from slrl.errors import BadInput
from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.learning.extrinsics import Extrinsics
from slrl.learning.offline import iql
from slrl.learning.offline.iql import Iql
from slrl.plugins import at_least, require
from slrl.types import Batch, Metrics


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[pretrain.objective]`` table."""

    widen: float = 1.5  # z' = mean + widen · (z - mean); above 1 beyond the prior's latents
    keep: float = 0.25  # share of the rows that keep their latent
    other_actions: float = 0.5  # share of the rows that get another action
    ends: int = 16  # terminal rows in each batch
    policy: Literal["auto", "q", "advantage"] = "auto"
    # "auto" takes "q" where the model leaves at most this share of a step's variance unexplained
    trust: float = 0.05
    expectile: float = 0.9  # of IQL
    advantage_temperature: float = 10.0
    look_ahead_steps: int = 10  # of IQL's returns

    def __post_init__(self) -> None:
        fine = self.widen >= 0 and self.trust >= 0 and 0 <= self.keep <= 1
        require(fine, "widen and trust must be 0 or more, and keep between 0 and 1")
        fine = self.ends >= 0 and 0 <= self.other_actions <= 1
        require(fine, "ends must be 0 or more, and other_actions between 0 and 1")
        at_least(self, 1, "look_ahead_steps")
        self.weighing()

    def weighing(self) -> iql.Settings:
        """The settings of IQL, where the model explains too little."""
        return iql.Settings(expectile=self.expectile, advantage_temperature=self.advantage_temperature)


class Counterfactual:
    """``q``: the policy maximises the critics (SAC). ``advantage``: it weighs the prior's actions (IQL).

    ``auto`` takes ``q`` where the model leaves at most ``trust`` of a step's variance unexplained. Elsewhere
    its errors would mislead the critics and the policy: there IQL learns from the unchanged rows, with
    ``look_ahead_steps``-step returns.
    """

    def __init__(self, settings: Settings, agent: Sac, rng: np.random.Generator, latents: Extrinsics) -> None:
        prior = latents.prior
        self._settings, self._agent, self._rng, self._extrinsics = settings, agent, rng, latents
        self._latents = latents.latents()
        self._mean = self._latents.mean(0)
        auto = settings.policy == "auto"
        self.climbs = latents.unexplained() <= settings.trust if auto else settings.policy == "q"
        self._iql = None if self.climbs else Iql(settings.weighing(), agent)
        if self._iql is not None:
            self._as_it_went = Buffer(agent.prior, 0, rng, agent.device)
            self._as_it_went.look_ahead(settings.look_ahead_steps, agent.prior, agent.discount)
        rows = (agent.prior.obs, prior.action, agent.prior.next_obs)
        self._rows = tuple(torch.tensor(values, device=agent.device) for values in rows)
        self._ended = np.flatnonzero(prior.terminated)
        self._reward = torch.tensor(prior.reward, device=agent.device)
        self._dense = float(prior.dense)

    def update(self, batch: Batch) -> Metrics:
        """One step of IQL on the prior's rows, or of SAC on relabelled ones; metrics of either."""
        if self._iql is not None:
            return self._iql.update(self._as_it_went.sample(len(batch.reward)))
        batch = self.relabel(self.with_ends(batch))
        return {key.replace("agent/", "pretrain/"): value for key, value in self._agent.update(batch).items()}

    def with_ends(self, batch: Batch) -> Batch:
        """The batch with its first ``ends`` rows replaced by rows that terminated.

        Where one row in a thousand terminates, most batches would have none.
        """
        count = min(self._settings.ends, len(batch.reward)) if len(self._ended) else 0
        if not count:
            return batch
        at = torch.from_numpy(self._rng.choice(self._ended, count)).to(batch.row.device)
        zero, one = torch.zeros_like(batch.reward[:count]), torch.ones_like(batch.reward[:count])
        obs, action, next_obs = (rows[at] for rows in self._rows)
        ended = Batch(obs, action, self._reward[at], next_obs, one, zero, at)
        return Batch(*(torch.cat([new, old[count:]]) for new, old in zip(ended, batch, strict=True)))

    @torch.no_grad()
    def relabel(self, batch: Batch) -> Batch:
        """The rows with other latents and actions; a share of ``keep`` keeps its z, terminal rows keep s'.

        Only dense rewards change with the model: its errors would be larger than a sparse reward.
        """
        size, dynamics = len(batch.reward), self._extrinsics.dynamics
        o = dynamics.obs_dim
        has_latent = batch.obs.shape[1] > o
        obs, latent, lives = batch.obs[:, :o], self._latents[batch.row], batch.terminated == 0
        other = self._mean + self._settings.widen * (
            self._latents[self._draw(len(self._latents), size)] - self._mean
        )
        other = torch.where(self._chance(size, self._settings.keep).unsqueeze(-1), latent, other)
        seen = torch.cat([obs, other], -1) if has_latent else obs
        tried = self._chance(size, self._settings.other_actions) & lives
        action = torch.where(tried.unsqueeze(-1), self._actions(seen), batch.action)
        moved_obs, moved_reward = dynamics.predict(obs, action, other)
        own_obs, own_reward = dynamics.predict(obs, batch.action, latent)
        moves = lives.to(obs.dtype)
        next_obs = batch.next_obs[:, :o] + moves.unsqueeze(-1) * (moved_obs - own_obs).mean(0)
        reward = batch.reward + self._dense * moves * (moved_reward - own_reward).mean(0)
        next_seen = torch.cat([next_obs, other], -1) if has_latent else next_obs
        return batch._replace(obs=seen, action=action, next_obs=next_seen, reward=reward)

    def _actions(self, obs: Tensor) -> Tensor:
        """(B, A): half uniform, half the policy's with Gaussian noise of standard deviation 0.2."""
        agent, size = self._agent, len(obs)
        uniform = torch.from_numpy(self._rng.uniform(-1, 1, (size, agent.action_dim)).astype(np.float32)).to(
            agent.device
        )
        own, _ = agent.sample(agent.normaliser(obs), agent.noise(size))
        own = (own + 0.2 * agent.noise(size)).clamp(-1.0, 1.0)
        return torch.where(self._chance(size, 0.5).unsqueeze(-1), uniform, own)

    def _chance(self, size: int, share: float) -> Tensor:
        return torch.from_numpy(self._rng.random(size) < share).to(self._latents.device)

    def _draw(self, among: int, size: int) -> Tensor:
        return torch.from_numpy(self._rng.integers(among, size=size)).to(self._latents.device)


def make(
    settings: Settings, agent: Sac, rng: np.random.Generator, latents: Extrinsics | None
) -> Counterfactual:
    """For an agent of a method with latents.

    Raises:
        BadInput: for a method without.
    """
    if latents is None:
        raise BadInput("the objective counterfactual needs latents; take it with the adapter 'latent'.")
    return Counterfactual(settings, agent, rng, latents)
