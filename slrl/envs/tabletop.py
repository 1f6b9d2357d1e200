"""A gripper and a mug on a table, seen from above: the tabletop of EARL and of the QWALE paper.

Constants after the released code of Sharma et al., "Autonomous Reinforcement Learning: Formalism and
Benchmarking" (EARL, 2022) and Chen et al., "You Only Live Once: Single-Life Reinforcement Learning" (2022).
"""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from slrl.errors import BadInput
from slrl.types import F32

EDGE = 2.8  # |x| and |y| of gripper and mug are clipped to this
REACH = 0.4  # a mug that is nearer than this is grasped
STEP = 0.2  # units per step at full action
GOALS = ((-2.5, -1.0), (-2.5, 1.0), (0.0, 2.0), (0.0, -2.0))
Point = tuple[float, float]


class Tabletop(gym.Env[F32, F32]):
    """Carry the mug to its goal.

    Observation, ``Box(12,)`` float32, positions in units:

    | index | what |
    |---|---|
    | 0, 1 | gripper x, y |
    | 2, 3 | mug x, y |
    | 4, 5 | -1, -1 while nothing is held; 0, 0 while the mug is |
    | 6 … 11 | the goal, as the first six: gripper at the origin, mug at one of four places, nothing held |

    Action, ``Box(-1, 1, (3,))``: displacement x, y (times 0.2 units), and the grip: more than 0 grasps a mug
    that is less than 0.4 away before the move, and holds it; anything else lets it go. A held mug moves with
    the gripper. Both stay on the table.

    Reward: 1 in the steps where the task is done, else 0 (sparse). Termination: done. Truncation: never.
    Info: ``success`` (bool), ``distance`` (units from the mug to its goal), ``holding`` (bool).

    Args:
        goals: the places for the mug; one is drawn at every reset.
        mug_starts: its initial places; one is drawn at every reset.
        mug_noise: the start is moved by U(-noise, noise) along both axes.
        tolerance: how near is done, in units.
        gripper_home: whether the gripper must be back at the origin too, as in EARL; in the QWALE paper
            only the mug counts.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 (declared so by Gymnasium)

    def __init__(
        self,
        goals: tuple[Point, ...] = GOALS,
        mug_starts: tuple[Point, ...] = ((2.5, 0.0),),
        mug_noise: float = 0.0,
        tolerance: float = 0.15,
        gripper_home: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self._goals, self._starts = np.array(goals, np.float64), np.array(mug_starts, np.float64)
        for name, points in (("goals", self._goals), ("mug_starts", self._starts)):
            if points.ndim != 2 or points.shape[1] != 2 or np.abs(points).max() > EDGE:
                raise BadInput(
                    f"'{name}' of slrl/Tabletop-v0 must list points [x, y] on the table, from -{EDGE} to "
                    f"{EDGE}."
                )
        self._noise, self._tolerance, self._home = mug_noise, tolerance, gripper_home
        self.render_mode = render_mode
        low, high = np.full(12, -EDGE, np.float32), np.full(12, EDGE, np.float32)
        self.observation_space = gym.spaces.Box(low, high)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.gripper, self.mug, self.holding = np.zeros(2), np.array(self._starts[0]), False
        self.goal = np.array(self._goals[0])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F32, dict[str, Any]]:
        """Put the gripper at the origin, and draw a goal and a place for the mug."""
        super().reset(seed=seed)
        self.gripper, self.holding = np.zeros(2), False
        self.goal = self._goals[self.np_random.integers(len(self._goals))].copy()
        start = self._starts[self.np_random.integers(len(self._starts))]
        self.mug = np.clip(start + self.np_random.uniform(-self._noise, self._noise, 2), -EDGE, EDGE)
        return self._observe(), self._info()

    def step(self, action: NDArray[Any]) -> tuple[F32, float, bool, bool, dict[str, Any]]:
        """Grasp or let go first, then move."""
        action = np.clip(action, -1.0, 1.0)
        self.holding = bool(action[2] > 0 and (self.holding or np.hypot(*(self.gripper - self.mug)) < REACH))
        before = self.gripper
        self.gripper = np.clip(before + STEP * action[:2], -EDGE, EDGE)
        if self.holding:
            move = self.gripper - before  # the edge stops both
            self.mug = np.clip(self.mug + move, -EDGE, EDGE)
        info = self._info()
        return self._observe(), float(info["success"]), info["success"], False, info

    def render(self) -> NDArray[np.uint8] | None:
        """The table (360, 360, 3) with goal, mug and gripper; None in other modes than rgb_array."""
        if self.render_mode != "rgb_array":
            return None
        from PIL import Image, ImageDraw

        size = 360
        image = Image.new("RGB", (size, size), (244, 240, 232))
        draw = ImageDraw.Draw(image)

        def circle(at: NDArray[Any], radius: float, **colours: Any) -> None:
            x, y = size / 2 + at[0] * size / 6.2, size / 2 - at[1] * size / 6.2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), **colours)

        edge = size / 2 - EDGE * size / 6.2
        draw.rectangle((edge, edge, size - edge, size - edge), outline=(150, 140, 125), width=2)
        for start in self._starts:  # where the mug of this world starts
            circle(start, 13, outline=(200, 190, 175), width=2)
        circle(self.goal, 14, outline=(46, 139, 87), width=4)
        circle(self.mug, 11, fill=(200, 80, 50))
        circle(self.gripper, 15, outline=(31, 90, 180), width=5 if self.holding else 2)
        return np.asarray(image, np.uint8)

    def _observe(self) -> F32:
        held = [0.0, 0.0] if self.holding else [-1.0, -1.0]
        return np.concatenate([self.gripper, self.mug, held, [0.0, 0.0], self.goal, [-1.0, -1.0]]).astype(
            np.float32
        )

    def _info(self) -> dict[str, Any]:
        off = np.concatenate([self.gripper if self._home else [], self.mug - self.goal])
        success = bool(np.linalg.norm(off) <= self._tolerance)
        return {
            "success": success,
            "distance": float(np.hypot(*(self.mug - self.goal))),
            "holding": self.holding,
        }


def reward(obs: F32, action: F32, next_obs: F32) -> F32:
    """(N, 12), (N, 3), (N, 12) -> (N,): rewards of recorded rows, 1 with the mug within 0.15 of its goal."""
    result: F32 = (np.hypot(*(next_obs[:, 2:4] - next_obs[:, 8:10]).T) <= 0.15).astype(np.float32)
    return result
