"""A goal that moves at a step of the life."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.shift import Shift, ShiftSettings
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """The goal is at ``position_m`` from ``start_step`` on."""

    position_m: tuple[float, ...]  # in metres, or in the world's own unit
    start_step: int = 1  # 1 or more, since many worlds draw their goal in reset

    def __post_init__(self) -> None:
        plugins.require(
            self.start_step >= 1,
            f"start_step must be 1 or more, not {self.start_step}: before that, reset sets the goal",
        )


class Goal(Shift):
    """Writes the world's ``goal``; what the world shows and rewards follows from it.

    Raises:
        BadInput: if the world has no position as its goal, or one of another size.
    """

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        world: Any = env.unwrapped
        goal = np.zeros(2) if hasattr(world, "maze") else getattr(world, "goal", None)  # unset before reset
        if not isinstance(goal, np.ndarray):
            raise BadInput(
                f"the shift 'goal' cannot act on {type(world).__name__}: it has no position as its goal."
            )
        position = np.array(settings.position_m, np.float64)
        if goal.shape != position.shape:
            raise BadInput(
                f"'position_m' of the shift 'goal' must have {goal.size} numbers here, not {position.size}."
            )
        super().__init__(env, settings.start_step)
        self._position, self._before = position, position

    def begin(self) -> None:
        """Move the goal, after noting where this episode's was."""
        world: Any = self.env.unwrapped
        self._before = np.array(world.goal)
        self._place(self._position)

    def end(self) -> None:
        """Put the goal back."""
        self._place(self._before)

    def _place(self, position: np.ndarray) -> None:
        world: Any = self.env.unwrapped
        world.goal = position.copy()
        if hasattr(world, "update_target_site_pos"):  # the marker that Gymnasium-Robotics draws
            world.update_target_site_pos()


make = Goal


def describe(settings: Settings) -> Description:
    """Where the goal is."""
    at = ", ".join(f"{x:g}" for x in settings.position_m)
    return Description(f"the goal at ({at}){since(settings.start_step)}")
