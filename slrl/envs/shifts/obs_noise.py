"""Sensors that are noisy or off."""

from typing import Any

import gymnasium as gym
import numpy as np

from slrl.envs.sensors import Sensors, entries
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


class ObsNoise(Sensors):
    """Gaussian noise and a constant bias on chosen entries."""

    def __init__(
        self, env: gym.Env[Any, Any], std: float, bias: float, dims: list[int], start_step: int
    ) -> None:
        super().__init__(env, start_step)
        self._std, self._bias, self._dims = std, bias, dims

    def sense(self, obs: np.ndarray) -> np.ndarray:
        obs = obs.copy()
        obs[self._dims] += (self._bias + self._std * self.np_random.standard_normal(len(self._dims))).astype(
            obs.dtype
        )
        return obs


def make(
    env: gym.Env[Any, Any],
    std_obs_units: float = 0.0,
    bias_obs_units: float = 0.0,
    dims: tuple[int, ...] = (),
    start_step: int = 0,
) -> gym.Env[Any, Any]:
    """Change the entries ``dims`` of the observation (all if none is named), each in its own unit."""
    if std_obs_units < 0:
        raise BadInput(f"'std_obs_units' of the shift 'obs_noise' must be 0 or more, not {std_obs_units:g}.")
    return ObsNoise(env, std_obs_units, bias_obs_units, entries(env, dims, "obs_noise"), start_step)


def describe(
    std_obs_units: float = 0.0, bias_obs_units: float = 0.0, dims: tuple[int, ...] = (), start_step: int = 0
) -> Description:
    """The sensors in words."""
    which = f"entries {', '.join(map(str, dims))}" if dims else "all entries"
    return Description(
        f"noise of {std_obs_units:g} and a bias of {bias_obs_units:g} on {which} of the observation{since(start_step)}"
    )
