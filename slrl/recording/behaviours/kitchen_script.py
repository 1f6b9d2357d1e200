"""A script for the Franka kitchen: push the light switch, slide the cabinet open, push the kettle back."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.types import F32

# Where the hand goes, in m; found by trying. Each route begins in front of the kitchen.
ROUTES = {
    "light switch": [(-0.25, 0.4, 2.32), (-0.22, 0.6, 2.32), (-0.45, 0.6, 2.32), (-0.62, 0.6, 2.32)],
    "slide cabinet": [(-0.3, 0.3, 2.5), (-0.25, 0.58, 2.6), (0.26, 0.6, 2.6)],
    "kettle": [(-0.27, 0.15, 1.8), (-0.25, 0.65, 1.8)],
}
# Of a flattened kitchen observation: what is, and what should be.
ACHIEVED = {"light switch": slice(7, 9), "slide cabinet": slice(10, 11), "kettle": slice(0, 7)}
DESIRED = {"light switch": slice(18, 20), "slide cabinet": slice(21, 22), "kettle": slice(11, 18)}
FULL_SPEED_RAD_PER_S = 2.0  # of a joint, at action 1
REACHED_M = 0.04
PATIENCE_STEPS = 40  # with a point that it cannot reach
BACK_Y_M = 0.32  # between two things it draws back to here


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ranges are [lowest, highest], of which every episode draws its own value uniformly."""

    speed_m_per_s: tuple[float, float] = (1.0, 1.0)  # of the hand
    noise: tuple[float, float] = (0.0, 0.0)  # standard deviation of each joint's action
    random_actions: float = 0.0  # share of the steps whose action is uniformly random
    order: tuple[str, ...] = ("slide cabinet", "light switch")  # of the tasks that are not done yet

    def __post_init__(self) -> None:
        for task in self.order:
            plugins.require(task in ROUTES, f"order may hold {', '.join(sorted(ROUTES))}, not {task!r}")
        plugins.share(self, "random_actions")


class KitchenScript:
    """Moves the hand from point to point by the Jacobian's damped pseudo-inverse."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        self._settings, self._world, self._rng = settings, env.unwrapped, rng
        self._speed = self._noise = 0.0  # of this episode
        self._first_pose = np.zeros(7)
        self._task: str | None = None
        self._route: list[np.ndarray] = []
        self._waited = 0

    def reset(self, obs: F32) -> None:
        """Draw speed and noise of the episode."""
        self._speed = self._rng.uniform(*self._settings.speed_m_per_s)
        self._noise = self._rng.uniform(*self._settings.noise)
        self._first_pose = self._robot.data.qpos[:7].copy()
        self._task, self._route = None, []

    def act(self, obs: F32) -> F32:
        """Joint velocities (7) and fingers (2), towards the next point of the first task that is not done."""
        if self._rng.random() < self._settings.random_actions:
            return self._rng.uniform(-1, 1, 9).astype(np.float32)
        hand = self._hand()
        if not self._route:
            self._choose(obs, hand)
        if self._route and (
            np.linalg.norm(self._route[0] - hand) < REACHED_M or self._waited > PATIENCE_STEPS
        ):
            self._route.pop(0)
            self._waited = 0
        self._waited += 1
        joints = self._towards(self._route[0] - hand) if self._route else np.zeros(7)
        joints = joints / FULL_SPEED_RAD_PER_S + self._noise * self._rng.standard_normal(7)
        action: F32 = np.clip(np.append(joints, [-1.0, -1.0]), -1, 1).astype(np.float32)  # fingers closed
        return action

    def _choose(self, obs: F32, hand: np.ndarray) -> None:
        left = [task for task in self._settings.order if _distance(obs, task) >= 0.3]
        if not left:
            return
        away = [np.array([hand[0], BACK_Y_M, hand[2]])] if self._task is not None else []
        self._task, self._waited = left[0], 0
        self._route = [*away, *(np.array(point) for point in ROUTES[left[0]])]

    def _towards(self, offset: np.ndarray) -> np.ndarray:
        """Joint velocities (7,), rad/s, that move the hand by ``offset`` (m) and keep the elbow in place."""
        import mujoco

        model, data = self._robot.model, self._robot.data
        jacobian = np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, jacobian, None, model.site("end_effector").id)
        j = jacobian[:, :7]
        distance = max(float(np.linalg.norm(offset)), 1e-9)
        velocity = offset / distance * min(self._speed, distance / 0.05)
        inverse = j.T @ np.linalg.inv(j @ j.T + 1e-3 * np.eye(3))
        result: np.ndarray = inverse @ velocity + (np.eye(7) - inverse @ j) @ (
            self._first_pose - data.qpos[:7]
        )
        return result

    def _hand(self) -> np.ndarray:
        position: np.ndarray = self._robot.data.site("end_effector").xpos.copy()
        return position

    @property
    def _robot(self) -> Any:
        world: Any = self._world
        return world.robot_env


def _distance(obs: F32, task: str) -> float:
    return float(np.linalg.norm(obs[ACHIEVED[task]] - obs[DESIRED[task]]))


make = KitchenScript
