"""Methods: which adapter, with what agent, pretrained how. Reads adapters/*.toml."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slrl import files, plugins
from slrl.adapters.planner import chat
from slrl.errors import BadInput
from slrl.learning.pretrain import Settings as PretrainSettings
from slrl.plugins import ADAPTERS, AdapterPlugin, AgentPlugin

LEVELS = ("low", "high", "frames", "modes", "graph")  # settings of an adapter that are methods themselves
RENAMED = {"told": "condition_policy"}  # settings in files of earlier versions


@dataclass(frozen=True, kw_only=True)
class Method:
    """An adapter's TOML file: the parts of a method and their settings."""

    name: str
    summary: str
    adapter: AdapterPlugin
    agent: AgentPlugin | None = None  # of an adapter that acts by one
    pretrain: PretrainSettings | None = None  # what happens before the life; nothing if absent
    planner: chat.Settings | None = None  # of an adapter that asks one
    literature: str = ""

    def __post_init__(self) -> None:
        """An adapter that asks a planner and names none gets the default one, which has no server."""
        needs = getattr(plugins.find(ADAPTERS, self.adapter.name), "NEEDS_AGENT", True)
        plugins.require(self.agent is not None or not needs, "it needs the setting 'agent' (a table)")
        plugins.require(needs or self.agent is None, "its adapter acts without an agent; leave out [agent]")
        plugins.require(
            needs or self.pretrain is not None,
            "[pretrain] must not be left out: its seed is that of what the adapter learns",
        )
        taught = self.pretrain is not None and self.pretrain.objective is not None
        plugins.require(
            self.agent is not None or not taught, "[pretrain] has an objective, and there is no [agent]"
        )
        plugins.require(
            self.agent is None or self.pretrain is None or taught,
            "'objective' of [pretrain] is missing; `pretrain = false` leaves the agent as it is drawn",
        )
        asks = bool(getattr(plugins.find(ADAPTERS, self.adapter.name), "ASKS_PLANNER", False))
        if self.planner is not None:
            plugins.require(asks, "it asks no planner; leave out [planner]")
        elif asks:
            object.__setattr__(self, "planner", chat.Settings())

    def table(self) -> dict[str, Any]:
        """The method as TOML holds it, with all defaults filled in."""
        return plugins.table(self)


def load(
    name: str, overrides: Sequence[tuple[str, Any]] = (), *, suggested: Sequence[tuple[str, Any]] = ()
) -> Method:
    """Read ``adapters/<name>.toml``, or a file if ``name`` ends in ``.toml``.

    ``overrides`` are dotted keys and values, such as ``("agent.hidden", [64, 64])``. Before them come those
    that a scenario has ``suggested``: they count where the adapter has such a table, and are left out where
    it has not.

    Raises:
        BadInput: one sentence on the first thing in it that does not work.
    """
    method = parse(_table(name, suggested, overrides), name=_short(name))
    if method.pretrain is None:
        return method
    return replace(method, pretrain=replace(method.pretrain, seed=method.pretrain.seed or 0))


def parse(table: Mapping[str, Any], *, name: str) -> Method:
    """Validate a table as read from TOML, down to the settings of each part, and fill in the defaults."""
    return plugins.bind(Method, _migrated({"name": name, **table}), where=f"adapter {name!r}")


def planners(method: Method, file: str = "planner.jsonl") -> Iterator[tuple[str, chat.Settings]]:
    """The planners of a method and of its levels, each with the file in which a life keeps its exchanges."""
    if method.planner is not None:
        yield file, method.planner
    for level in LEVELS:
        if isinstance(inside := getattr(method.adapter.settings, level, None), Method):
            yield from planners(inside, f"{level}-{file}")


def _short(name: str) -> str:
    return Path(name).stem if name.endswith(".toml") else name


def _table(
    name: str,
    suggested: Sequence[tuple[str, Any]],
    overrides: Sequence[tuple[str, Any]],
    above: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A method's complete table: named levels are loaded, then suggestions and overrides applied."""
    if name in above:
        raise BadInput(f"adapter {name!r} is a level of itself: {' has the level '.join([*above, name])}.")
    above = (*above, name)
    table = _whole(name)
    _load_levels(table, suggested, above)
    for key, value in suggested:
        if _has_table(table, key):
            _override(table, key, value)
    for key, value in overrides:
        _override(table, key, value)
        _load_levels(table, suggested, above)
    return {key: value for key, value in table.items() if value is not False}


def _load_levels(table: dict[str, Any], suggested: Sequence[tuple[str, Any]], above: tuple[str, ...]) -> None:
    """Replace levels given by name with the whole methods of those names, in place."""
    adapter = table.get("adapter")
    if not isinstance(adapter, dict):
        return
    for level in LEVELS:
        if isinstance(name := adapter.get(level), str):
            path = _beside(above[-1], name)
            adapter[level] = {"name": _short(name), **_table(path, suggested, (), above)}
        elif isinstance(name, dict):
            name.setdefault("name", level)
    _load_inner(adapter, above)


def _load_inner(adapter: dict[str, Any], above: tuple[str, ...]) -> None:
    """Replace an inner adapter given by name with the adapter of that method, and those inside it."""
    inner = adapter.get("inner")
    if isinstance(inner, str):
        path = _beside(above[0], inner)
        if path in above[1:]:
            raise BadInput(f"adapter {inner!r} is inside itself.")
        above = (*above, path)
        adapter["inner"] = inner = _whole(path).get("adapter", {})
    if isinstance(inner, dict):
        _load_inner(inner, above)


# -- files that are like others ------------------------------------------------------------------------------


def _whole(name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The table of a file, with what it takes over from the file that it is ``like``."""
    if name in above:
        raise BadInput(f"adapter {name!r} is like itself: {' is like '.join([*above, name])}.")
    table = files.read("adapters", name)
    like = table.pop("like", None)
    if like is not None:
        if not isinstance(like, str):
            raise BadInput(
                f"'like' of adapter {_short(name)!r} must be the name of another one, not {like!r}."
            )
        table = _merged(_whole(_beside(name, like), (*above, name)), table)
    without = [key for key, value in table.items() if value is False]
    table = {key: value for key, value in table.items() if key not in without}
    _take_over(table, (), (*above, name))
    return table


def _merged(other: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``other`` updated with ``own``. A table that names another part replaces the whole table."""
    found = dict(other)
    for key, value in own.items():
        present = found.get(key)
        if (
            not (isinstance(value, dict) and isinstance(present, dict))
            or "like" in value
            or value.get("name", present.get("name")) != present.get("name")
        ):
            found[key] = value
        else:
            found[key] = _merged(present, value)
    return found


def _take_over(table: dict[str, Any], path: tuple[str, ...], above: tuple[str, ...]) -> None:
    """Resolve ``like`` in nested tables: the same table of another method; ``inner`` is like its adapter."""
    for key, value in table.items():
        if not isinstance(value, dict):
            continue
        here = path if key == "inner" else () if key in LEVELS else (*path, key)
        like = value.pop("like", None)
        if like is not None and not isinstance(like, str):
            raise BadInput(f"'like' of [{key}] must be the name of an adapter's file, not {like!r}.")
        if like is not None:
            other: Any = _whole(_beside(above[-1], like), above)
            for step in here:
                other = other.get(step) if isinstance(other, dict) else None
            if not isinstance(other, dict):
                raise BadInput(
                    f"adapter {_short(like)!r} has no [{'.'.join(here)}] that [{key}] could be like."
                )
            table[key] = value = {
                **_merged(other, {k: v for k, v in value.items() if k != "name"}),
                **_name(value),
            }
        _take_over(value, here, above)


def _name(table: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": table["name"]} if "name" in table else {}


# -- single settings -----------------------------------------------------------------------------------------


def _has_table(table: Mapping[str, Any], key: str) -> bool:
    *path, _ = key.split(".")
    for part in path:
        if not isinstance(table.get(part), dict):
            return False
        table = table[part]
    return True


def _override(table: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        if not isinstance(table.setdefault(part, {}), dict):
            raise BadInput(f"--set {key}: {part!r} is a value, not a table.")
        table = table[part]
    table[last] = value


def _beside(file: str, other: str) -> str:
    """The path of a file that ``file`` names: relative to the folder of ``file``, if it is there."""
    path = Path(file).expanduser().parent / other
    return str(path) if file.endswith(".toml") and other.endswith(".toml") and path.is_file() else other


def _migrated(value: Any) -> Any:
    """Rename settings of earlier versions to their present names, in the adapters' tables at any depth."""
    if not isinstance(value, dict):
        return value
    renamed = RENAMED if value.get("name") == "latent" else {}
    return {renamed.get(key, key): _migrated(inside) for key, inside in value.items()}
