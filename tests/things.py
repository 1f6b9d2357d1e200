"""A flat world with a hand and things in it, and priors of it that a script has recorded.

Observation (8,): hand x, y; object x, y; goal x, y of the object; two switches. Action (3,): the hand's
displacement x, y (times 0.05), and the grip. A held object moves with the hand. Pressing down on a switch, by
being at (5, 0) or (-5, 0), turns it.
"""

from typing import Any

import gymnasium as gym
import numpy as np

from slrl.priors import Prior

from .conftest import prior_of, rows_of

STEP, REACH = 0.05, 0.15
SWITCHES = np.array([[5.0, 0.0], [-5.0, 0.0]])


class Things(gym.Env[Any, Any]):
    """Done when the object is at its goal ("carry"), or when both switches are on ("press")."""

    def __init__(self, task: str, place: Any = (1.0, 0.0), goal: Any = (-1.0, 0.5), on: Any = (0, 0)) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (8,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (3,), np.float32)
        self.task, self.begin = task, [np.array(value, np.float64) for value in (place, goal, on)]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.hand, self.held = np.zeros(2), False
        self.object, self.goal, self.on = (value.copy() for value in self.begin)
        return self.observed(), {}

    def observed(self) -> Any:
        return np.concatenate([self.hand, self.object, self.goal, self.on]).astype(np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        action = np.clip(action, -1, 1).astype(np.float64)
        self.held = action[2] > 0 and (self.held or np.abs(self.hand - self.object).max() < REACH)
        self.hand = self.hand + STEP * action[:2]
        if self.held:
            self.object = self.object + STEP * action[:2]
        self.on = np.where(np.abs(self.hand - SWITCHES).max(1) < REACH, self.on + 0.25, self.on).clip(max=1)
        arrived = np.abs(self.object - self.goal).max() < 0.1
        done = bool(arrived if self.task == "carry" else self.on.min() >= 1)
        return self.observed(), float(done), done, False, {"success": done}


def towards(here: Any, there: Any, rng: np.random.Generator) -> Any:
    """A noisy step of at most one unit to there."""
    return np.clip((there - here) / STEP + rng.normal(0, 0.1, 2), -1, 1)


def carried(episodes: int = 60, seed: int = 0) -> Prior:
    """An object that lies in x 0.5 to 1.5, y -1.5 to 1.5 is carried to a goal in x -1.5 to -0.5."""
    rng, worlds, scripts = np.random.default_rng(seed), [], []
    for _ in range(episodes):
        place, goal = (sign * rng.uniform(0.5, 1.5) for sign in (1, -1))
        worlds.append(Things("carry", (place, rng.uniform(-1.5, 1.5)), (goal, rng.uniform(-1, 1))))

        def script(world: Things) -> Any:
            near = np.abs(world.hand - world.object).max() < 0.8 * REACH
            aim = world.goal if near or world.held else world.object
            return np.append(towards(world.hand, aim, rng), 1.0 if near or world.held else -1.0)

        scripts.append(script)
    return recorded(worlds, scripts)


def pressed(episodes: int = 60, seed: int = 0) -> Prior:
    """One of the two switches is on already; the other one is pressed."""
    rng, worlds, scripts = np.random.default_rng(seed), [], []
    for number in range(episodes):
        which = number % 2
        worlds.append(Things("press", on=(float(which == 1), float(which == 0))))

        def script(world: Things, which: int = which) -> Any:
            return np.append(towards(world.hand, SWITCHES[which], rng), -1.0)

        scripts.append(script)
    return recorded(worlds, scripts)


def recorded(worlds: list[Things], scripts: list[Any], steps: int = 200) -> Prior:
    """Episodes of these worlds, each by its script."""
    columns: list[list[Any]] = [[] for _ in range(7)]
    for number, (world, script) in enumerate(zip(worlds, scripts, strict=True)):
        obs, _ = world.reset(seed=number)
        for step in range(steps):
            action = script(world).astype(np.float32)
            next_obs, reward, done, _, _ = world.step(action)
            row = (obs, action, reward, next_obs, done, step == steps - 1 and not done, number)
            for column, value in zip(columns, row, strict=True):
                column.append(value)
            obs = next_obs
            if done:
                break
    obs_, action_, reward_, next_, end, cut, episode = (np.array(column) for column in columns)
    rows = rows_of([1], obs_dim=8, action_dim=3)._replace(
        obs=obs_.astype(np.float32),
        action=action_,
        reward=reward_.astype(np.float32),
        next_obs=next_.astype(np.float32),
        terminated=end,
        truncated=cut,
        episode=episode.astype(np.int32),
    )
    return prior_of(rows)
