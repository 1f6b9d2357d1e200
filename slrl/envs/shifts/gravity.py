"""Another gravity: weaker, stronger or tilted."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from slrl.envs.shift import ModelChange, ShiftSettings
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """Gravity; on Earth it is [0, 0, -9.81]."""

    gravity_m_per_s2: tuple[float, float, float]  # along the world's x, y, z


def make(settings: Settings, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Write gravity into the options of the MuJoCo model."""

    def change(model: Any) -> None:
        model.opt.gravity[:] = settings.gravity_m_per_s2

    return ModelChange(env, settings.start_step, ("opt.gravity",), change, "gravity")


def describe(settings: Settings) -> Description:
    """Gravity along the world's axes."""
    x, y, z = settings.gravity_m_per_s2
    return Description(f"gravity of ({x:g}, {y:g}, {z:g}) m/s²{since(settings.start_step)}")
