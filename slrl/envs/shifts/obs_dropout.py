"""Sensors that lose readings: the last one is repeated."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.sensors import Sensors, SensorSettings, entries
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(SensorSettings):
    """Each of the entries ``dims`` is lost in a step with a probability, independently of the others."""

    probability_per_step: float  # from 0 to 1

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.share(self, "probability_per_step")


class ObsDropout(Sensors):
    """Entries that are lost keep their last reading."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, settings.start_step)
        self._probability = settings.probability_per_step
        self._dims = np.array(entries(env, settings.dims, "obs_dropout"))
        self._last: np.ndarray | None = None

    def begin(self) -> None:
        """Forget the readings of the episode before: the first observation is whole."""
        self._last = None

    def sense(self, obs: np.ndarray) -> np.ndarray:
        """``obs`` with the last reading in the entries that are lost in this step."""
        obs = obs.copy()
        lost = self._dims[self.np_random.random(len(self._dims)) < self._probability]
        if self._last is not None:
            obs[lost] = self._last[lost]
        self._last = obs
        return obs


make = ObsDropout


def describe(settings: Settings) -> Description:
    """Which entries are lost, and how often."""
    return Description(
        f"{settings.which()} of the observation lost in {settings.probability_per_step:.0%} of the steps"
        f"{since(settings.start_step)}"
    )
