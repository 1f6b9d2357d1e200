"""A walker of mixed quality: it strolls through random places, then heads for the goal, or gives up."""

import numpy as np

from slrl.types import F32


class Waypoints:
    """Each episode draws its own speed and noise, how many places it visits first, and whether it goes to the goal."""

    def __init__(
        self,
        rng: np.random.Generator,
        arena: tuple[float, float],
        spread: float,
        goal_obs: tuple[int, int],
        speed: tuple[float, float],
        noise: tuple[float, float],
        detours: tuple[float, ...],
        gives_up: float,
        random_actions: float,
    ) -> None:
        self._rng, self._arena, self._spread, self._goal_obs = rng, np.array(arena), spread, list(goal_obs)
        self._speed, self._noise, self._detours = speed, noise, np.array(detours) / sum(detours)
        self._gives_up, self._random = gives_up, random_actions
        self._places: list[np.ndarray] = []
        self._pace = self._shake = 0.0

    def reset(self, obs: F32) -> None:
        rng = self._rng
        self._pace, self._shake = rng.uniform(*self._speed), rng.uniform(*self._noise)
        visits = int(rng.choice(len(self._detours), p=self._detours))
        self._places = [self._place() for _ in range(visits)]
        if visits and rng.random() < self._gives_up:
            self._places += [self._place() for _ in range(20)]
        self._places.append(obs[self._goal_obs].astype(np.float64))

    def act(self, obs: F32) -> F32:
        way = self._places[0] - obs[:2]
        if len(self._places) > 1 and np.hypot(*way) < 5.0:
            self._places.pop(0)
            way = self._places[0] - obs[:2]
        if self._rng.random() < self._random:
            return self._rng.uniform(-1, 1, 2).astype(np.float32)
        distance = max(float(np.hypot(*way)), 1e-9)
        action = way / distance * min(self._pace, distance) + self._shake * self._rng.standard_normal(2)
        return np.clip(action, -1, 1).astype(np.float32)

    def _place(self) -> np.ndarray:
        """Uniform over the arena made ``spread`` times as large, then moved inside: walls and corners are visited too."""
        place: np.ndarray = np.clip(
            self._rng.uniform(-self._spread, self._spread, 2) * self._arena, -self._arena, self._arena
        )
        return place


make = Waypoints
