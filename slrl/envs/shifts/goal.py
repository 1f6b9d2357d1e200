"""A goal that moves: the task is another one from some step on."""

from typing import Any

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


class Goal(Shift):
    """Writes the world's ``goal``; what the world shows and rewards follows from it."""

    def __init__(self, env: gym.Env[Any, Any], position: np.ndarray, start_step: int) -> None:
        super().__init__(env, start_step)
        self._position, self._before = position, position

    def begin(self) -> None:
        world: Any = self.env.unwrapped
        self._before = np.array(world.goal)
        self._place(self._position)

    def end(self) -> None:
        self._place(self._before)

    def _place(self, position: np.ndarray) -> None:
        world: Any = self.env.unwrapped
        world.goal = position.copy()
        if hasattr(world, "update_target_site_pos"):  # the marker that Gymnasium-Robotics draws
            world.update_target_site_pos()


def make(env: gym.Env[Any, Any], position_m: tuple[float, ...], start_step: int = 1) -> gym.Env[Any, Any]:
    """Move the goal to ``position_m`` (or the world's own unit); from step 1, since many worlds draw their goal in reset."""
    goal = (
        np.zeros(2) if hasattr(env.unwrapped, "maze") else getattr(env.unwrapped, "goal", None)
    )  # a maze has none before reset
    if not isinstance(goal, np.ndarray):
        raise BadInput(
            f"the shift 'goal' cannot act on {type(env.unwrapped).__name__}: it has no position as its goal."
        )
    if goal.shape != (len(position_m),):
        raise BadInput(
            f"'position_m' of the shift 'goal' must have {goal.size} numbers here, not {len(position_m)}."
        )
    if start_step < 1:
        raise BadInput(
            f"'start_step' of the shift 'goal' must be 1 or more, not {start_step}: before that, reset sets the goal."
        )
    return Goal(env, np.array(position_m, np.float64), start_step)


def describe(position_m: tuple[float, ...], start_step: int = 1) -> Description:
    """The goal in words."""
    return Description(f"the goal at ({', '.join(f'{x:g}' for x in position_m)}){since(start_step)}")
