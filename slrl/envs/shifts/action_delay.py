"""Actions that arrive late, as over a slow bus."""

from collections import deque
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


class ActionDelay(Shift):
    """A queue of commands; while it fills, the last command of before goes on being carried out."""

    def __init__(self, env: gym.Env[Any, Any], delay_steps: int, start_step: int) -> None:
        super().__init__(env, start_step)
        self._delay = delay_steps
        self._last = np.zeros(env.action_space.shape or (), np.float32)
        self._queue: deque[Any] = deque()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self._last = np.zeros_like(self._last)
        return super().reset(seed=seed, options=options)

    def begin(self) -> None:
        self._queue = deque([self._last] * self._delay)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        self.begin_due()
        if self.active:
            self._queue.append(np.array(action))
            action = self._queue.popleft()
        self._last = np.array(action)
        return super().step(action)


def make(env: gym.Env[Any, Any], delay_steps: int, start_step: int = 0) -> gym.Env[Any, Any]:
    """Carry every action out ``delay_steps`` steps after it was given."""
    if delay_steps < 1:
        raise BadInput(f"'delay_steps' of the shift 'action_delay' must be 1 or more, not {delay_steps}.")
    return ActionDelay(env, delay_steps, start_step)


def describe(delay_steps: int, start_step: int = 0) -> Description:
    """The delay in words."""
    return Description(f"actions {delay_steps} steps late{since(start_step)}")
