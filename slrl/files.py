"""Where slrl keeps things, and how a file comes to stand under its name: whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slrl.errors import BadInput


def cache_folder(kind: str) -> Path:
    """``$SLRL_CACHE/<kind>``, by default ``~/.cache/slrl/<kind>``; everything in it can be made again."""
    root = os.environ.get("SLRL_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slrl"
    return made_folder(Path(root) / kind)


def made_folder(path: Path) -> Path:
    """The folder, made if needed and certainly writable."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {path}: {error.strerror}.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadInput(f"cannot write into the folder {path}; choose another one.")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well, and disappears when it does not."""
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other process is in a block of the same name, and let others wait until this one ends, or dies."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: processes may do the same work twice, and the last one's file stays
        yield
        return
    with (cache_folder("locks") / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """Write a small text file at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
