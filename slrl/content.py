"""Find and read the declarative files: next to slrl/ in a checkout, inside slrl/ when installed."""

import tomllib
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
