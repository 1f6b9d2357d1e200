"""Actions that arrive late, as over a slow bus."""

from collections import deque
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shift import DelaySettings, Shift
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(DelaySettings):
    """Every action is carried out ``delay_steps`` steps after it was given."""


class ActionDelay(Shift):
    """A queue of actions; while it fills, the last action of before is repeated."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, settings.start_step)
        self._delay = settings.delay_steps
        self._last = np.zeros(env.action_space.shape or (), np.float32)
        self._queue: deque[Any] = deque()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode whose last action is zero, which is what a delay from step 0 repeats."""
        self._last = np.zeros_like(self._last)
        return super().reset(seed=seed, options=options)

    def begin(self) -> None:
        """Fill the queue with the last action that was carried out."""
        self._queue = deque([self._last] * self._delay)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Queue ``action`` and carry out the oldest one in the queue."""
        self.begin_due()
        if self.active:
            self._queue.append(np.array(action))
            action = self._queue.popleft()
        self._last = np.array(action)
        return super().step(action)


make = ActionDelay


def describe(settings: Settings) -> Description:
    """The delay, in steps."""
    return Description(f"actions {settings.delay_steps} steps late{since(settings.start_step)}")
