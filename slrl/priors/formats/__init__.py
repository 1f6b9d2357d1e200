"""Layouts of recorded data, one file each; a file's layout is known by what is in it, never by its name.

```
row t of every layout:   obs[t]  action[t]  reward[t]  next_obs[t]  terminated[t]  truncated[t]
                         └──── action leads from obs to next_obs; the reward is for arriving there ────┘
```
Each module has ``matches(file) -> bool`` and ``read(file, path) -> Rows``. Another distribution brings a
layout as an entry point of the group ``slrl.formats``: a module, or an object, with the same two functions.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from slrl import plugins
from slrl.errors import BadInput
from slrl.types import F32, Bools


class Rows(NamedTuple):
    """What a reader returns: N transitions in the order of the file, and what the reader had to decide."""

    format: str
    obs: F32  # (N, O)
    action: F32  # (N, A)
    reward: F32  # (N,)
    next_obs: F32  # (N, O)
    terminated: Bools  # (N,)
    truncated: Bools  # (N,) last row of an episode that was cut, not ended
    episode: NDArray[np.int32]  # (N,) 0, 0, …, 1, 1, …
    env_params: F32 | None = None  # (N, E)
    behaviour: NDArray[np.int32] | None = None  # (N,) which of several behaviours acted
    notes: tuple[str, ...] = ()


BUILT_IN = ("robomimic", "minari", "d4rl")  # in the order of trying: the most specific first


def read(path: Path) -> Rows:
    """Read a file in the first layout that matches: those of slrl, then those of other distributions.

    Raises:
        BadInput: if the file cannot be read, no layout matches, or code of another distribution fails.
    """
    with open_hdf5(path) as file:
        for name in BUILT_IN:
            layout = plugins.find(plugins.FORMATS, name)
            if layout.matches(file):
                rows: Rows = layout.read(file, path)
                return rows
        others = entry_points(group=plugins.FORMATS.group)
        for point in others:
            if (found := _read_foreign(point, file, path)) is not None:
                return found
        holds = ", ".join(sorted(file)[:8]) or "nothing"
        more = f", or what {', '.join(sorted(others.names))} reads" if others else ""
        raise BadInput(
            f"{path} is not a dataset slrl knows: it holds {holds}. It should hold episode_0, … (Minari), "
            f"data/demo_0, … (robomimic) or observations and actions (D4RL){more}."
        )


def _read_foreign(point: EntryPoint, file: h5py.File, path: Path) -> Rows | None:
    """The rows by a layout of another distribution, or None if it does not match the file."""
    layout = plugins.find(plugins.FORMATS, point.name)
    try:
        rows = layout.read(file, path) if layout.matches(file) else None
    except BadInput:
        raise
    except Exception as error:  # whatever their code raises
        raise BadInput(
            f"{path}: the format {point.name!r} ({point.value}) failed with {type(error).__name__}: "
            f"{str(error).rstrip('.')}."
        ) from error
    if rows is None:
        return None
    if not isinstance(rows, Rows):
        raise BadInput(
            f"{path}: the format {point.name!r} ({point.value}) must return slrl.priors.formats.Rows, not "
            f"{type(rows).__name__}."
        )
    arrays = {key: value for key, value in rows._asdict().items() if isinstance(value, np.ndarray)}
    same_length(path, f"the format {point.name!r}", **arrays)
    widths = {key: arrays[key] for key in ("obs", "next_obs") if key in arrays}
    same_width(path, f"the format {point.name!r}", **widths)
    return rows._replace(format=point.name)


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file to read.

    Raises:
        BadInput: if there is none, it cannot be opened, or a part of it cannot be read back.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}." if not path.exists() else f"{path} is not a file.")
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except PermissionError:
        raise BadInput(f"{path} cannot be read: permission denied.") from None
    if not head:
        raise BadInput(f"{path} is empty.")
    if head.startswith(b"version https://git-lfs"):
        raise BadInput(f"{path} is a Git-LFS pointer, not the data; fetch it with `git lfs pull`.")
    if not h5py.is_hdf5(path):
        raise BadInput(f"{path} is not an HDF5 file; slrl reads Minari, D4RL and robomimic HDF5 files.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path} is damaged: {_reason(error)}.") from None
    with file:
        try:
            yield file
        except OSError as error:  # a chunk that cannot be read back
            raise BadInput(f"{path} is damaged: {_reason(error)}.") from None


def child(group: h5py.Group, key: str) -> Any:
    """``group[key]``.

    Raises:
        BadInput: if there is none, or it leads to another file.
    """
    link = group.get(key, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise BadInput(
            f"{group.file.filename}: {group.name.rstrip('/')}/{key} is a link into another file, which "
            "slrl does not follow."
        )
    if key not in group:
        raise BadInput(f"{group.file.filename} has no {group.name.rstrip('/')}/{key}; it is needed.")
    node = group[key]
    if isinstance(node, h5py.Dataset) and (node.is_virtual or node.external):
        raise BadInput(
            f"{group.file.filename}: {node.name} keeps its data in another file, which slrl does not follow."
        )
    return node


def group(parent: h5py.Group, key: str) -> h5py.Group:
    """``parent[key]``, which has members of its own.

    Raises:
        BadInput: if there is none, it is an array, or it leads to another file.
    """
    node = child(parent, key)
    if not isinstance(node, h5py.Group):
        raise BadInput(f"{parent.file.filename}: {node.name} must be a group, not an array.")
    return node


def array(group: h5py.Group, key: str, dtype: Any = np.float32) -> NDArray[Any]:
    """A dataset as an array of ``dtype``.

    Raises:
        BadInput: if it is a group or does not hold numbers.
    """
    node = child(group, key)
    if not isinstance(node, h5py.Dataset):
        raise BadInput(f"{group.file.filename}: {node.name} must be an array, not a group.")
    if node.dtype.kind not in "fiub":
        hint = " (images are not supported)" if node.dtype.kind == "O" else ""
        raise BadInput(f"{group.file.filename}: {node.name} must hold numbers, not {node.dtype}{hint}.")
    if node.dtype.kind == "f" or np.dtype(dtype).kind != "f":
        values: NDArray[Any] = node[()]
        return values if values.dtype == dtype else values.astype(dtype)
    return np.asarray(node[()], dtype)


def columns(node: h5py.Group, key: str) -> F32:
    """Observations or actions as (T, D); the arrays of a group are put side by side in sorted key order.

    Raises:
        BadInput: if a group is empty, or its arrays are not of the same length.
    """
    member = child(node, key)
    if isinstance(member, h5py.Group):
        if not len(member):
            raise BadInput(f"{node.file.filename}: {member.name} is empty.")
        found = {name: columns(member, name) for name in sorted(member)}
        same_length(Path(node.file.filename), str(member.name), **found)
        return np.concatenate(list(found.values()), axis=1)
    values = array(node, key)
    return values.reshape(len(values), math.prod(values.shape[1:])) if values.ndim else values.reshape(1, 1)


def infos(node: h5py.Group, key: str) -> F32 | None:
    """What stands in ``infos/<key>`` as (T, D), if there is any."""
    return columns(group(node, "infos"), key) if "infos" in node and key in group(node, "infos") else None


def flags(group: h5py.Group, key: str) -> Bools:
    """Terminals and the like: bool (N,), float (N, 1) and everything between."""
    return array(group, key, np.bool_).reshape(-1)


def same_length(path: Path, where: str, /, **arrays: NDArray[Any]) -> None:
    """Refuse arrays of different length, naming each."""
    if len({len(a) for a in arrays.values()}) > 1:
        lengths = ", ".join(f"{key} {len(a)}" for key, a in arrays.items())
        raise BadInput(
            f"{path}: the arrays of {where} have different lengths ({lengths}); each row needs all of them."
        )


def same_width(path: Path, where: str, /, **arrays: NDArray[Any]) -> None:
    """Refuse arrays (N, D) of different D, naming each."""
    if len({a.shape[1:] for a in arrays.values()}) > 1:
        sizes = ", ".join(f"{key} {math.prod(a.shape[1:])}" for key, a in arrays.items())
        raise BadInput(f"{path}: the rows of {where} have different sizes ({sizes}); they must be alike.")


def _reason(error: OSError) -> str:
    return str(error).removeprefix("Unable to synchronously open file (").rstrip(").")
