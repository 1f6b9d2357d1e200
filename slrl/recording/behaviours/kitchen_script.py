"""A hand that knows two things in the Franka kitchen: to push the light switch, and to slide the cabinet open."""

from typing import Any

import gymnasium as gym
import numpy as np

from slrl.types import F32

# Where the hand goes, in m; found by trying. Each way begins in front of the kitchen.
WAYS = {
    "light switch": [(-0.25, 0.4, 2.32), (-0.22, 0.6, 2.32), (-0.45, 0.6, 2.32), (-0.62, 0.6, 2.32)],
    "slide cabinet": [(-0.3, 0.3, 2.5), (-0.25, 0.58, 2.6), (0.26, 0.6, 2.6)],
}
# Of a flattened kitchen observation: what is, and what should be.
ACHIEVED = {"light switch": slice(7, 9), "slide cabinet": slice(10, 11)}
DESIRED = {"light switch": slice(18, 20), "slide cabinet": slice(21, 22)}
FULL_SPEED_RAD_PER_S = 2.0  # of a joint, at action 1
REACHED_M = 0.04
PATIENCE_STEPS = 40  # with a point that it cannot reach
BACK_Y_M = 0.32  # between two things it draws back to here


class KitchenScript:
    """Moves the hand from point to point by the Jacobian's damped pseudo-inverse; does what is not done yet, in ``order``.

    Each episode draws its own speed and noise.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        env: gym.Env[Any, Any],
        speed_m_per_s: tuple[float, float] = (1.0, 1.0),
        noise: tuple[float, float] = (0.0, 0.0),
        random_actions: float = 0.0,
        order: tuple[str, ...] = ("slide cabinet", "light switch"),
    ) -> None:
        self._rng, self._world, self._order = rng, env.unwrapped, order
        self._speed, self._noise, self._random = speed_m_per_s, noise, random_actions
        self._pace = self._shake = 0.0
        self._home = np.zeros(7)
        self._task: str | None = None
        self._way: list[np.ndarray] = []
        self._waited = 0

    def reset(self, obs: F32) -> None:
        self._pace, self._shake = self._rng.uniform(*self._speed), self._rng.uniform(*self._noise)
        self._home = self._robot.data.qpos[:7].copy()
        self._task, self._way = None, []

    def act(self, obs: F32) -> F32:
        if self._rng.random() < self._random:
            return self._rng.uniform(-1, 1, 9).astype(np.float32)
        hand = self._hand()
        if not self._way:
            self._choose(obs, hand)
        if self._way and (np.linalg.norm(self._way[0] - hand) < REACHED_M or self._waited > PATIENCE_STEPS):
            self._way.pop(0)
            self._waited = 0
        self._waited += 1
        joints = self._towards(self._way[0] - hand) if self._way else np.zeros(7)
        joints = joints / FULL_SPEED_RAD_PER_S + self._shake * self._rng.standard_normal(7)
        action: F32 = np.clip(np.append(joints, [-1.0, -1.0]), -1, 1).astype(np.float32)  # fingers closed
        return action

    def _choose(self, obs: F32, hand: np.ndarray) -> None:
        left = [
            task for task in self._order if np.linalg.norm(obs[ACHIEVED[task]] - obs[DESIRED[task]]) >= 0.3
        ]
        if not left:
            return
        away = [np.array([hand[0], BACK_Y_M, hand[2]])] if self._task is not None else []
        self._task, self._waited = left[0], 0
        self._way = [*away, *(np.array(point) for point in WAYS[left[0]])]

    def _towards(self, way: np.ndarray) -> np.ndarray:
        """Joint velocities (7,) in rad/s that move the hand along ``way`` (m), and the elbow back to where it started."""
        import mujoco

        model, data = self._robot.model, self._robot.data
        jacobian = np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, jacobian, None, model.site("end_effector").id)
        j = jacobian[:, :7]
        distance = max(float(np.linalg.norm(way)), 1e-9)
        velocity = way / distance * min(self._pace, distance / 0.05)
        inverse = j.T @ np.linalg.inv(j @ j.T + 1e-3 * np.eye(3))
        result: np.ndarray = inverse @ velocity + (np.eye(7) - inverse @ j) @ (self._home - data.qpos[:7])
        return result

    def _hand(self) -> np.ndarray:
        position: np.ndarray = self._robot.data.site("end_effector").xpos.copy()
        return position

    @property
    def _robot(self) -> Any:
        world: Any = self._world
        return world.robot_env


make = KitchenScript
