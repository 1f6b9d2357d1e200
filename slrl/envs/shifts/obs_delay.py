"""Sensors that report late."""

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np

from slrl.envs.sensors import Sensors
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


class ObsDelay(Sensors):
    """Observations wait in a queue; until it is full, the oldest one is repeated."""

    def __init__(self, env: gym.Env[Any, Any], delay_steps: int, start_step: int) -> None:
        super().__init__(env, start_step)
        self._readings: deque[np.ndarray] = deque(maxlen=delay_steps + 1)

    def begin(self) -> None:
        self._readings.clear()

    def sense(self, obs: np.ndarray) -> np.ndarray:
        self._readings.append(obs)
        return self._readings[0]


def make(env: gym.Env[Any, Any], delay_steps: int, start_step: int = 0) -> gym.Env[Any, Any]:
    """Show every observation ``delay_steps`` steps after it was true; rewards and the success test stay true."""
    if delay_steps < 1:
        raise BadInput(f"'delay_steps' of the shift 'obs_delay' must be 1 or more, not {delay_steps}.")
    return ObsDelay(env, delay_steps, start_step)


def describe(delay_steps: int, start_step: int = 0) -> Description:
    """The delay in words."""
    return Description(f"observations {delay_steps} steps late{since(start_step)}")
