"""A constant force on a body, as of a rope or a steady wind."""

from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift, ShiftSettings, index, simulator
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """A push at the centre of mass of ``body``."""

    body: str
    force_n: tuple[float, float, float]  # newton along the world's x, y, z


class Force(Shift):
    """Writes ``xfrc_applied`` before every step: a reset of the simulation clears it."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, settings.start_step)
        self._simulator = simulator(env, "force")
        self._body = index(self._simulator.model, "body", settings.body, "force")
        self._newton = np.array(settings.force_n)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Apply the force during this step."""
        self.begin_due()
        if self.active:
            self._simulator.data.xfrc_applied[self._body, :3] = self._newton
        return super().step(action)

    def end(self) -> None:
        """Apply no force any more."""
        self._simulator.data.xfrc_applied[self._body, :3] = 0.0


make = Force


def describe(settings: Settings) -> Description:
    """The force in newton, and the body."""
    x, y, z = settings.force_n
    return Description(f"a force of ({x:g}, {y:g}, {z:g}) N on {settings.body}{since(settings.start_step)}")
