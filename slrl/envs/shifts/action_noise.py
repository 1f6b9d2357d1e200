"""Actions that are not carried out exactly."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


class ActionNoise(Shift):
    """Independent Gaussian noise on every entry, clipped to [-1, 1] with the action."""

    def __init__(self, env: gym.Env[Any, Any], std: float, start_step: int) -> None:
        super().__init__(env, start_step)
        self._std = std

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        self.begin_due()
        if self.active:
            noise = self._std * self.np_random.standard_normal(np.shape(action))
            action = np.clip(action + noise, -1, 1).astype(np.float32)
        return super().step(action)


def make(env: gym.Env[Any, Any], std_action_units: float, start_step: int = 0) -> gym.Env[Any, Any]:
    """Add noise of this standard deviation; actions go from -1 to 1, so 0.1 is a twentieth of the range."""
    if std_action_units < 0:
        raise BadInput(
            f"'std_action_units' of the shift 'action_noise' must be 0 or more, not {std_action_units:g}."
        )
    return ActionNoise(env, std_action_units, start_step)


def describe(std_action_units: float, start_step: int = 0) -> Description:
    """The noise in words."""
    return Description(f"noise of {std_action_units:g} on actions{since(start_step)}")
