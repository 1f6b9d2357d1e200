"""robomimic: data/demo_0, data/demo_1, … with a group of observations each."""

import re
from pathlib import Path

import h5py
import numpy as np

from slrl.errors import BadInput
from slrl.priors.formats import Rows, array, child, columns, flags, group, same_length, same_width

OPTIONAL = ("env_params", "behaviour")  # a row for every step
_DEMO = re.compile(r"demo_?(\d+)")


def matches(file: h5py.File) -> bool:
    """A group data with children demo_<n>."""
    return (
        "data" in file
        and isinstance(child(file, "data"), h5py.Group)
        and any(_DEMO.fullmatch(k) for k in child(file, "data"))
    )


def read(file: h5py.File, path: Path) -> Rows:
    """All demos by number; observation keys are concatenated in sorted order.

    ``dones`` at the end of a demo only says that the demo is over. It is a termination where the reward is
    positive (the task was done there) and a cut where it is not.
    """
    data = group(file, "data")
    demos = sorted((int(match[1]), key) for key in data if (match := _DEMO.fullmatch(key)))
    parts: list[tuple[np.ndarray, ...]] = []
    optional: dict[str, list[np.ndarray]] = {name: [] for name in OPTIONAL}
    notes: list[str] = []
    dropped = empty = 0
    for _, key in demos:
        demo = group(data, key)
        if "obs" not in demo and "states" in demo:
            raise BadInput(
                f"{path} is a raw demonstration file (states, no obs); convert it with robomimic's "
                "dataset_states_to_obs.py."
            )
        obs, action, reward = (
            columns(demo, "obs"),
            columns(demo, "actions"),
            array(demo, "rewards").reshape(-1),
        )
        dones = flags(demo, "dones") if "dones" in demo else np.zeros(len(action), np.bool_)
        told = {name: columns(demo, name) for name in OPTIONAL if name in demo}
        same_length(path, f"data/{key}", obs=obs, actions=action, rewards=reward, dones=dones, **told)
        if "next_obs" in demo:
            next_obs = columns(demo, "next_obs")
            same_length(path, f"data/{key}", obs=obs, next_obs=next_obs)
            same_width(path, f"data/{key}", obs=obs, next_obs=next_obs)
        else:  # the last row has no successor
            dropped += len(obs) > 0
            obs, action, reward, dones, next_obs = obs[:-1], action[:-1], reward[:-1], dones[:-1], obs[1:]
        if not len(obs):
            empty += 1
            continue
        terminated = dones & (reward > 0)
        truncated = np.zeros(len(obs), np.bool_)
        truncated[-1] = not terminated[-1]
        parts.append(
            (obs, action, reward, next_obs, terminated, truncated, np.full(len(obs), len(parts), np.int32))
        )
        for name, values in told.items():
            optional[name].append(values[: len(obs)])
    if not parts:
        raise BadInput(f"{path} holds no transitions.")
    if dropped:
        notes.append(f"no next_obs in {dropped} demos: their last row has no successor and was left out")
    if empty:
        notes.append(f"{empty} demos have no transition and were left out")
    first = child(data, demos[0][1])["obs"]
    if isinstance(first, h5py.Group):
        notes.append("observation = " + ", ".join(sorted(first)))
    for name, found in optional.items():
        if len(found) not in (0, len(parts)):
            raise BadInput(f"{path}: some demos have {name} and some have not; all or none must.")
    for name, column in (*zip(("obs", "actions"), zip(*parts, strict=True), strict=False), *optional.items()):
        if len({value.shape[1:] for value in column}) > 1:
            raise BadInput(f"{path}: {name} has not the same size in all demos.")
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    env_params, behaviour = (np.concatenate(found) if found else None for found in optional.values())
    behaviour = None if behaviour is None else behaviour[:, 0].astype(np.int32)
    more = {"env_params": env_params, "behaviour": behaviour, "notes": tuple(notes)}
    return Rows("robomimic", *joined, **more)  # type: ignore[arg-type]
