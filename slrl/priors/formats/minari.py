"""Minari: groups episode_0, … with T actions and T + 1 observations; metadata.json may be missing."""

import re
from pathlib import Path

import h5py
import numpy as np

from slrl.errors import BadInput
from slrl.priors.formats import Rows, array, columns, flags, group, infos, same_length

OPTIONAL = ("env_params", "behaviour")  # of infos, a row for every step
_EPISODE = re.compile(r"episode_(\d+)")


def matches(file: h5py.File) -> bool:
    """Any group named episode_<n>."""
    return any(_EPISODE.fullmatch(key) for key in file)


def read(file: h5py.File, path: Path) -> Rows:
    """All episodes in the order of their numbers."""
    numbers = sorted(int(match[1]) for match in map(_EPISODE.fullmatch, file) if match)
    rows = ("obs", "action", "reward", "next_obs", "terminated", "truncated", "episode")
    parts: dict[str, list[np.ndarray]] = {key: [] for key in (*rows, *OPTIONAL)}
    short, empty, notes = 0, 0, []
    for number in numbers:
        episode = group(file, f"episode_{number}")
        obs, action, reward = (
            columns(episode, "observations"),
            columns(episode, "actions"),
            array(episode, "rewards").reshape(-1),
        )
        terminated, truncated = flags(episode, "terminations"), flags(episode, "truncations")
        same_length(
            path,
            f"episode_{number}",
            actions=action,
            rewards=reward,
            terminations=terminated,
            truncations=truncated,
        )
        steps = len(action)
        if len(obs) == steps:  # as in published data (Minari issue 199): the last observation is missing
            short, steps = short + (steps > 0), steps - 1
        elif len(obs) != steps + 1:
            raise BadInput(
                f"{path}: episode_{number} has {steps} actions and {len(obs)} observations; it needs "
                f"{steps + 1}."
            )
        if steps < 1:
            empty += 1
            continue
        truncated = truncated[:steps].copy()
        truncated[-1] |= not terminated[steps - 1]  # an episode that just stops was cut
        arrays = (
            obs[:steps],
            action[:steps],
            reward[:steps],
            obs[1 : steps + 1],
            terminated[:steps],
            truncated,
        )
        for key, value in zip(rows, arrays, strict=False):
            parts[key].append(value)
        parts["episode"].append(np.full(steps, len(parts["episode"]), np.int32))
        for key in OPTIONAL:
            if (values := infos(episode, key)) is not None:
                parts[key].append(values[:steps])
    if not parts["obs"]:
        raise BadInput(f"{path} holds no transitions.")
    if short:
        notes.append(
            f"{short} episodes have no observation after their last action; that action was left out"
        )
    if empty:
        notes.append(f"{empty} episodes have no transition and were left out")
    joined = {key: _join(path, key, value) for key, value in parts.items() if value}
    for key in OPTIONAL:
        if len(joined.get(key, ())) not in (0, len(joined["obs"])):
            raise BadInput(f"{path}: some episodes have infos/{key} and some have not; all or none must.")
    if "behaviour" in joined:
        joined["behaviour"] = joined["behaviour"][:, 0].astype(np.int32)
    return Rows(format="minari", notes=tuple(notes), **joined)


def _join(path: Path, key: str, values: list[np.ndarray]) -> np.ndarray:
    if len({value.shape[1:] for value in values}) > 1:
        raise BadInput(f"{path}: {key} has not the same size in all episodes.")
    return np.concatenate(values)
