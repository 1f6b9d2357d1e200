"""Closes Meta-World's door, also a stiff one: pushes along the arc, and again when the hand has slipped."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl.types import F32

HAND, HANDLE = slice(0, 3), slice(4, 7)
BEHIND_M, ABOVE_M, SLIPPED_M = 0.09, 0.16, 0.07


@dataclass(frozen=True, kw_only=True)
class Settings:
    """There is nothing to set."""


class DoorPusher:
    """Three moves, repeated: above the place behind the handle, down to it, forward until the hand slips."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._world = env.unwrapped
        self._move = 0

    def reset(self, obs: F32) -> None:
        """Begin with the first move."""
        self._move = 0

    def act(self, obs: F32) -> F32:
        """Displacement of the hand and grip (4,); where the hinge is, is read from the simulation."""
        hand, handle = obs[HAND].astype(np.float64), obs[HANDLE].astype(np.float64)
        world: Any = self._world
        arm = (handle - world.robot.data.joint("doorjoint").xanchor)[:2]
        forward = np.array([-arm[1], arm[0], 0.0]) / max(float(np.hypot(*arm)), 1e-9)
        behind = handle - BEHIND_M * forward
        off = hand - handle
        ahead = float(off @ forward)
        aside = float(np.linalg.norm((off - ahead * forward)[:2]))
        targets = (behind + np.array([0.0, 0.0, ABOVE_M]), behind, handle + 0.3 * forward)
        if self._move == 2 and (ahead > SLIPPED_M / 2 or aside > SLIPPED_M or off[2] > 0.1):
            self._move = 0
        elif self._move < 2 and np.linalg.norm(hand - targets[self._move]) < 0.04:
            self._move += 1
        return np.append(np.clip(10.0 * (targets[self._move] - hand), -1, 1), -1.0).astype(np.float32)


def make(settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> DoorPusher:
    """The pusher in ``env``; it draws nothing."""
    return DoorPusher(env)
