"""Rewards of worlds that others wrote, computed from recorded rows: what `slrl check` compares priors with.

Each is a function of (obs, action, next_obs), arrays of N rows, that returns (N,) rewards for arriving in
``next_obs``.
"""

import numpy as np

from slrl.types import F32


def maze(obs: F32, action: F32, next_obs: F32) -> F32:
    """Gymnasium-Robotics' mazes: 1 within 0.45 m of the goal."""
    return _near(next_obs[:, 0:2], next_obs[:, 2:4], 0.45)


def door_close(obs: F32, action: F32, next_obs: F32) -> F32:
    """Meta-World's door-close: 1 when the handle is within 0.08 m of its closed place."""
    return _near(next_obs[:, 4:7], next_obs[:, 36:39], 0.08)


def kitchen_pair(obs: F32, action: F32, next_obs: F32) -> F32:
    """``slrl/Kitchen-v0``: 1 when light switch and slide cabinet are both less than 0.3 from their goals."""
    return _near(next_obs[:, 7:9], next_obs[:, 18:20], 0.3) * _cabinet(next_obs)


def kitchen_kettle(obs: F32, action: F32, next_obs: F32) -> F32:
    """``slrl/Kitchen-v0``: 1 when kettle and slide cabinet are both less than 0.3 from their goals."""
    return _near(next_obs[:, 0:7], next_obs[:, 11:18], 0.3) * _cabinet(next_obs)


def _cabinet(obs: F32) -> F32:
    return _near(obs[:, 10:11], obs[:, 21:22], 0.3)


def _near(a: F32, b: F32, limit_m: float) -> F32:
    result: F32 = (np.linalg.norm(a - b, axis=1) <= limit_m).astype(np.float32)
    return result
