"""A heavier or lighter body: a payload, or a part of another material."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from slrl.envs.shift import ModelChange, ShiftSettings, geoms_of, index, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput

# Of the MuJoCo model: what the shift writes, and what MuJoCo derives from it.
FIELDS = (
    "body_mass",
    "body_inertia",
    "body_subtreemass",
    "body_invweight0",
    "dof_invweight0",
    "dof_M0",
    "tendon_invweight0",
)


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """``body`` weighs ``mass · times + added_kg``; the inertia is scaled too, the centre of mass stays."""

    body: str
    added_kg: float = 0.0
    times: float = 1.0


def make(settings: Settings, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Write mass and inertia of the body into the model.

    Raises:
        BadInput: for an unknown body, one without a mass of its own, or if no mass would be left.
    """
    body, added, times = settings.body, settings.added_kg, settings.times
    model = simulator(env, "mass").model
    number = index(model, "body", body, "mass")
    before = float(model.body_mass[number])
    if before == 0:
        heavy = ", ".join(
            model.body(i).name for i in range(model.nbody) if model.body_mass[i] > 0 and model.body(i).name
        )
        raise BadInput(f"{body!r} for the shift 'mass' has no mass of its own; choose from {heavy}.")
    if before * times + added <= 0:
        raise BadInput(
            f"the shift 'mass' would leave {body} with {before * times + added:g} kg; it must be more than 0."
        )

    def change(model: Any) -> None:
        ratio = (model.body_mass[number] * times + added) / model.body_mass[number]
        model.body_mass[number] *= ratio
        model.body_inertia[number] *= ratio

    return ModelChange(env, settings.start_step, FIELDS, change, "mass", geoms_of(model, [number]))


def describe(settings: Settings) -> Description:
    """The body, and what is different about its mass."""
    times = [f"{settings.times:g} times its mass"] if settings.times != 1 else []
    added = [f"{settings.added_kg:+g} kg"] if settings.added_kg else []
    load = " and ".join(times + added) or "its own mass"
    return Description(f"{settings.body} with {load}{since(settings.start_step)}")
