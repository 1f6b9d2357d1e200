"""Every adapter: it lives, the same seed gives the same life, and it continues exactly from its state."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box
from safetensors.torch import load_file, save_file

import slrl
from slrl import adapters, files, priors
from slrl.priors import Prior
from slrl.types import Transition

from .things import carried, pressed

HURRY = {  # all that comes before the life, and before the policy's first update in it
    "pretrain.steps": 20,
    "adapter.extrinsics.steps": 20,
    "adapter.rollout_episodes": 3,
    "adapter.rollout_steps": 20,
    "adapter.student_steps": 5,
    "adapter.skills.steps": 20,
    "adapter.regularisation_steps": 20,
    "adapter.model_steps": 20,
    "adapter.monitor.steps": 20,
    "adapter.monitor.latent_steps": 20,
    "adapter.plans": 8,
    "adapter.warm_up_steps": 100,
    "adapter.warm_start_updates": 20,
    "adapter.inner.warm_start_updates": 20,
    "adapter.regression.steps": 20,
    "adapter.graph.adapter.regression.steps": 20,
    "adapter.frames.adapter.regression.steps": 20,
    "adapter.modes.adapter.regression.steps": 20,
}


ELSEWHERE = {"repertoire"}  # needs another world: tests/test_repertoire.py


def hurried(name: str, more: Sequence[tuple[str, Any]] = ()) -> adapters.Method:
    """An adapter as it is, but for what ``HURRY`` shortens, and ``more`` settings."""
    whole = adapters.load(name)
    table = whole.table()
    paths = ("", "adapter.low.", "adapter.high.")
    without_agent = {"pretrain.steps"} if whole.agent is None else set()
    overrides = [
        (path + key, value)
        for path in paths
        for key, value in HURRY.items()
        if has(table, path + key) and path + key not in without_agent
    ]
    return adapters.load(name, [*overrides, *more])


def has(table: dict[str, Any], key: str) -> bool:
    for part in key.split("."):
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True


def breezy_prior() -> Prior:
    """The first episodes of the breezy prior, which knows its wind, as those of two behaviours."""
    prior = slrl.load_prior("pointmass_breezy")
    kept = prior.episode < 6
    rows = {key: values[kept] for key in priors._ROWS if (values := getattr(prior, key)) is not None}
    halves = (rows["episode"] % 2).astype(np.int32)  # for those who choose among behaviours
    return replace(prior, **rows, behaviour=halves)


def prior_for(name: str) -> Prior:
    """A small prior with observations (6,) and actions (2,) that has what the adapter needs."""
    if name == "frames":
        return trimmed(carried(), [0, 1, 2, 3, 4, 5])
    if name == "modes":
        return trimmed(pressed(), [0, 1, 6, 7, 4, 5])
    return slrl.load_prior("pointmass_breezy") if name == "graph" else breezy_prior()


def trimmed(prior: Prior, entries: list[int]) -> Prior:
    """Of a prior of things the entries, and the hand's displacement without the grip."""
    obs, next_obs = prior.obs[:, entries], prior.next_obs[:, entries]
    low, high = np.full(6, -np.inf, np.float32), np.full(6, np.inf, np.float32)
    return replace(
        prior,
        obs=obs,
        next_obs=next_obs,
        action=prior.action[:, :2],
        observation_space=Box(low, high),
        action_space=Box(-1, 1, (2,), np.float32),
    )


@pytest.mark.parametrize("name", [name for name in files.names("adapters") if name not in ELSEWHERE])
def test_an_adapter_goes_on_exactly_from_its_state(name: str, tmp_path: Path) -> None:
    """Saved in mid-life, through a file, into an adapter of another seed that has lived something else."""
    scenario, prior = slrl.load_scenario("windy_pointmass"), prior_for(name)
    one, two = (
        slrl.load_adapter(hurried(name), prior, scenario, seed=seed, life_steps=200) for seed in (0, 1)
    )
    slrl.live(slrl.make(scenario, life_steps=125), one, seed=0)
    slrl.live(slrl.make(scenario, life_steps=17), two, seed=1)
    save_file(one.state_dict(), tmp_path / "state.safetensors")
    two.load_state_dict(load_file(tmp_path / "state.safetensors"))
    obs = prior.obs[0]
    for _ in range(25):
        actions = [adapter.act(obs) for adapter in (one, two)]
        np.testing.assert_array_equal(*actions)
        next_obs = obs + np.array([*actions[0], 0, 0, 0, 0], np.float32)
        step = Transition(obs, actions[0], 0.0, next_obs, False, False)
        metrics = [{**adapter.observe(step), **adapter.learn()} for adapter in (one, two)]
        assert {key: float(value) for key, value in metrics[0].items()} == {
            key: float(value) for key, value in metrics[1].items()
        }
        obs = next_obs


@pytest.mark.parametrize("name", [name for name in files.names("adapters") if name not in ELSEWHERE])
def test_every_adapter_lives(name: str) -> None:
    """With its own settings, but for the length of what comes before the life and before learning in it."""
    method = hurried(name)
    scenario, prior = slrl.load_scenario("windy_pointmass"), prior_for(name)
    lives = []
    for _ in range(2):
        adapter = slrl.load_adapter(method, prior, scenario, seed=1, life_steps=330)
        lives.append(slrl.live(slrl.make(scenario, life_steps=330), adapter, seed=1))
    assert lives[0].steps == 330
    np.testing.assert_array_equal(lives[0].obs, lives[1].obs)
    still = (
        "frozen",
        "rma",
        "rma_fixed",
        "rma_arriving",
        "levels",
        "robust",
        "model",
        "switch",
        "vlm_pc",
        "frames",
        "modes",
        "graph",
    )
    learns = name not in still  # by gradient
    assert ("agent/critic_loss" in lives[0].metrics[-1]) == learns
