"""The settings of a life: everything that its steps depend on, in one record and in one file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from slrl import adapters, files, plugins, scenarios
from slrl.adapters import Method
from slrl.adapters.method import LEVELS
from slrl.errors import BadInput
from slrl.recording import recipes
from slrl.scenarios import Scenario

WorldName = Literal["target", "source"]  # where a life takes place: the changed world, or the prior's own


@dataclass(frozen=True, kw_only=True)
class LifeSettings:
    """Everything that determines a life: equal settings give equal lives on one machine and its versions."""

    scenario: Scenario
    method: Method
    prior: tuple[str, ...]  # recipes, Minari ids, directories or files; each of several is a behaviour
    seed: int
    life_steps: int  # the budget in environment steps
    device: str = "cpu"
    threads: int = 1  # of torch; they can change the last digits of a sum
    prior_sha256: str | None = None  # refuse any other data
    world: WorldName = "target"  # "source": the prior's own world, with the same success test

    @property
    def adapter_folder(self) -> str:
        """Name of the folder for this adapter's lives, with ``-source`` for lives in the source."""
        return self.method.name if self.world == "target" else f"{self.method.name}-source"

    @property
    def pretraining(self) -> int | None:
        """The seed of the method's pretraining; None where it has none."""
        return None if self.method.pretrain is None else self.method.pretrain.seed or 0

    @property
    def place(self) -> Path:
        """Where the life's folder is under that of its scenario: ``ADAPTER/seed-N``.

        After a pretraining with another seed than 0 it is ``ADAPTER/pretraining-P/seed-N``.
        """
        of = f"pretraining-{self.pretraining}" if self.pretraining else ""
        return Path(self.adapter_folder, of, f"seed-{self.seed}")

    def check_budget(self) -> None:
        """Refuse a budget that ends at or before the scenario's optimum, for no life could show anything.

        Raises:
            BadInput: with the budget and the optimum.
        """
        optimum = self.scenario.optimum_steps
        if optimum is not None and self.life_steps <= optimum:
            raise BadInput(
                f"a budget of {self.life_steps:,} steps is too small for {self.scenario.name}, where a "
                f"controller that knows the world takes {optimum:,}; life_steps must be larger than that."
            )

    def table(self, sha256: str) -> dict[str, Any]:
        """As ``settings.toml`` keeps it. TOML has no null, so what is unset is left out."""
        about: dict[str, Any] = {
            "seed": self.seed,
            "life_steps": self.life_steps,
            "device": self.device,
            "threads": self.threads,
        }
        if self.world != "target":
            about["world"] = self.world
        spec = self.prior[0] if len(self.prior) == 1 else list(self.prior)
        parts = {
            "prior": {"spec": spec, "sha256": sha256},
            "scenario": _without_none(self.scenario.life_table()),
            "adapter": self.method.table(),
        }
        for _, planner in _planners(parts["adapter"]):
            del planner["replay"]  # the source of answers is not part of the life's settings
        return {"schema": files.SCHEMA, **about, **parts}

    @classmethod
    def read(cls, path: Path) -> "LifeSettings":
        """From the ``settings.toml`` of a life; planners get their answers from the files beside it.

        Raises:
            BadInput: if the file is not one, or names what is not there any more.
        """
        file = _read(path)
        name, method = _named(file.adapter)
        for record, planner in _planners(method):
            if (path.parent / record).is_file():
                planner["replay"] = str(path.parent / record)
        return cls(
            scenario=_scenario(file),
            method=adapters.parse(method, name=name),
            prior=tuple(recipes.specs(file.prior.spec)),
            prior_sha256=file.prior.sha256,
            seed=file.seed,
            life_steps=file.life_steps,
            device=file.device,
            threads=file.threads,
            world=file.world,
        )


@dataclass(frozen=True, kw_only=True)
class _PriorOfFile:
    spec: str | tuple[str, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class _File:
    seed: int
    life_steps: int
    device: str
    threads: int
    world: WorldName = "target"
    prior: _PriorOfFile
    scenario: dict[str, Any]
    adapter: dict[str, Any]


def read_scenario(path: Path) -> Scenario:
    """The scenario of a ``settings.toml``, without importing adapters, which may be anybody's code.

    Raises:
        BadInput: if the file is not one.
    """
    return _scenario(_read(path))


def _read(path: Path) -> _File:
    return plugins.bind(_File, files.checked_schema(files.read_toml(path), str(path)), where=str(path))


def _scenario(file: _File) -> Scenario:
    name, table = _named(file.scenario)
    return scenarios.parse(table, name=name)


def _named(table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name in a table, and the rest of it."""
    return str(table.get("name")), {key: value for key, value in table.items() if key != "name"}


def _planners(method: dict[str, Any], file: str = "planner.jsonl") -> Iterator[tuple[str, dict[str, Any]]]:
    """The planner tables of a method and its levels, each with the file of its exchanges."""
    if isinstance(method.get("planner"), dict):
        yield file, method["planner"]
    adapter = method.get("adapter")
    inside = adapter if isinstance(adapter, dict) else {}
    for level in LEVELS:
        if isinstance(table := inside.get(level), dict):
            yield from _planners(table, f"{level}-{file}")


def _without_none(table: Any) -> Any:
    if isinstance(table, dict):
        return {key: _without_none(value) for key, value in table.items() if value is not None}
    if isinstance(table, (list, tuple)):
        return [_without_none(value) for value in table]
    return table
