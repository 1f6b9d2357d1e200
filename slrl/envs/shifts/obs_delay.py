"""Sensors that report late."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl.envs.sensors import Sensors
from slrl.envs.shift import DelaySettings
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(DelaySettings):
    """Every observation is shown ``delay_steps`` steps late; rewards and the success test are not delayed."""


class ObsDelay(Sensors):
    """Observations wait in a queue; until it is full, the oldest one is repeated."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, settings.start_step)
        self._readings: deque[np.ndarray] = deque(maxlen=settings.delay_steps + 1)

    def begin(self) -> None:
        """Forget the observations of the episode before."""
        self._readings.clear()

    def sense(self, obs: np.ndarray) -> np.ndarray:
        """The observation of ``delay_steps`` steps ago, or the oldest that there is."""
        self._readings.append(obs)
        return self._readings[0]


make = ObsDelay


def describe(settings: Settings) -> Description:
    """The delay, in steps."""
    return Description(f"observations {settings.delay_steps} steps late{since(settings.start_step)}")
