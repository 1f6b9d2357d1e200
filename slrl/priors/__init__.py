"""Priors: what the agent lived through before this life. Reads Minari, D4RL and robomimic data."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Space, flatten_space
from numpy.typing import NDArray

from slrl import files
from slrl.errors import BadInput, unknown
from slrl.files import atomic_write, cache_folder
from slrl.priors import formats
from slrl.types import F32, Bools

MINARI_ID = re.compile(r"(?:[\w-]+/)*[\w-]+-v\d+")
_CACHE_VERSION = 2  # raised when a reader changes what it returns
_ROWS = (
    "obs",
    "action",
    "reward",
    "next_obs",
    "terminated",
    "truncated",
    "episode",
    "env_params",
    "behaviour",
)


@dataclass(frozen=True, eq=False)
class Prior:
    """N transitions that are never changed, with where they came from.

    The reward of a row is for arriving in its ``next_obs``. ``terminated`` rows have no future; ``truncated``
    rows are the last of an episode that was cut. ``sha256`` is made from the rows alone: the same data has
    the same hash in every file layout.
    """

    name: str
    format: str
    obs: F32  # (N, O)
    action: F32  # (N, A)
    reward: F32  # (N,)
    next_obs: F32  # (N, O)
    terminated: Bools  # (N,)
    truncated: Bools  # (N,)
    episode: NDArray[np.int32]  # (N,) counts 0, 0, …, 1, 1, …
    observation_space: Box
    action_space: Box
    env_params: F32 | None = None  # (N, E) the physical parameters under which each row was recorded
    behaviour: NDArray[np.int32] | None = None  # (N,) which of several acted, the same in a whole episode
    notes: tuple[str, ...] = ()  # what the reader had to decide
    recipe: str | None = None  # name or path of the recipe that made it, where it is known
    parts: tuple[str, ...] = ()  # the names of the priors that were joined; empty if it is a single one
    latent_size: int = 0  # how many of the last entries of an observation an adapter has added

    def __len__(self) -> int:
        return len(self.reward)

    @cached_property
    def sha256(self) -> str:
        """Of the rows alone; computed at the first use, which for a large file costs more than reading it."""
        return content_hash(self)

    @property
    def episodes(self) -> int:
        """How many episodes the rows belong to."""
        return int(self.episode[-1]) + 1

    @property
    def dense(self) -> bool:
        """Whether rewards come at nearly every step: more than a tenth of them differ from the median."""
        return bool(np.mean(self.reward != np.median(self.reward)) > 0.1)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(episodes,) the first row of each episode."""
        return np.flatnonzero(np.diff(self.episode, prepend=-1)).astype(np.int64)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """(episodes,) the last row of each episode."""
        return np.append(self.starts[1:] - 1, len(self) - 1)

    def returns(self) -> NDArray[np.float64]:
        """(episodes,) the undiscounted sum of rewards of each episode."""
        return np.bincount(self.episode, weights=self.reward).astype(np.float64)

    def successes(self) -> int:
        """Episodes that end terminated and with a positive reward on that step."""
        return int(np.sum(self.terminated & (self.reward > 0)))

    def returns_to_go(self, discount: float) -> F32:
        """(N,) discounted reward from each row to the end of its episode; nothing is added after a cut."""
        total, out = 0.0, np.empty(len(self), np.float32)
        last = set(self.ends.tolist())
        for row in range(len(self) - 1, -1, -1):
            total = float(self.reward[row]) + (0.0 if row in last else discount * total)
            out[row] = total
        return out


def join(priors: Sequence[Prior]) -> Prior:
    """Several priors as one, in which each is a behaviour; those that have several keep them apart.

    Raises:
        BadInput: if they do not have the same sizes.
    """
    first, behaviours, count = priors[0], [], 0
    for prior in priors:
        for what, size, of_first in (
            ("observations", prior.obs.shape[1], first.obs.shape[1]),
            ("actions", prior.action.shape[1], first.action.shape[1]),
        ):
            if size != of_first:
                raise BadInput(
                    f"priors {first.name} and {prior.name} have {what} of sizes {of_first} and {size}; all "
                    "must be alike."
                )
        own = (
            np.zeros(len(prior), np.int32)
            if prior.behaviour is None
            else np.unique(prior.behaviour, return_inverse=True)[1]
        )
        behaviours.append((own + count).astype(np.int32))
        count += int(own.max()) + 1
    offsets = np.cumsum([0, *(prior.episodes for prior in priors[:-1])])
    joined: dict[str, Any] = {
        key: np.concatenate([getattr(prior, key) for prior in priors]) for key in _ROWS[:6]
    }
    params = [prior.env_params for prior in priors]
    alike = all(p is not None and params[0] is not None and p.shape[1] == params[0].shape[1] for p in params)
    return replace(
        first,
        name=" + ".join(prior.name for prior in priors),
        parts=tuple(name for prior in priors for name in prior.parts or (prior.name,)),
        recipe=None,
        **joined,
        episode=np.concatenate(
            [prior.episode + offset for prior, offset in zip(priors, offsets, strict=True)]
        ).astype(np.int32),
        env_params=np.concatenate([p for p in params if p is not None]) if alike else None,
        behaviour=np.concatenate(behaviours),
        notes=tuple(note for prior in priors for note in prior.notes),
    )


def part(prior: Prior, kept: Bools) -> Prior:
    """The rows of whole episodes, kept (N,), which are numbered anew."""
    rows = {key: values[kept] for key in _ROWS if (values := getattr(prior, key)) is not None}
    rows["episode"] = np.unique(rows["episode"], return_inverse=True)[1].astype(np.int32)
    return replace(prior, **rows)


def load(spec: str | os.PathLike[str]) -> Prior:
    """Load recorded data: a Minari id or directory, or an HDF5 file in a known layout.

    Nothing is downloaded. Recipes are resolved one level up, by :func:`slrl.load_prior`.

    Raises:
        BadInput: with one sentence on what is wrong with the file or the name.
    """
    file, metadata = _locate(str(spec))
    if file.is_dir():
        raise BadInput(
            f"{file} is a directory without Minari's data/metadata.json; give the .hdf5 file or the "
            "dataset's directory."
        )
    if metadata is None and file.parent.joinpath("metadata.json").is_file():
        metadata = file.parent / "metadata.json"
    rows = _read_cached(file)
    validate(rows, str(file))
    obs_space, action_space = _spaces(rows, metadata)
    return _freeze(str(spec), rows, obs_space, action_space)


def check_fit(prior: Prior, observation_space: Space[F32], action_space: Space[F32], scenario: str) -> None:
    """Refuse a prior whose sizes or action bounds are not those of the scenario.

    Raises:
        BadInput: with the sizes, or the first dimension of the actions that is outside.
    """
    assert isinstance(observation_space, Box)
    assert isinstance(action_space, Box)
    for what, rows, space in (
        ("observation", prior.obs, observation_space),
        ("action", prior.action, action_space),
    ):
        if rows.shape[1] != space.shape[0]:
            raise BadInput(
                f"prior {prior.name} has {what}s of size {rows.shape[1]}, but {scenario} has size "
                f"{space.shape[0]}."
            )
    low, high = column_range(prior.action)
    outside = (low < action_space.low - 1e-5) | (high > action_space.high + 1e-5)
    if outside.any():
        d = int(np.argmax(outside))
        raise BadInput(
            f"prior {prior.name} has actions outside the bounds of {scenario}: dimension {d} goes from "
            f"{low[d]:.4g} to {high[d]:.4g}, allowed are {action_space.low[d]:.4g} to "
            f"{action_space.high[d]:.4g}."
        )


def with_unit_actions(prior: Prior, low: F32, high: F32) -> Prior:
    """The prior with its actions mapped from [low, high] to [-1, 1], as agents see them."""
    if np.all(low == -1) and np.all(high == 1):
        return prior
    unit = np.clip(2 * (prior.action - low) / (high - low) - 1, -1, 1).astype(np.float32)
    return replace(prior, action=unit, action_space=Box(-1, 1, unit.shape[1:], np.float32))


def minari_root() -> Path:
    """Where Minari keeps its datasets."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def content_hash(rows: "formats.Rows | Prior") -> str:
    """SHA-256 over the SHA-256 of each array, so that the arrays are hashed side by side."""

    def digest(key: str) -> str:
        values = np.ascontiguousarray(getattr(rows, key)).reshape(-1)
        sha256 = hashlib.sha256(values.view(np.uint8).data)
        return f"{key} {values.dtype} {getattr(rows, key).shape} {sha256.hexdigest()}"

    keys = [key for key in _ROWS if getattr(rows, key) is not None]
    with ThreadPoolExecutor(2) as pool:
        return hashlib.sha256("\n".join(pool.map(digest, keys)).encode()).hexdigest()


def column_range(values: F32) -> tuple[F32, F32]:
    """Smallest and largest value of each column, faster than ``min(0)`` and ``max(0)`` of narrow arrays."""
    n, width = values.shape
    block = 64 if n >= 64 else 1
    whole, rest = values[: n - n % block].reshape(-1, block * width), values[n - n % block :]
    low, high = whole.min(0).reshape(block, width), whole.max(0).reshape(block, width)
    return np.concatenate([low, rest]).min(0), np.concatenate([high, rest]).max(0)


def validate(rows: formats.Rows, where: str) -> None:
    """Refuse what no agent can learn from.

    Raises:
        BadInput: for no rows, NaN or infinite numbers, or a behaviour that changes within an episode.
    """
    if not len(rows.obs):
        raise BadInput(f"{where} holds zero rows.")
    for key in ("obs", "action", "reward", "next_obs", "env_params"):
        values = getattr(rows, key)
        if values is not None and not np.isfinite(np.add.reduce(values, axis=None, dtype=np.float64)):
            row = int(np.argmax(~np.isfinite(values).reshape(len(values), -1).all(1)))
            raise BadInput(
                f"{where} has a NaN or infinite {key} in row {row}; remove or repair that episode."
            )
    if rows.behaviour is not None:
        within = rows.episode[1:] == rows.episode[:-1]
        changed = np.flatnonzero(within & (rows.behaviour[1:] != rows.behaviour[:-1]))
        if len(changed):
            raise BadInput(
                f"{where}: the behaviour changes within an episode, at row {changed[0] + 1}; cut the episode "
                "there."
            )


def _locate(spec: str) -> tuple[Path, Path | None]:
    """The HDF5 file that a spec means, and Minari's metadata of it where there is any."""
    path = Path(spec).expanduser()
    for data in (path / "data", path):
        if (data / "metadata.json").is_file():
            return _minari_file(data, spec)
    if path.exists():
        return path, None
    if MINARI_ID.fullmatch(spec):
        data = minari_root() / spec / "data"
        if not (data / "metadata.json").is_file():
            raise BadInput(
                f"the Minari dataset {spec!r} is not on this machine; `minari download {spec}` fetches it."
            )
        return _minari_file(data, spec)
    if os.sep in spec or path.suffix:
        raise BadInput(f"there is no file {path}.")
    raise unknown("prior", spec, files.names("priors"))


def _minari_file(data: Path, spec: str) -> tuple[Path, Path]:
    layout = minari_metadata(data / "metadata.json").get("data_format", "hdf5")
    if layout != "hdf5":
        raise BadInput(
            f"the Minari dataset {spec!r} is stored as {layout}; slrl reads Minari's hdf5 data format."
        )
    return data / "main_data.hdf5", data / "metadata.json"


def minari_metadata(path: Path) -> dict[str, Any]:
    """What a dataset's ``metadata.json`` says.

    Raises:
        BadInput: if it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path} is damaged: {error}.") from None
    if not isinstance(found, dict):
        raise BadInput(f"{path} is damaged: it should hold a JSON object.")
    return found


def _read_cached(file: Path) -> formats.Rows:
    """Read a file; layouts with a group per episode are kept flat, because HDF5 reads many groups slowly."""
    with formats.open_hdf5(file) as opened:
        flat = "observations" in opened
    if flat:
        return formats.read(file)
    with file.open("rb") as stream:
        key = hashlib.file_digest(stream, "sha256").hexdigest()
    cached = cache_folder("priors") / f"{key}-{_CACHE_VERSION}.safetensors"
    if cached.is_file() and (found := _read_flat(cached)) is not None:
        return found
    rows = formats.read(file)
    if rows.format in formats.BUILT_IN:  # readers of other distributions change without our knowledge
        _write_flat(cached, rows)
    return rows


def _read_flat(path: Path) -> formats.Rows | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata()
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        rows = formats.Rows(format=about["format"], notes=tuple(json.loads(about["notes"])), **arrays)
        return rows if content_hash(rows) == about["sha256"] else None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None  # damaged, or somebody else's: the caller reads the original file again


def _write_flat(path: Path, rows: formats.Rows) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {key: np.ascontiguousarray(value) for key in _ROWS if (value := getattr(rows, key)) is not None}
    about = {"format": rows.format, "notes": json.dumps(rows.notes), "sha256": content_hash(rows)}
    try:
        with atomic_write(path) as temporary:
            save_file(arrays, temporary, about)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot keep the rows of a prior in {path}: {reason}.") from None


def _spaces(rows: formats.Rows, metadata: Path | None) -> tuple[Box, Box]:
    obs = Box(-np.inf, np.inf, rows.obs.shape[1:], np.float32)
    low, high = column_range(rows.action)
    action = Box(np.minimum(low, -1), np.maximum(high, 1), dtype=np.float32)  # wide enough for what was seen
    if metadata is None:
        return obs, action
    return _flat_space(_space(metadata, "observation_space"), obs), _flat_space(
        _space(metadata, "action_space"), action
    )


def _space(metadata: Path, key: str) -> Space[Any]:
    """A space that Minari has written into its metadata as JSON in a text."""
    from minari.serialization import deserialize_space

    about = minari_metadata(metadata)
    if not isinstance(about.get(key), str):
        raise BadInput(f"{metadata} is damaged: it has no {key!r}, which Minari writes as a text.")
    try:
        space: Space[Any] = deserialize_space(about[key])
    except Exception as error:  # whatever Minari raises at what it did not write
        raise BadInput(
            f"{metadata} is damaged: Minari cannot read its {key!r} ({type(error).__name__}: "
            f"{' '.join(str(error).split()).rstrip('.')})."
        ) from error
    return space


def _flat_space(space: Space[F32], inferred: Box) -> Box:
    flat = flatten_space(space) if isinstance(space, (Dict, Box)) else space
    if not isinstance(flat, Box):
        raise BadInput(f"the prior has the space {space}; slrl needs numbers in a Box.")
    return flat if flat.shape == inferred.shape else inferred


def _freeze(name: str, rows: formats.Rows, obs_space: Box, action_space: Box) -> Prior:
    for key in _ROWS:
        if (values := getattr(rows, key)) is not None:
            values.flags.writeable = False
    shared = {f.name for f in fields(Prior)} & set(rows._fields)
    given = {key: getattr(rows, key) for key in shared}
    return Prior(name=name, observation_space=obs_space, action_space=action_space, **given)
