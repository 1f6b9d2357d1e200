"""Wind: moves the body a little every step, whatever it does."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shifts import Description
from slrl.errors import BadInput

Range = tuple[float, float]
CALM: Range = (0.0, 0.0)


class Wind(gym.Wrapper[Any, Any, Any, Any]):
    """Uniform drift per step, drawn from the environment's own generator, in units per step."""

    def __init__(self, env: gym.Env[Any, Any], x_units_per_step: Range, y_units_per_step: Range, start_step: int) -> None:
        super().__init__(env)
        self._low, self._high = np.array([x_units_per_step, y_units_per_step]).T
        self._start, self._steps = start_step, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._steps = 0
        self._blow(self._start == 0)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        if self._steps == self._start:
            self._blow(True)
        self._steps += 1
        return self.env.step(action)

    def close(self) -> None:
        self._blow(False)
        super().close()

    def _blow(self, on: bool) -> None:
        world: Any = self.env.unwrapped
        world.wind_low, world.wind_high = (self._low, self._high) if on else (np.zeros(2), np.zeros(2))


def make(
    env: gym.Env[Any, Any], x_units_per_step: Range = CALM, y_units_per_step: Range = CALM, start_step: int = 0
) -> gym.Env[Any, Any]:
    """Wrap ``env``; each range is [lowest, highest] drift per step, and the wind rises at step ``start_step``."""
    if not hasattr(env.unwrapped, "wind_low"):
        raise BadInput(f"the shift 'wind' cannot act on {type(env.unwrapped).__name__}: it has no air (`wind_low`, `wind_high`).")
    for low, high in (x_units_per_step, y_units_per_step):
        if low > high:
            raise BadInput(f"a wind range is [lowest, highest], not [{low}, {high}].")
    if start_step < 0:
        raise BadInput(f"'start_step' of the shift 'wind' must be 0 or more, not {start_step}.")
    return Wind(env, x_units_per_step, y_units_per_step, start_step)


def describe(x_units_per_step: Range = CALM, y_units_per_step: Range = CALM, start_step: int = 0) -> Description:
    """Mean drift in words and as an arrow."""
    x, y = sum(x_units_per_step) / 2, sum(y_units_per_step) / 2
    since = f" from step {start_step}" if start_step else ""
    return Description(f"wind ({x:+.2f}, {y:+.2f}) units per step{since}", (x, y))
