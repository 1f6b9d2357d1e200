"""Adapt: everything that one life needs, in order. What `slrl adapt` does, as a function."""

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from slrl import adapters, envs, files, scenarios
from slrl.adapters import Method
from slrl.adapters.planner.chat import Chat
from slrl.adapters.setup import Plan, artefacts, assemble
from slrl.envs import OneLife, camera
from slrl.envs.camera import View
from slrl.errors import BadInput
from slrl.learning import prepare, seeds
from slrl.learning.cache import LearnedCache
from slrl.lives import results
from slrl.lives.life import Life, live
from slrl.lives.results import Result
from slrl.lives.settings import LifeSettings, WorldName
from slrl.priors import Prior, check_fit, with_unit_actions
from slrl.recording import recipes
from slrl.recording.recipes import load_prior
from slrl.scenarios import Scenario
from slrl.types import Adapter, Recorder


def adapt(
    scenario: str,
    *,
    prior: str | Sequence[str] | None = None,
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
        prior: a recipe, Minari id, Minari directory or HDF5 file, or several of them, each of which is a
            behaviour; the scenario's own if None, which is recorded if it is missing.
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
    settings = LifeSettings(
        scenario=found,
        method=method,
        prior=tuple(recipes.specs(found.prior if prior is None else prior)),
        seed=seed,
        device=device,
        life_steps=found.life_steps if life_steps is None else life_steps,
        threads=torch.get_num_threads(),
    )
    return adapt_as(settings, out=out, quiet=quiet)[0]


def adapt_as(
    settings: LifeSettings, *, out: str | Path | None = "runs", quiet: bool = True, jobs: int = 1
) -> tuple[Result, Life]:
    """Live the life that the settings describe; ``jobs`` artefacts may be learned in parallel before it.

    Raises:
        BadInput: before anything is written, with one sentence on what was wrong.
    """
    if settings.life_steps < 1 or settings.seed < 0:
        given = f"{settings.life_steps} and {settings.seed}"
        raise BadInput(f"life_steps must be 1 or more and seed 0 or more, not {given}.")
    settings.check_budget()
    if settings.world not in get_args(WorldName):
        raise BadInput(f'world must be "target" or "source", not {settings.world!r}.')
    scenario, method = settings.scenario, settings.method
    for what, name in (("scenario", scenario.name), ("adapter", method.name)):
        if not files.is_name(name):
            raise BadInput(
                f"the {what}'s name {name!r} cannot name a folder; use letters, digits, - _ and dots."
            )
    device = torch_device(settings.device)
    looks = _find_planners(method, scenario)
    build = envs.make if settings.world == "target" else envs.make_source
    env = build(scenario, life_steps=settings.life_steps, render_mode="rgb_array" if looks else None)
    with contextlib.closing(env):
        prior = load_prior(settings.prior, quiet=quiet)
        if settings.prior_sha256 not in (None, prior.sha256):
            raise BadInput(
                f"prior {prior.name} is not the data of the settings: its SHA-256 is {prior.sha256}, not "
                f"{settings.prior_sha256}."
            )
        if out is not None:
            results.check_folder(Path(out))
        adapter = _prepared(settings, env, prior, device, quiet, jobs)
        view = View(env, scenario.camera) if looks else None
        life = live(env, adapter, settings.seed, quiet=quiet, view=view)
        if view is not None:
            view.close()
    more = adapter.files() if isinstance(adapter, Recorder) else {}
    return results.keep(settings, life, prior, None if out is None else Path(out), more), life


def _prepared(
    settings: LifeSettings, env: OneLife, prior: Prior, device: torch.device, quiet: bool, jobs: int
) -> Adapter:
    """The adapter of a life in ``env``; the scenario is tried in another world before anything is learned."""
    method, scenario = settings.method, settings.scenario
    plan = learning_plan(method, scenario, env, prior, seed=settings.seed, device=device)
    if prepare.missing(plan.of_adapter(method.adapter)):
        envs.check(scenario)
    learned = learn(method, plan, quiet=quiet, jobs=jobs)
    return assemble(method, plan, learned, settings.life_steps, seeds.of_life(settings.seed).adapter)


def _find_planners(method: Method, scenario: Scenario) -> bool:
    """Check the planners of a method, and return whether they need pictures of the world."""
    asked = [Chat(planner) for _, planner in adapters.planners(method)]
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


def learning_plan(
    method: Method, scenario: Scenario, env: OneLife, prior: Prior, *, seed: int, device: torch.device
) -> Plan:
    """What a method learns from, for a life with ``seed`` in ``env``.

    Raises:
        BadInput: if the prior does not fit the scenario.
    """
    bounds: Any = env.unwrapped.action_space
    check_fit(prior, env.observation_space, bounds, f"scenario {scenario.name}")
    return Plan.of(
        method,
        with_unit_actions(prior, bounds.low, bounds.high),
        life_seed=seeds.seed_of(seeds.of_life(seed).agent),
        device=device,
        world=recipes.world_of(prior),
        source=scenario.source,
    )


def learn(method: Method, plan: Plan, *, quiet: bool = True, jobs: int = 1) -> LearnedCache:
    """Learn the method's artefacts that are not in the cache."""
    agents = plan.agents
    rebuild = partial(
        artefacts, method, plan.root, agents.life_seed, str(agents.device), plan.world, plan.source
    )
    jobs = jobs if agents.device.type == "cpu" else 1
    todo = plan.of_adapter(method.adapter)
    return LearnedCache(failures=prepare.prepare(todo, quiet=quiet, jobs=jobs, rebuild=rebuild))


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
    """An adapter ready to live in ``scenario``; it is trained on ``prior``, or read from the cache."""
    method = adapters.load(method, suggested=scenario.overrides()) if isinstance(method, str) else method
    device = torch_device(device) if isinstance(device, str) else device
    env = envs.make(scenario)
    plan = learning_plan(method, scenario, env, prior, seed=seed, device=device)
    env.close()
    learned = learn(method, plan, quiet=quiet)
    return assemble(method, plan, learned, life_steps or scenario.life_steps, seeds.of_life(seed).adapter)


def torch_device(name: str) -> torch.device:
    """The device.

    Raises:
        BadInput: if the name is unknown, or this machine has no CUDA.
    """
    if name not in ("cpu", "cuda"):
        raise BadInput(f"unknown device {name!r}; choose cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "device 'cuda' is not available: this machine or this build of torch has no CUDA; use cpu."
        )
    return torch.device(name)
