"""The cache of what is learned before a life: files that are checked when read, and learned anew if invalid.

An :class:`Artefact` names something that can be learned and everything that it depends on; its key is a hash
of that. :class:`LearnedCache` learns it, or reads it from ``<name>-<key>.safetensors``. The file's header
holds the key, the content hashes of what it was learned from, and the hash of its own content.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from slrl.errors import BadInput, unknown
from slrl.files import atomic_write, cache_folder, file_lock
from slrl.types import Metrics, State

FORMAT = 1  # of the files
DEFAULT_LIMIT_MB = 4096.0
WRITING_S = 3600.0  # a temporary file that is older was left by a process that was killed
T = TypeVar("T")
Progress = Callable[["Artefact[Any]", int, Metrics], None]  # called with the steps made so far


class Learnable(Protocol):
    """Something that is learned before the life."""

    @property
    def steps(self) -> int:
        """How many steps :meth:`learn` takes."""
        ...

    def learn(self) -> Iterator[Metrics]:
        """Run ``steps`` steps of learning, and yield the metrics after each."""
        ...

    def state_dict(self) -> State:
        """Everything that was learned, as the file stores it."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Load what was learned, in place."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Artefact(Generic[T]):
    """Something that can be made before the life, and everything that it depends on.

    Artefacts with the same key are interchangeable. Those that are not ``stored`` are recomputed when needed,
    such as a prior with latents behind its observations.
    """

    name: str  # shown to users, and the beginning of the file's name
    build: Callable[..., T]  # of the values of ``needs``, in order; a Learnable if it is stored
    about: Mapping[str, Any] = field(default_factory=dict)  # settings, seeds, hashes: whatever JSON can hold
    needs: tuple["Artefact[Any]", ...] = ()
    version: int = 1  # of the code that learns it; raised when the same settings give another result
    steps: int = 0  # of learning
    ms_per_step: float = 1.0  # estimate, for the progress bar
    stored: bool = True
    changes: bool = False  # whether a life changes the value, as it does an agent's weights

    @cached_property
    def key(self) -> str:
        """SHA-256 of name, versions, ``about`` and the keys of ``needs``."""
        about = {
            "name": self.name,
            "version": [FORMAT, self.version],
            "torch": torch.__version__,
            "about": dict(self.about),
            "needs": [need.key for need in self.needs],
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    def everything(self) -> "list[Artefact[Any]]":
        """This artefact and all that it needs, each once, in the order of learning."""
        found: dict[str, Artefact[Any]] = {}
        for need in self.needs:
            found |= {artefact.key: artefact for artefact in need.everything()}
        return list((found | {self.key: self}).values())

    def stored_needs(self) -> "list[Artefact[Any]]":
        """The stored artefacts it is learned from; needs without a file are replaced by their own needs."""
        found: list[Artefact[Any]] = []
        for need in self.needs:
            found += [need] if need.stored else need.stored_needs()
        return found

    @property
    def file(self) -> Path:
        """Its path in the cache."""
        return learned_folder() / f"{self.name.replace(' ', '_')}-{self.key[:32]}.safetensors"


@dataclass
class LearnedCache:
    """The learned artefacts of one life; equal artefacts are one object."""

    # Artefacts that could not be learned and are not tried again: key to error.
    failures: dict[str, BadInput] = field(default_factory=dict)
    progress: Progress = lambda artefact, step, metrics: None
    _shared: dict[str, Any] = field(default_factory=dict)
    _own: dict[str, Any] = field(default_factory=dict)

    def get(self, artefact: Artefact[T]) -> T:
        """The artefact's value: computed, read, or learned and kept.

        Raises:
            BadInput: if learning diverged.
        """
        values = self._own if artefact.changes else self._shared
        if artefact.key not in values:
            value: Any = artefact.build(*map(self.get, artefact.needs))
            if artefact.stored and not read(artefact, value):
                if artefact.key in self.failures:
                    raise self.failures[artefact.key]
                with file_lock(artefact.file.stem):  # concurrent lives may need the same artefact
                    if not read(artefact, value):
                        learned_from = needs_content(artefact)
                        learn(artefact, value, self.progress)
                        write(artefact, value, learned_from)
            values[artefact.key] = value
        found: T = values[artefact.key]
        return found

    def for_level(self) -> "LearnedCache":
        """For a method inside another one: what a life changes is its own, all else is shared."""
        return LearnedCache(self.failures, self.progress, self._shared)


class Table:
    """A tensor that is slow to compute, as a :class:`Learnable` of one step."""

    steps = 1

    def __init__(self, compute: Callable[[], torch.Tensor], shape: tuple[int, ...]) -> None:
        self._compute, self.tensor = compute, torch.zeros(shape)

    def learn(self) -> Iterator[Metrics]:
        """Compute the tensor, in one step."""
        self.tensor = self._compute()
        yield {}

    def state_dict(self) -> State:
        """The tensor, as ``tensor``."""
        return {"tensor": self.tensor}

    def load_state_dict(self, state: State) -> None:
        """Take the saved tensor."""
        self.tensor = state["tensor"]


def learn(artefact: Artefact[Any], value: Learnable, progress: Progress) -> None:
    """Run all steps of learning, and report progress every 100.

    Raises:
        BadInput: if a weight is not finite afterwards.
    """
    for step, metrics in enumerate(value.learn(), 1):
        if step % 100 == 0 or step == artefact.steps:
            progress(artefact, step, metrics)
    if not all(bool(torch.isfinite(t).all()) for t in value.state_dict().values() if t.is_floating_point()):
        raise BadInput(
            f"pretraining diverged: weights of the {artefact.name} became infinite; "
            "choose a smaller learning rate."
        )


# -- files ---------------------------------------------------------------------------------------------------


def learned_folder() -> Path:
    """Where learned artefacts are kept."""
    return cache_folder("learned")


def is_learned(artefact: Artefact[Any]) -> bool:
    """Whether the file is intact, and was learned from the present content of its dependencies."""
    header = _valid_header(artefact)
    state = None if header is None else _state(artefact.file)
    return header is not None and state is not None and content_hash(state) == header["content"]


def read(artefact: Artefact[Any], into: Learnable) -> bool:
    """Load the artefact's file into ``into``; False, with nothing loaded, if the file is not valid.

    Invalid are damaged or truncated files, files with another key or content hash, files whose dependencies
    have been learned anew since, and tensors with other names, shapes or types than ``into`` has.
    """
    header = _valid_header(artefact)
    state = None if header is None else _state(artefact.file)
    if header is None or state is None or content_hash(state) != header["content"]:
        return False
    if not _fits(state, into.state_dict()):
        return False
    into.load_state_dict(state)
    with contextlib.suppress(OSError):  # a read-only cache of another user
        os.utime(artefact.file)  # the time of last use, for trim
    return True


def _state(path: Path) -> State | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError):
        return None


def _fits(state: State, wanted: State) -> bool:
    return state.keys() == wanted.keys() and all(
        state[key].dtype == wanted[key].dtype and state[key].shape == wanted[key].shape for key in wanted
    )


def write(artefact: Artefact[Any], value: Learnable, learned_from: Mapping[str, str | None]) -> None:
    """Write the artefact's file atomically.

    Raises:
        BadInput: if it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    state = {key: tensor.detach().cpu().contiguous() for key, tensor in value.state_dict().items()}
    header = {
        "format": FORMAT,
        "name": artefact.name,
        "key": artefact.key,
        "content": content_hash(state),
        "needs": dict(learned_from),
    }
    try:
        with atomic_write(artefact.file) as temporary:
            save_file(state, temporary, {"slrl": json.dumps(header)})
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot keep what was learned in {artefact.file}: {reason}.") from None


def needs_content(artefact: Artefact[Any]) -> dict[str, str | None]:
    """The hashes of what the files of its needs hold now; None for a file that is not there."""
    return {need.key: _content(need) for need in artefact.stored_needs()}


def content_hash(state: State) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors."""
    total = hashlib.sha256()
    for key in sorted(state):
        values = np.ascontiguousarray(state[key].detach().cpu().numpy())
        total.update(f"{key} {values.dtype} {values.shape}\n".encode())
        total.update(values.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _valid_header(artefact: Artefact[Any]) -> dict[str, Any] | None:
    """The file's header if key, format and dependencies match; else None."""
    header = _read_header(artefact.file)
    if header is None or header.get("key") != artefact.key or header.get("format") != FORMAT:
        return None
    wanted = needs_content(artefact)
    return header if header.get("needs") == wanted and None not in wanted.values() else None


def _content(artefact: Artefact[Any]) -> str | None:
    """The content hash in an artefact's file; None without a readable file."""
    header = _read_header(artefact.file)
    return None if header is None else header.get("content")


def _read_header(path: Path) -> dict[str, Any] | None:
    from safetensors import SafetensorError, safe_open

    if path.is_symlink() or not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {}).get("slrl", "null"))
    except (SafetensorError, OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


@dataclass(frozen=True)
class Entry:
    """A file of the cache."""

    path: Path
    name: str  # of the artefact
    size_bytes: int
    used_s: float  # when it was last learned or read, in seconds since 1970


def entries() -> list[Entry]:
    """All files of the cache, the least recently used first."""
    found = []
    for path in learned_folder().glob("*.safetensors"):
        try:
            about = path.lstat()
        except FileNotFoundError:  # another process has removed it
            continue
        if stat.S_ISDIR(about.st_mode):
            continue
        unfinished = path.name.startswith(".")  # left by a process that was killed, or being written now
        if unfinished and time.time() - about.st_mtime < WRITING_S:
            continue
        name = "unfinished" if unfinished else path.stem.rpartition("-")[0].replace("_", " ")
        found.append(Entry(path, name, about.st_size, about.st_mtime))
    return sorted(found, key=lambda entry: (entry.used_s, entry.path))


def limit_bytes() -> int:
    """The cache's size limit in bytes: ``$SLRL_CACHE_LIMIT_MB``, by default 4,096 MB.

    Raises:
        BadInput: if the variable is not a number of 0 or more.
    """
    text = os.environ.get("SLRL_CACHE_LIMIT_MB", str(DEFAULT_LIMIT_MB))
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise BadInput(f"SLRL_CACHE_LIMIT_MB must be a number of megabytes, 0 or more, not {text!r}.")
    return int(limit * 1e6)


def trim(keep: Iterable[Path] = ()) -> list[Entry]:
    """Remove the least recently used files, but none in ``keep``, until the cache is within its limit."""
    found, limit, kept = entries(), limit_bytes(), set(keep)
    total, removed = sum(entry.size_bytes for entry in found), list[Entry]()
    for entry in found:
        if total <= limit:
            break
        if entry.path not in kept:
            entry.path.unlink(missing_ok=True)
            total -= entry.size_bytes
            removed.append(entry)
    return removed


def clear(name: str | None = None) -> list[Entry]:
    """Remove all files, or those of artefacts called ``name``; returns the removed entries.

    Raises:
        BadInput: if there is no file of that name.
    """
    found = [entry for entry in entries() if name in (None, entry.name)]
    if name is not None and not found:
        raise unknown("kind of learned part", name, {entry.name for entry in entries()})
    for entry in found:
        entry.path.unlink(missing_ok=True)
    return found


def computed_on(device: torch.device) -> dict[str, str]:
    """For a key: where it is computed, if not on a CPU, whose sums are rounded otherwise."""
    return {} if device.type == "cpu" else {"device": device.type}
