"""Actions that are not carried out exactly."""

from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.shift import Shift, ShiftSettings
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """Gaussian noise on actions, which go from -1 to 1: 0.1 is a twentieth of the range."""

    std_action_units: float  # standard deviation, 0 or more

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.at_least(self, 0, "std_action_units")


class ActionNoise(Shift):
    """Draws the noise of every entry from the environment's own generator, and clips the sum to [-1, 1]."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, settings.start_step)
        self._std = settings.std_action_units

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Carry out ``action`` plus noise."""
        self.begin_due()
        if self.active:
            noise = self._std * self.np_random.standard_normal(np.shape(action))
            action = np.clip(action + noise, -1, 1).astype(np.float32)
        return super().step(action)


make = ActionNoise


def describe(settings: Settings) -> Description:
    """The standard deviation of the noise."""
    return Description(f"noise of {settings.std_action_units:g} on actions{since(settings.start_step)}")
