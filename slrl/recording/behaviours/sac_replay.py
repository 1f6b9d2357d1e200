"""Soft actor-critic while it learns a world, and after that: what D4RL calls replay, and medium."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box

from slrl.learning.buffer import Buffer
from slrl.plugins import AgentPlugin, at_least, share
from slrl.priors import Prior
from slrl.types import F32, Metrics, Transition


@dataclass(frozen=True, kw_only=True)
class Settings:
    """An agent, and how it is trained."""

    sac: dict[str, Any]  # settings of the agent ``sac``
    warm_up_steps: int = 5_000  # with random actions and without updates; they also fit the normaliser
    batch_size: int = 256
    updates_per_step: int = 1
    buffer_rows: int = 1_000_000
    final_mode_share: float = 0.5  # share of the episodes after the training that are played without noise

    def __post_init__(self) -> None:
        at_least(self, 1, "warm_up_steps", "batch_size", "updates_per_step", "buffer_rows")
        share(self, "final_mode_share")


class SacReplay:
    """Samples its actions while it learns, and after that in a share of the episodes."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        self._settings, self._env, self._rng = settings, env, rng
        self._first: list[Transition] = []
        self._agent: Any = None
        self._buffer: Any = None
        self._learning, self._sample = True, True

    def reset(self, obs: F32) -> None:
        """After the training: draw whether this episode is played with noise."""
        self._sample = self._learning or self._rng.random() >= self._settings.final_mode_share

    def act(self, obs: F32) -> F32:
        """The agent's action (A,), or a uniformly random one during the warm-up."""
        if self._agent is None:
            assert self._env.action_space.shape is not None
            return self._rng.uniform(-1, 1, self._env.action_space.shape).astype(np.float32)
        action: F32 = self._agent.act(obs, sample=self._sample)
        return action

    def learn(self, transition: Transition) -> Metrics:
        """Store the step and update the agent; the last step of the warm-up makes the agent."""
        if self._agent is None:
            self._first.append(transition)
            if len(self._first) == self._settings.warm_up_steps:
                self._begin()
            return {}
        self._buffer.append(transition, bootstrap=not transition.terminated)
        metrics: Metrics = {}
        for _ in range(self._settings.updates_per_step):
            metrics = self._agent.update(self._buffer.sample(self._settings.batch_size))
        return {"q": metrics["agent/q"]} if metrics else {}

    def finish(self) -> None:
        """End the training."""
        self._learning = False

    def _begin(self) -> None:
        """Make the agent; the rows of the warm-up fit its normaliser and are the first of its buffer."""
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
        table = {"name": "sac", **self._settings.sac}
        generator = torch.Generator().manual_seed(seed)
        self._agent = AgentPlugin.parse(table, "[behaviour.sac]").make(first, generator, device)
        draws = np.random.default_rng(int(self._rng.integers(2**31)))
        self._buffer = Buffer(first, self._settings.buffer_rows, draws, device)


make = SacReplay
