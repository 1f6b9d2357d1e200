"""A constant force on a body, as of a rope or a steady wind."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift, index, simulator
from slrl.envs.shifts import Description, since


class Force(Shift):
    """Writes ``xfrc_applied`` before every step: a reset of the simulation clears it."""

    def __init__(
        self, env: gym.Env[Any, Any], body: str, newton: tuple[float, float, float], start_step: int
    ) -> None:
        super().__init__(env, start_step)
        self._simulator = simulator(env, "force")
        self._body, self._newton = index(self._simulator.model, "body", body, "force"), np.array(newton)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        self.begin_due()
        if self.active:
            self._simulator.data.xfrc_applied[self._body, :3] = self._newton
        return super().step(action)

    def end(self) -> None:
        self._simulator.data.xfrc_applied[self._body, :3] = 0.0


def make(
    env: gym.Env[Any, Any], body: str, force_n: tuple[float, float, float], start_step: int = 0
) -> gym.Env[Any, Any]:
    """Push ``body`` at its centre of mass with ``force_n`` newton along the world's x, y, z."""
    return Force(env, body, force_n, start_step)


def describe(body: str, force_n: tuple[float, float, float], start_step: int = 0) -> Description:
    """The force in words."""
    x, y, z = force_n
    return Description(f"a force of ({x:g}, {y:g}, {z:g}) N on {body}{since(start_step)}")
