"""Poses of a body in a simulated world: set it down anywhere, let it settle, and come back to that state.

Only for practice in the world where a prior comes from. No life can do this, and no adapter sees the
simulator's state: what practice learns from are the observations and rewards that follow.
"""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from slrl.errors import Unsupported
from slrl.types import F32

LIFT_M = 0.05  # at a time, until nothing is in contact
MOST_LIFTS = 40


class Pose(NamedTuple):
    """A state of the simulator, and what the robot observes in it."""

    state: NDArray[np.float64]  # (S,) of the whole simulator
    obs: F32  # (O,)


class Poses:
    """Random poses in a MuJoCo world, and returning to one.

    Raises:
        Unsupported: if the world has no MuJoCo model.
    """

    def __init__(self, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        if why := self.missing(env):
            raise Unsupported(why)
        import mujoco

        bare: Any = env.unwrapped
        self.env, self._rng, self._mujoco = env, rng, mujoco
        self._model, self._data = bare.model, bare.data
        self.dt_s = float(bare.dt)
        env.reset(seed=int(rng.integers(2**31)))
        self._joints, self._speeds = self._data.qpos.copy(), self._data.qvel.copy()
        self._parts = mujoco.mjtState.mjSTATE_INTEGRATION
        self._size = mujoco.mj_stateSize(self._model, self._parts)

    @staticmethod
    def missing(env: gym.Env[Any, Any]) -> str:
        """Why no body can be set down in this world; empty if one can."""
        bare = env.unwrapped
        if all(hasattr(bare, name) for name in ("model", "data", "set_state", "dt")):
            return ""
        return (
            f"{type(bare).__name__} is no MuJoCo world of Gymnasium's kind, in which a body can be set down"
        )

    def here(self, obs: F32) -> Pose:
        """The present state, with the observation (O,) that the last step gave."""
        state = np.empty(self._size)
        self._mujoco.mj_getState(self._model, self._data, state, self._parts)
        return Pose(state, obs)

    def set(self, pose: Pose) -> F32:
        """Go back to a pose; its observation (O,)."""
        self._mujoco.mj_setState(self._model, self._data, pose.state, self._parts)
        self._mujoco.mj_forward(self._model, self._data)
        return pose.obs

    def random(self, settle_steps: int) -> Pose:
        """Joints and orientation drawn uniformly, set down from above, and left alone for so many steps."""
        mujoco, model, rng = self._mujoco, self._model, self._rng
        joints, heights = self._joints.copy(), []
        for joint in range(model.njnt):
            at, kind = model.jnt_qposadr[joint], model.jnt_type[joint]
            if kind == mujoco.mjtJoint.mjJNT_FREE:
                turned = rng.normal(size=4)
                joints[at + 3 : at + 7] = turned / np.linalg.norm(turned)
                heights.append(at + 2)
            elif kind == mujoco.mjtJoint.mjJNT_HINGE:
                limits = model.jnt_range[joint] if model.jnt_limited[joint] else (-np.pi, np.pi)
                joints[at] = rng.uniform(*limits)
            elif kind == mujoco.mjtJoint.mjJNT_SLIDE and model.jnt_axis[joint][2] > 0.5:
                heights.append(at)
        self._put(joints)
        for _ in range(MOST_LIFTS):
            if not heights or not self._data.ncon:
                break
            joints[heights] += LIFT_M
            self._put(joints)
        obs, still = self._joints, np.zeros(self.env.action_space.shape or (), np.float32)
        for _ in range(max(1, settle_steps)):
            obs, *_ = self.env.step(still)
        return self.here(np.copy(obs))

    def angles(self, pose: Pose) -> list[int]:
        """The entries of the observation that grow by 2π at each whole turn of the body."""
        found: list[int] = []
        for joint in self._joints_of("mjJNT_HINGE"):
            if self._model.jnt_limited[joint]:
                continue
            at = self._model.jnt_qposadr[joint]
            once, turned = self._seen(pose, at, 0.0), self._seen(pose, at, 2 * np.pi)
            found += np.flatnonzero(np.abs(turned - once - 2 * np.pi) < 0.05).tolist()
        return found

    def quaternions(self, pose: Pose) -> list[int]:
        """The first entry of each four in the observation that are a quaternion (w, x, y, z) of the body."""
        found: list[int] = []
        for joint in self._joints_of("mjJNT_FREE"):
            at = self._model.jnt_qposadr[joint] + 3
            once, other = self._seen(pose, at, None), self._seen(pose, at, 0.0)
            own = np.flatnonzero((np.abs(once + other) < 1e-6) & (np.abs(once) > 1e-6))
            if len(own) == 4 and own[3] - own[0] == 3 and abs(np.linalg.norm(other[own]) - 1) < 1e-3:
                found.append(int(own[0]))
        return found

    def _joints_of(self, kind: str) -> list[int]:
        number = getattr(self._mujoco.mjtJoint, kind)
        return [joint for joint in range(self._model.njnt) if self._model.jnt_type[joint] == number]

    def _seen(self, pose: Pose, at: int, extra: float | None) -> NDArray[np.float64]:
        """What is seen after a step from a pose with ``extra`` more at a coordinate; None: with -q there."""
        self.set(pose)
        if extra is None:
            self._data.qpos[at : at + 4] *= -1
        else:
            self._data.qpos[at] += extra
        self._mujoco.mj_forward(self._model, self._data)
        obs, *_ = self.env.step(np.zeros(self.env.action_space.shape or (), np.float32))
        return np.array(obs, np.float64)

    def _put(self, joints: NDArray[np.float64]) -> None:
        bare: Any = self.env.unwrapped
        bare.set_state(joints, np.zeros_like(self._speeds))
