"""D4RL: flat arrays observations, actions, rewards, terminals; optionally timeouts and next_observations."""

from pathlib import Path

import h5py
import numpy as np

from slrl.errors import BadInput
from slrl.priors.formats import Rows, array, columns, flags, infos, same_length, same_width


def matches(file: h5py.File) -> bool:
    """Arrays observations and actions at the root."""
    return "observations" in file and "actions" in file


def read(file: h5py.File, path: Path) -> Rows:
    """All rows; a timeout is never a termination.

    Without ``next_observations`` the last row of a cut episode has no successor and is left out.
    Without ``timeouts`` the cuts are where ``next_observations[t]`` is not ``observations[t + 1]``.
    """
    obs, action = columns(file, "observations"), columns(file, "actions")
    reward, terminated = array(file, "rewards").reshape(-1), flags(file, "terminals")
    next_obs = columns(file, "next_observations") if "next_observations" in file else None
    timeouts = flags(file, "timeouts") if "timeouts" in file else None
    params, behaviour = infos(file, "env_params"), infos(file, "behaviour")
    given = {
        "next_observations": next_obs,
        "timeouts": timeouts,
        "infos/env_params": params,
        "infos/behaviour": behaviour,
    }
    present = {key: value for key, value in given.items() if value is not None}
    same_length(
        path, "the file", observations=obs, actions=action, rewards=reward, terminals=terminated, **present
    )
    if next_obs is not None:
        same_width(path, "the file", observations=obs, next_observations=next_obs)
    if len(obs) == 0:
        raise BadInput(f"{path} holds zero rows.")

    notes: list[str] = []
    if timeouts is not None:
        truncated = timeouts & ~terminated
    elif next_obs is not None:
        truncated = np.append(np.any(next_obs[:-1] != obs[1:], axis=1), False) & ~terminated
        notes.append(
            "no timeouts: an episode was taken to be cut where next_observations and the next row differ"
        )
    else:
        truncated = np.zeros(len(obs), np.bool_)
        notes.append(
            "no timeouts and no next_observations: rows between terminals were taken to be one episode"
        )
    truncated[-1] |= not terminated[-1]
    who = None if behaviour is None else behaviour[:, 0].astype(np.int32)
    ends = terminated | truncated
    episode = np.zeros(len(obs), np.int32)
    np.cumsum(ends[:-1], out=episode[1:])

    if next_obs is not None:
        return Rows(
            "d4rl", obs, action, reward, next_obs, terminated, truncated, episode, params, who, tuple(notes)
        )
    next_obs = np.empty_like(obs)
    next_obs[:-1] = obs[1:]
    next_obs[-1] = obs[-1]
    next_obs[terminated] = obs[terminated]  # never looked at, because nothing bootstraps from it
    keep = ~truncated
    if not keep.any():
        raise BadInput(f"{path} has no row with a successor; it needs next_observations or longer episodes.")
    dropped = int(truncated.sum())
    notes.append(f"no next_observations: {dropped} rows at cuts have no successor and were left out")
    cut = np.append(truncated[1:], False) & ~terminated  # the row before a dropped one ends its episode now
    kept = np.flatnonzero(keep)
    rows = [a.take(kept, axis=0) for a in (obs, action, reward, next_obs, terminated, cut)]
    # Numbered anew, since an episode of one cut row is gone.
    episode = np.unique(episode[kept], return_inverse=True)[1].astype(np.int32)
    params = None if params is None else params[kept]
    who = None if who is None else who[kept]
    return Rows("d4rl", *rows, episode, params, who, tuple(notes))  # type: ignore[arg-type, call-arg]
