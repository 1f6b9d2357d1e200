"""A point that walks on a plane to a goal: the world of the QWALE paper's first experiment.

Constants after the released code of Chen et al., "You Only Live Once: Single-Life Reinforcement Learning"
(2022).
"""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from slrl.types import F32

ARENA = np.array([100.0, 200.0])  # |x| and |y| are clipped to this


class Pointmass(gym.Env[F32, F32]):
    """Walk from the origin to the goal (100, 0).

    Observation, ``Box(6,)`` float32:

    | index | what | range | unit |
    |---|---|---|---|
    | 0, 1 | position x, y | ±100, ±200 | unit |
    | 2, 3 | velocity entries, which never change | ±0.1 | unit/step |
    | 4, 5 | goal x, y: always 100, 0 | ±100, ±200 | unit |

    The velocity entries are drawn from N(0, 0.01²) at reset, and mean nothing, as in the paper's code.

    Action, ``Box(-1, 1, (2,))``: displacement in units per step; what exceeds the bounds is clipped.
    The position moves by the action and by the air, and is clipped to the arena:
    ``position ← clip(position + clip(action, -1, 1) + U(wind_low, wind_high))``.

    Reward: 1 for arriving within ``goal_radius`` of the goal, else 0 (sparse). Termination: arrival.
    Truncation: never; recipes cut the episodes that they record.
    Info: ``success`` (bool), ``distance`` (units to the goal), ``wind`` ((2,) drift of this step, units).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (declared so by Gymnasium)

    def __init__(self, goal_radius: float = 2.0, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(
            np.array([-100, -200, -0.1, -0.1, -100, -200], np.float32),
            np.array([100, 200, 0.1, 0.1, 100, 200], np.float32),
        )
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.goal_radius, self.render_mode = goal_radius, render_mode
        self.goal = np.array([100.0, 0.0])
        self.wind_low, self.wind_high = np.zeros(2), np.zeros(2)  # units per step; shifts set them
        self.position, self._velocity, self._drift = np.zeros(2), np.zeros(2), np.zeros(2)
        self._trail: list[NDArray[Any]] = []  # for pictures

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F32, dict[str, Any]]:
        """Start within 0.2 units of the origin along each axis."""
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-0.2, 0.2, 2)
        self._velocity = np.clip(self.np_random.normal(0.0, 0.01, 2), -0.1, 0.1)
        self._drift, self._trail = np.zeros(2), [self.position]
        return self._observe(), self._info()

    def step(self, action: NDArray[Any]) -> tuple[F32, float, bool, bool, dict[str, Any]]:
        """Move by the action and the drift, which is drawn from the world's generator also in calm air."""
        self._drift = self.np_random.uniform(self.wind_low, self.wind_high)
        self.position = np.clip(self.position + np.clip(action, -1.0, 1.0) + self._drift, -ARENA, ARENA)
        if self.render_mode is not None:
            self._trail.append(self.position)
        info = self._info()
        return self._observe(), float(info["success"]), info["success"], False, info

    def render(self) -> NDArray[np.uint8] | None:
        """The arena (840, 440, 3): goal, body, trail and wind; None in other modes than rgb_array."""
        if self.render_mode != "rgb_array":
            return None
        from PIL import Image, ImageDraw

        width, height, scale = 440, 840, 2.0  # two pixels per unit, twenty of margin
        image = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((20, 20, width - 20, height - 20), outline=(120, 120, 120), width=3)

        def pixel(point: NDArray[Any]) -> tuple[float, float]:
            return width / 2 + scale * point[0], height / 2 - scale * point[1]

        wind = (self.wind_low + self.wind_high) / 2
        if wind.any():  # small arrows all over the plane, as on a weather map
            for place in np.array(
                [(x, y) for x in (-75, -25, 25, 75) for y in range(-160, 161, 64)], np.float64
            ):
                tip = place + 30 * wind
                draw.line((*pixel(place), *pixel(tip)), fill=(225, 160, 130), width=5)
                x, y = pixel(tip)
                draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=(200, 90, 60))
        if len(self._trail) > 1:
            draw.line([pixel(point) for point in self._trail], fill=(150, 175, 215), width=5)
        for centre, radius, colour in ((self.goal, 16, (46, 139, 87)), (self.position, 12, (31, 90, 180))):
            x, y = pixel(centre)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return np.asarray(image, np.uint8)

    def _observe(self) -> F32:
        return np.concatenate([self.position, self._velocity, self.goal]).astype(np.float32)

    def _info(self) -> dict[str, Any]:
        distance = float(np.hypot(*(self.position - self.goal)))
        return {"success": distance <= self.goal_radius, "distance": distance, "wind": self._drift}


def reward(obs: F32, action: F32, next_obs: F32) -> F32:
    """(N, 6), (N, 2), (N, 6) -> (N,): the reward of recorded rows, 1 within 2 units of the goal."""
    result: F32 = (np.hypot(*(next_obs[:, :2] - next_obs[:, 4:6]).T) <= 2.0).astype(np.float32)
    return result
