"""Adapters: ways of acting and learning during a life, one file each; adapters/<name>.toml says which, and with what."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from slrl import files
from slrl import injection as plugins
from slrl.adapters.monitor import Monitor
from slrl.adapters.planner import chat
from slrl.adapters.planner.chat import Chat
from slrl.errors import BadInput
from slrl.learning.agents.sac import Sac
from slrl.learning.extrinsics import Extrinsics
from slrl.learning.seeds import PretrainingSeeds, seed_of
from slrl.learning.skills import SkillModel
from slrl.priors import Prior
from slrl.types import Adapter, Metrics, RandomisedWorld, State, Trainable


@dataclass(frozen=True, kw_only=True)
class Method:
    """An adapter's TOML file: the parts of a method and their settings."""

    name: str
    summary: str
    adapter: dict[str, Any]  # name of a file in slrl/adapters, and its settings
    agent: dict[str, Any]  # name of a file in slrl/agents, and its settings
    pretrain: dict[str, Any] | None = None  # what happens before the life; nothing if absent
    planner: dict[str, Any] | None = None  # who is asked, of an adapter that asks
    literature: str = ""


LEVELS = ("low", "high")  # settings of an adapter that are methods themselves


class Pretrainer(Protocol):
    """Learns before the life what an adapter needs, once for all lives with the same settings."""

    @property
    def seeds(self) -> PretrainingSeeds:
        """The seeds of a method's parts; all descend from that of its pretraining."""
        ...

    def agent(self, prior: Prior, *on: object, **parts: Any) -> Sac:
        """The method's agent, pretrained on ``prior``.

        An objective that asks for one of ``parts`` by name gets it; ``on`` names what those depend on.
        """
        ...

    def once(self, what: Trainable, name: str, *on: object) -> None:
        """Let ``what`` learn, or load what it learned before; ``on`` names all that it depends on."""
        ...

    def of(self, agent: Mapping[str, Any], pretrain: Mapping[str, Any] | None, seed: int) -> "Pretrainer":
        """The same for another method's agent and pretraining, with ``seed`` unless that names its own."""
        ...

    def world(self) -> RandomisedWorld | None:
        """The world of the prior, if there is a recipe that draws its parameters anew for every episode."""
        ...


class _Computed:
    """A tensor that takes long to compute, as something that is learned in one step and kept like all that is learned."""

    steps = 1

    def __init__(self, compute: Callable[[], torch.Tensor]) -> None:
        self._compute, self.tensor = compute, torch.empty(0)

    def learn(self) -> Iterator[Metrics]:
        self.tensor = self._compute()
        yield {}

    def state_dict(self) -> State:
        return {"tensor": self.tensor}

    def load_state_dict(self, state: State) -> None:
        self.tensor = state["tensor"]


def computed(
    pretrainer: Pretrainer, name: str, compute: Callable[[], torch.Tensor], *on: object
) -> torch.Tensor:
    """What ``compute`` gives, once for all lives; ``on`` names all that it depends on."""
    found = _Computed(compute)
    pretrainer.once(found, name, *on)
    return found.tensor


def load(
    name: str, overrides: Sequence[tuple[str, Any]] = (), *, suggested: Sequence[tuple[str, Any]] = ()
) -> Method:
    """Read ``adapters/<name>.toml``, or a file if ``name`` ends in ``.toml``.

    ``overrides`` are dotted keys and values, such as ``("agent.hidden", [64, 64])``. Before them come those that a scenario has
    ``suggested``: they count where the adapter has such a table, and are left out where it has not.
    """
    method = _load(name, overrides, suggested)
    return (
        method
        if method.pretrain is None
        else replace(method, pretrain=method.pretrain | {"seed": method.pretrain.get("seed", 0)})
    )


def _load(name: str, overrides: Sequence[tuple[str, Any]], suggested: Sequence[tuple[str, Any]]) -> Method:
    """A method whose pretraining has a seed only if one is given: that of a level descends from the whole's."""
    table = files.read("adapters", name)
    _load_levels(table, suggested)
    for key, value in suggested:
        if _has_table(table, key):
            _override(table, key, value)
    for key, value in overrides:
        _override(table, key, value)
        _load_levels(table, suggested)
    return parse(table, name=Path(name).stem if name.endswith(".toml") else name)


def _load_levels(table: dict[str, Any], suggested: Sequence[tuple[str, Any]]) -> None:
    """Levels that are named become the whole methods of those names."""
    for level in LEVELS:
        if isinstance(name := table.get("adapter", {}).get(level), str):
            table["adapter"][level] = asdict(_load(name, (), suggested))


def parse(table: Mapping[str, Any], *, name: str) -> Method:
    """Check a table as read from TOML, down to the settings of each part, and complete it with the defaults."""
    where = f"adapter {name!r}"
    method = Method(**plugins.bind(Method, {"name": name, **table}, where=where))
    adapter = _resolve(method.adapter, "adapter", name)
    agent = plugins.resolve("slrl.learning.agents", method.agent, where=f"[agent] of {name!r}")
    return replace(method, adapter=adapter, agent=agent, planner=_planner(method))


def _planner(method: Method) -> dict[str, Any] | None:
    """The settings of the one who is asked, complete; None for an adapter that asks nobody."""
    where, name = f"[planner] of {method.name!r}", plugins.split(method.adapter, "[adapter]")[0]
    if "planner" not in inspect.signature(plugins.find("slrl.adapters", name).make).parameters:
        if method.planner is not None:
            raise BadInput(f"adapter {method.name!r} asks no planner; leave out {where}.")
        return None
    settings = plugins.complete(Chat, method.planner or {}, where=where)
    if wrong := chat.check(settings):
        raise BadInput(f"{where}: {wrong}.")
    return settings


def planners(method: Mapping[str, Any], file: str = "planner.jsonl") -> Iterator[tuple[str, dict[str, Any]]]:
    """The ``[planner]`` tables in that of a method and of its levels, and the files in which a life keeps their exchanges."""
    if isinstance(method.get("planner"), dict):
        yield file, method["planner"]
    for level in LEVELS:
        if isinstance(table := method["adapter"].get(level), dict):
            yield from planners(table, f"{level}-{file}")


def _resolve(table: Mapping[str, Any], path: str, method: str) -> dict[str, Any]:
    """A table of an adapter, with those of the parts and of the adapters that it names in turn."""
    settings = plugins.resolve("slrl.adapters", table, where=f"[{path}] of {method!r}")
    if "guidance" in settings:
        where = f"[{path}.guidance] of {method!r}"
        settings["guidance"] = plugins.resolve("slrl.learning.guidance", settings["guidance"], where=where)
    if "extrinsics" in settings:
        where = f"[{path}.extrinsics] of {method!r}"
        settings["extrinsics"] = plugins.complete(Extrinsics, settings["extrinsics"], where=where)
    if "monitor" in settings:
        settings["monitor"] = plugins.complete(
            Monitor, settings["monitor"], where=f"[{path}.monitor] of {method!r}"
        )
    for level in LEVELS:
        if level in settings:
            table = {key: value for key, value in settings[level].items() if value is not None}
            name = str(table.pop("name", level))
            settings[level] = {
                key: value for key, value in asdict(parse(table, name=name)).items() if value is not None
            }
    if "skills" in settings:
        settings["skills"] = plugins.complete(
            SkillModel, settings["skills"], where=f"[{path}.skills] of {method!r}"
        )
    if "inner" in settings:
        settings["inner"] = _resolve(settings["inner"], f"{path}.inner", method)
    return settings


def make(
    method: Method,
    pretrainer: Pretrainer,
    prior: Prior,
    *,
    life_steps: int,
    seed: np.random.SeedSequence,
    device: torch.device,
) -> Adapter:
    """The adapter of a method for one life; ``prior`` has actions in [-1, 1]."""
    rows, noise = seed.spawn(2)
    name, settings = plugins.split(method.adapter, "[adapter]")
    wanted = inspect.signature(plugins.find("slrl.adapters", name).make).parameters
    agent = (
        {"agent": pretrainer.agent(prior)} if "agent" in wanted else {}
    )  # others ask for agents of their own kind
    adapter: Adapter = plugins.make(
        "slrl.adapters",
        name,
        settings,
        where=f"[adapter] of {method.name!r}",
        pretrainer=pretrainer,
        prior=prior,
        life_steps=life_steps,
        rng=np.random.default_rng(rows),
        generator=torch.Generator().manual_seed(seed_of(noise)),
        device=device,
        planner=method.planner,
        **agent,
    )
    return adapter


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
