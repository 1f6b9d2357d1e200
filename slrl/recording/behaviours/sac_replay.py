"""A soft actor-critic while it learns the world from nothing, and after that: what D4RL calls replay, and medium."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box

from slrl.learning.buffer import Buffer
from slrl.plugins import AgentPlugin
from slrl.priors import Prior
from slrl.types import F32, Metrics, Transition


class SacReplay:
    """Random actions for ``warm_up_steps``, then one or more updates per step; those first rows also fit the normaliser.

    While it learns it samples its actions; when it has finished, a ``final_mode_share`` of its episodes is without that noise.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        env: gym.Env[Any, Any],
        sac: dict[str, Any],
        warm_up_steps: int = 5_000,
        batch_size: int = 256,
        updates_per_step: int = 1,
        buffer_rows: int = 1_000_000,
        final_mode_share: float = 0.5,
    ) -> None:
        self._rng, self._env = rng, env
        self._settings, self._warm_up, self._buffer_rows = sac, warm_up_steps, buffer_rows
        self._batch, self._updates, self._mode_share = batch_size, updates_per_step, final_mode_share
        self._first: list[Transition] = []
        self._agent: Any = None
        self._buffer: Any = None
        self._learning, self._sample = True, True

    def reset(self, obs: F32) -> None:
        self._sample = self._learning or self._rng.random() >= self._mode_share

    def act(self, obs: F32) -> F32:
        if self._agent is None:
            assert self._env.action_space.shape is not None
            return self._rng.uniform(-1, 1, self._env.action_space.shape).astype(np.float32)
        action: F32 = self._agent.act(obs, sample=self._sample)
        return action

    def learn(self, transition: Transition) -> Metrics:
        if self._agent is None:
            self._first.append(transition)
            if len(self._first) == self._warm_up:
                self._begin()
            return {}
        self._buffer.append(transition, bootstrap=not transition.terminated)
        metrics: Metrics = {}
        for _ in range(self._updates):
            metrics = self._agent.update(self._buffer.sample(self._batch))
        return {"q": metrics["agent/q"]} if metrics else {}

    def finish(self) -> None:
        self._learning = False

    def _begin(self) -> None:
        """Make the agent, now that there are rows to fit its normaliser on, and forget nothing of them."""
        rows = [np.array(column, np.float32) for column in zip(*self._first, strict=True)]
        obs, action, reward, next_obs, terminated, _ = rows
        shape = action.shape[1:]
        first = Prior(
            name="first steps",
            format="recorded",
            obs=obs,
            action=action,
            reward=reward,
            next_obs=next_obs,
            terminated=terminated > 0,
            truncated=np.zeros(len(reward), bool),
            episode=np.zeros(len(reward), np.int32),
            observation_space=Box(-np.inf, np.inf, obs.shape[1:], np.float32),
            action_space=Box(-1, 1, shape, np.float32),
        )
        device, seed = torch.device("cpu"), int(self._rng.integers(2**31))
        table = {"name": "sac", **self._settings}
        generator = torch.Generator().manual_seed(seed)
        self._agent = AgentPlugin.parse(table, "[behaviour.sac]").make(first, generator, device)
        self._buffer = Buffer(
            first, self._buffer_rows, np.random.default_rng(int(self._rng.integers(2**31))), device
        )


make = SacReplay
