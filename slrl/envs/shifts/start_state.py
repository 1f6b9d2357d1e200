"""A start that the prior did not have: on the back, turned round, with something open."""

from typing import Any

import gymnasium as gym
import numpy as np

from slrl.envs.shift import Shift, index, simulator
from slrl.envs.shifts import Description, since
from slrl.errors import BadInput


class StartState(Shift):
    """Other initial joint positions; the world's own reset noise is added to them. Later than step 0, a sudden displacement."""

    def __init__(self, env: gym.Env[Any, Any], joints: dict[str, float], start_step: int) -> None:
        super().__init__(env, start_step)
        self._simulator = simulator(env, "start_state")
        model = self._simulator.model
        self._before: np.ndarray | None = None
        self._at = [int(model.jnt_qposadr[index(model, "joint", name, "start_state")]) for name in joints]
        self._values = list(joints.values())

    def begin(self) -> None:
        import mujoco

        if self.start_step == 0:
            self._before = self._simulator.init_qpos.copy()
            self._simulator.init_qpos[self._at] = self._values
        else:
            self._simulator.data.qpos[self._at] = self._values
            mujoco.mj_forward(self._simulator.model, self._simulator.data)

    def end(self) -> None:
        if self._before is not None:
            self._simulator.init_qpos[:] = self._before


def make(env: gym.Env[Any, Any], joints_m_or_rad: dict[str, float], start_step: int = 0) -> gym.Env[Any, Any]:
    """Set hinges (rad) and slides (m) by name: ``{ rooty = 3.0 }``."""
    for name, value in joints_m_or_rad.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadInput(
                f"{name!r} in 'joints_m_or_rad' of the shift 'start_state' must be a number, not {value!r}."
            )
    if not joints_m_or_rad:
        raise BadInput("'joints_m_or_rad' of the shift 'start_state' needs at least one joint.")
    return StartState(env, joints_m_or_rad, start_step)


def describe(joints_m_or_rad: dict[str, float], start_step: int = 0) -> Description:
    """The joints in words."""
    where = ", ".join(f"{name} at {value:g}" for name, value in joints_m_or_rad.items())
    return Description(f"{where}{since(start_step) or ' at the start'}")
