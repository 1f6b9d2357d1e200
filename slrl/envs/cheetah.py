"""The half-cheetah with the short torso: the robot of the QWALE paper's hurdles, on Gymnasium's MuJoCo.

Constants after the released code of Chen et al., "You Only Live Once: Single-Life Reinforcement Learning"
(2022).
"""

from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.spaces import Box
from numpy.typing import NDArray

HALF_LENGTH = 0.28  # m, of the torso; Gymnasium's half-cheetah has 0.5
HEAD_GAP = 0.1  # m, from the end of the torso to the head, as in Gymnasium's


class ShortCheetah(HalfCheetahEnv):
    """``HalfCheetah-v5`` (mass 14 kg, dt 0.05 s, runs in +x) with another torso, observation and reward.

    Observation, ``Box(18,)`` float32: ``qpos[1:]`` (8: height in m, pitch and six joint angles in rad),
    ``qvel`` (9, in m/s and rad/s), and -1 (constant, as in the paper's code, where other worlds have the
    place of the next hurdle).

    Reward: ``Δx / 0.05 s - 0.1 ‖action‖² - |pitch|``. The pitch is not wrapped: a cheetah that has rolled
    over pays for it. Termination and truncation: never. Info: ``x_position`` (m), ``x_velocity`` (m/s).
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.observation_space = Box(-np.inf, np.inf, (18,), np.float32)

    def mujoco_spec(self) -> Any:
        """The robot as MuJoCo's editable description, for shifts that add to it."""
        spec = mujoco.MjSpec.from_file(self.fullpath)
        shorten(spec)
        return spec

    def _initialize_simulation(self) -> tuple[Any, Any]:
        model = self.mujoco_spec().compile()
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, self.width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, self.height)
        return model, mujoco.MjData(model)

    def _get_obs(self) -> NDArray[Any]:
        return np.concatenate([self.data.qpos[1:], self.data.qvel, [-1.0]]).astype(np.float32)

    def _get_rew(self, x_velocity: float, action: NDArray[Any]) -> tuple[float, dict[str, float]]:
        reward, parts = super()._get_rew(x_velocity, action)
        upright = -abs(float(self.data.qpos[2]))
        return reward + upright, {**parts, "reward_upright": upright}


def shorten(spec: Any) -> None:
    """Give Gymnasium's half-cheetah the short torso, head and thighs at its ends; its mass stays 14 kg."""
    for geom in spec.geoms:
        if geom.name == "torso":
            geom.fromto = [-HALF_LENGTH, 0, 0, HALF_LENGTH, 0, 0]
        elif geom.name == "head":
            geom.pos = [HALF_LENGTH + HEAD_GAP, 0, 0.1]
    for body in spec.bodies:
        if body.name in ("bthigh", "fthigh"):
            body.pos = [np.copysign(HALF_LENGTH, body.pos[0]), *body.pos[1:]]
