"""What shifts of the observation have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift, ShiftSettings
from slrl.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class SensorSettings(ShiftSettings):
    """Of a shift that acts on some entries of the observation."""

    dims: tuple[int, ...] = ()  # entries of the observation, from 0; all if none is named

    def which(self) -> str:
        """The entries in words, for a description."""
        return f"entries {', '.join(map(str, self.dims))}" if self.dims else "all entries"


class Sensors(Shift, ABC):
    """Passes observations through :meth:`sense` from ``start_step`` on; that of the reset is number 0."""

    @abstractmethod
    def sense(self, obs: np.ndarray) -> np.ndarray:
        """What the agent is shown instead of ``obs`` (O,)."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; a shift from step 0 senses its first observation too."""
        obs, info = super().reset(seed=seed, options=options)
        return (self.sense(obs) if self.active else obs), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step; reward and info are not changed."""
        obs, reward, terminated, truncated, info = super().step(action)
        return (self.sense(obs) if self.active else obs), reward, terminated, truncated, info


def entries(env: gym.Env[Any, Any], dims: tuple[int, ...], shift: str) -> list[int]:
    """The entries of the observation that are meant, all of them if none is named.

    Raises:
        BadInput: for an entry that the observation does not have.
    """
    assert env.observation_space.shape is not None
    size = env.observation_space.shape[0]
    for dim in dims:
        if not 0 <= dim < size:
            raise BadInput(
                f"'dims' of the shift {shift!r} must be entries of the observation, 0 to {size - 1}, "
                f"not {dim}."
            )
    return list(dims) or list(range(size))
