"""Wind: a drift of the point mass in every step, in addition to its action."""

from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.shift import Shift, ShiftSettings
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput

Range = tuple[float, float]
CALM: Range = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """The drift of a step is drawn uniformly between a lowest and a highest value along each axis."""

    x_units_per_step: Range = CALM  # [lowest, highest]
    y_units_per_step: Range = CALM  # [lowest, highest]
    turn_deg_per_step: float = 0.0  # by which the mean drift turns, counter-clockwise

    def __post_init__(self) -> None:
        super().__post_init__()
        for low, high in (self.x_units_per_step, self.y_units_per_step):
            plugins.require(low <= high, f"a wind range is [lowest, highest], not [{low}, {high}]")


class Wind(Shift):
    """Writes the range of the drift into the world, which draws from it with its own generator.

    Raises:
        BadInput: if the world has no such range.
    """

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        if not hasattr(env.unwrapped, "wind_low"):
            raise BadInput(
                f"the shift 'wind' cannot act on {type(env.unwrapped).__name__}: it has no air (`wind_low`, "
                "`wind_high`)."
            )
        super().__init__(env, settings.start_step)
        self._range = np.array([settings.x_units_per_step, settings.y_units_per_step]).T
        self._turn = float(np.deg2rad(settings.turn_deg_per_step))
        self._before = np.zeros((2, 2))

    def begin(self) -> None:
        """Let the wind blow."""
        world: Any = self.env.unwrapped
        self._before = np.array([world.wind_low, world.wind_high])
        self._blow(*self._range)

    def end(self) -> None:
        """Let it blow as before, or be calm."""
        self._blow(*self._before)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Turn the wind to where it blows in this step, and take the step."""
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


make = Wind


def describe(settings: Settings) -> Description:
    """The mean drift in words and, unless it turns, as an arrow."""
    x, y = sum(settings.x_units_per_step) / 2, sum(settings.y_units_per_step) / 2
    turn = settings.turn_deg_per_step
    turning = f" that turns by {turn:g} degrees per step" if turn else ""
    text = f"wind ({x:+.2f}, {y:+.2f}) units per step{turning}{since(settings.start_step)}"
    return Description(text, None if turn else (x, y))
