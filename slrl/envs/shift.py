"""What shifts share: a step at which they begin, an end, and ways to change a MuJoCo model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.errors import BadInput, unknown

PLANE = 0  # mjGEOM_PLANE
CHANGED = (0.70, 0.16, 0.12, 1.0)  # the colour of what a shift has changed, in pictures


@dataclass(frozen=True, kw_only=True)
class ShiftSettings:
    """What the settings of every shift begin with."""

    start_step: int = 0  # of the life, or of an episode that is recorded, from which on the shift acts

    def __post_init__(self) -> None:
        plugins.at_least(self, 0, "start_step")


@dataclass(frozen=True, kw_only=True)
class DelaySettings(ShiftSettings):
    """What the settings of shifts that delay something have in common."""

    delay_steps: int  # 1 or more

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.at_least(self, 1, "delay_steps")


class Shift(gym.Wrapper[Any, Any, Any, Any]):
    """A change of the world from step ``start_step`` of a life on, undone when the environment closes.

    A shift overrides :meth:`begin` and :meth:`end`. One that acts in every step overrides :meth:`step`, where
    it calls :meth:`begin_due` first and then looks at ``active``.

    Of several shifts of one environment, those that begin at the same step begin from the inside out, which
    is the order of the TOML file. The outermost one calls the others. They are undone in the reverse order of
    their beginning, whichever is inside, since each puts back what it found.
    """

    def __init__(self, env: gym.Env[Any, Any], start_step: int) -> None:
        super().__init__(env)
        self.start_step, self._steps, self.active, self.outermost = start_step, 0, False, True
        below = self._below()
        self._begun: list[Shift] = below[0]._begun if below else []  # of all, in the order of their beginning
        self._inside_out = [*reversed(below), self]
        for inner in self._inside_out[:-1]:
            inner.outermost = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Undo the shifts of the episode before, begin those of step 0, and reset the environment."""
        if self.outermost:
            self.stop_all()
            for shift in self._inside_out:
                shift._steps = 0
            self.begin_due()
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Begin what is due and step the environment."""
        self.begin_due()
        self._steps += 1
        return self.env.step(action)

    def close(self) -> None:
        """Undo the change and close the environment."""
        self.stop()
        super().close()

    def begin(self) -> None:
        """Change the world; called at most once before :meth:`end`."""

    def end(self) -> None:
        """Undo what :meth:`begin` did."""

    def begin_due(self) -> None:
        """Begin what is due; the outermost shift does it for all of them."""
        if self.outermost:
            for shift in self._inside_out:
                if not shift.active and shift._steps >= shift.start_step:
                    shift.active = True
                    self._begun.append(shift)
                    shift.begin()

    def stop(self) -> None:
        """Undo the change without closing the environment, after those of other shifts that began later."""
        while self.active:
            last = self._begun.pop()
            last.active = False
            last.end()

    def stop_all(self) -> None:
        """Undo the changes of this shift and of all that it wraps, the last one first."""
        for shift in reversed(self._inside_out):
            shift.stop()

    def _below(self) -> list["Shift"]:
        """The shifts that this one wraps, from the outside in."""
        found: list[Shift] = []
        env: gym.Env[Any, Any] = self.env
        while isinstance(env, gym.Wrapper):
            if isinstance(env, Shift):
                found.append(env)
            env = env.env
        return found


class ModelChange(Shift):
    """Fields of the MuJoCo model that are different from ``start_step`` on, and put back at the end.

    ``change(model)`` writes into ``fields`` (dotted names, as ``opt.gravity``); it may multiply, since it
    always finds the values of before. Pictures show what has changed: the geoms ``painted`` get the
    ``colour`` (RGBA, 0 to 1). ``shift`` is the name that messages have.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        start_step: int,
        fields: Iterable[str],
        change: Callable[[Any], None],
        shift: str,
        painted: Sequence[int] = (),
        colour: tuple[float, float, float, float] = CHANGED,
    ) -> None:
        super().__init__(env, start_step)
        self._simulator, self._change = simulator(env, shift), change
        self._fields = (*fields, "geom_rgba", "geom_matid")
        self._painted, self._colour = list(painted), colour
        self._before: dict[str, Any] = {}

    def begin(self) -> None:
        """Keep the fields' values, change them, and paint what has changed."""
        model = self._simulator.model
        self._before = {field: _get(model, field).copy() for field in self._fields}
        self._change(model)
        model.geom_rgba[self._painted] = self._colour
        plain = [geom for geom in self._painted if int(model.geom_type[geom]) != PLANE]
        model.geom_matid[plain] = -1  # but the ground keeps its pattern
        self._settle()

    def end(self) -> None:
        """Write the values of before."""
        for field, values in self._before.items():
            _get(self._simulator.model, field)[...] = values
        self._settle()

    def _settle(self) -> None:
        """Let MuJoCo compute what it derives from masses and inertias."""
        import mujoco

        if any(field.startswith("body_") for field in self._fields):
            # mj_setConst computes in qpos0 and leaves the data there, so it gets data of its own.
            mujoco.mj_setConst(self._simulator.model, mujoco.MjData(self._simulator.model))


def simulator(env: gym.Env[Any, Any], shift: str) -> Any:
    """The object that owns MuJoCo's ``model`` and ``data``: the environment itself, or the robot in it.

    Raises:
        BadInput: if there is none; the sentence names ``shift``.
    """
    world = env.unwrapped
    for candidate in (world, *vars(world).values()):
        if type(getattr(candidate, "model", None)).__name__ == "MjModel" and hasattr(candidate, "init_qpos"):
            return candidate
    raise BadInput(
        f"the shift {shift!r} needs a MuJoCo world, and {type(world).__name__} has no MuJoCo model."
    )


def index(model: Any, kind: str, name: str, shift: str) -> int:
    """The number of a named body, geom, joint or actuator.

    Raises:
        BadInput: with the nearest name, or all of them.
    """
    import mujoco

    code = getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}")
    found = int(mujoco.mj_name2id(model, code, name))
    if found < 0:
        raise unknown(f"{kind} for the shift {shift!r}:", name, element_names(model, kind))
    return found


def geoms_of(model: Any, bodies: Iterable[int]) -> list[int]:
    """The geoms that belong to bodies."""
    wanted = {int(body) for body in bodies}
    return [geom for geom in range(model.ngeom) if int(model.geom_bodyid[geom]) in wanted]


def element_names(model: Any, kind: str) -> list[str]:
    """The names of a model's bodies, geoms, joints or actuators; those without a name are left out."""
    import mujoco

    code = getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}")
    count = {"body": model.nbody, "geom": model.ngeom, "joint": model.njnt, "actuator": model.nu}[kind]
    return [name for name in (mujoco.mj_id2name(model, code, i) for i in range(count)) if name]


def _get(model: Any, field: str) -> np.ndarray:
    """A field by its dotted name, as ``opt.gravity``."""
    value = model
    for part in field.split("."):
        value = getattr(value, part)
    array: np.ndarray = value
    return array
