"""Latents: windows and convolutions by hand, learning from a prior, and their effect in a life."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl import adapters
from slrl.adapters import setup
from slrl.adapters.latent import Latent, Student
from slrl.learning.agents import sac
from slrl.learning.buffer import Buffer
from slrl.learning.dynamics import Dynamics
from slrl.learning.extrinsics import Extrinsics, Settings, Windows, convolved, with_latents
from slrl.learning.offline import counterfactual as objectives
from slrl.learning.offline.counterfactual import Counterfactual
from slrl.plugins import AdapterPlugin
from slrl.priors import Prior
from slrl.types import DrawnEpisode, Transition

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")


def windy_rows(winds: list[tuple[float, float]], steps: int, seed: int = 0, *, end: bool = False) -> Prior:
    """Random walks: s' = s + a + wind, in six entries of which the last four never change."""
    rng = np.random.default_rng(seed)
    rows = rows_of([steps] * len(winds), seed=seed)
    wind = np.repeat(np.array(winds, np.float32), steps, 0)
    obs, next_obs = np.zeros_like(rows.obs), np.zeros_like(rows.obs)
    for episode in range(len(winds)):
        at = slice(episode * steps, (episode + 1) * steps)
        path = np.cumsum(rows.action[at] + wind[at] + rng.normal(0, 0.02, (steps, 2)), 0)
        # so that the place does not tell the wind
        path = np.vstack([np.zeros(2), path]) + rng.uniform(-100, 100, 2)
        obs[at, :2], next_obs[at, :2] = path[:-1], path[1:]
    never = np.zeros(len(rows.reward), bool)
    rows = rows._replace(obs=obs, next_obs=next_obs, env_params=wind)
    return prior_of(rows if end else rows._replace(terminated=never, reward=0 * rows.reward))


def random_winds(count: int, seed: int) -> list[tuple[float, float]]:
    return [tuple(wind) for wind in np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 2))]


def learned(prior: Prior, **settings: object) -> Extrinsics:
    usual: Any = {"size": 4, "steps": 600, "hidden": (32,), **settings}
    found = Extrinsics(Settings(**usual), prior, CPU)
    for _ in found.learn():
        pass
    return found


def test_a_window_holds_the_steps_before_a_row_newest_last_and_nothing_of_another_episode() -> None:
    windows = Windows(features=torch.arange(6.0).unsqueeze(1), first=torch.tensor([0, 0, 0, 3, 3, 3]))
    features, mask = windows.read(torch.tensor([2, 5, 3]), 3)
    assert features[0, 1:, 0].tolist() == [0.0, 1.0]
    assert features[1, :, 0].tolist() == [2.0, 3.0, 4.0]
    assert mask.tolist() == [[False, True, True], [False, True, True], [False, False, False]]
    _, mask = windows.read(torch.tensor([2, 5, 5]), 3, torch.tensor([1, 0, 9]))
    assert mask.tolist() == [[False, False, True], [False, False, False], [False, True, True]]


def test_fifty_steps_become_eleven_seven_and_three(
    small_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []

    def watched(x: torch.Tensor, *parts: Any) -> torch.Tensor:
        lengths.append(x.shape[1])
        return convolved(x, *parts)

    monkeypatch.setattr("slrl.learning.extrinsics.convolved", watched)
    for history, expected in ((50, [50, 11, 7]), (10, [40, 9, 5]), (120, [120, 29, 25])):
        found = Extrinsics(Settings(history=history), small_prior, CPU)
        lengths.clear()
        features, mask = found.windows.read(torch.tensor([0, 1]), found.history)
        assert found.infer(features, mask).shape == (2, 8)
        assert lengths == expected


@pytest.mark.parametrize(("kernel", "stride", "steps"), [(8, 4, 50), (5, 1, 11), (4, 4, 12)])
def test_a_convolution_as_one_product_is_that_of_torch(kernel: int, stride: int, steps: int) -> None:
    """Also its gradients; steps that the strides do not reach are the oldest."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, steps, 6, generator=draw, requires_grad=True)
    weight = torch.randn(kernel * 6, 7, generator=draw, requires_grad=True)
    bias = torch.randn(7, generator=draw, requires_grad=True)
    ours = convolved(x, weight, bias, kernel, stride)
    as_torch = weight.view(kernel, 6, 7).permute(2, 1, 0)
    read = x[:, (steps - kernel) % stride :].transpose(1, 2)
    theirs = torch.conv1d(read, as_torch, bias, stride=stride).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert convolved(x[:0], weight, bias, kernel, stride).shape == (0, *ours.shape[1:])
    goal = torch.randn(ours.shape, generator=draw)
    for mine, other in zip(
        torch.autograd.grad((ours * goal).sum(), [x, weight, bias]),
        torch.autograd.grad((theirs * goal).sum(), [x, weight, bias]),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_a_channel_of_the_convolution_at_a_time_is_the_embedding_of_that_step(small_prior: Prior) -> None:
    """The released rl_locomotion code reshapes (B, T, 32) to (B, 32, T), which mixes channels and times."""
    found = Extrinsics(Settings(), small_prior, CPU)
    features, mask = found.windows.read(torch.tensor([4, 12]), found.history)
    embedded = found.embed(features, mask)
    for b, t in ((0, 49), (1, 48)):
        by_hand = torch.relu(features[b, t] @ found.phi[0] + found.phi[1])
        torch.testing.assert_close(embedded[b, t], by_hand)


def test_the_prior_is_read_as_the_life_is_through_no_more_than_k_steps(small_prior: Prior) -> None:
    found = Extrinsics(Settings(history=10), replace(small_prior, env_params=None), CPU)
    row = torch.tensor([32])  # the twelfth of its episode
    features, mask = found.windows.read(row, found.history)
    assert int(mask.sum()) == 11
    mask[0, :-10] = False
    torch.testing.assert_close(found.latents()[32], found.infer(features, mask)[0])


def test_order_matters_and_what_is_not_there_does_not(small_prior: Prior) -> None:
    found = Extrinsics(Settings(), small_prior, CPU)
    features, mask = found.windows.read(torch.tensor([32]), found.history)
    z = found.infer(features, mask)
    assert int(mask.sum()) > 8
    order = torch.cat([torch.arange(40), torch.arange(49, 39, -1)])
    assert not torch.allclose(found.infer(features[:, order], mask), z, atol=1e-4)
    padded = torch.where(mask.unsqueeze(-1), features, torch.full_like(features, 123.0))
    torch.testing.assert_close(found.infer(padded, mask), z)


def test_phi_knows_winds_that_it_has_never_met() -> None:
    found = learned(windy_rows(random_winds(40, 1), 60))
    other = windy_rows(random_winds(20, 2), 60, seed=9)
    windows = found.windows_of(other.obs, other.action, other.next_obs, other.episode)
    rows = torch.arange(len(other))[59::60]
    with torch.no_grad():
        z = found.infer(*windows.read(rows, found.history))
        goal = found.encode(torch.tensor(other.env_params)[rows])
    mean = found.latents().mean(0)
    assert float((z - goal).square().mean()) < 0.1 * float((mean - goal).square().mean())


def test_without_parameters_the_latent_still_tells_the_wind() -> None:
    prior = windy_rows(random_winds(40, 1), 60)
    found = learned(replace(prior, env_params=None), steps=1000)
    assert not found.privileged
    late = np.arange(len(prior)) % 60 >= 30
    z = np.column_stack([found.latents().numpy(), np.ones(len(prior))])[late]
    wind = prior.env_params[late]
    fit, *_ = np.linalg.lstsq(z[::2], wind[::2])
    assert np.mean((z[1::2] @ fit - wind[1::2]) ** 2) < 0.3 * wind.var()


def test_the_dynamics_learn_a_world_and_add_up_beyond_it() -> None:
    found = learned(windy_rows(random_winds(40, 1), 60))
    obs, action = torch.zeros(1, 6), torch.tensor([[0.5, -0.5]])
    z = found.encode(torch.tensor([[-0.2, 0.85]]))
    next_obs, _ = found.dynamics.predict(obs, action, z)
    np.testing.assert_allclose(next_obs.mean(0)[0, :2].detach(), [0.3, 0.35], atol=0.1)


def test_dynamics_are_the_sum_of_their_two_paths_by_hand(small_prior: Prior) -> None:
    model = Dynamics(small_prior, torch.Generator().manual_seed(0), CPU, members=2, hidden=(4,))
    obs, action = torch.ones(3, 6), torch.full((3, 2), 0.5)
    x = torch.cat([model.normaliser(obs), action], -1)
    w1, b1, w2, b2 = (p[1] for p in model.params)
    w, b = (p[1] for p in model.linear)
    by_hand = (torch.relu(x @ w1 + b1) @ w2 + b2 + x @ w + b) * model.scale + model.mean
    next_obs, reward = model.predict(obs, action)
    torch.testing.assert_close(next_obs[1], obs + by_hand[:, :-1])
    torch.testing.assert_close(reward[1], by_hand[:, -1])


class Adds:
    """Dynamics that are known: s' = s + a + z in the first two entries, r = 3 z_0."""

    obs_dim = 6

    def predict(
        self, obs: torch.Tensor, action: torch.Tensor, z: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        moved = torch.cat([obs[:, :2] + action + z, obs[:, 2:]], -1)
        return moved.unsqueeze(0), 3 * z[:, :1].T


def counterfactual(
    prior: Prior, *, conditioned: bool = True, **settings: float
) -> tuple[Counterfactual, Buffer]:
    """The objective on latents that are the winds themselves."""
    latents = torch.tensor(prior.env_params)
    known = type(
        "Known",
        (),
        {
            "dynamics": Adds(),
            "prior": prior,
            "latents": lambda self: latents,
            "unexplained": lambda self: 0.01,
        },
    )()
    seen = with_latents(prior, latents.numpy()) if conditioned else prior
    agent = sac.make(sac.Settings(hidden=(8,)), seen, torch.Generator().manual_seed(0), CPU)
    rng = np.random.default_rng(0)
    return Counterfactual(objectives.Settings(**settings), agent, rng, known), Buffer(seen, 0, rng, CPU)


def test_rows_arrive_where_the_other_wind_and_the_other_action_would_have_carried_them() -> None:
    prior = windy_rows(random_winds(6, 1), 10, end=True)
    objective, buffer = counterfactual(prior, widen=2.0, keep=0.0, other_actions=1.0, ends=0)
    batch = buffer.rows(np.arange(len(prior)))
    moved = objective.relabel(batch)
    wind, other = torch.tensor(prior.env_params), moved.obs[:, 6:]
    lives = batch.terminated == 0
    expected = batch.next_obs[:, :2] + (moved.action - batch.action) + (other - wind)
    torch.testing.assert_close(moved.next_obs[lives, :2], expected[lives])
    torch.testing.assert_close(moved.next_obs[~lives, :6], batch.next_obs[~lives, :6])
    torch.testing.assert_close(moved.action[~lives], batch.action[~lives])
    torch.testing.assert_close(moved.next_obs[:, 6:], other)
    mean = wind.mean(0)  # twice as far from the mean as a row of the prior
    halved = mean + (other - mean) / 2
    assert all(bool((row - wind).abs().sum(1).min() < 1e-5) for row in halved)
    torch.testing.assert_close(moved.reward, batch.reward)  # sparse: kept


def test_a_dense_reward_moves_with_the_world_and_kept_rows_stay() -> None:
    prior = windy_rows(random_winds(6, 1), 10)
    prior = replace(prior, reward=np.arange(len(prior), dtype=np.float32))
    objective, buffer = counterfactual(prior, keep=0.0, other_actions=0.0)
    batch = buffer.rows(np.arange(len(prior)))
    moved = objective.relabel(batch)
    torch.testing.assert_close(moved.reward, batch.reward + 3 * (moved.obs[:, 6] - batch.obs[:, 6]))
    objective, buffer = counterfactual(prior, keep=1.0, other_actions=0.0)
    for one, other in zip(objective.relabel(batch), batch, strict=True):
        torch.testing.assert_close(one, other)


def test_every_batch_has_rows_that_ended_and_an_agent_need_not_be_told() -> None:
    prior = windy_rows(random_winds(6, 1), 10, end=True)
    objective, buffer = counterfactual(prior, conditioned=False, ends=4)
    batch = objective.with_ends(buffer.rows(np.arange(8)))
    assert batch.terminated[:4].tolist() == [1, 1, 1, 1]
    assert batch.bootstrap[:4].tolist() == [0, 0, 0, 0]
    np.testing.assert_array_equal(batch.obs[:4], prior.obs[batch.row[:4]])
    np.testing.assert_array_equal(batch.reward[:4], prior.reward[batch.row[:4]])
    assert objective.relabel(batch).obs.shape == (8, 6)
    assert "pretrain/critic_loss" in objective.update(batch)


def test_without_the_linear_path_mu_is_a_plain_network(small_prior: Prior) -> None:
    params = np.random.default_rng(0).normal(size=(len(small_prior), 2)).astype(np.float32)
    found = Extrinsics(Settings(linear=False), replace(small_prior, env_params=params), CPU)
    w1, b1, w2, b2 = found.mu
    x = (torch.tensor(params) - found.params_mean) / found.params_scale
    torch.testing.assert_close(found.encode(torch.tensor(params)), torch.relu(x @ w1 + b1) @ w2 + b2)
    before = [p.detach().clone() for p in found.mu]
    next(iter(found.learn()))
    assert all(not torch.equal(p, q) for p, q in zip(before, found.mu, strict=True))


class Nobody:
    """An inner adapter that is never asked."""


def test_the_fitted_latent_explains_a_wind_beyond_the_prior_better() -> None:
    prior = windy_rows(random_winds(40, 1), 60)
    world = windy_rows([(-1.5, 2.0)], 50, seed=3)
    found = learned(prior)
    table = {"name": "latent", "inner": {"name": "frozen"}, "extrinsics": {}, "fit_latent": 50, "fit_lr": 0.1}
    settings = AdapterPlugin.parse(table, "[adapter]").settings
    latent = Latent(settings, found, Nobody())  # type: ignore[arg-type]
    latent.history.recent = torch.cat(
        [torch.tensor(x) for x in (world.obs, world.action, world.reward[:, None], world.next_obs)], -1
    )
    latent.history.lived = torch.tensor(50)
    z = latent.history.inferred()
    rows = [torch.tensor(x) for x in (world.obs, world.action, world.reward, world.next_obs)]
    before, after = (
        float(found.dynamics.loss(*rows, one.expand(50, -1)).detach()) for one in (z, latent.fitted(z))
    )
    assert after < 0.5 * before


class Walked:
    """A source world of one episode: s' = s + a + wind, and what its adapter would have been told."""

    episode_steps, seed = 30, 0

    def __init__(self) -> None:
        self.steps: list[Transition] = []

    def draw(self) -> DrawnEpisode:
        return DrawnEpisode(Walk(self.steps), 0, np.array([0.1, -0.2], np.float32))  # type: ignore[arg-type]


class Walk:
    def __init__(self, steps: list[Transition]) -> None:
        self.steps, self.obs = steps, np.zeros(6, np.float32)

    def reset(self, *, seed: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        return self.obs, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        before = self.obs
        self.obs = before + np.array([action[0] + 0.1, action[1] - 0.2, 0, 0, 0, 0], np.float32)
        self.steps.append(Transition(before, action, 0.0, self.obs, False, False))
        return self.obs, 0.0, False, False, {}


class Noting:
    """A policy that stands for one on [s, z], and notes the z that it is given."""

    action_dim = 2

    def __init__(self) -> None:
        self.z: list[np.ndarray] = []

    def act(self, obs: np.ndarray, *, sample: bool = False) -> np.ndarray:
        self.z.append(obs[6:])
        return np.array([0.3, 0.1], np.float32)


class Noted(Noting):
    """The same as an inner adapter."""

    def observe(self, transition: Transition) -> dict[str, float]:
        return {}


@pytest.mark.parametrize("every", [1, 5, 7, 10])
def test_a_student_reads_z_at_the_steps_at_which_a_life_does(small_prior: Prior, every: int) -> None:
    found = Extrinsics(Settings(size=3, history=12), small_prior, CPU)
    table = {"name": "latent", "inner": {"name": "frozen"}, "extrinsics": {}, "refresh_every": every}
    settings, world = AdapterPlugin.parse(table, "[adapter]").settings, Walked()
    acting, inner = Noting(), Noted()
    student = Student(settings, found, acting, Any, 0)  # type: ignore[arg-type]
    student._episode(world)  # type: ignore[arg-type]
    latent = Latent(settings, found, inner)  # type: ignore[arg-type]
    for step in world.steps:
        latent.act(step.obs)
        latent.observe(step)
    np.testing.assert_array_equal(acting.z, inner.z)
    changes = [t for t in range(1, 30) if not np.array_equal(inner.z[t], inner.z[t - 1])]
    assert changes == list(range(every, 30, every))


def test_how_often_z_is_read_is_part_of_a_students_key(small_prior: Prior) -> None:
    prior = replace(small_prior, env_params=np.zeros((len(small_prior), 1), np.float32))
    world: Any = SimpleNamespace(about={})
    keys = {
        one.key
        for every in (5, 10)
        for top in setup.artefacts(
            adapters.load("rma", [("adapter.refresh_every", every)]), prior, 0, "cpu", world
        )
        for one in top.everything()
        if one.name == "student"
    }
    assert len(keys) == 2


@pytest.mark.slow
def test_rma_succeeds_in_a_wind_beyond_its_prior() -> None:
    scenario, prior = slrl.load_scenario("windy_pointmass"), slrl.load_prior("pointmass_breezy")
    steps = []
    for seed in range(20, 30):
        adapter = slrl.load_adapter("rma", prior, scenario, seed=seed, life_steps=1000)
        life = slrl.live(slrl.make(scenario, life_steps=1000), adapter, seed=seed)
        steps.append(life.steps)
    assert sum(count < 1000 for count in steps) >= 9
    assert np.mean(steps) <= 400


def test_settings_that_cannot_work_are_refused_in_one_sentence() -> None:
    for key, value, sentence in (
        ("adapter.extrinsics.history", 5, "10 steps or more"),
        ("adapter.extrinsics.sise", 5, "did you mean 'size'"),
        ("adapter.refresh_every", 0, "refresh_every must be 1 or more"),
        ("adapter.inner.name", "frosen", "did you mean 'frozen'"),
        ("pretrain.objective.keep", 2.0, "keep between 0 and 1"),
    ):
        with pytest.raises(slrl.BadInput, match=sentence):
            slrl.adapt("windy_pointmass", adapter="rma", overrides=[(key, value)], out=None)
    prior = slrl.load_prior("pointmass")
    method = adapters.load("rma", [("adapter.extrinsics.source", "env_params")])
    with pytest.raises(slrl.BadInput, match="did not record its physical parameters"):
        slrl.load_adapter(method, prior, slrl.load_scenario("windy_pointmass"))


def test_the_policy_climbs_only_where_the_model_is_trusted() -> None:
    prior = windy_rows(random_winds(6, 1), 10, end=True)
    trusted, _ = counterfactual(prior, trust=0.01)
    wary, buffer = counterfactual(prior, trust=0.005)
    assert trusted.climbs
    assert not wary.climbs
    batch = buffer.rows(np.arange(8))
    assert "pretrain/value_loss" in wary.update(batch)
    assert "pretrain/entropy" in trusted.update(batch)


def test_what_the_dynamics_leave_unexplained() -> None:
    """Noise of 0.02, actions of standard deviation 0.58, winds of 0.29: a thousandth is unexplained."""
    prior = windy_rows(random_winds(40, 1), 60)
    assert learned(prior).unexplained() < 0.03
    untold = learned(replace(prior, env_params=np.zeros((len(prior), 1), np.float32)))
    assert 0.1 < untold.unexplained() < 0.3  # 0.29² / (0.58² + 0.29²) = 0.2
