"""Actuators that are weak, dead or reversed."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from slrl.envs.shift import ModelChange, ShiftSettings, element_names, geoms_of, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput, unknown


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """The force of ``actuators`` is multiplied by ``strength``.

    An actuator without a name of its own goes by the joint that it drives, as those of Gymnasium's ant do.
    """

    strength: float  # 0.5 is weak, 0 dead, -1 reversed
    actuators: tuple[str, ...] = ()  # by name; all if none is named


def make(settings: Settings, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Scale gain and bias of the actuators; pictures show what they drive in the colour of changes.

    Raises:
        BadInput: for an unknown actuator, or a negative strength of a servo, which would run away.
    """
    model = simulator(env, "actuator").model
    names = _names(model)
    for name in settings.actuators:
        if name not in names:
            raise unknown("actuator for the shift 'actuator':", name, names)
    chosen = [names.index(name) for name in settings.actuators] or list(range(model.nu))
    if settings.strength < 0 and model.actuator_biasprm[chosen].any():
        raise BadInput(
            "'strength' of the shift 'actuator' must be 0 or more for servos: a reversed servo runs away."
        )

    def change(model: Any) -> None:
        model.actuator_gainprm[chosen] *= settings.strength
        model.actuator_biasprm[chosen] *= settings.strength

    driven = [model.jnt_bodyid[model.actuator_trnid[i, 0]] for i in chosen] if settings.actuators else []
    fields = ("actuator_gainprm", "actuator_biasprm")
    return ModelChange(env, settings.start_step, fields, change, "actuator", geoms_of(model, driven))


def describe(settings: Settings) -> Description:
    """Which actuators, and how much of their strength is left."""
    state = "dead" if settings.strength == 0 else f"at {settings.strength:.0%} of their strength"
    which = ", ".join(settings.actuators) or "(all)"
    return Description(f"actuators {which} {state}{since(settings.start_step)}")


def _names(model: Any) -> list[str]:
    import mujoco

    names = element_names(model, "actuator")
    if len(names) == model.nu:
        return names
    joints = [
        mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, int(model.actuator_trnid[i, 0]))
        for i in range(model.nu)
    ]
    return [
        mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, i) or joint or f"actuator {i}"
        for i, joint in enumerate(joints)
    ]
