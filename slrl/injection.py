"""The file name is the name: ``make("slrl.learning.agents", "sac", ...)`` calls ``make`` in slrl/learning/agents/sac.py.

The only place where a name from a TOML file becomes code, and where its settings are checked against the
signature of that code. No list to edit, no import side effect.
"""

import dataclasses
import importlib
import inspect
import math
import pkgutil
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from slrl.errors import BadInput, unknown

# What the program hands to a factory that asks for it by name; never a setting of a TOML file.
PARTS = frozenset(
    (
        "agent",
        "device",
        "env",
        "generator",
        "latents",
        "life_steps",
        "planner",
        "pretrainer",
        "prior",
        "rng",
        "value",
        "weigh",
    )
)


def names(package: str) -> list[str]:
    """The modules of a package: the names that TOML files may use."""
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path))


def find(package: str, name: str) -> types.ModuleType:
    """The module ``package.name``, or an error that names the nearest one."""
    if name not in names(package):
        raise unknown(package.rpartition(".")[2].removesuffix("s"), name, names(package))
    return importlib.import_module(f"{package}.{name}")


def make(package: str, name: str, settings: Mapping[str, Any], *, where: str, **parts: Any) -> Any:
    """Call ``package.name.make`` with its settings and with those of ``parts`` that it asks for by name."""
    factory = find(package, name).make
    checked = bind(factory, settings, where=where, parts=PARTS)
    wanted = inspect.signature(factory).parameters
    return factory(**{key: part for key, part in parts.items() if key in wanted}, **checked)


def split(table: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """The ``name`` of a table and its settings."""
    if not isinstance(table.get("name"), str):
        raise BadInput(f"{where} needs a 'name'.")
    return str(table["name"]), {key: value for key, value in table.items() if key != "name"}


def resolve(package: str, table: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Check a table without making anything, and complete it with the defaults of its factory.

    A module that has limits for its values says so in ``check(settings) -> str | None``: what is wrong, if anything.
    """
    name, settings = split(table, where)
    module = find(package, name)
    resolved = {"name": name, **complete(module.make, settings, where=where)}
    if hasattr(module, "check") and (wrong := module.check(resolved)):
        raise BadInput(f"{where}: {wrong}.")
    return resolved


def complete(factory: Callable[..., Any], settings: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Settings that were checked, and behind them the defaults of those that were not given."""
    checked = bind(factory, settings, where=where, parts=PARTS)
    parameters = inspect.signature(factory).parameters
    rest = {
        key: p.default
        for key, p in parameters.items()
        if key not in PARTS and key not in checked and p.default is not None
    }
    return {**checked, **rest}


def bind(
    factory: Callable[..., Any],
    settings: Mapping[str, Any],
    *,
    where: str,
    parts: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Check ``settings`` against the signature of ``factory``: names, types, and that nothing needed is missing."""
    hints = get_type_hints(factory) if not inspect.isclass(factory) else _class_hints(factory)
    parameters = {key: p for key, p in inspect.signature(factory).parameters.items() if key not in parts}
    for key in settings:
        if key not in parameters:
            raise unknown(f"setting in {where}:", key, parameters)
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in settings:
            raise BadInput(f"{where} needs the setting {key!r} ({_say(hints[key])}).")
    return {key: convert(value, hints[key], f"{key!r} in {where}") for key, value in settings.items()}


def convert(value: Any, kind: Any, where: str) -> Any:
    """``value`` as the annotated type, or one sentence on what it should be."""
    origin, arguments = get_origin(kind), get_args(kind)
    wrong = BadInput(f"{where} must be {_say(kind)}, not {value!r}.")
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        for option in arguments:
            try:
                return convert(value, option, where)
            except BadInput:
                continue
        raise wrong
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
        return tuple(convert(v, k, where) for v, k in zip(value, items, strict=True))
    if origin is dict or kind is dict:
        if not isinstance(value, dict):
            raise wrong
        return dict(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return kind(**bind(kind, value, where=where))  # type: ignore[arg-type, operator]
    if kind is types.NoneType or type(value) is not kind:
        raise wrong
    if kind is float and not math.isfinite(value):
        raise wrong
    return value


def _class_hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls) if dataclasses.is_dataclass(cls) else get_type_hints(cls.__init__)  # type: ignore[misc]


def _say(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_say(a) for a in arguments if a is not types.NoneType)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list of which each is {_say(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}, each {_say(arguments[0])}"
    if origin is dict or kind is dict or dataclasses.is_dataclass(kind):
        return "a table"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(
        kind, str(kind)
    )
