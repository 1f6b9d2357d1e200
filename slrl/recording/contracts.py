"""The contract of a scenario, tested before a long run and not during it: what `slrl check` prints.

Each test is a function that returns a sentence on what holds, raises :class:`Broken` with a sentence on what
does not, or returns None where it does not apply.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np

from slrl import envs, scenarios
from slrl.envs.rollout import rollout
from slrl.envs.success import imported
from slrl.errors import BadInput
from slrl.plugins import BehaviourPlugin
from slrl.priors import Prior, check_fit
from slrl.recording import recipes
from slrl.recording.recipes import Behaviour
from slrl.scenarios import Scenario
from slrl.types import F32

REPEAT_STEPS = 200
RANDOM_STEPS = 2_000
OPTIMUM_SEEDS = 5
OPTIMUM_MARGIN = 0.25  # how far the median of the seeds may be from the steps that the scenario names


class Broken(Exception):
    """A contract that does not hold; the message says why and what would be right."""


class Verdict(NamedTuple):
    """The outcome of the test of one contract."""

    contract: str
    outcome: Literal["ok", "broken", "skipped"]
    sentence: str


@dataclass(frozen=True)
class Subject:
    """The scenario under test and the prior that it is tested with."""

    scenario: Scenario
    prior: Prior
    target: Callable[..., gym.Env[Any, Any]] = field(repr=False)
    source: Callable[..., gym.Env[Any, Any]] = field(repr=False)


def check(name: str, prior: str | None = None) -> Iterator[Verdict]:
    """Test the scenario of a name or file, with its own prior or another.

    Raises:
        BadInput: if the file cannot be read as a scenario at all, or its prior cannot be loaded.
    """
    scenario = scenarios.load(name)
    envs.check(scenario)
    data = recipes.load_prior(prior or scenario.prior)
    yield Verdict(
        "loads and builds",
        "ok",
        f"{scenario.source.env} and {scenario.target.env} open, {data.name} has {len(data):,} rows.",
    )
    subject = Subject(
        scenario, data, lambda **s: envs.make(scenario, **s), lambda **s: envs.make_source(scenario, **s)
    )
    fits = True
    for contract, test in CONTRACTS.items():
        if not fits:
            yield Verdict(contract, "skipped", "It was not tested, because the spaces do not agree.")
            continue
        try:
            sentence = test(subject)
        except (Broken, BadInput) as error:
            fits = contract != "spaces agree"
            yield Verdict(contract, "broken", str(error))
        else:
            yield Verdict(contract, "ok" if sentence else "skipped", sentence or NOT_APPLICABLE[contract])


def _spaces(subject: Subject) -> str:
    source, target = subject.source(), subject.target()
    try:
        if (
            source.observation_space.shape != target.observation_space.shape
            or source.action_space != target.action_space
        ):
            raise Broken(
                f"Source and target differ: {source.observation_space.shape} and "
                f"{target.observation_space.shape} observations, {source.action_space} and "
                f"{target.action_space} actions; a life needs the same."
            )
        check_fit(
            subject.prior,
            target.observation_space,
            target.unwrapped.action_space,
            f"scenario {subject.scenario.name}",
        )
        sizes = target.observation_space.shape, target.action_space.shape
        return (
            f"Prior, source and target have observations of shape {sizes[0]} and actions of shape {sizes[1]}."
        )
    finally:
        source.close()
        target.close()


def _one_life(subject: Subject) -> str:
    env = subject.target()
    try:
        env.reset(seed=0)
        try:
            env.reset(seed=0)
        except RuntimeError:
            return "A second reset is refused."
        raise Broken("A second reset was possible; a life must be single.")
    finally:
        env.close()


def _same_seed(subject: Subject) -> str:
    first, second = (_random_observations(subject.target(), 7, REPEAT_STEPS) for _ in range(2))
    if len(first) != len(second) or not np.array_equal(first, second):
        step = next(
            (t for t, (a, b) in enumerate(zip(first, second, strict=False)) if not np.array_equal(a, b)),
            len(second),
        )
        raise Broken(
            f"The same seed and actions gave another observation at step {step}; the world draws from "
            "something unseeded."
        )
    return f"The same seed gives the same {len(first) - 1} steps."


def _rewards(subject: Subject) -> str | None:
    name = subject.scenario.reward_function
    if name is None:
        return None
    prior = subject.prior
    expected = np.asarray(
        imported(name, "reward_function")(prior.obs, prior.action, prior.next_obs), np.float32
    )
    if expected.shape != prior.reward.shape:
        raise Broken(
            f"{name} gives an array of shape {expected.shape} for {len(prior):,} rows; it must give one "
            "reward per row."
        )
    off = np.abs(expected - prior.reward) > 1e-3 * np.maximum(1.0, np.abs(prior.reward))
    if off.any():
        row = int(np.argmax(off))
        raise Broken(
            f"{name} gives {expected[row]:.6g} for row {row} of the prior, which stores "
            f"{prior.reward[row]:.6g}; {int(off.sum()):,} rows differ. "
            "The reward of a row must be for arriving in its next_obs."
        )
    return f"{name} gives the stored reward of all {len(prior):,} rows."


def _optimum(subject: Subject) -> str | None:
    scenario = subject.scenario
    if scenario.optimum is None or scenario.optimum_steps is None:
        return None
    steps = [_steps_to_success(subject, scenario.optimum, seed) for seed in range(OPTIMUM_SEEDS)]
    reached = [step for step in steps if step is not None]
    if 2 * len(reached) < len(steps):
        most = 4 * scenario.optimum_steps
        raise Broken(
            f"The named optimum succeeded within {most:,} steps in only {len(reached)} of {len(steps)} lives."
        )
    median = float(np.median(reached))
    if abs(median / scenario.optimum_steps - 1) > OPTIMUM_MARGIN:
        raise Broken(
            f"The named optimum needs {median:,.0f} steps (median of {reached}); 'optimum_steps' says "
            f"{scenario.optimum_steps:,}."
        )
    name = scenario.optimum["name"]
    return (
        f"{name} succeeds in {len(reached)} of {len(steps)} lives, after {median:,.0f} steps in the median."
    )


def _no_early_end(subject: Subject) -> str:
    most = min(RANDOM_STEPS, subject.scenario.life_steps)
    with closing(subject.target()) as env:
        for step in rollout(env, _random(env, 3), seed=3, max_steps=most):
            if step.transition.terminated and not step.info["success"]:
                raise Broken(
                    f"The world ended the life after {step.number} random steps without success; a life ends "
                    "by success or its budget."
                )
            if step.transition.terminated:
                return (
                    f"Random actions succeeded after {step.number} steps, and nothing ended the life before."
                )
    return f"Nothing ends the life in {most:,} random steps."


def _shift_matters(subject: Subject) -> str | None:
    scenario = subject.scenario
    if scenario.source == scenario.target:
        return None
    late = max((int(shift.get("start_step", 0)) for shift in scenario.target.shifts), default=0)
    steps = REPEAT_STEPS + late
    source, target = (
        _random_observations(build(life_steps=steps + 1), 7, steps)
        for build in (subject.source, subject.target)
    )
    for step, (a, b) in enumerate(zip(source, target, strict=False)):
        if not np.allclose(a, b, atol=1e-6):
            return f"Source and target part at step {step} of the same random actions."
    parts = _model_difference(subject)
    if parts is None:
        raise Broken(
            f"Source and target are the same for {steps:,} random steps and in their models: the shift "
            "changes nothing."
        )
    return parts


def _model_difference(subject: Subject) -> str | None:
    """What MuJoCo's models differ in, for a shift that random actions do not reach."""
    models: list[Any] = []
    for build in (subject.source, subject.target):
        env = build()
        env.reset(seed=7)
        world = env.unwrapped
        models.append(getattr(world, "model", None))  # of MuJoCo, where it has one
        env.close()
    if None in models:
        return None
    a, b = (int(model.ngeom) for model in models)
    return (
        f"The target's model has {b - a} more geoms than the source's ({b} and {a}); random actions do not "
        "reach them."
        if a != b
        else None
    )


def _random_observations(env: gym.Env[Any, Any], seed: int, steps: int) -> list[F32]:
    """What is observed under random actions that depend on ``seed`` alone, until the end of the life."""
    with closing(env):
        walk = rollout(env, _random(env, seed), seed=seed, max_steps=steps)
        return [walk.first_obs, *(step.transition.next_obs for step in walk)]


def _random(env: gym.Env[Any, Any], seed: int) -> Callable[[F32], F32]:
    """Uniform actions, whatever is observed."""
    rng, shape = np.random.default_rng(seed), env.action_space.shape
    return lambda obs: rng.uniform(-1, 1, shape).astype(np.float32)


def _steps_to_success(subject: Subject, table: dict[str, Any], seed: int) -> int | None:
    """Steps until a behaviour succeeds in the target, or None."""
    assert subject.scenario.optimum_steps is not None
    with closing(subject.target(life_steps=4 * subject.scenario.optimum_steps)) as env:
        behaviour: Behaviour = BehaviourPlugin.parse(table, "[optimum]").make(
            env, np.random.default_rng(seed)
        )
        life = rollout(env, behaviour.act, seed=seed)
        behaviour.reset(life.first_obs)
        return next((step.number for step in life if step.info["success"]), None)


CONTRACTS: dict[str, Callable[[Subject], str | None]] = {
    "spaces agree": _spaces,
    "one life only": _one_life,
    "same seed, same life": _same_seed,
    "rewards of the prior": _rewards,
    "no early end": _no_early_end,
    "the shift matters": _shift_matters,
    "the optimum succeeds": _optimum,
}
NOT_APPLICABLE = {
    "rewards of the prior": "The scenario has no 'reward_function' to recompute them with.",
    "the shift matters": "Source and target are the same world.",
    "the optimum succeeds": "The scenario names no [optimum] with 'optimum_steps'.",
}
