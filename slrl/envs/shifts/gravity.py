"""Another gravity: weaker, stronger or tilted."""

from typing import Any

import gymnasium as gym

from slrl.envs.shift import ModelChange
from slrl.envs.shifts import Description, since

Vector = tuple[float, float, float]


def make(env: gym.Env[Any, Any], gravity_m_per_s2: Vector, start_step: int = 0) -> gym.Env[Any, Any]:
    """Set gravity along the world's x, y, z; on Earth it is [0, 0, -9.81]."""

    def change(model: Any) -> None:
        model.opt.gravity[:] = gravity_m_per_s2

    return ModelChange(env, start_step, ("opt.gravity",), change, "gravity")


def describe(gravity_m_per_s2: Vector, start_step: int = 0) -> Description:
    """Gravity in words."""
    x, y, z = gravity_m_per_s2
    return Description(f"gravity of ({x:g}, {y:g}, {z:g}) m/s²{since(start_step)}")
