"""Sensors that sometimes say nothing: the last reading stands."""

from typing import Any

import gymnasium as gym
import numpy as np

from slrl.envs.sensors import Sensors, entries
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


class ObsDropout(Sensors):
    """Each chosen entry keeps its last reading with a probability per step, independently."""

    def __init__(self, env: gym.Env[Any, Any], probability: float, dims: list[int], start_step: int) -> None:
        super().__init__(env, start_step)
        self._probability, self._dims = probability, np.array(dims)
        self._last: np.ndarray | None = None

    def begin(self) -> None:
        self._last = None

    def sense(self, obs: np.ndarray) -> np.ndarray:
        obs = obs.copy()
        lost = self._dims[self.np_random.random(len(self._dims)) < self._probability]
        if self._last is not None:
            obs[lost] = self._last[lost]
        self._last = obs
        return obs


def make(
    env: gym.Env[Any, Any], probability_per_step: float, dims: tuple[int, ...] = (), start_step: int = 0
) -> gym.Env[Any, Any]:
    """Lose each of the entries ``dims`` (all if none is named) with this probability in each step."""
    if not 0 <= probability_per_step <= 1:
        raise BadInput(
            f"'probability_per_step' of the shift 'obs_dropout' must be 0 to 1, not {probability_per_step:g}."
        )
    return ObsDropout(env, probability_per_step, entries(env, dims, "obs_dropout"), start_step)


def describe(probability_per_step: float, dims: tuple[int, ...] = (), start_step: int = 0) -> Description:
    """The sensors in words."""
    which = f"entries {', '.join(map(str, dims))}" if dims else "all entries"
    return Description(
        f"{which} of the observation lost in {probability_per_step:.0%} of the steps{since(start_step)}"
    )
