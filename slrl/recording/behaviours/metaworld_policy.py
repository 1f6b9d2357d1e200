"""Meta-World's own scripted policy of a task, with noise."""

import warnings

import numpy as np

from slrl.errors import unknown
from slrl.types import F32


class MetaWorldPolicy:
    """Each episode draws its own speed and noise; some steps are random."""

    def __init__(
        self,
        rng: np.random.Generator,
        task: str,
        speed: tuple[float, float] = (1.0, 1.0),
        noise: tuple[float, float] = (0.0, 0.0),
        random_actions: float = 0.0,
    ) -> None:
        from metaworld.policies import ENV_POLICY_MAP

        if task not in ENV_POLICY_MAP:
            raise unknown("Meta-World task", task, ENV_POLICY_MAP)
        self._rng, self._policy = rng, ENV_POLICY_MAP[task]()
        self._speed, self._noise, self._random = speed, noise, random_actions
        self._pace = self._shake = 0.0

    def reset(self, obs: F32) -> None:
        self._pace, self._shake = self._rng.uniform(*self._speed), self._rng.uniform(*self._noise)

    def act(self, obs: F32) -> F32:
        if self._rng.random() < self._random:
            return self._rng.uniform(-1, 1, 4).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its constants are clipped, at every step
            action = np.clip(self._policy.get_action(obs.astype(np.float64)), -1, 1)
        scale = np.array([self._pace, self._pace, self._pace, 1.0])  # the grip is not slower
        shaken: F32 = np.clip(action * scale + self._shake * self._rng.standard_normal(4), -1, 1).astype(
            np.float32
        )
        return shaken


make = MetaWorldPolicy
