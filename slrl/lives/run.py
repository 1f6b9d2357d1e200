"""Adapt: everything that one life needs, in order. What `slrl adapt` does, as a function."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from slrl import adapters, envs, files, plugins, scenarios
from slrl.adapters import Method
from slrl.adapters.planner.chat import Chat
from slrl.envs import camera
from slrl.envs.camera import View
from slrl.errors import BadInput
from slrl.learning import pretrain, seeds
from slrl.lives import results
from slrl.lives.life import Life, live
from slrl.lives.results import Result, WorldName
from slrl.priors import Prior, check_fit, with_unit_actions
from slrl.recording import recipes
from slrl.recording.recipes import load_prior
from slrl.scenarios import Scenario
from slrl.types import Adapter, Recorder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A life before it is lived, fully resolved: the same settings give the same life on one machine and its versions."""

    scenario: Scenario
    method: Method
    prior: str  # recipe, Minari id, directory or file
    seed: int
    life_steps: int
    device: str = "cpu"
    threads: int = 1  # as the command line sets them; they can change the last digits of a sum
    prior_sha256: str | None = None  # refuse any other data
    world: WorldName = "target"  # "source": the prior's own world, with the same success test

    @property
    def adapter_folder(self) -> str:
        """Name of the folder that holds this adapter's lives: lives in the source have one of their own."""
        return self.method.name if self.world == "target" else f"{self.method.name}-source"

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
        parts = {
            "prior": {"spec": self.prior, "sha256": sha256},
            "scenario": self.scenario.life_table(),
            "adapter": asdict(self.method),
        }
        for _, planner in adapters.planners(parts["adapter"]):
            del planner["replay"]  # where answers come from, not a setting of the life
        return {"schema": files.SCHEMA, **about, **_without_none(parts)}

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """From the ``settings.toml`` of a life; planners get their answers from the files beside it."""
        table = files.checked_schema(files.read_toml(path), str(path))
        flat = plugins.bind(_SettingsFile, table, where=str(path))
        scenario, method, prior = flat.pop("scenario"), flat.pop("adapter"), flat.pop("prior")
        names = [str(part.pop("name", "unnamed")) for part in (scenario, method)]
        for file, planner in adapters.planners(method):
            if (path.parent / file).is_file():
                planner["replay"] = str(path.parent / file)
        return cls(
            scenario=scenarios.parse(scenario, name=names[0]),
            method=adapters.parse(method, name=names[1]),
            prior=prior.spec,
            prior_sha256=prior.sha256,
            **flat,
        )


@dataclass(frozen=True, kw_only=True)
class _PriorOfSettings:
    spec: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class _SettingsFile:
    seed: int
    life_steps: int
    device: str
    threads: int
    world: WorldName = "target"
    prior: _PriorOfSettings
    scenario: dict[str, Any]
    adapter: dict[str, Any]


def adapt(
    scenario: str,
    *,
    prior: str | None = None,
    adapter: str = files.DEFAULT_ADAPTER,
    seed: int = 0,
    life_steps: int | None = None,
    overrides: Sequence[tuple[str, Any]] = (),
    out: str | Path | None = "runs",
    device: str = "cpu",
    quiet: bool = True,
) -> Result:
    """Live one life and keep it under ``out/scenario/adapter/seed-N`` (nowhere if ``out`` is None).

    Args:
        scenario: name, or path that ends in ``.toml``.
        prior: a recipe, Minari id, Minari directory or HDF5 file; the scenario's own if None, built if it is not there.
        adapter: name, or path that ends in ``.toml``.
        seed: the only seed of the life: of the world, the policy and the learning.
        life_steps: the budget in environment steps; the scenario's if None.
        overrides: settings of the adapter, as ``("agent.hidden", [64, 64])``.
        out: the folder for runs.
        device: ``"cpu"`` or ``"cuda"``.
        quiet: whether to hide the progress bars.

    Raises:
        BadInput: before anything is written, with one sentence on what was wrong and what would be right.
    """
    found = scenarios.load(scenario)
    method = adapters.load(adapter, overrides, suggested=found.overrides())
    settings = Settings(
        scenario=found,
        method=method,
        prior=prior or found.prior,
        seed=seed,
        device=device,
        life_steps=found.life_steps if life_steps is None else life_steps,
        threads=torch.get_num_threads(),
    )
    return adapt_as(settings, out=out, quiet=quiet)[0]


def adapt_as(
    settings: Settings, *, out: str | Path | None = "runs", quiet: bool = True
) -> tuple[Result, Life]:
    """Live the life that the settings describe."""
    if settings.life_steps < 1 or settings.seed < 0:
        raise BadInput(
            f"life_steps must be 1 or more and seed 0 or more, not {settings.life_steps} and {settings.seed}."
        )
    if settings.world not in get_args(WorldName):
        raise BadInput(f'world must be "target" or "source", not {settings.world!r}.')
    scenario, name = settings.scenario, settings.method.name
    device = torch_device(settings.device)
    pretrain.check(settings.method.pretrain)
    looks = _ask_planners(settings.method, scenario)
    envs.check(scenario)
    build = envs.make if settings.world == "target" else envs.make_source
    env = build(scenario, life_steps=settings.life_steps, render_mode="rgb_array" if looks else None)
    prior = load_prior(settings.prior, quiet=quiet)
    if settings.prior_sha256 not in (None, prior.sha256):
        raise BadInput(
            f"prior {settings.prior} is not the data of the settings: its SHA-256 is {prior.sha256}, not {settings.prior_sha256}."
        )
    check_fit(prior, env.observation_space, env.unwrapped.action_space, f"scenario {scenario.name}")
    if out is not None:
        results.check_folder(Path(out))
    adapter = load_adapter(
        settings.method,
        prior,
        scenario,
        seed=settings.seed,
        life_steps=settings.life_steps,
        device=device,
        quiet=quiet,
    )
    view = View(env, scenario.camera) if looks else None
    life = live(env, adapter, settings.seed, quiet=quiet, view=view)
    if view is not None:
        view.close()
    env.close()

    table = settings.table(prior.sha256)
    more = adapter.files() if isinstance(adapter, Recorder) else {}
    folder = (
        None
        if out is None
        else results.free_folder(
            Path(out), scenario.name, settings.adapter_folder, settings.seed, table, more
        )
    )
    result = Result.of(
        life,
        scenario=scenario.name,
        adapter=name,
        seed=settings.seed,
        life_steps=settings.life_steps,
        prior=prior,
        folder=folder,
    )
    result = replace(result, world=settings.world)
    if folder is not None:
        results.write(folder, result, life, table, scenario, prior, more)
    return result, life


def _ask_planners(method: Method, scenario: Scenario) -> bool:
    """Find those who will be asked in the life, and say whether they look at the world; then it must be possible to draw it."""
    asked = [Chat(**planner) for _, planner in adapters.planners(asdict(method))]
    looks = any(planner.pictures for planner in asked)
    if looks:
        try:
            camera.headless()
            camera.check(scenario)
        except BadInput as error:
            raise BadInput(
                f"the planner looks at pictures, but {error} It does without with planner.pictures=0."
            ) from None
    for planner in asked:
        planner.check()
    return looks


def load_adapter(
    method: str | Method,
    prior: Prior,
    scenario: Scenario,
    *,
    seed: int = 0,
    life_steps: int | None = None,
    device: torch.device | str = "cpu",
    quiet: bool = True,
) -> Adapter:
    """An adapter ready to live in ``scenario``: its agent pretrained on ``prior`` (from the cache if that was done before)."""
    method = adapters.load(method, suggested=scenario.overrides()) if isinstance(method, str) else method
    device = torch_device(device) if isinstance(device, str) else device
    env = envs.make(scenario)
    check_fit(prior, env.observation_space, env.unwrapped.action_space, f"scenario {scenario.name}")
    bounds: Any = env.unwrapped.action_space
    env.close()
    unit = with_unit_actions(prior, bounds.low, bounds.high)
    parts = seeds.of_life(seed)
    school = pretrain.School(
        agent_settings=method.agent,
        plan=method.pretrain,
        pretraining_seed=(method.pretrain or {}).get("seed", 0),
        seed=seeds.seed_of(parts.agent),
        device=device,
        quiet=quiet,
        open_world=partial(recipes.world_of, prior),
    )
    return adapters.make(
        method, school, unit, life_steps=life_steps or scenario.life_steps, seed=parts.adapter, device=device
    )


def torch_device(name: str) -> torch.device:
    """The device, if this machine has it."""
    if name not in ("cpu", "cuda"):
        raise BadInput(f"unknown device {name!r}; choose cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "device 'cuda' is not available: this machine or this build of torch has no CUDA; use cpu."
        )
    return torch.device(name)


def _without_none(table: Any) -> Any:
    if isinstance(table, dict):
        return {key: _without_none(value) for key, value in table.items() if value is not None}
    if isinstance(table, (list, tuple)):
        return [_without_none(value) for value in table]
    return table
