"""Environments: the worlds of slrl, the worlds of a scenario, and the wrapper that allows one life only."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from slrl import files, plugins
from slrl.envs.shift import Shift
from slrl.envs.shifts import Description
from slrl.envs.success import Success, WithSuccess, is_true, look_up
from slrl.errors import BadInput
from slrl.plugins import ShiftPlugin
from slrl.scenarios import Scenario, World

# Packages that are not always there, and the extra of slrl that brings them.
EXTRAS = {"mujoco": "mujoco", "gymnasium_robotics": "robotics", "metaworld": "metaworld"}

# String entry points: Minari cannot store an environment made from a callable, and MuJoCo stays unimported
# until it is used.
WORLDS = {
    "slrl/Pointmass-v0": "slrl.envs.pointmass:Pointmass",
    "slrl/Tabletop-v0": "slrl.envs.tabletop:Tabletop",
    "slrl/ShortCheetah-v0": "slrl.envs.cheetah:ShortCheetah",
    "slrl/Kitchen-v0": "slrl.envs.kitchen:Kitchen",
    "slrl/MetaWorld-v0": "slrl.envs.metaworld:MetaWorld",
}
for _id, _entry_point in WORLDS.items():
    if _id not in gym.registry:
        gym.register(_id, entry_point=_entry_point)


class OneLife(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that can be reset once, ends after ``life_steps``, and cannot be stepped after its end.

    The info of every step has ``success`` and ``progress`` (NaN without ``progress_info``), whatever the
    world calls them. Observations are copies, and the world gets a copy of the action: one that writes into
    the same array at every step would else change the rows of a life that are kept already.

    Raises:
        RuntimeError: at the second ``reset``, and at a ``step`` outside the life.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        life_steps: int,
        success_info: str = "success",
        progress_info: str | None = None,
    ) -> None:
        super().__init__(env)
        self.life_steps, self._success_info, self._progress_info = life_steps, success_info, progress_info
        self._steps_left, self._born, self._alive = life_steps, False, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin the life."""
        if self._born:
            raise RuntimeError("a life cannot be restarted: build a new one with slrl.envs.make().")
        self._born = self._alive = True
        obs, info = self.env.reset(seed=seed, options=options)
        return np.copy(obs), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """One step of the life: terminated also by success, truncated by nothing but the budget of steps.

        Raises:
            BadInput: if the info has no ``success_info`` or ``progress_info``; the sentence says what it has.
                Also if the former is no single truth or number.
        """
        if not self._alive:
            raise RuntimeError(
                "step() outside a life: call reset() first, once, and stop when the life has ended."
            )
        # What the world calls truncated, its own time limit, ends no life.
        obs, reward, terminated, _, info = self.env.step(np.copy(action))
        self._steps_left -= 1
        progress = float(look_up(info, self._progress_info)) if self._progress_info else np.nan
        success = is_true(look_up(info, self._success_info), f"info[{self._success_info!r}]")
        terminated = terminated or success
        truncated = self._steps_left <= 0 and not terminated
        self._alive = not (terminated or truncated)
        told = {**info, "success": success, "progress": progress}
        return np.copy(obs), reward, terminated, truncated, told


def make(scenario: Scenario, *, life_steps: int | None = None, render_mode: str | None = None) -> OneLife:
    """The target world of a scenario, for one life."""
    return _one_life(scenario, scenario.target, life_steps, render_mode)


def make_source(
    scenario: Scenario, *, life_steps: int | None = None, render_mode: str | None = None
) -> OneLife:
    """The source world of a scenario for one life, with the success test of the target."""
    return _one_life(scenario, scenario.source, life_steps, render_mode)


def _one_life(scenario: Scenario, world: World, life_steps: int | None, render_mode: str | None) -> OneLife:
    env = make_world(world, success=Success.of(scenario), render_mode=render_mode)
    return OneLife(env, life_steps or scenario.life_steps, progress_info=scenario.progress_info)


def check(scenario: Scenario) -> None:
    """Try a step in the target, so that a wrong name is found before hours of pretraining and not after."""
    env = make(scenario)
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape or (), np.float32))
    env.close()


def make_world(
    world: World, *, success: Success | None = None, render_mode: str | None = None
) -> gym.Env[Any, Any]:
    """A world with its shifts and no time limit: observations in a flat float32 Box, actions in [-1, 1].

    A ``success`` test sees the observation as the world gives it, before any shift changes it.

    Raises:
        BadInput: if the world, a setting of it or a shift does not work.
    """
    env = _flat(_open(world, render_mode), world.env)
    if success is not None:
        env = WithSuccess(env, success)
    return with_shifts(env, world.shifts)


def with_shifts(env: gym.Env[Any, Any], shifts: Sequence[Mapping[str, Any]]) -> gym.Env[Any, Any]:
    """The environment wrapped in shifts, in order; each is a table with a ``name`` and its settings.

    Raises:
        BadInput: for a name, a setting or a value that does not work, or does not in this environment.
    """
    for shift in shifts:
        env = _parsed(shift).make(env)
    return env


def _parsed(shift: Mapping[str, Any]) -> ShiftPlugin:
    return ShiftPlugin.parse(shift, f"shift {shift['name']!r}" if "name" in shift else "each shift")


def without_shifts(env: gym.Env[Any, Any], bare: gym.Env[Any, Any]) -> None:
    """Undo the shifts that ``env`` has and ``bare``, which it wraps, has not; ``bare`` stays open.

    Shifts of ``bare`` that began after one of them are undone before it, and begin again at the next step.
    """
    while env is not bare and isinstance(env, gym.Wrapper):
        if isinstance(env, Shift):
            env.stop()
        env = env.env
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Shift):
            env.outermost = True  # of those that ``bare`` has
            break
        env = env.env


def _open(world: World, render_mode: str | None) -> gym.Env[Any, Any]:
    """The environment itself: a Gymnasium id, or a class as ``module:Class``."""
    _hush_notices()
    spec: str | EnvSpec = world.env
    module, colon, name = world.env.partition(":")
    if colon and _is_class(module, name):
        spec = EnvSpec(id=f"{name}-v0", entry_point=world.env)
    # A class of the user's need not know ``render_mode``.
    drawn = {} if render_mode is None else {"render_mode": render_mode}
    try:
        return gym.make(spec, max_episode_steps=-1, disable_env_checker=True, **drawn, **world.settings)
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise _missing(world.env, error) from None
    except gym.error.Error as error:
        raise BadInput(f"Gymnasium has no environment {world.env!r}: {error}") from None
    except TypeError as error:
        raise BadInput(f"{world.env} does not accept the settings {world.settings}: {error}.") from None


def _hush_notices() -> None:
    """Do not let Gymnasium-Robotics print a notice about three of its hands at every import."""
    try:
        from farama_notifications import notifications
    except ModuleNotFoundError:
        return  # it comes with Gymnasium, which may drop it
    notifications.pop("gymnasium_robotics", None)


def _is_class(module: str, name: str) -> bool:
    """Whether ``module:name`` is a class, and not a module to import before a Gymnasium id is looked up."""
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise _missing(f"{module}:{name}", error) from None
    except Exception as error:  # whatever a user's module raises while it is imported
        raise plugins.import_failed(f"the world '{module}:{name}'", module, error) from error
    return isinstance(found, type) and issubclass(found, gym.Env)


def _missing(env: str, error: Exception) -> BadInput:
    """One sentence that names the extra, or the module that Python does not find."""
    name = getattr(error, "name", None) or ("mujoco" if "mujoco" in str(error).lower() else str(error))
    package = str(name).partition(".")[0]
    if package in EXTRAS:
        return BadInput(
            f"{env} needs the package {package}; install it with: pip install 'slrl[{EXTRAS[package]}]'."
        )
    return BadInput(f"{env} needs the module {package!r}, which Python does not find here.")


def _flat(env: gym.Env[Any, Any], name: str) -> gym.Env[Any, Any]:
    if isinstance(env.observation_space, gym.spaces.Dict):
        env = gym.wrappers.FlattenObservation(env)
    obs, action = env.observation_space, env.action_space
    if (
        not isinstance(obs, gym.spaces.Box)
        or len(obs.shape) != 1
        or not isinstance(action, gym.spaces.Box)
        or len(action.shape) != 1
    ):
        raise BadInput(f"{name} has the spaces {obs} and {action}; slrl needs a flat Box for both.")
    if obs.dtype != np.float32:
        space = gym.spaces.Box(obs.low.astype(np.float32), obs.high.astype(np.float32), dtype=np.float32)
        env = gym.wrappers.TransformObservation(env, _float32, space)
    if not (np.all(action.low == -1) and np.all(action.high == 1)):
        env = gym.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
    return env


def _float32(obs: np.ndarray) -> np.ndarray:
    return obs.astype(np.float32)


def about(world: World) -> dict[str, Any]:
    """All that what happens in a world depends on, as JSON can hold it: also versions of the simulator."""
    versions = {package: files.installed(package) for package in ("gymnasium", "mujoco")}
    return {
        "env": world.env,
        "settings": world.settings,
        "shifts": list(world.shifts),
        "versions": versions,
    }


def describe(world: World) -> list[Description]:
    """Every shift of a world in words; one that brings no ``describe`` is told by its name and settings."""
    return [_described(_parsed(shift)) for shift in world.shifts]


def _described(shift: ShiftPlugin) -> Description:
    function = getattr(plugins.find(plugins.SHIFTS, shift.name), "describe", None)
    if function is not None:
        described: Description = function(shift.settings)
        return described
    settings = ", ".join(f"{key} = {value}" for key, value in plugins.table(shift.settings).items())
    return Description(f"{shift.name} ({settings})" if settings else shift.name)
