"""Wind: moves the body a little every step, whatever it does."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput

Range = tuple[float, float]
CALM: Range = (0.0, 0.0)


class Wind(Shift):
    """Uniform drift per step, drawn from the environment's own generator, in units per step; its direction may turn."""

    def __init__(
        self, env: gym.Env[Any, Any], x: Range, y: Range, turn_rad_per_step: float, start_step: int
    ) -> None:
        super().__init__(env, start_step)
        self._range = np.array([x, y]).T
        self._turn = turn_rad_per_step

    def begin(self) -> None:
        self._blow(*self._range)

    def end(self) -> None:
        self._blow(np.zeros(2), np.zeros(2))

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        self.begin_due()
        if self._turn and self.active:
            low, high = self._range
            mean, half = (low + high) / 2, (high - low) / 2
            angle = self._turn * (self._steps - self.start_step)
            cos, sin = np.cos(angle), np.sin(angle)
            turned = np.array([cos * mean[0] - sin * mean[1], sin * mean[0] + cos * mean[1]])
            self._blow(turned - half, turned + half)
        return super().step(action)

    def _blow(self, low: np.ndarray, high: np.ndarray) -> None:
        world: Any = self.env.unwrapped
        world.wind_low, world.wind_high = low, high


def make(
    env: gym.Env[Any, Any],
    x_units_per_step: Range = CALM,
    y_units_per_step: Range = CALM,
    turn_deg_per_step: float = 0.0,
    start_step: int = 0,
) -> gym.Env[Any, Any]:
    """Wrap ``env``; each range is [lowest, highest] drift per step, and the mean drift turns counter-clockwise."""
    if not hasattr(env.unwrapped, "wind_low"):
        raise BadInput(
            f"the shift 'wind' cannot act on {type(env.unwrapped).__name__}: it has no air (`wind_low`, `wind_high`)."
        )
    for low, high in (x_units_per_step, y_units_per_step):
        if low > high:
            raise BadInput(f"a wind range is [lowest, highest], not [{low}, {high}].")
    return Wind(env, x_units_per_step, y_units_per_step, float(np.deg2rad(turn_deg_per_step)), start_step)


def describe(
    x_units_per_step: Range = CALM,
    y_units_per_step: Range = CALM,
    turn_deg_per_step: float = 0.0,
    start_step: int = 0,
) -> Description:
    """Mean drift in words and as an arrow, which a wind that turns has not."""
    x, y = sum(x_units_per_step) / 2, sum(y_units_per_step) / 2
    turning = f" that turns by {turn_deg_per_step:g} degrees per step" if turn_deg_per_step else ""
    text = f"wind ({x:+.2f}, {y:+.2f}) units per step{turning}{since(start_step)}"
    return Description(text, None if turn_deg_per_step else (x, y))
