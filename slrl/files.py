"""Files that people write (TOML), and files that slrl keeps (caches, results).

TOML files are found next to slrl/ in a checkout, and inside the package when it is installed. Files are
written under a temporary name and then renamed, so that no reader ever sees half of one.
"""

import os
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from slrl.errors import BadInput, unknown

Kind = Literal["priors", "adapters", "scenarios", "suites"]
_PLACES = {"suites": "eval/suites"}  # of the kinds that do not have a folder of their name
SCHEMA = 1
DEFAULT_ADAPTER = "levels"  # of a life for which none is named
_PACKAGE = Path(__file__).parent


def installed(package: str) -> str | None:
    """The installed version, if it is installed; trajectories differ between those of a simulator."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def folder(kind: Kind) -> Path:
    """The folder that holds the TOML files of one kind."""
    place = _PLACES.get(kind, kind)
    shipped = _PACKAGE / "_content" / place
    return shipped if shipped.is_dir() else _PACKAGE.parent / place


def names(kind: Kind) -> list[str]:
    """The names that can be given without a path, sorted: the files of one kind without ``.toml``."""
    return sorted(path.stem for path in folder(kind).glob("*.toml"))


def variants(kind: Kind) -> list[str]:
    """As ``variants/NAME``: files that :func:`names` does not list, tests of what was chosen elsewhere."""
    return sorted(f"variants/{path.stem}" for path in (folder(kind) / "variants").glob("*.toml"))


def shipped(kind: Kind, name: str) -> str | None:
    """What :func:`read` calls the file of this name, variants included; None if none comes with slrl."""
    return next((one for one in (*names(kind), *variants(kind)) if Path(one).name == name), None)


def read(kind: Kind, name: str) -> dict[str, Any]:
    """Read ``<kind>/<name>.toml``, or the file itself when ``name`` ends in ``.toml``.

    Returns the table without ``schema``, which is checked.

    Raises:
        BadInput: there is no such name or file, it is not TOML, or its schema is another one.
    """
    path = Path(name).expanduser() if name.endswith(".toml") else folder(kind) / f"{name}.toml"
    if not name.endswith(".toml") and name not in (known := [*names(kind), *variants(kind)]):
        raise unknown(kind.removesuffix("s"), name, known)
    return checked_schema(read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read one TOML file; :class:`BadInput` if it is missing, a folder, not UTF-8 or not TOML."""
    if path.is_dir():
        raise BadInput(f"{path} is a directory; a .toml file is needed.")
    if not path.is_file():
        raise BadInput(f"there is no file {path}.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not a text file; a TOML file in UTF-8 is needed.") from None
    except ValueError as error:  # TOML's own, or a number with thousands of digits
        raise BadInput(f"{path} is not valid TOML: {error}.") from None


def is_name(text: str) -> bool:
    """Whether a text can name a folder of runs: one part of a path, and neither ``.`` nor ``..``."""
    return text == Path(text).name and text not in ("", ".", "..") and "\0" not in text


def checked_schema(table: dict[str, Any], where: str) -> dict[str, Any]:
    """The table without ``schema``; :class:`BadInput` if this version of slrl does not read that schema.

    Args:
        table: as read from TOML; it is not changed.
        where: the file, as the error names it.
    """
    table = dict(table)
    schema = table.pop("schema", None)
    if type(schema) is not int or schema != SCHEMA:  # true and 1.0 are equal to 1
        raise BadInput(f"{where} has schema {schema!r}; this version of slrl reads `schema = {SCHEMA}`.")
    return table


def cache_folder(kind: str) -> Path:
    """``$SLRL_CACHE/<kind>``, by default ``~/.cache/slrl/<kind>``; everything in it can be made again."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return made_folder(Path(os.environ.get("SLRL_CACHE") or caches / "slrl") / kind)


def made_folder(path: Path) -> Path:
    """Make the folder if it does not exist, and return it; :class:`BadInput` if it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {path}: {error.strerror}.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadInput(f"cannot write into the folder {path}; choose another one.")
    return path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all: write to the path that this yields.

    When the block ends well that file is renamed to ``path``. When the block raises it is deleted, and what
    was at ``path`` before stays.
    """
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def file_lock(name: str) -> Iterator[None]:
    """Let one process at a time into blocks of this name; the others wait until it leaves the block or dies.

    The lock is a file in the cache folder. On Windows there is none: processes may do the same work twice,
    and the file of the last one stays.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        yield
        return
    path = cache_folder("locks") / name
    try:
        file = path.open("w")
    except OSError as error:
        raise BadInput(f"cannot lock {path}: {error.strerror}.") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
