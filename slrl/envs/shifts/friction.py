"""A ground with another grip: ice, rubber."""

from typing import Any

import gymnasium as gym

from slrl.envs.shift import PLANE, ModelChange, index, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput

ICE, RUBBER = (0.45, 0.75, 1.0, 1.0), (0.25, 0.25, 0.27, 1.0)  # in pictures


def make(
    env: gym.Env[Any, Any], times: float, geoms: tuple[str, ...] = (), start_step: int = 0
) -> gym.Env[Any, Any]:
    """Multiply sliding, torsional and rolling friction of ``geoms`` (all if none is named).

    MuJoCo takes the larger friction of the two geoms in a contact: with one of them unchanged, ice is only ice where
    both are named.
    """
    if times < 0:
        raise BadInput(f"'times' of the shift 'friction' must be 0 or more, not {times:g}.")
    model = simulator(env, "friction").model
    chosen = [index(model, "geom", name, "friction") for name in geoms] or list(range(model.ngeom))

    def change(model: Any) -> None:
        model.geom_friction[chosen] *= times

    ground = [geom for geom in chosen if int(model.geom_type[geom]) == PLANE]
    return ModelChange(
        env, start_step, ("geom_friction",), change, "friction", ground, ICE if times < 1 else RUBBER
    )


def describe(times: float, geoms: tuple[str, ...] = (), start_step: int = 0) -> Description:
    """The grip in words."""
    return Description(f"friction × {times:g}{' of ' + ', '.join(geoms) if geoms else ''}{since(start_step)}")
