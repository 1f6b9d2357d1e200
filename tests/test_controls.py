"""Controls beside claims: a latent that is fixed, with the same learned parts as one that is inferred."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import slrl
from slrl import adapters
from slrl.adapters.latent import Latent
from slrl.envs.rollout import rollout
from slrl.lives.run import learning_plan
from slrl.priors import Prior

from .test_adapters import breezy_prior, hurried


@pytest.fixture(scope="module")
def breezy() -> Prior:
    return breezy_prior()


def with_fixed(name: str, path: str) -> list[adapters.Method]:
    """A method as it is shipped, and as ``--set PATH=fixed`` makes it."""
    return [adapters.load(name), adapters.load(name, [(path, "fixed")])]


def latents_of(name: str, prior: Prior, steps: int = 60) -> tuple[list[torch.Tensor], Latent, list[Any]]:
    """z after each step of a life in the wind, the adapter at its end, and the metrics of its steps."""
    scenario = slrl.load_scenario("windy_pointmass")
    adapter = slrl.load_adapter(hurried(name), prior, scenario, seed=1, life_steps=steps)
    assert isinstance(adapter, Latent)
    env = slrl.make(scenario, life_steps=steps)
    z, metrics = [adapter.z.clone()], []
    for step in rollout(env, adapter.act, seed=1, max_steps=steps):
        metrics.append(adapter.observe(step.transition))
        adapter.learn()
        z.append(adapter.z.clone())
    env.close()
    return z, adapter, metrics


def test_a_fixed_latent_stays_to_the_bit_while_the_history_changes_and_an_inferred_one_does_not(
    breezy: Prior,
) -> None:
    fixed, control, metrics = latents_of("rma_fixed", breezy)
    assert all(torch.equal(z, fixed[0]) for z in fixed)
    assert (control.history.recent != 0).any(), "the history is kept"
    assert not torch.equal(control.history.inferred(), control.z), "which φ would answer with another z"
    shown = [float(row["adapter/latent_change"]) for row in metrics if "adapter/latent_change" in row]
    assert shown == [0.0] * 6  # every ten steps of sixty
    usual, adapter, metrics = latents_of("rma", breezy)
    assert torch.equal(usual[0], fixed[0]), "both begin with that of an empty history, by the same networks"
    assert [torch.equal(z, usual[0]) for z in usual] == [True] * 10 + [False] * 51
    assert all(float(row["adapter/latent_change"]) > 0 for row in metrics[9::10])
    assert torch.equal(adapter.history.inferred(), adapter.z)


@pytest.mark.parametrize(
    ("name", "path"),
    [("rma", "adapter.latent"), ("rma_qwale", "adapter.latent"), ("switch", "adapter.low.adapter.latent")],
)
def test_the_control_learns_nothing_of_its_own(name: str, path: str) -> None:
    scenario, prior = slrl.load_scenario("windy_pointmass"), slrl.load_prior("pointmass_breezy")
    keys = []
    for method in with_fixed(name, path):
        env = slrl.make(scenario)
        plan = learning_plan(method, scenario, env, prior, seed=0, device=torch.device("cpu"))
        env.close()
        everything = [one for part in plan.of_adapter(method.adapter) for one in part.everything()]
        assert "student" in {one.name for one in everything}
        keys.append({one.key for one in everything if one.stored})
    assert keys[0] == keys[1]


def test_the_control_that_ships_is_rma_but_for_its_latent() -> None:
    usual, fixed = (adapters.load(name).table() for name in ("rma", "rma_fixed"))
    assert (usual["adapter"].pop("latent"), fixed["adapter"].pop("latent")) == ("inferred", "fixed")
    for table in (usual, fixed):
        for about in ("name", "summary", "literature"):
            table.pop(about)
    assert usual == fixed


def test_a_fixed_latent_that_something_else_would_move_or_nobody_sees_is_refused() -> None:
    for name, key, value, sentence in (
        ("rma_fixed", "adapter.fit_latent", 5, "fit_latent must be 0 where latent = 'fixed'"),
        ("robust", "adapter.latent", "fixed", "for a policy that receives z"),
        ("rma", "adapter.latent", "frozen", "fixed"),
    ):
        with pytest.raises(slrl.BadInput, match=sentence):
            adapters.load(name, [(key, value)])


def test_without_physical_parameters_it_says_that_it_is_not_rma(
    breezy: Prior, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario, silent = slrl.load_scenario("windy_pointmass"), replace(breezy, env_params=None)

    def said(method: adapters.Method, prior: Prior) -> str:
        capsys.readouterr()
        slrl.load_adapter(method, prior, scenario)
        return capsys.readouterr().err

    sentence = (
        f"slrl: prior {silent.name} did not record its physical parameters (env_params): "
        "z is a latent from history, not RMA\n"
    )
    assert said(hurried("rma"), silent) == sentence
    assert said(hurried("rma"), breezy) == ""
    assert said(hurried("robust"), silent) == "", "its policy receives no z"
