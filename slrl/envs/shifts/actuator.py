"""Actuators that are weak, dead or wired the wrong way round."""

from typing import Any

import gymnasium as gym

from slrl.envs.shift import ModelChange, element_names, geoms_of, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput, unknown


def make(
    env: gym.Env[Any, Any], strength: float, actuators: tuple[str, ...] = (), start_step: int = 0
) -> gym.Env[Any, Any]:
    """Multiply the force of ``actuators`` (all if none is named): 0.5 is weak, 0 dead, -1 reversed.

    An actuator without a name of its own goes by the joint that it drives, as those of Gymnasium's ant do.

    Raises:
        BadInput: for a negative strength of an actuator with feedback (position or velocity servo), which would run away.
    """
    model = simulator(env, "actuator").model
    names = _names(model)
    for name in actuators:
        if name not in names:
            raise unknown("actuator for the shift 'actuator':", name, names)
    chosen = [names.index(name) for name in actuators] or list(range(model.nu))
    if strength < 0 and model.actuator_biasprm[chosen].any():
        raise BadInput(
            "'strength' of the shift 'actuator' must be 0 or more for servos: a reversed servo runs away."
        )

    def change(model: Any) -> None:
        model.actuator_gainprm[chosen] *= strength
        model.actuator_biasprm[chosen] *= strength

    moved = (
        geoms_of(model, (model.jnt_bodyid[model.actuator_trnid[i, 0]] for i in chosen)) if actuators else []
    )
    return ModelChange(env, start_step, ("actuator_gainprm", "actuator_biasprm"), change, "actuator", moved)


def describe(strength: float, actuators: tuple[str, ...] = (), start_step: int = 0) -> Description:
    """The actuators in words."""
    state = "dead" if strength == 0 else f"at {strength:.0%} of their strength"
    return Description(f"actuators {', '.join(actuators) or '(all)'} {state}{since(start_step)}")


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
