"""Plug-ins: names in TOML files become code, and their tables become settings.

A name is a file in one of slrl's packages (``qwale`` for slrl/…/qwale.py, whose ``make`` is called), an entry
point of another distribution, or ``package.module:Name``. The object is called with its settings first, a
frozen dataclass given by the type of its parameter ``settings``. The fields are the names and types that the
table may have, and ``__post_init__`` validates values.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import math
import pkgutil
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from slrl.errors import BadInput, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """One kind of plug-in."""

    word: str  # as messages call it
    package: str  # whose files are plug-ins, each by its name
    group: str  # of entry points, through which other distributions bring theirs
    function: str = "make"  # of such a file


AGENTS = Kind("agent", "slrl.learning.agents", "slrl.agents")
OBJECTIVES = Kind("objective", "slrl.learning.offline", "slrl.objectives")
GUIDANCE = Kind("guidance", "slrl.learning.guidance", "slrl.guidance")
ADAPTERS = Kind("adapter", "slrl.adapters", "slrl.adapters")
SHIFTS = Kind("shift", "slrl.envs.shifts", "slrl.shifts")
BEHAVIOURS = Kind("behaviour", "slrl.recording.behaviours", "slrl.behaviours")
FORMATS = Kind("format", "slrl.priors.formats", "slrl.formats", "read")
ENGINES = Kind("engine", "slrl.evaluation.engines", "slrl.engines", "run")


def names(kind: Kind) -> list[str]:
    """The names of a kind: its files in slrl and entry points, sorted."""
    return sorted({*_files(kind), *(point.name for point in entry_points(group=kind.group))})


@cache
def _files(kind: Kind) -> tuple[str, ...]:
    modules = pkgutil.iter_modules(importlib.import_module(kind.package).__path__)
    return tuple(module.name for module in modules if _is_plugin(kind, module.name))


def _is_plugin(kind: Kind, name: str) -> bool:
    return hasattr(importlib.import_module(f"{kind.package}.{name}"), kind.function)


def find(kind: Kind, name: str) -> Any:
    """The module of one of slrl's files, or the object of an entry point or of ``module:Name``.

    Raises:
        BadInput: with the nearest valid name, or with what Python cannot import.
    """
    if ":" in name:
        return imported(name, kind.word)
    if name.isidentifier() and importlib.util.find_spec(f"{kind.package}.{name}") is not None:
        module = importlib.import_module(f"{kind.package}.{name}")
        if hasattr(module, kind.function):
            return module
    for point in entry_points(group=kind.group):
        if point.name == name:
            return _loaded(point.module, point.attr or "", f"the {kind.word} {name!r}")
    raise unknown(kind.word, name, names(kind))


def factory(kind: Kind, name: str) -> Callable[..., Any]:
    """The callable that makes the plug-in: ``make`` of a module, or the object itself.

    Raises:
        BadInput: for an unknown name, or an object that cannot be called.
    """
    found = find(kind, name)
    made: Any = getattr(found, kind.function) if inspect.ismodule(found) else found
    if not callable(made):
        what = f"the {kind.word} {name!r} is of the type {type(made).__name__}"
        raise BadInput(f"{what}, which cannot be called; name a class or a function.")
    return made  # type: ignore[no-any-return]


def imported(name: str, word: str) -> Any:
    """The object that ``package.module:Name`` names.

    Raises:
        BadInput: if there is no such module, it cannot be imported, or nothing of that name is in it.
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise BadInput(f"the {word} {name!r} must be named as module:Name.")
    return _loaded(module, attribute, f"the {word} {name!r}")


def import_failed(what: str, module: str, error: BaseException) -> BadInput:
    """The sentence on a module that is there and raises while it is imported."""
    reason = " ".join(str(error).split()).rstrip(".")
    more = f": {reason}" if reason else ""
    return BadInput(f"{what}: importing the module {module!r} failed with {type(error).__name__}{more}.")


def _loaded(module: str, attribute: str, what: str) -> Any:
    """The attribute, with dots if it is inside another one, or the module itself if none is named."""
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise BadInput(f"{what} needs the module {error.name!r}, which Python does not find here.") from error
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises while it is imported
        raise import_failed(what, module, error) from error
    for name in filter(None, attribute.split(".")):
        if not hasattr(found, name):
            raise BadInput(f"{what}: the module {module!r} has no {attribute!r}.")
        found = getattr(found, name)
    return found


def settings_type(made: Callable[..., Any], what: str) -> type:
    """The dataclass that annotates the parameter ``settings``.

    Raises:
        BadInput: if there is none.
    """
    try:
        kind = _hints(made).get("settings")
    except (TypeError, NameError) as error:  # no Python function, or annotations that name what is not there
        raise BadInput(f"{what} cannot be used: its annotations cannot be read ({error}).") from error
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise BadInput(
            f"{what} has no parameter 'settings' whose type is a dataclass, so that nothing can be set."
        )
    return kind


@dataclass(frozen=True)
class Plugin:
    """A named plug-in with validated settings. Each kind has a subclass, for annotations."""

    kind: ClassVar[Kind]
    name: str
    settings: Any  # of the plug-in's own type

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str) -> Self:
        """From a table with a ``name``; the rest of it are settings.

        Raises:
            BadInput: one sentence, for a name, a setting or a value that does not work.
        """
        if not isinstance(table.get("name"), str):
            raise BadInput(f"{where} needs a 'name'.")
        name = str(table["name"])
        made = factory(cls.kind, name)
        settings = {key: value for key, value in table.items() if key != "name"}
        return cls(name, bind(settings_type(made, f"the {cls.kind.word} {name!r}"), settings, where=where))

    def make(self, *arguments: Any, **more: Any) -> Any:
        """Call the plug-in with its settings and the arguments of its kind."""
        return factory(self.kind, self.name)(self.settings, *arguments, **more)

    def table(self) -> dict[str, Any]:
        """The table with the name and all settings."""
        return {"name": self.name, **table(self.settings)}


class AgentPlugin(Plugin):
    """A policy with its critics."""

    kind = AGENTS


class ObjectivePlugin(Plugin):
    """An objective for learning from the prior."""

    kind = OBJECTIVES


class GuidancePlugin(Plugin):
    """A reward that is learned during the life."""

    kind = GUIDANCE


class AdapterPlugin(Plugin):
    """A way of acting and learning in a life."""

    kind = ADAPTERS


class ShiftPlugin(Plugin):
    """A difference between source and target."""

    kind = SHIFTS


class BehaviourPlugin(Plugin):
    """A behaviour that acts while a prior is recorded."""

    kind = BEHAVIOURS


def table(settings: Any) -> dict[str, Any]:
    """A dataclass as TOML holds it: without None, tuples as lists, plug-ins as tables with a name."""
    found = {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    return {key: value for key, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Plugin):
        return value.table()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return table(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return value


def bind(cls: type[T], settings: Mapping[str, Any], *, where: str) -> T:
    """``cls(**settings)`` for a dataclass, after names, types and values were checked.

    Raises:
        BadInput: one sentence that begins with, or names, ``where``.
    """
    hints = _hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in settings:
        if key not in fields:
            raise unknown(f"setting in {where}:", key, fields)
    for key, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and key not in settings:
            raise BadInput(f"{where} needs the setting {key!r} ({type_in_words(hints[key])}).")
    values = {key: convert(value, hints[key], key, where) for key, value in settings.items()}
    try:
        return cls(**values)
    except _WrongValue as error:
        raise BadInput(f"{where}: {error}.") from None
    except BadInput:
        raise
    except (TypeError, ValueError) as error:  # of somebody else's __post_init__
        raise BadInput(f"{where}: {str(error).rstrip('.')}.") from error


class _WrongValue(BadInput):
    """A value of the right type that is not valid; :func:`bind` adds where it stands."""


def require(holds: bool, otherwise: str) -> None:
    """In ``__post_init__``: raise with ``otherwise``, a sentence without full stop, unless ``holds``."""
    if not holds:
        raise _WrongValue(otherwise)


def at_least(settings: Any, least: float, *keys: str) -> None:
    """Require each of ``keys`` to be ``least`` or more, or None."""
    for key in keys:
        value = getattr(settings, key)
        require(value is None or value >= least, f"{key} must be {least:g} or more, not {value}")


def positive(settings: Any, *keys: str) -> None:
    """Require each of ``keys`` to be more than 0, or None."""
    for key in keys:
        value = getattr(settings, key)
        require(value is None or value > 0, f"{key} must be more than 0, not {value}")


def share(settings: Any, *keys: str) -> None:
    """Require each of ``keys`` to be between 0 and 1, or None."""
    for key in keys:
        value = getattr(settings, key)
        require(value is None or 0 <= value <= 1, f"{key} must be between 0 and 1, not {value}")


def seed(settings: Any) -> None:
    """Require ``seed`` to be a seed that torch takes, or None."""
    value = settings.seed
    at_least(settings, 0, "seed")
    require(value is None or value < 2**63, f"seed must be less than 2 ** 63, not {value}")


def layers(settings: Any, key: str) -> None:
    """Require the sizes of hidden layers to be 1 or more; there may be none."""
    sizes = getattr(settings, key)
    require(all(size >= 1 for size in sizes), f"{key} must list layers of 1 or more units, not {list(sizes)}")


def convert(value: Any, kind: Any, key: str, where: str) -> Any:
    """``value`` as the annotated type ``kind``: lists become tuples, tables dataclasses or plug-ins.

    Raises:
        BadInput: naming ``key``, ``where`` and the type that is needed.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    wrong = BadInput(f"{key!r} in {where} must be {type_in_words(kind)}, not {value!r}.")
    if kind is Any:
        return value
    if origin is Annotated:
        return convert(value, arguments[0], key, where)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments, key, where, wrong)
    if origin is Literal:
        if value not in arguments or type(value) not in {type(a) for a in arguments}:
            raise wrong
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or (
            arguments[-1] is not Ellipsis and len(value) != len(arguments)
        ):
            raise wrong
        items = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(convert(v, k, key, where) for v, k in zip(value, items, strict=True))
    if origin is dict or kind is dict:
        if not isinstance(value, dict):
            raise wrong
        return dict(value)
    if isinstance(kind, type) and issubclass(kind, Plugin):
        return _plugin(value, kind, key, where, wrong)
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, kind, key, where, wrong)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise wrong from None
    if kind is types.NoneType or type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise wrong
    return value


def _one_of(value: Any, options: Iterable[Any], key: str, where: str, wrong: BadInput) -> Any:
    options = [option for option in options if option is not types.NoneType]
    if len(options) == 1:
        return convert(value, options[0], key, where)  # its sentence says more than "must be a table"
    for option in options:
        try:
            return convert(value, option, key, where)
        except BadInput:
            continue
    raise wrong


def _plugin(value: Any, kind: type[Plugin], key: str, where: str, wrong: BadInput) -> Plugin:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise wrong
    return kind.parse(value, inside(where, key))


def _dataclass(value: Any, kind: Any, key: str, where: str, wrong: BadInput) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise wrong
    return bind(kind, value, where=inside(where, key))


def inside(where: str, key: str) -> str:
    """The place of a table in another: ``[adapter] of 'x'`` and ``inner`` give ``[adapter.inner] of 'x'``."""
    if where.startswith("["):
        return where.replace("]", f".{key}]", 1)
    return f"[{key}] of {where}"


def _hints(made: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(made) or not inspect.isclass(made):
        return get_type_hints(made)
    return get_type_hints(made.__init__)


def type_in_words(kind: Any) -> str:
    """A type in words, for messages."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(type_in_words(a) for a in arguments if a is not types.NoneType)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list of which each is {type_in_words(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}, each {type_in_words(arguments[0])}"
    is_table = dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, Plugin))
    if origin is dict or kind is dict or is_table:
        return "a table"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(
        kind, str(kind)
    )
