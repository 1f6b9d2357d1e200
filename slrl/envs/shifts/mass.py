"""A heavier or lighter body: a payload, or a part of another material."""

from typing import Any

import gymnasium as gym

from slrl.envs.shift import ModelChange, geoms_of, index, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


def make(
    env: gym.Env[Any, Any], body: str, added_kg: float = 0.0, times: float = 1.0, start_step: int = 0
) -> gym.Env[Any, Any]:
    """Make ``body`` weigh ``mass · times + added_kg``; its inertia grows in proportion, its centre of mass stays."""
    model = simulator(env, "mass").model
    number = index(model, "body", body, "mass")
    before = float(model.body_mass[number])
    if before == 0:
        heavy = ", ".join(
            model.body(i).name for i in range(model.nbody) if model.body_mass[i] > 0 and model.body(i).name
        )
        raise BadInput(f"{body!r} for the shift 'mass' has no mass of its own; choose from {heavy}.")
    if before * times + added_kg <= 0:
        raise BadInput(
            f"the shift 'mass' would leave {body} with {before * times + added_kg:g} kg; it must be more than 0."
        )

    def change(model: Any) -> None:
        ratio = (model.body_mass[number] * times + added_kg) / model.body_mass[number]
        model.body_mass[number] *= ratio
        model.body_inertia[number] *= ratio

    fields = (
        "body_mass",
        "body_inertia",
        "body_subtreemass",
        "body_invweight0",
        "dof_invweight0",
        "dof_M0",
        "tendon_invweight0",
    )
    return ModelChange(env, start_step, fields, change, "mass", geoms_of(model, [number]))


def describe(body: str, added_kg: float = 0.0, times: float = 1.0, start_step: int = 0) -> Description:
    """The load in words."""
    parts = ([f"{times:g} times its mass"] if times != 1 else []) + (
        [f"{added_kg:+g} kg"] if added_kg else []
    )
    return Description(f"{body} with {' and '.join(parts) or 'its own mass'}{since(start_step)}")
