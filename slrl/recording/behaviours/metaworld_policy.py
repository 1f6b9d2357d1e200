"""Meta-World's own scripted policy of a task, with noise."""

import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.errors import unknown
from slrl.types import F32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ranges are [lowest, highest], of which every episode draws its own value uniformly."""

    task: str  # for example door-close-v3
    speed: tuple[float, float] = (1.0, 1.0)  # factor of the displacements; the grip is not slower
    noise: tuple[float, float] = (0.0, 0.0)  # standard deviation of each entry of the action
    random_actions: float = 0.0  # share of the steps whose action is uniformly random

    def __post_init__(self) -> None:
        plugins.share(self, "random_actions")


class MetaWorldPolicy:
    """Plays ``metaworld.policies.ENV_POLICY_MAP[task]``.

    Raises:
        BadInput: if Meta-World has no such task.
    """

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        from metaworld.policies import ENV_POLICY_MAP

        if settings.task not in ENV_POLICY_MAP:
            raise unknown("Meta-World task", settings.task, ENV_POLICY_MAP)
        self._settings, self._rng, self._policy = settings, rng, ENV_POLICY_MAP[settings.task]()
        self._speed = self._noise = 0.0  # of this episode

    def reset(self, obs: F32) -> None:
        """Draw speed and noise of the episode."""
        self._speed = self._rng.uniform(*self._settings.speed)
        self._noise = self._rng.uniform(*self._settings.noise)

    def act(self, obs: F32) -> F32:
        """Displacement of the hand and grip (4,), clipped to [-1, 1] before and after the noise."""
        if self._rng.random() < self._settings.random_actions:
            return self._rng.uniform(-1, 1, 4).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its constants are clipped, at every step
            action = np.clip(self._policy.get_action(obs.astype(np.float64)), -1, 1)
        scale = np.array([self._speed, self._speed, self._speed, 1.0])
        noise = self._noise * self._rng.standard_normal(4)
        noisy: F32 = np.clip(action * scale + noise, -1, 1).astype(np.float32)
        return noisy


def make(settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> MetaWorldPolicy:
    """The task's policy, which sees nothing of ``env`` but observations."""
    return MetaWorldPolicy(settings, rng)
