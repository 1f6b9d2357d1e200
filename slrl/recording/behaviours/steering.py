"""The optimum of the scenarios in ``slrl/Pointmass-v0``: straight to the goal, against a known drift."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.types import F32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The mean drift of the shift ``wind``."""

    drift_units_per_step: tuple[float, float] = (0.0, 0.0)  # x, y
    turn_deg_per_step: float = 0.0  # by which it turns, counter-clockwise
    start_step: int = 0  # at which it begins

    def __post_init__(self) -> None:
        plugins.at_least(self, 0, "start_step")


class Steering:
    """Full speed ahead, less the drift across; the drift along x needs no answer but patience."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = float(np.deg2rad(settings.turn_deg_per_step))
        self._steps = 0

    def reset(self, obs: F32) -> None:
        """Count the steps from 0, so that it knows when the drift begins."""
        self._steps = 0

    def act(self, obs: F32) -> F32:
        """The displacement (2,) that keeps the line to the goal, which is in ``obs[4:6]``."""
        (x, y), since = self._settings.drift_units_per_step, self._steps - self._settings.start_step
        self._steps += 1
        cos, sin = np.cos(self._turn * since), np.sin(self._turn * since)
        drift = np.array([cos * x - sin * y, sin * x + cos * y]) * (since >= 0)
        offset = obs[4:6] - obs[:2]
        if offset[0] > 0:
            ahead = np.array([1.0, offset[1] / max(abs(offset[0]), 1.0)])
        else:
            ahead = offset / max(float(np.hypot(*offset)), 1.0)
        # The action is a square, not a circle: each axis has its own full speed.
        action: F32 = np.clip(ahead - np.array([0.0, drift[1]]), -1, 1).astype(np.float32)
        return action


def make(settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> Steering:
    """The controller, which draws nothing and sees nothing of ``env`` but observations."""
    return Steering(settings)
