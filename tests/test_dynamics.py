"""The model of the world: its errors and loss by hand, and that it learns a world that is linear."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slrl import adapters
from slrl.adapters import setup
from slrl.learning.cache import Artefact
from slrl.learning.dynamics import Dynamics
from slrl.learning.networks import Adam
from slrl.priors import Prior

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")


def linear_world(rows: int = 400) -> Prior:
    """s' = s + B a + c, r = a·(1, -2) + 0.5: nothing that a linear path cannot say."""
    rng = np.random.default_rng(0)
    made = rows_of([rows], obs_dim=2)
    obs, action = rng.normal(size=(rows, 2)), rng.uniform(-1, 1, (rows, 2))
    moved = obs + action @ np.array([[0.5, 0.0], [0.2, -1.0]]) + [0.1, -0.3]
    reward = action @ [1.0, -2.0] + 0.5
    arrays = {"obs": obs, "action": action, "next_obs": moved, "reward": reward}
    return prior_of(made._replace(**{key: value.astype(np.float32) for key, value in arrays.items()}))


def dynamics_of(prior: Prior, seed: int = 0, **more: object) -> Dynamics:
    generator = torch.Generator().manual_seed(seed)
    return Dynamics(prior, generator, CPU, **{"hidden": (8,), "members": 3, **more})  # type: ignore[arg-type]


def tensors(prior: Prior) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    obs, action, reward, next_obs = (
        torch.tensor(x) for x in (prior.obs, prior.action, prior.reward, prior.next_obs)
    )
    return obs, action, reward, next_obs


def silenced(dynamics: Dynamics, output: list[float]) -> Dynamics:
    """Whatever goes in, every member says ``output``."""
    with torch.no_grad():
        for p in (*dynamics.params, *dynamics.linear):
            p.zero_()
        dynamics.params[-1][...] = torch.tensor(output)
    return dynamics


def test_changes_and_rewards_are_told_in_their_own_deviations() -> None:
    prior = linear_world()
    dynamics = dynamics_of(prior)
    told = np.column_stack([prior.next_obs - prior.obs, prior.reward])
    np.testing.assert_allclose(dynamics.mean, told.mean(0), atol=1e-5)
    np.testing.assert_allclose(dynamics.scale, told.std(0, ddof=1), rtol=1e-4)


def test_what_never_changes_is_told_to_the_thousandth_of_what_it_varies() -> None:
    """Observations ±1 that stay as they are have deviation sqrt(4/3); a reward that is always 0 has 0.001."""
    rows = rows_of([4], obs_dim=1)
    obs = np.array([[1], [-1], [1], [-1]], np.float32)
    dynamics = dynamics_of(prior_of(rows._replace(obs=obs, next_obs=obs, reward=np.zeros(4, np.float32))))
    np.testing.assert_allclose(dynamics.scale, [1e-3 * np.sqrt(4 / 3), 1e-3], rtol=1e-5)


def test_a_prediction_is_the_observation_and_the_change_in_units() -> None:
    """Every member says (2, -1, 3) deviations: s' = s + mean + scale · (2, -1), r = mean + 3 · scale."""
    prior = linear_world()
    dynamics = silenced(dynamics_of(prior), [2.0, -1.0, 3.0])
    obs, action, *_ = tensors(prior)
    next_obs, reward = dynamics.predict(obs[:5], action[:5])
    assert (next_obs.shape, reward.shape) == ((3, 5, 2), (3, 5))
    change, deviation = (prior.next_obs - prior.obs).mean(0), (prior.next_obs - prior.obs).std(0, ddof=1)
    expected = prior.obs[:5] + change + deviation * [2, -1]
    np.testing.assert_allclose(next_obs.detach(), [expected] * 3, rtol=1e-4, atol=1e-5)
    paid = prior.reward.mean() + 3 * prior.reward.std(ddof=1)
    np.testing.assert_allclose(reward.detach(), np.full((3, 5), paid), rtol=1e-4)


def test_errors_and_loss_by_hand() -> None:
    """Mean 0 and scale (2, 1, 4); told (1, 1, 1), happened (4, -1, 8) = (2, -1, 2): errors (-1, 2, -1).

    Their mean square is 2 for one row; with one that happened as told, 1; over three members, 3.
    """
    dynamics = silenced(dynamics_of(linear_world()), [1.0, 1.0, 1.0])
    dynamics.mean, dynamics.scale = torch.zeros(3), torch.tensor([2.0, 1.0, 4.0])
    obs, action = torch.tensor([[5.0, 5.0], [0.0, 0.0]]), torch.zeros(2, 2)
    next_obs, reward = torch.tensor([[9.0, 4.0], [2.0, 1.0]]), torch.tensor([8.0, 4.0])
    errors = dynamics.errors(obs, action, reward, next_obs)
    np.testing.assert_allclose(errors.detach(), [[[-1, 2, -1], [0, 0, 0]]] * 3, atol=1e-6)
    assert dynamics.loss(obs, action, reward, next_obs).item() == pytest.approx(3.0)


def test_inputs_are_the_normalised_observation_then_the_action_then_the_latent() -> None:
    prior = linear_world()
    dynamics = dynamics_of(prior, latent_size=3)
    obs, action, latent = torch.tensor(prior.obs[:2]), torch.tensor(prior.action[:2]), torch.ones(2, 3)
    x = dynamics.inputs(obs, action, latent)
    scaled = np.arcsinh((prior.obs[:2] - prior.obs.mean(0)) / prior.obs.std(0))
    np.testing.assert_allclose(x, np.concatenate([scaled, prior.action[:2], np.ones((2, 3))], 1), atol=1e-5)
    assert dynamics.params[0].shape == (3, 7, 8)


def test_outputs_are_layers_and_a_linear_path() -> None:
    """With the layers silenced to a constant, twice the input is twice the linear path's share."""
    dynamics = silenced(dynamics_of(linear_world()), [0.0, 0.0, 7.0])
    with torch.no_grad():
        dynamics.linear[0][:, 3, 1] = 4.0  # from the second entry of the action to the second change
    x = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 100.0]])
    assert dynamics.outputs(x).tolist() == [[[0, 4, 7], [0, 400, 7]]] * 3


def test_without_the_linear_path_they_are_plain_networks() -> None:
    """Off draws no weights for it: the layers begin as they do with it, and nothing is added to them."""
    prior = linear_world()
    on, off = dynamics_of(prior), dynamics_of(prior, linear=False)
    obs, action, reward, next_obs = tensors(prior)
    x = off.inputs(obs, action)
    assert all(torch.equal(p, q) for p, q in zip(on.params, off.params, strict=True))
    w1, b1, w2, b2 = (p[1] for p in off.params)
    torch.testing.assert_close(off.outputs(x)[1], torch.relu(x @ w1 + b1) @ w2 + b2)
    assert not torch.allclose(on.outputs(x), off.outputs(x), atol=0.1)
    off.step(off.loss(obs, action, reward, next_obs), [])
    assert len(off.state_dict()) < len(on.state_dict())


def unlearned(artefact: Artefact[Any]) -> Any:
    """What an artefact is before it learns."""
    return artefact.build(*map(unlearned, artefact.needs))


@pytest.mark.parametrize(
    ("adapter", "key", "learns"),
    [
        ("rma", "adapter.extrinsics.linear", "latents"),
        ("model", "adapter.linear", "dynamics"),
        ("switch", "adapter.monitor.linear", "monitor"),
        ("switch", "adapter.low.adapter.extrinsics.linear", "latents"),
    ],
)
def test_the_linear_path_is_a_setting_of_everything_that_has_dynamics(
    adapter: str, key: str, learns: str, small_prior: Prior
) -> None:
    found = []
    for linear in (True, False):
        needed = setup.artefacts(adapters.load(adapter, [(key, linear)]), small_prior, 0, "cpu", None)
        found.append({one.key: one for top in needed for one in top.everything() if one.name == learns})
    assert found[0].keys().isdisjoint(found[1])
    on, off = (unlearned(next(iter(parts.values()))) for parts in found)
    assert (len(on.dynamics.linear), off.dynamics.linear) == (2, [])
    if learns == "latents":
        assert (len(on.mu_linear), off.mu_linear) == (2, [])


def test_a_linear_world_is_learned_and_holds_beyond_the_priors_actions() -> None:
    prior = linear_world()
    dynamics = dynamics_of(prior, lr=1e-2, hidden=(16,))
    batch = tensors(prior)
    before = dynamics.loss(*batch).item()
    for _ in range(400):
        dynamics.step(dynamics.loss(*batch), [])
    assert dynamics.loss(*batch).item() < 0.01 * before
    next_obs, reward = dynamics.predict(torch.zeros(1, 2), torch.tensor([[0.5, -0.5]]))
    # 0.5 · 0.5 - 0.5 · 0.2 + 0.1 = 0.25; 0.5 - 0.3 = 0.2; 0.5 + 1 + 0.5 = 2
    np.testing.assert_allclose(next_obs.detach()[:, 0], [[0.25, 0.2]] * 3, atol=0.1)
    np.testing.assert_allclose(reward.detach()[:, 0], [2.0] * 3, atol=0.15)


def test_others_descend_with_their_own_optimiser_or_stay() -> None:
    prior = linear_world()
    dynamics, latent = dynamics_of(prior, latent_size=1), torch.zeros(400, 1, requires_grad=True)
    own = dynamics.params[0].detach().clone()
    dynamics.step(dynamics.loss(*tensors(prior), latent), [latent])
    assert not latent.detach().any()
    assert not torch.equal(dynamics.params[0], own)
    dynamics.step(dynamics.loss(*tensors(prior), latent), [latent], Adam([latent], 0.1))
    np.testing.assert_allclose(latent.detach().abs(), np.full((400, 1), 0.1), rtol=1e-2)


def test_a_saved_model_goes_on_as_if_nothing_had_happened() -> None:
    prior = linear_world()
    batch = tensors(prior)
    one, other = dynamics_of(prior), dynamics_of(prior, seed=9)
    one.step(one.loss(*batch), [])
    other.load_state_dict(one.state_dict())
    for dynamics in (one, other):
        dynamics.step(dynamics.loss(*batch), [])
    told, again = one.state_dict(), other.state_dict()
    assert told.keys() == again.keys()
    assert all(torch.equal(told[key], again[key]) for key in told)
    assert all(key.startswith("dynamics.") for key in told)


def test_a_saved_model_says_the_same_in_a_model_that_was_built_for_another_prior() -> None:
    prior = linear_world()
    elsewhere = replace(prior, obs=5 * prior.obs + 3, next_obs=5 * prior.next_obs + 3)
    one, other = dynamics_of(prior), dynamics_of(elsewhere, seed=9)
    obs, action, _, _ = tensors(prior)
    assert not torch.equal(one.normaliser(obs), other.normaliser(obs))
    other.load_state_dict(one.state_dict())
    for said, again in zip(one.predict(obs, action), other.predict(obs, action), strict=True):
        assert torch.equal(said, again)


@pytest.mark.parametrize(
    ("adapter", "holding"),
    [("rma", {"latents", "student"}), ("model", {"dynamics"}), ("switch", {"monitor"})],
)
def test_files_of_models_without_their_normaliser_are_not_looked_for(
    adapter: str, holding: set[str], small_prior: Prior
) -> None:
    params = np.zeros((len(small_prior), 1), np.float32)
    prior = replace(small_prior, env_params=params)
    world = SimpleNamespace(about={})
    needed = setup.artefacts(adapters.load(adapter), prior, 0, "cpu", world)  # type: ignore[arg-type]
    versions = {one.name: one.version for top in needed for one in top.everything()}
    assert min(versions[name] for name in holding) >= 2
