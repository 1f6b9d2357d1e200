"""Sensors with noise or a bias."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.sensors import Sensors, SensorSettings, entries
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(SensorSettings):
    """Gaussian noise and a constant bias on the entries ``dims``, each in its own unit."""

    std_obs_units: float = 0.0  # standard deviation, 0 or more
    bias_obs_units: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.at_least(self, 0, "std_obs_units")


class ObsNoise(Sensors):
    """Draws the noise from the environment's own generator, anew for every observation."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, settings.start_step)
        self._std, self._bias = settings.std_obs_units, settings.bias_obs_units
        self._dims = entries(env, settings.dims, "obs_noise")

    def sense(self, obs: np.ndarray) -> np.ndarray:
        """``obs`` plus bias and noise."""
        obs = obs.copy()
        noise = self._bias + self._std * self.np_random.standard_normal(len(self._dims))
        obs[self._dims] += noise.astype(obs.dtype)
        return obs


make = ObsNoise


def describe(settings: Settings) -> Description:
    """Noise, bias, and the entries that have them."""
    return Description(
        f"noise of {settings.std_obs_units:g} and a bias of {settings.bias_obs_units:g} on "
        f"{settings.which()} of the observation{since(settings.start_step)}"
    )
