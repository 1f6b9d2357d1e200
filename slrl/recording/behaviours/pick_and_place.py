"""Carries the mug of ``slrl/Tabletop-v0`` to its goal, by way of other places: demonstrations, and play."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.types import F32

GRIPPER, MUG, HELD, GOAL = slice(0, 2), slice(2, 4), 4, slice(8, 10)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ranges are [lowest, highest], of which every episode draws its own value uniformly."""

    places: tuple[
        tuple[float, float], ...
    ] = ()  # x, y of where the mug may be carried before the goal, in units
    detours: tuple[float, ...] = (1.0,)  # shares of the episodes that visit 0, 1, 2, … of the places
    speed: tuple[float, float] = (0.4, 0.6)  # of full speed
    noise: tuple[float, float] = (0.0, 0.2)  # standard deviation of the displacement along each axis
    gives_up: float = 0.0  # share of the episodes that never go to the goal
    random_actions: float = 0.0  # share of the steps whose action is uniformly random

    def __post_init__(self) -> None:
        plugins.require(sum(self.detours) > 0 and min(self.detours) >= 0, "detours needs shares of 0 or more")
        plugins.share(self, "gives_up", "random_actions")


class PickAndPlace:
    """Goes to the mug, holds it, carries it to the episode's places and then to the goal."""

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        self._settings, self._rng = settings, rng
        self._places = np.array(settings.places, np.float64).reshape(-1, 2)
        self._detours = np.array(settings.detours) / sum(settings.detours)
        self._targets: list[np.ndarray] = []
        self._speed = self._noise = 0.0  # of this episode

    def reset(self, obs: F32) -> None:
        """Draw speed, noise and places of the episode."""
        rng, settings = self._rng, self._settings
        self._speed, self._noise = rng.uniform(*settings.speed), rng.uniform(*settings.noise)
        visits = int(rng.choice(len(self._detours), p=self._detours)) if len(self._places) else 0
        gives_up = rng.random() < settings.gives_up
        self._targets = [self._places[rng.integers(len(self._places))] for _ in range(visits)]
        if not gives_up:
            self._targets.append(obs[GOAL].astype(np.float64))

    def act(self, obs: F32) -> F32:
        """Displacement x, y and grip (3,)."""
        if self._rng.random() < self._settings.random_actions:
            return self._rng.uniform(-1, 1, 3).astype(np.float32)
        # The hand is closed on the way to the mug too, as in EARL's demonstrations: it grasps what is near.
        gripper, mug, held = obs[GRIPPER], obs[MUG], obs[HELD] == 0
        if not self._targets:  # nothing left to do: random moves with an open hand
            return np.append(self._move(self._rng.uniform(-2, 2, 2)), -1).astype(np.float32)
        target = self._targets[0]
        if len(self._targets) > 1 and np.hypot(*(mug - target)) < 0.2:
            self._targets.pop(0)
            return np.append(self._move(np.zeros(2)), -1).astype(np.float32)  # put it down
        return np.append(self._move(target - mug if held else mug - gripper), 1).astype(np.float32)

    def _move(self, offset: np.ndarray) -> np.ndarray:
        """A noisy action (2,) in the direction of ``offset`` (units), slower when near."""
        distance = max(float(np.hypot(*offset)), 1e-9)
        noise = self._noise * self._rng.standard_normal(2)
        move: np.ndarray = offset / distance * min(self._speed, distance / 0.2) + noise
        return move.clip(-1, 1)


def make(settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> PickAndPlace:
    """The script, which sees nothing of ``env`` but observations."""
    return PickAndPlace(settings, rng)
