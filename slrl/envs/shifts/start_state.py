"""Another initial state than the source world's: on the back, turned round, with something open."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.shift import Shift, ShiftSettings, index, simulator
from slrl.envs.shifts import Description, since


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """Initial positions of joints by name, as ``{ rooty = 3.0 }``; after step 0, a sudden displacement."""

    joints_m_or_rad: dict[str, float]  # hinges in rad, slides in m; one or more

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.require(len(self.joints_m_or_rad) > 0, "joints_m_or_rad needs at least one joint")
        for name, value in self.joints_m_or_rad.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            plugins.require(number, f"{name!r} in joints_m_or_rad must be a number, not {value!r}")


class StartState(Shift):
    """Writes the initial positions; the world's own reset noise is added to them.

    Raises:
        BadInput: for an unknown joint.
    """

    def __init__(self, settings: Settings, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, settings.start_step)
        self._simulator = simulator(env, "start_state")
        model = self._simulator.model
        self._before: np.ndarray | None = None
        joints = [index(model, "joint", name, "start_state") for name in settings.joints_m_or_rad]
        self._at = [int(model.jnt_qposadr[joint]) for joint in joints]
        self._values = list(settings.joints_m_or_rad.values())

    def begin(self) -> None:
        """Write the positions: before reset those that it starts from, later the present ones."""
        import mujoco

        if self.start_step == 0:
            self._before = self._simulator.init_qpos.copy()
            self._simulator.init_qpos[self._at] = self._values
        else:
            self._simulator.data.qpos[self._at] = self._values
            mujoco.mj_forward(self._simulator.model, self._simulator.data)

    def end(self) -> None:
        """Put back what reset starts from; a displacement during a life is not undone."""
        if self._before is not None:
            self._simulator.init_qpos[:] = self._before


make = StartState


def describe(settings: Settings) -> Description:
    """The joints and their positions."""
    where = ", ".join(f"{name} at {value:g}" for name, value in settings.joints_m_or_rad.items())
    return Description(f"{where}{since(settings.start_step) or ' at the start'}")
