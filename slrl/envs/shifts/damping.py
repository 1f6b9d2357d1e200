"""Stiffer or looser joints."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from slrl import plugins
from slrl.envs.shift import ModelChange, ShiftSettings, geoms_of, index, simulator
from slrl.envs.shifts import Description, since

DOFS = {0: 6, 1: 3, 2: 1, 3: 1}  # degrees of freedom of a free, ball, slide, hinge joint


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """The damping of ``joints`` becomes ``damping · times + added``."""

    joints: tuple[str, ...] = ()  # by name; all if none is named
    times: float = 1.0  # 0 or more
    added_n_m_s_per_rad: float = 0.0  # 0 or more; for slides the unit is N·s/m

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.at_least(self, 0, "times", "added_n_m_s_per_rad")


def make(settings: Settings, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Write the damping into the model; pictures show the bodies of named joints in the colour of changes.

    Raises:
        BadInput: for an unknown joint.
    """
    model = simulator(env, "damping").model
    numbers = [index(model, "joint", name, "damping") for name in settings.joints] or list(range(model.njnt))
    dofs = [model.jnt_dofadr[n] + i for n in numbers for i in range(DOFS[int(model.jnt_type[n])])]

    def change(model: Any) -> None:
        model.dof_damping[dofs] = model.dof_damping[dofs] * settings.times + settings.added_n_m_s_per_rad

    moved = geoms_of(model, (model.jnt_bodyid[n] for n in numbers)) if settings.joints else []
    return ModelChange(env, settings.start_step, ("dof_damping",), change, "damping", moved)


def describe(settings: Settings) -> Description:
    """What the damping is multiplied by, what is added to it, and of which joints."""
    times = [f"× {settings.times:g}"] if settings.times != 1 else []
    added = [f"+ {settings.added_n_m_s_per_rad:g} N·m·s/rad"] if settings.added_n_m_s_per_rad else []
    which = ", ".join(settings.joints) or "all joints"
    return Description(f"damping {' '.join(times + added)} of {which}{since(settings.start_step)}")
