"""A hand that knows how to carry the mug of ``slrl/Tabletop-v0``: demonstrations, and play that ends in one."""

import numpy as np

from slrl.types import F32

GRIPPER, MUG, HELD, GOAL = slice(0, 2), slice(2, 4), 4, slice(8, 10)


class PickAndPlace:
    """Each episode draws its own speed and noise, and how many of the ``places`` the mug is carried to before the goal."""

    def __init__(
        self,
        rng: np.random.Generator,
        places: tuple[tuple[float, float], ...] = (),
        detours: tuple[float, ...] = (1.0,),
        speed: tuple[float, float] = (0.4, 0.6),
        noise: tuple[float, float] = (0.0, 0.2),
        gives_up: float = 0.0,
        random_actions: float = 0.0,
    ) -> None:
        self._rng, self._places = rng, np.array(places, np.float64).reshape(-1, 2)
        self._detours, self._speed, self._noise = np.array(detours) / sum(detours), speed, noise
        self._gives_up, self._random = gives_up, random_actions
        self._targets: list[np.ndarray] = []
        self._pace = self._shake = 0.0
        self._lazy = False

    def reset(self, obs: F32) -> None:
        rng = self._rng
        self._pace, self._shake = rng.uniform(*self._speed), rng.uniform(*self._noise)
        visits = int(rng.choice(len(self._detours), p=self._detours)) if len(self._places) else 0
        self._lazy = bool(rng.random() < self._gives_up)
        self._targets = [self._places[rng.integers(len(self._places))] for _ in range(visits)]
        if not self._lazy:
            self._targets.append(obs[GOAL].astype(np.float64))

    def act(self, obs: F32) -> F32:
        if self._rng.random() < self._random:
            return self._rng.uniform(-1, 1, 3).astype(np.float32)
        # The hand is closed on the way to the mug too, as in EARL's demonstrations: it grasps what comes near.
        gripper, mug, held = obs[GRIPPER], obs[MUG], obs[HELD] == 0
        if not self._targets:  # nothing left to do: stroll about with an open hand
            return np.append(self._move(self._rng.uniform(-2, 2, 2)), -1).astype(np.float32)
        target = self._targets[0]
        if len(self._targets) > 1 and np.hypot(*(mug - target)) < 0.2:
            self._targets.pop(0)
            return np.append(self._move(np.zeros(2)), -1).astype(np.float32)  # put it down
        return np.append(self._move(target - mug if held else mug - gripper), 1).astype(np.float32)

    def _move(self, way: np.ndarray) -> np.ndarray:
        """In the direction of ``way`` (units), at the episode's pace, slower when near, and shaky."""
        distance = max(float(np.hypot(*way)), 1e-9)
        move: np.ndarray = way / distance * min(
            self._pace, distance / 0.2
        ) + self._shake * self._rng.standard_normal(2)
        return move.clip(-1, 1)


make = PickAndPlace
