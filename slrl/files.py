"""Files: those that people write, found next to slrl/ in a checkout and inside it when installed; and those that slrl keeps.

Every file that is written comes to stand under its name whole or not at all.
"""

import os
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from slrl.errors import BadInput, unknown

Kind = Literal["priors", "adapters", "scenarios", "suites"]
_PLACES = {"suites": "eval/suites"}  # of the kinds that do not have a folder of their name
SCHEMA = 1
DEFAULT_ADAPTER = "switch"  # of a life for which none is named
_PACKAGE = Path(__file__).parent


def folder(kind: Kind) -> Path:
    """The folder that holds the files of one kind."""
    place = _PLACES.get(kind, kind)
    shipped = _PACKAGE / "_content" / place
    return shipped if shipped.is_dir() else _PACKAGE.parent / place


def names(kind: Kind) -> list[str]:
    """What can be named without a path, sorted."""
    return sorted(path.stem for path in folder(kind).glob("*.toml"))


def read(kind: Kind, name: str) -> dict[str, Any]:
    """Read ``<kind>/<name>.toml``, or the file itself when ``name`` ends in ``.toml``; ``schema`` is checked and removed."""
    path = Path(name).expanduser() if name.endswith(".toml") else folder(kind) / f"{name}.toml"
    if not name.endswith(".toml") and name not in names(kind):
        raise unknown(kind.removesuffix("s"), name, names(kind))
    return checked_schema(read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read one TOML file of the user's."""
    if path.is_dir():
        raise BadInput(f"{path} is a directory; a .toml file is needed.")
    if not path.is_file():
        raise BadInput(f"there is no file {path}.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not a text file; a TOML file in UTF-8 is needed.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}.") from None


def checked_schema(table: dict[str, Any], where: str) -> dict[str, Any]:
    """Refuse files of another schema than this version reads."""
    table = dict(table)
    schema = table.pop("schema", None)
    if schema != SCHEMA:
        raise BadInput(f"{where} has schema {schema!r}; this version of slrl reads `schema = {SCHEMA}`.")
    return table


def cache_folder(kind: str) -> Path:
    """``$SLRL_CACHE/<kind>``, by default ``~/.cache/slrl/<kind>``; everything in it can be made again."""
    root = (
        os.environ.get("SLRL_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slrl"
    )
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
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well, and disappears when it does not."""
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def file_lock(name: str) -> Iterator[None]:
    """Wait until no other process is in a block of the same name, and let others wait until this one ends, or dies."""
    try:
        import fcntl
    except (
        ModuleNotFoundError
    ):  # Windows: processes may do the same work twice, and the last one's file stays
        yield
        return
    with (cache_folder("locks") / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """Write a small text file at once."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
