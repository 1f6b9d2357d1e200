"""Stiffer or looser joints."""

from typing import Any

import gymnasium as gym

from slrl.envs.shift import ModelChange, geoms_of, index, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


def make(
    env: gym.Env[Any, Any],
    joints: tuple[str, ...] = (),
    times: float = 1.0,
    added_n_m_s_per_rad: float = 0.0,
    start_step: int = 0,
) -> gym.Env[Any, Any]:
    """Make the damping of ``joints`` (all if none is named) ``damping · times + added``; for slides the unit is N·s/m."""
    model = simulator(env, "damping").model
    if times < 0 or added_n_m_s_per_rad < 0:
        raise BadInput("'times' and 'added_n_m_s_per_rad' of the shift 'damping' must be 0 or more.")
    numbers = [index(model, "joint", name, "damping") for name in joints] or list(range(model.njnt))
    width = {0: 6, 1: 3, 2: 1, 3: 1}  # degrees of freedom of a free, ball, slide, hinge joint
    dofs = [model.jnt_dofadr[n] + i for n in numbers for i in range(width[int(model.jnt_type[n])])]

    def change(model: Any) -> None:
        model.dof_damping[dofs] = model.dof_damping[dofs] * times + added_n_m_s_per_rad

    moved = geoms_of(model, (model.jnt_bodyid[n] for n in numbers)) if joints else []
    return ModelChange(env, start_step, ("dof_damping",), change, "damping", moved)


def describe(
    joints: tuple[str, ...] = (), times: float = 1.0, added_n_m_s_per_rad: float = 0.0, start_step: int = 0
) -> Description:
    """The joints in words."""
    parts = ([f"× {times:g}"] if times != 1 else []) + (
        [f"+ {added_n_m_s_per_rad:g} N·m·s/rad"] if added_n_m_s_per_rad else []
    )
    return Description(f"damping {' '.join(parts)} of {', '.join(joints) or 'all joints'}{since(start_step)}")
