"""Environments: the worlds written here, the making of a scenario's world, and the wrapper that makes a life single."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.shifts import Description
from slrl.errors import BadInput
from slrl.scenarios import Scenario, World

if "slrl/Pointmass-v0" not in gym.registry:
    # A string entry point: Minari cannot store an environment made from a callable.
    gym.register("slrl/Pointmass-v0", entry_point="slrl.envs.pointmass:Pointmass")


class OneLife(gym.Wrapper[Any, Any, Any, Any]):
    """Lets the wrapped environment be reset once, ends it after ``life_steps``, and never lets it be stepped after its end.

    The info of every step has ``success`` and ``progress`` (NaN without ``progress_info``), whatever the world calls them.

    Raises:
        RuntimeError: at the second ``reset``, and at a ``step`` outside the life.
    """

    def __init__(
        self, env: gym.Env[Any, Any], life_steps: int, success_info: str = "success", progress_info: str | None = None
    ) -> None:
        super().__init__(env)
        self.life_steps, self._success_info, self._progress_info = life_steps, success_info, progress_info
        self._steps_left, self._born, self._alive = life_steps, False, False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if self._born:
            raise RuntimeError("a life cannot be restarted: build a new one with slrl.envs.make().")
        self._born = self._alive = True
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        if not self._alive:
            raise RuntimeError("step() outside a life: call reset() first, once, and stop when the life has ended.")
        obs, reward, terminated, _, info = self.env.step(action)  # a time limit of the source world does not end a life
        self._steps_left -= 1
        for key in filter(None, (self._success_info, self._progress_info)):
            if key not in info:
                raise BadInput(f"the environment's info has no {key!r}; it has {', '.join(sorted(info)) or 'nothing'}.")
        progress = float(info[self._progress_info]) if self._progress_info else np.nan
        success = bool(info[self._success_info])
        terminated = terminated or success
        truncated = self._steps_left <= 0 and not terminated
        self._alive = not (terminated or truncated)
        return obs, reward, terminated, truncated, {**info, "success": success, "progress": progress}


def make(scenario: Scenario, *, life_steps: int | None = None, render_mode: str | None = None) -> OneLife:
    """The target world of a scenario, for one life."""
    env = make_world(scenario.target, render_mode=render_mode)
    return OneLife(env, life_steps or scenario.life_steps, scenario.success_info, scenario.progress_info)


def check(scenario: Scenario) -> None:
    """Try a step in a world of its own, so that a wrong name is found before hours of pretraining and not after."""
    env = make(scenario)
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape or (), np.float32))
    env.close()


def make_world(world: World, *, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """An environment without a time limit, under its shifts, with a flat Box observation and actions in [-1, 1]."""
    try:
        env: gym.Env[Any, Any] = gym.make(
            world.env, max_episode_steps=-1, render_mode=render_mode, disable_env_checker=True, **world.settings
        )
    except gym.error.UnregisteredEnv as error:
        raise BadInput(f"Gymnasium has no environment {world.env!r}: {error}") from None
    except TypeError as error:
        raise BadInput(f"{world.env} does not accept the settings {world.settings}: {error}.") from None
    for shift in world.shifts:
        name, settings = plugins.split(shift, "each shift")
        env = plugins.make("slrl.envs.shifts", name, settings, where=f"shift {name!r}", env=env)
    if isinstance(env.observation_space, gym.spaces.Dict):
        env = gym.wrappers.FlattenObservation(env)
    obs, action = env.observation_space, env.action_space
    if (
        not isinstance(obs, gym.spaces.Box)
        or len(obs.shape) != 1
        or not isinstance(action, gym.spaces.Box)
        or len(action.shape) != 1
    ):
        raise BadInput(f"{world.env} has the spaces {obs} and {action}; slrl needs a flat Box for both.")
    if not (np.all(action.low == -1) and np.all(action.high == 1)):
        env = gym.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
    return env


def describe(world: World) -> list[Description]:
    """Every shift of a world in words."""
    described = []
    for shift in world.shifts:
        name, settings = plugins.split(shift, "each shift")
        function = plugins.find("slrl.envs.shifts", name).describe
        described.append(function(**plugins.bind(function, settings, where=f"shift {name!r}")))
    return described
