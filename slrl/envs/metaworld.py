"""One task of Meta-World without a time limit, its start drawn from a range that a scenario may move."""

from typing import Any

import gymnasium as gym
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
from numpy.typing import NDArray

from slrl.errors import BadInput, unknown
from slrl.types import F32


class MetaWorld(gym.Env[F32, F32]):
    """A Sawyer arm with one of Meta-World's 50 tasks.

    Observation, ``Box(39,)`` float32, in m: hand (3), gripper opening (1), position and quaternion of the
    first object (7) and of the second (7), the same 18 of the step before, goal (3).
    Action, ``Box(-1, 1, (4,))``: displacement of the hand, grip.

    Reward: 1 where Meta-World calls the task a success, else 0 (sparse). Termination: success.
    Truncation: never. Info: Meta-World's, with ``success`` as bool.

    Args:
        task: for example ``door-close-v3``.
        start_low, start_high: the range that the task's start vector is drawn from at reset (Meta-World's
            ``_random_reset_space``); the task's own if unset.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012 (declared so by Gymnasium)

    def __init__(
        self,
        task: str,
        start_low: tuple[float, ...] | None = None,
        start_high: tuple[float, ...] | None = None,
        render_mode: str | None = None,
    ) -> None:
        known = {
            name.removesuffix("-goal-observable"): maker
            for name, maker in ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE.items()
        }
        if task not in known:
            raise unknown("Meta-World task", task, known)
        self.robot: Any = known[task](seed=0, render_mode=render_mode)
        self.robot.max_path_length = 10**9  # Meta-World stops at 500 steps
        own: Any = self.robot._random_reset_space
        self._low = own.low if start_low is None else np.array(start_low, np.float64)
        self._high = own.high if start_high is None else np.array(start_high, np.float64)
        if self._low.shape != own.shape or self._high.shape != own.shape or np.any(self._low > self._high):
            raise BadInput(
                f"'start_low' and 'start_high' of {task} must be {own.shape[0]} numbers each, and low not "
                "above high."
            )
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (39,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F32, dict[str, Any]]:
        """Draw the start; what Meta-World itself draws follows from the same seed."""
        super().reset(seed=seed)
        robot = self.robot
        if seed is not None:
            robot.seed(int(self.np_random.integers(2**31)))
        robot._freeze_rand_vec, robot._last_rand_vec = True, self.np_random.uniform(self._low, self._high)
        obs, _ = robot.reset()
        return obs.astype(np.float32), {"success": False}

    def step(self, action: NDArray[Any]) -> tuple[F32, float, bool, bool, dict[str, Any]]:
        """One step; the action is clipped to [-1, 1]."""
        obs, _, _, _, info = self.robot.step(np.clip(action, -1.0, 1.0))
        success = bool(info["success"])
        return obs.astype(np.float32), float(success), success, False, {**info, "success": success}

    def render(self) -> Any:
        """The picture of Meta-World's camera, which hangs upside down, turned round; None in other modes."""
        return None if self.render_mode != "rgb_array" else np.flipud(self.robot.render())

    def close(self) -> None:
        """Close Meta-World's environment and its renderer."""
        self.robot.close()
