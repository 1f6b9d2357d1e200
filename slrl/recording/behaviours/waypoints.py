"""Walks of mixed quality on a plane: through random places and then to the goal, or never there."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.types import F32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ranges are [lowest, highest], of which every episode draws its own value uniformly."""

    arena: tuple[float, float]  # |x| and |y| of the places that are visited, in units
    spread: float  # places are drawn from the arena times this and moved inside: walls are visited too
    goal_obs: tuple[int, int]  # entries of the observation with the goal's x, y
    speed: tuple[float, float]  # units per step
    noise: tuple[float, float]  # standard deviation of the displacement along each axis
    detours: tuple[float, ...]  # shares of the episodes that visit 0, 1, 2, … places before the goal
    gives_up: float  # share of the episodes with detours that never go to the goal
    random_actions: float  # share of the steps whose action is uniformly random

    def __post_init__(self) -> None:
        plugins.require(sum(self.detours) > 0 and min(self.detours) >= 0, "detours needs shares of 0 or more")
        plugins.share(self, "gives_up", "random_actions")


class Waypoints:
    """Walks from place to place; a place counts as reached within 5 units."""

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        self._settings, self._rng, self._arena = settings, rng, np.array(settings.arena)
        self._detours = np.array(settings.detours) / sum(settings.detours)
        self._goal_obs = list(settings.goal_obs)
        self._places: list[np.ndarray] = []
        self._speed = self._noise = 0.0  # of this episode

    def reset(self, obs: F32) -> None:
        """Draw speed, noise and places of the episode."""
        rng, settings = self._rng, self._settings
        self._speed, self._noise = rng.uniform(*settings.speed), rng.uniform(*settings.noise)
        visits = int(rng.choice(len(self._detours), p=self._detours))
        self._places = [self._place() for _ in range(visits)]
        if visits and rng.random() < settings.gives_up:
            self._places += [self._place() for _ in range(20)]
        self._places.append(obs[self._goal_obs].astype(np.float64))

    def act(self, obs: F32) -> F32:
        """A displacement (2,) from the position ``obs[:2]`` towards the next place."""
        offset = self._places[0] - obs[:2]
        if len(self._places) > 1 and np.hypot(*offset) < 5.0:
            self._places.pop(0)
            offset = self._places[0] - obs[:2]
        if self._rng.random() < self._settings.random_actions:
            return self._rng.uniform(-1, 1, 2).astype(np.float32)
        distance = max(float(np.hypot(*offset)), 1e-9)
        noise = self._noise * self._rng.standard_normal(2)
        action = offset / distance * min(self._speed, distance) + noise
        return np.clip(action, -1, 1).astype(np.float32)

    def _place(self) -> np.ndarray:
        """Uniform over the arena made ``spread`` times as large, then moved inside."""
        spread = self._settings.spread
        drawn = self._rng.uniform(-spread, spread, 2) * self._arena
        place: np.ndarray = np.clip(drawn, -self._arena, self._arena)
        return place


def make(settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> Waypoints:
    """The walker, which sees nothing of ``env`` but observations."""
    return Waypoints(settings, rng)
