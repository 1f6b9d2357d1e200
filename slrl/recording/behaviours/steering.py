"""A point that knows the air: straight to its goal, leaning against a drift that it is told."""

import numpy as np

from slrl.types import F32


class Steering:
    """For ``slrl/Pointmass-v0``: the optimum of its scenarios. The drift may begin at a step and turn, as the shift ``wind``."""

    def __init__(
        self,
        drift_units_per_step: tuple[float, float] = (0.0, 0.0),
        turn_deg_per_step: float = 0.0,
        start_step: int = 0,
    ) -> None:
        self._drift, self._turn, self._start = (
            drift_units_per_step,
            float(np.deg2rad(turn_deg_per_step)),
            start_step,
        )
        self._steps = 0

    def reset(self, obs: F32) -> None:
        self._steps = 0

    def act(self, obs: F32) -> F32:
        (x, y), since = self._drift, self._steps - self._start
        self._steps += 1
        cos, sin = np.cos(self._turn * since), np.sin(self._turn * since)
        drift = np.array([cos * x - sin * y, sin * x + cos * y]) * (since >= 0)
        way = obs[4:6] - obs[:2]
        ahead = (
            np.array([1.0, way[1] / max(abs(way[0]), 1.0)])
            if way[0] > 0
            else way / max(float(np.hypot(*way)), 1.0)
        )
        # The action is a square, not a circle: each axis has its own full speed.
        action: F32 = np.clip(ahead - np.array([0.0, drift[1]]), -1, 1).astype(np.float32)
        return action


make = Steering
