"""Soft actor-critic: numbers worked out by hand, every parameter moves, exact round trip, and it learns."""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slrl.errors import BadInput
from slrl.learning.agents import anchored
from slrl.learning.agents.sac import Sac, Settings
from slrl.learning.networks import Adam, Normaliser, ensemble, mlp, mlp_params
from slrl.priors import Prior
from slrl.types import Batch, Metrics

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")


def make_sac(prior: Prior, *, seed: int = 0, **settings: Any) -> Sac:
    made = Settings(**{"hidden": (16, 16), **settings})
    return Sac(made, prior, torch.Generator().manual_seed(seed), CPU)


def batch_of(prior: Prior, **replace: Tensor) -> Batch:
    end = torch.tensor(prior.terminated).float()
    batch = Batch(
        *(torch.tensor(a) for a in (prior.obs, prior.action, prior.reward, prior.next_obs)),
        end,
        1 - end,
        torch.arange(len(prior)),
    )
    return batch._replace(**replace)


def test_target_by_hand(small_prior: Prior) -> None:
    """Two constant critics 3 and 5 (targets 2 and 4), a policy that is N(0, 1) before the tanh, A = 1."""
    prior = prior_of(rows_of([2], obs_dim=1, action_dim=1))
    agent = make_sac(prior, initial_temperature=0.5, discount=0.9)
    with torch.no_grad():
        for params, biases in ((agent.critic, (3.0, 5.0)), (agent.target, (2.0, 4.0)), (agent.actor, (0.0,))):
            for p in params:
                p.zero_()
            params[-1].copy_(torch.tensor(biases).reshape(-1, 1, 1) if len(biases) == 2 else torch.zeros(2))
    obs = torch.zeros(2, 1)
    reward, bootstrap, noise = (
        torch.tensor([1.0, 1.0]),
        torch.tensor([1.0, 0.0]),
        torch.tensor([[1.0], [1.0]]),
    )
    loss, q = agent.critic_loss(obs, torch.zeros(2, 1), reward, obs, bootstrap, noise, None)
    # u = 1: log N(1; 0, 1) = -0.5 - 0.5 log 2π = -1.418939; log(1 - tanh² 1) = log 0.419974 = -0.867562; log
    # π = -0.551377 y = 1 + 0.9 (min(2, 4) - 0.5 · -0.551377) = 1 + 0.9 · 2.275688 = 3.048120, and y = 1
    # without bootstrap loss = mean over rows, summed over critics: ((3 - 3.048120)² + (3 - 1)²) / 2 + ((5 -
    # 3.048120)² + (5 - 1)²) / 2
    expected = (0.048120**2 + 4) / 2 + (1.951880**2 + 16) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-4)
    assert q.item() == 4.0

    agent.settings = replace(agent.settings, backup_entropy=False)  # y = 1 + 0.9 · 2 = 2.8
    loss, _ = agent.critic_loss(obs, torch.zeros(2, 1), reward, obs, bootstrap, noise, None)
    assert loss.item() == pytest.approx((0.2**2 + 4) / 2 + (2.2**2 + 16) / 2, abs=1e-5)
    agent.settings = replace(agent.settings, backup_entropy=True)
    # only the second head: 4
    loss, _ = agent.critic_loss(obs, torch.zeros(2, 1), reward, obs, bootstrap, noise, torch.tensor([1]))
    y = 1 + 0.9 * (4 + 0.5 * 0.551377)
    assert loss.item() == pytest.approx(((3 - y) ** 2 + 4) / 2 + ((5 - y) ** 2 + 16) / 2, abs=1e-4)


@pytest.mark.parametrize("subset", ["min", "mean"])
def test_actor_loss_by_hand(subset: Any) -> None:
    prior = prior_of(rows_of([2], obs_dim=1, action_dim=1))
    agent = make_sac(prior, initial_temperature=0.5, actor_subset=subset)
    with torch.no_grad():
        for p in (*agent.critic, *agent.actor):
            p.zero_()
        agent.critic[-1].copy_(torch.tensor([3.0, 5.0]).reshape(2, 1, 1))
    loss, log_prob = agent.actor_loss(torch.zeros(1, 1), torch.ones(1, 1))
    assert log_prob.item() == pytest.approx(-0.551377, abs=1e-5)
    assert loss.item() == pytest.approx(0.5 * -0.551377 - (3.0 if subset == "min" else 4.0), abs=1e-5)


def constant(params: list[Tensor], *heads: float) -> None:
    """Networks that say the same whatever goes in, one number for each head."""
    with torch.no_grad():
        for p in params:
            p.zero_()
        params[-1].copy_(torch.tensor(heads).reshape(-1, 1, 1))


def test_rewards_are_scaled_before_the_critics_learn_them() -> None:
    """Rewards 0 and 1, ten times as large, and critics that say 0: (0 + 100) / 2 for each of the two."""
    prior = prior_of(rows_of([2], obs_dim=1, action_dim=1))
    agent = make_sac(prior, reward_scale=10.0, backup_entropy=False)
    constant(agent.critic, 0.0, 0.0)
    constant(agent.target, 0.0, 0.0)
    assert float(agent.update(batch_of(prior))["agent/critic_loss"]) == 100.0


def test_the_targets_move_a_share_of_the_way_to_the_critics(small_prior: Prior) -> None:
    agent = make_sac(small_prior, polyak=0.1)
    constant(agent.critic, 3.0, 5.0)
    constant(agent.target, 2.0, 0.0)
    agent.move_targets()
    assert agent.target[-1].flatten().tolist() == pytest.approx([2.1, 0.5])
    assert agent.critic[-1].flatten().tolist() == [3.0, 5.0]


@pytest.mark.parametrize(("said", "log_std"), [(-5.0, -5.0), (-19.0, -19.0), (-30.0, -20.0), (9.0, 2.0)])
def test_a_policy_may_be_nearly_certain(small_prior: Prior, said: float, log_std: float) -> None:
    agent = make_sac(small_prior)
    with torch.no_grad():
        for p in agent.actor:
            p.zero_()
        agent.actor[-1][2:] = said  # two means, then two log standard deviations
    assert agent.policy(torch.zeros(1, 6))[1].tolist() == [[log_std] * 2]


def test_a_frozen_value_is_the_smallest_of_its_critics_at_the_policys_mode(small_prior: Prior) -> None:
    agent = make_sac(small_prior)
    obs, action = torch.tensor(small_prior.obs), torch.tensor(small_prior.action)
    found = agent.frozen_value()
    assert torch.equal(found.v(obs), found.q(obs, agent.mode(obs)))
    both = agent.q(agent.critic, agent.normaliser(obs), action)
    torch.testing.assert_close(found.q(obs, action), both.min(0).values)
    constant(agent.critic, 3.0, 5.0)
    assert agent.frozen_value().v(obs).tolist() == [3.0] * len(small_prior)


def test_log_probability_is_a_density(small_prior: Prior) -> None:
    prior = prior_of(rows_of([5], obs_dim=3, action_dim=1))
    agent = make_sac(prior)
    grid = torch.linspace(-0.9985, 0.9985, 20_001).unsqueeze(1)
    obs = agent.normaliser(torch.tensor(prior.obs[:1])).expand(len(grid), -1)
    density = agent.log_prob(obs, grid).exp()
    assert torch.trapezoid(density, grid[:, 0]).item() == pytest.approx(1.0, abs=0.02)
    noise = torch.randn(20_001, 1, generator=torch.Generator().manual_seed(0)).clamp(-2.5, 2.5)
    action, log_prob = agent.sample(obs, noise)
    torch.testing.assert_close(agent.log_prob(obs, action), log_prob, atol=2e-3, rtol=0)


def test_every_parameter_changes_and_only_the_critics_without_the_policy(small_prior: Prior) -> None:
    for settings in ({}, {"critics": 5, "target_subset": 2, "layer_norm": True, "actor_subset": "mean"}):
        agent = make_sac(small_prior, **settings)
        before = {key: value.clone() for key, value in agent.state_dict().items()}
        agent.update(batch_of(small_prior), improve_policy=False)
        between = agent.state_dict()
        for key in before:
            if key.startswith(("actor", "temperature")):
                assert torch.equal(before[key], between[key]), key
        for _ in range(3):
            agent.update(batch_of(small_prior))
        after = agent.state_dict()
        unmoved = [
            key for key in before if not key.startswith("normaliser") and torch.equal(before[key], after[key])
        ]
        assert unmoved == []


def test_temperature_rises_when_entropy_is_too_low_and_falls_when_it_is_too_high(small_prior: Prior) -> None:
    for goal, sign in ((5.0, 1), (-50.0, -1)):
        agent = make_sac(small_prior, target_entropy=goal)
        for _ in range(5):
            agent.update(batch_of(small_prior))
        assert sign * agent.log_temperature.item() > 0


def test_target_subset_draws_without_replacement(small_prior: Prior) -> None:
    agent = make_sac(small_prior, critics=4, target_subset=2)
    drawn = {tuple(sorted(agent.heads().tolist())) for _ in range(200)}  # type: ignore[union-attr]
    assert drawn == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}


def test_a_stack_equals_its_networks_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 3)
    for layer_norm in (False, True):
        params = mlp_params((3, 8, 8, 1), generator, CPU, heads=4, layer_norm=layer_norm)
        single = [_one(params, k, x, layer_norm) for k in range(4)]
        torch.testing.assert_close(ensemble(params, x, layer_norm=layer_norm), torch.stack(single))


def _one(params: list[Tensor], k: int, x: Tensor, layer_norm: bool) -> Tensor:
    stride = 4 if layer_norm else 2
    for i in range(0, len(params) - 2, stride):
        x = x @ params[i][k] + params[i + 1][k]
        if layer_norm:
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
            x = x * params[i + 2][k] + params[i + 3][k]
        x = x.clamp(min=0)
    return (x @ params[-2][k] + params[-1][k])[:, 0]


def test_adam_is_adam() -> None:
    ours, theirs = (
        [torch.arange(6.0).reshape(2, 3).clone().requires_grad_(), torch.ones(4, requires_grad=True)]
        for _ in range(2)
    )
    mine, reference = Adam(ours, 1e-2), torch.optim.Adam(theirs, 1e-2)
    for step in range(20):
        gradients = [torch.full_like(p, math.sin(step + i)) for i, p in enumerate(ours)]
        mine.step(gradients)
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = g.clone()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_save_and_load_is_exact(small_prior: Prior) -> None:
    agent, copy = make_sac(small_prior), make_sac(small_prior, seed=9)
    for _ in range(5):
        agent.update(batch_of(small_prior))
    copy.load_state_dict(agent.state_dict())
    for _ in range(5):
        agent.update(batch_of(small_prior))
        copy.update(batch_of(small_prior))
    assert all(
        torch.equal(a, b)
        for a, b in zip(agent.state_dict().values(), copy.state_dict().values(), strict=True)
    )
    np.testing.assert_array_equal(agent.act(small_prior.obs[0]), copy.act(small_prior.obs[0]))


def test_a_frozen_value_does_not_learn(small_prior: Prior) -> None:
    agent = make_sac(small_prior)
    frozen = agent.frozen_value()
    obs, action = torch.tensor(small_prior.obs), torch.tensor(small_prior.action)
    q, v = frozen.q(obs, action), frozen.v(obs)
    agent.update(batch_of(small_prior))
    assert torch.equal(frozen.q(obs, action), q)
    assert torch.equal(frozen.v(obs), v)
    assert not torch.equal(agent.frozen_value().q(obs, action), q)


def test_a_state_a_hundred_deviations_away_still_has_a_usable_gradient() -> None:
    prior = prior_of(rows_of([200], obs_dim=2))
    agent = make_sac(prior, hidden=(64, 64))
    normaliser = Normaliser(prior, CPU)
    far = torch.tensor([[0.0, 100.0 * prior.obs[:, 1].std() + prior.obs[:, 1].mean()]], requires_grad=True)
    assert normaliser(far)[0, 1].item() == pytest.approx(math.asinh(100), abs=1e-3)
    for network in (
        lambda x: mlp(agent.actor, normaliser(x))[0, 0],
        lambda x: agent.q(agent.critic, normaliser(x), torch.zeros(1, 2)).sum(),
    ):
        (gradient,) = torch.autograd.grad(network(far), far)
        near = torch.tensor([[0.0, 1.0]], requires_grad=True)
        (usual,) = torch.autograd.grad(network(near), near)
        # asinh'(100) = 0.01: a hundredth of the usual slope, not zero
        assert 1e-4 < abs(gradient[0, 1].item() / usual[0, 1].item()) < 1.0


def test_dimensions_that_hardly_vary_are_not_blown_up() -> None:
    rows = rows_of([50])
    rows.obs[:, 3] = 1.0 + 1e-6 * rows.obs[:, 3]
    scaled = Normaliser(prior_of(rows), CPU)(torch.tensor(rows.obs))
    assert scaled[:, 3].abs().max().item() < 1e-3


def test_it_learns_that_the_best_action_is_the_observation() -> None:
    """As SB3's identity test: reward -(a - s)², no future. The mean policy must come within 0.1 of s."""
    rng = np.random.default_rng(0)
    rows = rows_of([2000], obs_dim=1, action_dim=1)
    rows = rows._replace(obs=rng.uniform(-0.8, 0.8, (2000, 1)).astype(np.float32))
    rows = rows._replace(reward=-((rows.action - rows.obs)[:, 0] ** 2), terminated=np.ones(2000, bool))
    prior = prior_of(rows)
    agent, everything = (
        make_sac(prior, actor_lr=3e-3, critic_lr=3e-3, initial_temperature=0.05, target_entropy=-3.0),
        batch_of(prior),
    )
    for _ in range(600):
        index = torch.from_numpy(rng.integers(2000, size=128))
        agent.update(Batch(*(column[index] for column in everything)))
    obs = np.linspace(-0.7, 0.7, 15, dtype=np.float32)[:, None]
    error = np.abs([agent.act(o, sample=False) - o for o in obs])
    assert error.mean() < 0.1


def test_bfloat16_computes_what_float32_does(small_prior: Prior) -> None:
    plain, half = make_sac(small_prior), make_sac(small_prior, precision="bfloat16")
    a, b = plain.update(batch_of(small_prior)), half.update(batch_of(small_prior))
    for key in a:
        assert float(b[key]) == pytest.approx(float(a[key]), rel=0.05, abs=0.05), key
    assert all(p.dtype == torch.float32 for p in half.critic)


def test_adam_in_plain_operations_is_the_fused_one() -> None:
    """Over twenty steps with other gradients and learning rates."""
    draw = torch.Generator().manual_seed(0)
    starts = (torch.ones(3, 2), torch.zeros(2))
    fused, plain = (Adam([p.clone().requires_grad_() for p in starts], 0.1) for _ in range(2))
    for step in range(20):
        gradients = [torch.randn(3, 2, generator=draw), torch.randn(2, generator=draw)]
        fused.lr = 0.1 / (1 + step)
        fused.step(gradients)
        plain.step_in_plain_operations(gradients, torch.tensor(fused.lr))
        for one, other in zip(fused.tensors(), plain.tensors(), strict=True):
            torch.testing.assert_close(one, other)
        for one, other in zip(fused._params, plain._params, strict=True):
            torch.testing.assert_close(one, other)
    assert fused.steps_made == plain.steps_made == 20


KINDS = ["sac", "subset", "anchored", "layer_norm", "bfloat16"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_traced_update_is_the_update(
    small_prior: Prior, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as for compiling, by aot_eager; what inductor makes of it is the slow test below."""
    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **settings: compiled(function, backend="aot_eager", **settings)
    )
    plain, traced = compilable(small_prior, kind), compilable(small_prior, kind, compile=True)
    assert_alike(plain, traced, small_prior, steps=4)
    assert traced._compiled is not None
    assert plain._compiled is None


def test_a_copy_of_a_compiled_agent_learns_by_itself(
    small_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    agent = make_sac(small_prior, compile=True)
    agent.update(batch_of(small_prior))
    copied = deepcopy(agent)
    before = agent.actor[0].clone(), copied.actor[0].clone()
    copied.update(batch_of(small_prior))
    torch.testing.assert_close(agent.actor[0], before[0])
    assert not torch.equal(copied.actor[0], before[1])


def test_many_kinds_of_agents_are_compiled_in_one_process(
    small_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch gives up at eight."""
    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **settings: compiled(function, backend="eager", **settings)
    )
    for width in range(4, 15):
        agent = make_sac(small_prior, hidden=(width,), compile=True)
        assert np.isfinite(float(agent.update(batch_of(small_prior))["agent/q"]))


def test_auto_compiles_after_so_many_updates_of_the_whole(
    small_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slrl.learning.agents.sac.WORTH_COMPILING", 3)
    made: list[int] = []
    agent = make_sac(small_prior, compile="auto")

    def compiled(agent: Sac, *parts: Any) -> Metrics:
        made.append(agent.critic_optimiser.steps_made)
        return agent._whole_update(*parts)

    monkeypatch.setattr(torch, "compile", lambda function, **settings: compiled)
    for step in range(6):
        agent.update(batch_of(small_prior), improve_policy=step != 4)
    assert made == [3, 5]
    never = make_sac(small_prior)
    never.whole_loss = lambda loss: loss
    for _ in range(5):
        never.update(batch_of(small_prior))
    assert never._compiled is None


def test_without_a_compiler_a_sentence_says_what_to_do(
    small_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BadInput, match=r"needs a C\+\+ compiler, and there is no no-such-compiler here"):
        make_sac(small_prior, compile=True)
    make_sac(small_prior)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_computes_what_eager_does(small_prior: Prior, kind: str) -> None:
    plain, compiled = compilable(small_prior, kind), compilable(small_prior, kind, compile=True)
    assert_alike(plain, compiled, small_prior, steps=6)  # Adam makes whole steps of rounded zeros later


def assert_alike(plain: Sac, other: Sac, prior: Prior, *, steps: int) -> None:
    """Two agents stay alike over updates, also with another learning rate at each and with new optimisers."""
    loose = plain.settings.precision == "bfloat16"
    for step in range(steps):
        if step == steps // 2:
            plain.reset_optimisers()
            other.reset_optimisers()
        plain.actor_optimiser.lr = other.actor_optimiser.lr = 1e-3 / (1 + step)
        a, b = plain.update(batch_of(prior)), other.update(batch_of(prior))
        for key in a:
            near = {"rel": 0.05, "abs": 0.05} if loose else {"rel": 1e-3, "abs": 1e-4}
            assert float(b[key]) == pytest.approx(float(a[key]), **near), key
    for key, tensor in plain.state_dict().items():
        near = {"rtol": 0.05, "atol": 0.02} if loose else {"rtol": 1e-3, "atol": 1e-4}
        torch.testing.assert_close(other.state_dict()[key], tensor, **near)


def compilable(prior: Prior, kind: str, **settings: Any) -> Sac:
    """Plain SAC, or one that computes something else in its update; its targets move by a half."""
    settings = {"polyak": 0.5, "critic_lr": 1e-2, **settings}
    if kind == "anchored":
        about = anchored.Settings(hidden=(16, 16), **settings)
        return anchored.make(about, prior, torch.Generator().manual_seed(0), torch.device("cpu"))
    more: dict[str, dict[str, Any]] = {
        "subset": {"critics": 4, "target_subset": 2},
        "layer_norm": {"critics": 4, "layer_norm": True, "actor_subset": "mean"},
        "bfloat16": {"precision": "bfloat16"},
    }
    return make_sac(prior, **{**more.get(kind, {}), **settings})
