"""A ground with another grip: ice, rubber."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from slrl import plugins
from slrl.envs.shift import PLANE, ModelChange, ShiftSettings, index, simulator
from slrl.envs.shifts import Description, since

ICE, RUBBER = (0.45, 0.75, 1.0, 1.0), (0.25, 0.25, 0.27, 1.0)  # in pictures


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """Sliding, torsional and rolling friction of ``geoms`` are multiplied by ``times``.

    MuJoCo takes the larger friction of the two geoms in a contact: with one of them unchanged, ice is only
    ice where both are named.
    """

    times: float  # 0 or more
    geoms: tuple[str, ...] = ()  # by name; all if none is named

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.at_least(self, 0, "times")


def make(settings: Settings, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Write the friction into the model; pictures show the ground as ice or as rubber.

    Raises:
        BadInput: for an unknown geom.
    """
    model = simulator(env, "friction").model
    chosen = [index(model, "geom", name, "friction") for name in settings.geoms] or list(range(model.ngeom))

    def change(model: Any) -> None:
        model.geom_friction[chosen] *= settings.times

    ground = [geom for geom in chosen if int(model.geom_type[geom]) == PLANE]
    colour = ICE if settings.times < 1 else RUBBER
    return ModelChange(env, settings.start_step, ("geom_friction",), change, "friction", ground, colour)


def describe(settings: Settings) -> Description:
    """What the friction is multiplied by, and of which geoms."""
    which = " of " + ", ".join(settings.geoms) if settings.geoms else ""
    return Description(f"friction × {settings.times:g}{which}{since(settings.start_step)}")
