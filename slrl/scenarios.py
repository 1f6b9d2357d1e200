"""Scenarios: what is different in this life, and when it counts as done. Reads scenarios/*.toml."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from slrl import files, plugins
from slrl.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class World:
    """An environment with its settings and the shifts laid over it, in order."""

    # A Gymnasium id, one with the module that registers it (gymnasium_robotics:PointMaze_UMaze-v3), or a
    # class of your own (module:Class).
    env: str
    settings: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the environment
    shifts: tuple[dict[str, Any], ...] = ()  # each with its name and settings, as in TOML


@dataclass(frozen=True, kw_only=True)
class Plane:
    """What ``trace.png`` draws: where an observation holds the position, the plane's limits and the goal."""

    obs: tuple[int, int]  # entries of the observation: x, y
    x_limits: tuple[float, float]  # in `unit`, as are all lengths here
    y_limits: tuple[float, float]
    goal: tuple[float, float] | None = None
    goal_radius: float = 0.0
    unit: str = "units"  # what the axes are labelled with


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Where a life takes place, with what prior, how long it may last and when it counts as done.

    The fields are the keys of ``scenarios/*.toml``; ``name`` is the file's.
    """

    name: str
    summary: str
    source: World  # of the prior
    target: World  # of the life
    prior: str  # a recipe's name, a Minari id or directory, or a file
    life_steps: int  # the budget, in environment steps
    success_info: str = "success"  # the key of the environment's info that says so
    reward: str = "sparse"  # of the target: sparse rewards are nothing but the success test
    progress_info: str | None = None  # a number in info that tells how far it is, shown while the life runs
    optimum_steps: int | None = None  # steps-to-completion of a controller that knows the target
    literature: str = ""
    plane: Plane | None = None
    success_obs: int | None = None  # look at this entry of the observation instead of info
    success_above: float | None = None  # success is a number of at least this, and not a truth
    success_below: float | None = None  # success is a number of at most this
    success_function: str | None = None  # module:function, called with the observation and the info
    # No part of a life's settings: these describe the scenario, test it, or change the adapter's settings.
    novelty: str | None = None  # what is new, in a few words for a table
    why: str | None = None  # a paragraph: what is new, and why the prior's policy fails
    extra: str | None = None  # the extra of slrl that its world needs
    optimum: dict[str, Any] | None = None  # a behaviour that succeeds in the target in about optimum_steps
    # For pictures of MuJoCo worlds: follow (a body) or lookat, distance, azimuth, elevation.
    camera: dict[str, Any] | None = None
    # module:function of (obs, action, next_obs), each (N, …), that gives the prior's rewards (N,).
    reward_function: str | None = None
    # Tables of adapters/*.toml that every adapter takes over in this scenario.
    adapter_settings: dict[str, Any] | None = None

    def overrides(self) -> list[tuple[str, Any]]:
        """``adapter_settings`` as dotted keys and values, for :func:`slrl.adapters.load`."""
        return list(dotted(self.adapter_settings or {}))

    def life_table(self) -> dict[str, Any]:
        """Everything that a life in this scenario depends on, as it stands in ``settings.toml``."""
        return {key: value for key, value in asdict(self).items() if key not in _ABOUT}


_ABOUT = ("novelty", "why", "extra", "optimum", "camera", "reward_function", "adapter_settings")


def load(name: str) -> Scenario:
    """Read ``scenarios/<name>.toml``, or a file if ``name`` ends in ``.toml``.

    ``variants/<name>`` is named by its last part. A scenario in a file of the user's may name a file beside
    it as its prior.

    Raises:
        BadInput: there is no such scenario, or a key of it is unknown or has a wrong value.
    """
    table = files.read("scenarios", name)
    if not name.endswith(".toml"):
        return parse(table, name=Path(name).name)
    scenario = parse(table, name=Path(name).stem)
    beside = Path(name).expanduser().absolute().parent / scenario.prior
    return replace(scenario, prior=str(beside)) if beside.is_file() else scenario


def parse(table: dict[str, Any], *, name: str) -> Scenario:
    """The scenario of a table as read from TOML; :class:`BadInput` names the key that is wrong."""
    where = f"scenario {name!r}"
    if "name" in table:
        raise BadInput(f"{where} must not set 'name': the file's name is the name.")
    scenario = plugins.bind(Scenario, {"name": name, **table}, where=where)
    if scenario.life_steps < 1:
        raise BadInput(f"'life_steps' in {where} must be 1 or more, not {scenario.life_steps}.")
    if scenario.reward not in ("sparse", "dense"):
        raise BadInput(f"'reward' in {where} must be 'sparse' or 'dense', not {scenario.reward!r}.")
    thresholds = (scenario.success_obs, scenario.success_above, scenario.success_below)
    if scenario.success_function is not None and thresholds != (None, None, None):
        raise BadInput(f"{where} has 'success_function' and another success test; leave one of them out.")
    if scenario.success_obs is not None and scenario.success_above is None and scenario.success_below is None:
        raise BadInput(f"'success_obs' in {where} needs 'success_above' or 'success_below'.")
    if scenario.success_obs is not None and scenario.success_obs < 0:
        raise BadInput(f"'success_obs' in {where} must be 0 or more, not {scenario.success_obs}.")
    for shift in (*scenario.source.shifts, *scenario.target.shifts):
        if not isinstance(shift.get("name"), str):
            raise BadInput(f"each shift in {where} needs a 'name', for example name = \"wind\".")
    return scenario


def dotted(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as (dotted key, value), from nested tables or from keys that are dotted already.

    A table under a dotted key is a whole value: ``{"pretrain.objective" = { name = "bc" }}`` keeps no setting
    of the objective that was there.
    """
    for key, value in table.items():
        if isinstance(value, dict) and "." not in key:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
