"""Hurdles and walls: boxes that the source world does not have."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from slrl import plugins
from slrl.envs.shift import Shift, ShiftSettings, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput

Box = tuple[float, float, float, float, float, float]  # centre x, y, z and half-size x, y, z in m
COLOUR = (0.80, 0.28, 0.20, 1.0)
TOUCH_M = 1e-3  # deeper than this is inside


class Obstacles(Shift):
    """The world's model compiled anew with static boxes, which collide with nothing before ``start_step``.

    Static geoms add no degree of freedom: observations keep their size. The model of before comes back on
    close. ``shift`` is the name that geoms and messages have.

    Raises:
        BadInput: if the world has no MuJoCo model; at reset, if a box is inside the robot as it starts.
    """

    def __init__(self, env: gym.Env[Any, Any], boxes: tuple[Box, ...], start_step: int, shift: str) -> None:
        super().__init__(env, start_step)
        import mujoco

        self._simulator = holder = simulator(env, shift)
        self._old = holder.model, holder.data
        spec = (
            holder.mujoco_spec()
            if hasattr(holder, "mujoco_spec")
            else mujoco.MjSpec.from_file(holder.fullpath)
        )
        names = [f"{shift} {number} of step {start_step}" for number in range(len(boxes))]
        taken = {geom.name for geom in spec.geoms}
        names = [name + "'" * sum(other.startswith(name) for other in taken) for name in names]
        for name, box in zip(names, boxes, strict=True):
            spec.worldbody.add_geom(
                name=name,
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=box[:3],
                size=box[3:],
                rgba=COLOUR,
                contype=1,
                conaffinity=1,
            )
        model = spec.compile()
        for field in ("offwidth", "offheight"):
            setattr(model.vis.global_, field, getattr(holder.model.vis.global_, field))
        self._geoms = [model.geom(name).id for name in names]
        _take_over(holder.model, model, self._geoms)
        self._install(model, mujoco.MjData(model))
        if start_step > 0:
            self._set_solid(False)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; refuse boxes that the robot starts in."""
        result = super().reset(seed=seed, options=options)
        if self.start_step == 0:
            self._refuse_inside()
        return result

    def begin(self) -> None:
        """Let the boxes collide and be seen."""
        self._set_solid(True)

    def end(self) -> None:
        """Let them collide with nothing again, unless they stand from the start."""
        if self.start_step > 0:
            self._set_solid(False)

    def close(self) -> None:
        """Close the environment and give it the model of before."""
        super().close()
        self._install(*self._old)

    def _install(self, model: Any, data: Any) -> None:
        """Exchange model and data wherever the environment keeps them: itself, its parts, their renderers."""
        old = self._simulator.model
        world = self.env.unwrapped
        holders = [world, *vars(world).values(), self._simulator]
        holders += [vars(holder).get("mujoco_renderer") for holder in holders if hasattr(holder, "__dict__")]
        for holder in holders:
            if hasattr(holder, "__dict__") and vars(holder).get("model") is old:
                holder.model, holder.data = model, data

    def _set_solid(self, solid: bool) -> None:
        model = self._simulator.model
        model.geom_contype[self._geoms] = model.geom_conaffinity[self._geoms] = int(solid)
        model.geom_rgba[self._geoms, 3] = COLOUR[3] * solid

    def _refuse_inside(self) -> None:
        model, data = self._simulator.model, self._simulator.data
        for contact in data.contact:
            pair = {int(contact.geom1), int(contact.geom2)}
            if contact.dist < -TOUCH_M and pair & set(self._geoms):
                (geom,) = pair & set(self._geoms)
                (other,) = pair - {geom}
                at = ", ".join(f"{x:g}" for x in model.geom_pos[geom])
                body = model.body(int(model.geom_bodyid[other])).name or "the world"
                depth = f"{-contact.dist:.2g} m deep inside {body!r}"
                raise BadInput(
                    f"the obstacle at ({at}) m is {depth} at the start; move it or make it smaller."
                )


def _take_over(old: Any, new: Any, added: list[int]) -> None:
    """What the environment or an earlier shift has written into the model since it was compiled."""
    for field in _WRITTEN:
        getattr(new, field)[...] = getattr(old, field)
    others = [geom for geom in range(new.ngeom) if geom not in added]  # in the same order as before
    for field in ("geom_friction", "geom_pos", "geom_size", "geom_rgba", "geom_contype", "geom_conaffinity"):
        getattr(new, field)[others] = getattr(old, field)
    for field in ("gravity", "wind"):
        getattr(new.opt, field)[:] = getattr(old.opt, field)
    new.opt.timestep, new.opt.density, new.opt.viscosity = (
        old.opt.timestep,
        old.opt.density,
        old.opt.viscosity,
    )


_WRITTEN = (
    "body_pos",
    "body_quat",
    "body_mass",
    "body_inertia",
    "dof_damping",
    "dof_armature",
    "dof_frictionloss",
    "jnt_range",
    "jnt_stiffness",
    "actuator_gear",
    "actuator_gainprm",
    "actuator_biasprm",
    "actuator_ctrlrange",
    "eq_data",
    "site_pos",
    "qpos_spring",
)


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """Static boxes in a MuJoCo world."""

    boxes_m: tuple[Box, ...]  # [x, y, z, half x, half y, half z] each, in m; one or more

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.require(
            bool(self.boxes_m) and all(min(box[3:]) > 0 for box in self.boxes_m),
            "boxes_m needs boxes [x, y, z, half x, half y, half z] with sizes more than 0",
        )


def make(settings: Settings, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Put the boxes into the world.

    Raises:
        BadInput: at reset, if a box is inside the robot as it starts.
    """
    return Obstacles(env, settings.boxes_m, settings.start_step, "obstacles")


def describe(settings: Settings) -> Description:
    """How many, and where the first one stands."""
    x, y = settings.boxes_m[0][:2]
    number = len(settings.boxes_m)
    return Description(f"{number} obstacles, the first at ({x:g}, {y:g}) m{since(settings.start_step)}")
