"""A robot of your own: any Gymnasium environment, in any module that Python finds."""

from typing import Any

import gymnasium as gym
import numpy as np


class Drawer(gym.Env[np.ndarray, np.ndarray]):
    """Push a drawer that is 1 m open until it is shut.

    Observation: position (m; shut at 1), speed (m/s). Action: force (N), from -10 to 10.
    """

    def __init__(self, friction_n: float = 1.0, mass_kg: float = 2.0) -> None:
        """``friction_n`` is what differs between the prior's drawer and the life's."""
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-10.0, 10.0, (1,), np.float32)
        self._friction, self._mass = friction_n, mass_kg
        self._position = self._speed = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Open the drawer again, up to 0.1 m more or less."""
        super().reset(seed=seed)
        self._position, self._speed = float(self.np_random.uniform(-0.1, 0.1)), 0.0
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push for 0.05 s; the reward is 1 in the step that shuts the drawer."""
        force, dt_s = float(np.clip(action[0], -10, 10)), 0.05
        if self._speed:
            grip = self._friction * np.tanh(self._speed / 0.05)
        else:
            grip = np.clip(force, -self._friction, self._friction)
        self._speed += (force - float(grip)) / self._mass * dt_s
        self._position = float(np.clip(self._position + self._speed * dt_s, -1, 1))
        shut = self._position >= 0.99
        return self._observe(), float(shut), shut, False, {"left_m": 1 - self._position}

    def _observe(self) -> np.ndarray:
        return np.array([self._position, self._speed], np.float32)
