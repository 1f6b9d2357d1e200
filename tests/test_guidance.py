"""Guidance: equations by hand, the identities that must hold, and that each of them learns."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slrl.learning.extrinsics import with_latents
from slrl.learning.guidance import gail, none, q_weighted, rnd
from slrl.learning.guidance.gail import Gail, mix
from slrl.learning.guidance.q_weighted import QWeights, q_weight
from slrl.learning.guidance.rnd import running_std
from slrl.priors import Prior
from slrl.types import Batch

from .conftest import prior_of, rows_of
from .test_sac import CPU, batch_of, make_sac


class Worth:
    """A frozen value whose q is the first action and whose v is the first observation."""

    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        return action[:, 0]

    def v(self, obs: Tensor) -> Tensor:
        return obs[:, 0]


class Nobody:
    discount = 0.9

    def frozen_value(self) -> Worth:
        return Worth()


def parts(prior: Prior, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "prior": prior,
        "agent": Nobody(),
        "rng": np.random.default_rng(seed),
        "generator": generator,
        "device": CPU,
    }


def three_rows() -> Prior:
    rows = rows_of([3], obs_dim=1, action_dim=1)
    return prior_of(rows._replace(action=np.array([[-1.0], [0.0], [1.0]], np.float32)))


def weights(prior: Prior, **settings: Any) -> QWeights:
    return QWeights(q_weighted.Settings(**settings), Worth(), prior, CPU)


def test_q_weights_by_hand() -> None:
    """Q = -1, 0, 1 over the prior, so Qn = 0, 0.5, 1; the newest state is worth -0.5, so b = 0.25."""
    prior = three_rows()
    batch, newest = batch_of(prior), torch.tensor([-0.5])
    weight, metrics = weights(prior)(batch, newest)
    assert float(metrics["guidance/baseline"]) == 0.25
    assert weight.tolist() == pytest.approx([math.exp(-0.25), math.exp(0.25), math.exp(0.75)])
    weight, _ = weights(prior, weight_temperature=0.5)(batch, newest)
    assert weight.tolist() == pytest.approx([math.exp(-0.5), math.exp(0.5), math.exp(1.5)])
    # |1 - b| / η = 1.5, limited to 1: all exponents shift by -0.5
    weight, _ = weights(prior, weight_temperature=0.5, max_exponent=1.0)(batch, newest)
    assert weight.tolist() == pytest.approx([math.exp(-1.0), 1.0, math.exp(1.0)])


def test_the_baseline_changes_the_loss_of_the_discriminator_by_hand() -> None:
    """f = 0: each of three prior and three life rows costs log 2. Qn = 0, 0.5, 1; b = 0.25 or 0.75."""
    prior = three_rows()
    losses = []
    for worth in (-0.5, 0.5):
        guidance = Gail(gail.Settings(mixup=0.0), **parts(prior), weigh=weights(prior))
        with torch.no_grad():
            for p in guidance.params:
                p.zero_()
        batch = batch_of(prior)
        losses.append(float(guidance.update(batch, batch, torch.tensor([worth]))["guidance/loss"]))
    for loss, b in zip(losses, (0.25, 0.75), strict=True):
        prior_side = sum(math.exp(value - b) for value in (0.0, 0.5, 1.0))
        assert loss == pytest.approx(math.log(2) * (prior_side + 3) / 6, rel=1e-5)
    assert losses[0] > 1.25 * losses[1]  # lower in value, the prior counts more beside the life


class Place(Worth):
    """A frozen value whose q is the observation plus half of the action."""

    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        return obs[:, 0] + 0.5 * action[:, 0]


def test_weights_are_of_the_state_that_an_action_was_taken_in() -> None:
    """Q(s, a) = 0, 2, 10 of s = 0.5, 2, 9.5 and a = -1, 0, 1; s' would say -0.5, 50, 7.5."""
    obs, next_obs = (np.array(x, np.float32)[:, None] for x in ([0.5, 2.0, 9.5], [0.0, 50.0, 7.0]))
    found = QWeights(q_weighted.Settings(), Place(), replace(three_rows(), obs=obs, next_obs=next_obs), CPU)
    assert found.prior_value.tolist() == pytest.approx([0.0, 0.2, 1.0])


def test_baseline_constant_clipped_and_smoothed() -> None:
    prior, far = three_rows(), torch.tensor([5.0])  # worth 5: normalised (5 + 1) / 2 = 3
    batch = batch_of(prior)
    assert float(weights(prior)(batch, far)[1]["guidance/baseline"]) == 3.0
    assert float(weights(prior, clip_baseline=True)(batch, far)[1]["guidance/baseline"]) == 1.0
    assert float(weights(prior, baseline=0.5)(batch, far)[1]["guidance/baseline"]) == 0.5
    smooth = weights(prior, baseline_ema=0.75)
    smooth(batch, torch.tensor([-1.0]))  # b = 0
    assert float(smooth(batch, far)[1]["guidance/baseline"]) == pytest.approx(0.75 * 0 + 0.25 * 3)


def test_raising_the_baseline_lowers_all_weights_by_the_same_factor() -> None:
    value = torch.tensor([0.0, 0.3, 1.0])
    ratio = q_weight(value, torch.tensor(0.7), 1.0, 10.0) / q_weight(value, torch.tensor(0.2), 1.0, 10.0)
    torch.testing.assert_close(ratio, torch.full((3,), math.exp(-0.5)))


def test_with_uniform_values_the_loss_is_that_of_gail() -> None:
    rows = rows_of([30, 30])
    prior = prior_of(rows._replace(action=np.zeros_like(rows.action)))
    life = batch_of(prior_of(rows_of([60], seed=1)))
    uniform, plain = (
        q_weighted.make(q_weighted.Settings(baseline=0.0), **parts(prior)),
        Gail(gail.Settings(), **parts(prior)),
    )
    for _ in range(5):
        a, b = (
            uniform.update(batch_of(prior), life, life.obs[0]),
            plain.update(batch_of(prior), life, life.obs[0]),
        )
        assert float(a["guidance/loss"]) == float(b["guidance/loss"])
    assert all(torch.equal(p, q) for p, q in zip(uniform.params, plain.params, strict=True))


def test_discriminator_loss_by_hand(small_prior: Prior) -> None:
    """Zero weights: f = 0, D = 1/2, so every row costs log 2; prior rows weigh w, life rows 1."""

    def weigh(prior: Batch, newest: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return torch.full_like(prior.reward, 3.0), {}

    guidance = Gail(gail.Settings(mixup=0.0), **parts(small_prior), weigh=weigh)
    with torch.no_grad():
        for p in guidance.params:
            p.zero_()
    batch = batch_of(small_prior)
    loss = guidance.update(batch, batch, batch.obs[0])["guidance/loss"]
    assert float(loss) == pytest.approx((3 * math.log(2) + math.log(2)) / 2, abs=1e-6)


def test_weights_are_mixed_as_their_rows_are() -> None:
    """Zero weights: every row costs log 2 whatever its label, so that the loss is the mean mixed weight."""
    prior = prior_of(rows_of([4]))

    def weigh(rows: Batch, newest: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return torch.tensor([8.0, 0.0, 2.0, 40.0]), {}

    guidance = Gail(gail.Settings(mixup=1.0), **parts(prior), weigh=weigh)
    with torch.no_grad():
        for p in guidance.params:
            p.zero_()
    rng = np.random.default_rng(0)  # as in parts(): λ (8,), then the order
    share, order = rng.beta(1.0, 1.0, 8), rng.permutation(8)
    weight = np.array([8.0, 0.0, 2.0, 40.0, 1.0, 1.0, 1.0, 1.0])
    mixed = share * weight + (1 - share) * weight[order]
    assert abs(mixed.mean() - weight.mean()) > 0.1
    loss = guidance.update(batch_of(prior), batch_of(prior), torch.zeros(6))["guidance/loss"]
    assert float(loss) == pytest.approx(math.log(2) * mixed.mean(), rel=1e-5)


def test_the_discriminator_looks_at_the_state_arrived_in_or_at_state_and_action(small_prior: Prior) -> None:
    rows = batch_of(small_prior)
    others = {"obs": -rows.obs, "action": -rows.action, "next_obs": -rows.next_obs}
    for on, seen in (("state", {"next_obs"}), ("state_action", {"obs", "action"})):
        guidance = Gail(gail.Settings(on=on), **parts(small_prior))  # type: ignore[arg-type]
        before = guidance.logit(rows)
        changed = {
            key
            for key, other in others.items()
            if guidance.logit(rows._replace(**{key: other})).ne(before).all()
        }
        assert changed == seen


@pytest.mark.parametrize("kind", [gail, rnd])
def test_a_latent_behind_the_observation_is_not_looked_at(kind: Any) -> None:
    """With a life's own z a discriminator would tell it from the prior whatever it does."""
    told = with_latents(prior_of(rows_of([20])), np.zeros((20, 3), np.float32))
    guidance = kind.make(kind.Settings(), **parts(told))
    assert len(guidance.params[0]) == 6
    rows = batch_of(told)
    other = rows._replace(obs=rows.obs.clone(), next_obs=rows.next_obs.clone())
    other.obs[:, 6:], other.next_obs[:, 6:] = 9.0, -9.0
    assert torch.equal(guidance.reward(rows), guidance.reward(other))


def test_reward_by_hand(small_prior: Prior) -> None:
    """-log(1 - σ(f)): log 2 at f = 0, f itself for large f, at most the bound; r/(1 - γ) if absorbing."""
    batch = batch_of(small_prior)
    for logit, expected in ((0.0, math.log(2)), (10.0, 10.0000454), (50.0, 23.03)):
        guidance = Gail(gail.Settings(), **parts(small_prior))
        with torch.no_grad():
            for p in guidance.params:
                p.zero_()
            guidance.params[-1].fill_(logit)
        reward = guidance.reward(batch)
        assert reward.tolist() == pytest.approx([expected] * len(reward), abs=1e-5)
        guidance.settings = gail.Settings(scale=0.1, offset=4.0, task_reward=1.0)
        combined = 0.1 * (expected - 4.0) + batch.reward
        torch.testing.assert_close(guidance.reward(batch), combined)
        guidance.strength.fill_(0.5)  # of the discriminator's reward alone
        torch.testing.assert_close(guidance.reward(batch), 0.05 * (expected - 4.0) + batch.reward)
        guidance.strength.fill_(1.0)
        guidance.settings = replace(guidance.settings, absorbing=True)
        torch.testing.assert_close(
            guidance.reward(batch), torch.where(batch.terminated > 0, combined / (1 - 0.9), combined)
        )


def test_guidance_fades_to_half_after_its_half_life(small_prior: Prior) -> None:
    guidance, batch = Gail(gail.Settings(half_life_updates=4), **parts(small_prior)), batch_of(small_prior)
    strengths = [float(guidance.update(batch, batch, batch.obs[0])["guidance/strength"]) for _ in range(8)]
    assert [strengths[3], strengths[7]] == pytest.approx([0.5, 0.25])


def test_mixup_by_hand() -> None:
    values, share, order = (
        torch.tensor([10.0, 20.0, 30.0]),
        torch.tensor([1.0, 0.0, 0.25]),
        torch.tensor([2, 0, 1]),
    )
    # 1 · 10 + 0 · 30, 0 · 20 + 1 · 10, 0.25 · 30 + 0.75 · 20
    assert mix(values, share, order).tolist() == [10.0, 10.0, 22.5]
    assert mix(values.unsqueeze(1).expand(3, 2), share, order).tolist() == [
        [10.0] * 2,
        [10.0] * 2,
        [22.5] * 2,
    ]


@pytest.mark.parametrize("on", ["state", "state_action"])
def test_the_discriminator_learns_to_tell_prior_from_life(on: Any) -> None:
    prior = prior_of(rows_of([400]))
    life_rows = rows_of([400], seed=1)
    shifted = (
        life_rows._replace(next_obs=life_rows.next_obs + 3.0)
        if on == "state"
        else life_rows._replace(action=-np.abs(life_rows.action))
    )
    life = batch_of(prior_of(shifted))
    if on == "state_action":
        prior = prior_of(rows_of([400])._replace(action=np.abs(rows_of([400]).action)))
    guidance = Gail(gail.Settings(on=on, lr=1e-2), **parts(prior))
    for _ in range(150):
        guidance.update(batch_of(prior), life, life.obs[0])
    known, new = guidance.reward(batch_of(prior)), guidance.reward(life)
    assert known.mean() > 3 * new.mean()
    assert (guidance.logit(batch_of(prior)) > 0).float().mean() > 0.9
    assert (guidance.logit(life) < 0).float().mean() > 0.9


def test_prior_against_prior_cannot_be_told_apart() -> None:
    prior, other = prior_of(rows_of([2000])), prior_of(rows_of([2000], seed=5))
    guidance = Gail(gail.Settings(), **parts(prior))
    for _ in range(100):
        guidance.update(batch_of(prior), batch_of(other), torch.zeros(6))
    reward = guidance.reward(batch_of(prior_of(rows_of([2000], seed=6))))
    assert reward.mean().item() == pytest.approx(math.log(2), abs=0.05)


def test_weighted_guidance_prefers_the_more_valuable_half() -> None:
    """Prior states at ±2 have values ±1; the life visits both, so that only the weights distinguish them."""
    rows = rows_of([1000], obs_dim=1, action_dim=1)
    side = np.where(np.arange(1000) % 2 == 0, 1.0, -1.0).astype(np.float32)[:, None]
    noise = 0.1 * rows.obs
    prior = prior_of(rows._replace(obs=2 * side + noise, next_obs=2 * side + noise, action=side))
    batch = batch_of(prior)
    guidance = q_weighted.make(q_weighted.Settings(lr=1e-2, baseline=0.0, mixup=0.0), **parts(prior))
    for _ in range(300):
        guidance.update(batch, batch, batch.obs[0])
    reward = guidance.reward(batch)
    # D = w / (w + 1), so the reward is log(1 + w) with w = exp(Qn): log(1 + e) and log 2
    assert reward[::2].mean().item() == pytest.approx(math.log(1 + math.e), abs=0.05)
    assert reward[1::2].mean().item() == pytest.approx(math.log(2), abs=0.05)


def test_every_parameter_of_each_guidance_changes_and_a_round_trip_is_exact(small_prior: Prior) -> None:
    life = batch_of(prior_of(rows_of([33], seed=3)))
    agent = make_sac(small_prior)
    for kind in (gail, q_weighted, rnd):
        wanted = {**parts(small_prior), "agent": agent}
        one: Any = kind.make(kind.Settings(), **wanted)
        other: Any = kind.make(kind.Settings(), **{**wanted, "generator": torch.Generator().manual_seed(7)})
        before = [p.detach().clone() for p in one.params]
        one.update(batch_of(small_prior), life, life.obs[0])
        assert not any(torch.equal(p, q) for p, q in zip(before, one.params, strict=True))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one.reward(life), other.reward(life))


def test_rnd_normalisation_by_hand() -> None:
    # std of [1, 3] is √2 (n - 1); 0.9 · 5 + 0.1 · √2
    assert running_std(torch.tensor(5.0), torch.tensor([1.0, 3.0]), 0.9).item() == pytest.approx(
        4.5 + 0.1 * math.sqrt(2)
    )
    # at least 1e-3
    assert running_std(torch.tensor(5.0), torch.tensor([2.0, 2.0]), 0.9).item() == pytest.approx(
        4.5 + 0.1 * 1e-3
    )


def test_the_bonus_of_rnd_by_hand(small_prior: Prior) -> None:
    """0.5 · min(e / 4, bonus_max) + 3 r, with e of before an update; prior and life are learned."""
    settings = rnd.Settings(scale=0.5, task_reward=3.0)
    guidance, batch = rnd.make(settings, **parts(small_prior)), batch_of(small_prior)
    guidance.std = torch.tensor(4.0)
    error = guidance.error(batch.next_obs).detach()
    torch.testing.assert_close(guidance.reward(batch), 0.5 * error / 4 + 3 * batch.reward)
    guidance.std = torch.tensor(1e-9)
    torch.testing.assert_close(guidance.reward(batch), 0.5 * 1000 + 3 * batch.reward)
    life = batch._replace(next_obs=batch.next_obs + 5)
    both = torch.cat([error, guidance.error(life.next_obs).detach()])
    assert float(guidance.update(batch, life, batch.obs[0])["guidance/loss"]) == pytest.approx(
        float(both.mean()), rel=1e-5
    )


def test_rnd_rewards_what_is_new() -> None:
    prior = prior_of(rows_of([500]))
    guidance = rnd.make(rnd.Settings(lr=3e-3), **parts(prior))
    known = batch_of(prior)
    before = guidance.error(known.next_obs).mean().item()
    for _ in range(300):
        guidance.update(known, known, known.obs[0])
    assert guidance.error(known.next_obs).mean().item() < 0.2 * before
    new = known._replace(next_obs=known.next_obs + 10.0)
    assert guidance.reward(new).mean() > 5 * guidance.reward(known).mean()
    # the standard deviation follows that of the raw errors, not of those already divided by it
    for _ in range(600):
        guidance.update(known, known, known.obs[0])
    assert guidance.std.item() == pytest.approx(
        max(guidance.error(known.next_obs).std().item(), 1e-3), rel=0.2
    )


def test_no_guidance_is_the_tasks_reward(small_prior: Prior) -> None:
    batch = batch_of(small_prior)
    assert torch.equal(none.make(none.Settings(), **parts(small_prior)).reward(batch), batch.reward)


@pytest.mark.parametrize("baseline", [-1000.0, -24.0, 30.0, 1000.0])
def test_weights_stay_finite_and_in_proportion_however_far_the_life_is(baseline: float) -> None:
    value = torch.tensor([0.0, 0.25, 1.0])
    weight = q_weight(value, torch.tensor(baseline), 0.25, 4.0)
    assert bool(torch.isfinite(weight).all())
    assert bool((weight > 0).all())
    assert weight[-1].item() == pytest.approx(math.exp(4.0 if baseline < 0 else -4.0), rel=1e-4)
    normal = weight / weight.mean()
    expected = torch.tensor([1.0, math.e, math.e**4]) * 3 / (1 + math.e + math.e**4)  # exp(ΔQ / 0.25), mean 1
    torch.testing.assert_close(normal, expected, rtol=1e-4, atol=0)


def test_weights_near_the_prior_are_the_plain_exponential_to_the_last_bit() -> None:
    value, baseline = torch.rand(64, generator=torch.Generator().manual_seed(0)), torch.tensor(0.37)
    torch.testing.assert_close(
        q_weight(value, baseline, 0.25, 4.0), ((value - baseline) / 0.25).exp(), rtol=0, atol=0
    )
