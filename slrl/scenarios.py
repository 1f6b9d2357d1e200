"""Scenarios: what is different in this life, and when it counts as done. Reads scenarios/*.toml."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slrl import content, plugins
from slrl.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class World:
    """An environment with its settings and the shifts laid over it, in order."""

    env: str  # a Gymnasium id
    settings: dict[str, Any] = field(default_factory=dict)
    shifts: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Where in an observation the position stands that the trace draws, and what to draw around it."""

    obs: tuple[int, int]
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    goal: tuple[float, float] | None = None
    goal_radius: float = 0.0
    unit: str = "units"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Where a life takes place, with what prior, how long it may last and when it counts as done."""

    name: str
    summary: str
    source: World  # of the prior
    target: World  # of the life
    prior: str
    life_steps: int  # environment steps
    success_info: str = "success"  # the key of the environment's info that says so
    reward: str = "sparse"  # of the target: sparse rewards are nothing but the success test
    progress_info: str | None = None  # a number in info that tells how far it is, shown while the life runs
    optimum_steps: int | None = None  # steps-to-completion of a controller that knows the target
    literature: str = ""
    plane: Plane | None = None


def load(name: str) -> Scenario:
    """Read ``scenarios/<name>.toml``, or a file if ``name`` ends in ``.toml``."""
    return parse(content.read("scenarios", name), name=Path(name).stem if name.endswith(".toml") else name)


def parse(table: dict[str, Any], *, name: str) -> Scenario:
    """Check a table as read from TOML; every error is one sentence that names the key."""
    where = f"scenario {name!r}"
    if "name" in table:
        raise BadInput(f"{where} must not set 'name': the file's name is the name.")
    scenario = Scenario(**plugins.bind(Scenario, {"name": name, **table}, where=where))
    if scenario.life_steps < 1:
        raise BadInput(f"'life_steps' in {where} must be 1 or more, not {scenario.life_steps}.")
    if scenario.reward not in ("sparse", "dense"):
        raise BadInput(f"'reward' in {where} must be 'sparse' or 'dense', not {scenario.reward!r}.")
    for shift in (*scenario.source.shifts, *scenario.target.shifts):
        if not isinstance(shift.get("name"), str):
            raise BadInput(f"each shift in {where} needs a 'name', for example name = \"wind\".")
    return scenario
