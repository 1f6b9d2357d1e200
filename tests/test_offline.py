"""Objectives before the life: numbers worked out by hand, every parameter moves, and each of them learns."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl import adapters, plugins
from slrl.errors import BadInput
from slrl.learning import pretrain
from slrl.learning.agents.sac import Sac
from slrl.learning.cache import Artefact, LearnedCache
from slrl.learning.offline import bc, cal_ql, iql
from slrl.learning.offline.cal_ql import calibrated_gap
from slrl.learning.offline.iql import advantage_weight, expectile_loss
from slrl.learning.pretrain import AgentSource, PretrainedAgent
from slrl.plugins import AgentPlugin, ObjectivePlugin
from slrl.priors import Prior
from slrl.types import Batch

from .conftest import prior_of, rows_of
from .test_sac import CPU, batch_of, constant, make_sac


def test_expectile_loss_by_hand() -> None:
    # |0.7 - 1(u < 0)| u²: 0.7 · 4 for u = 2 and 0.3 · 9 for u = -3
    assert expectile_loss(torch.tensor([2.0, -3.0]), 0.7).item() == pytest.approx((0.7 * 4 + 0.3 * 9) / 2)


def test_advantage_weight_by_hand() -> None:
    weight = advantage_weight(torch.tensor([-1.0, 0.0, 1.0, 10.0]), beta=3.0, largest=100.0)
    assert weight.tolist() == pytest.approx([math.exp(-3), 1.0, math.exp(3), 100.0], rel=1e-5)


def test_the_target_of_iql_by_hand() -> None:
    """V = 2 everywhere, Q = 3: y = 10 · r + γ · bootstrap · 2 and the critic's loss is Σ_k mean (3 - y)²."""
    prior = prior_of(rows_of([2], obs_dim=1, action_dim=1))  # rewards 0, 1; the second row is terminal
    agent = make_sac(prior, discount=0.5, reward_scale=10.0, critic_lr=1e-12, actor_lr=1e-12)
    objective = iql.make(iql.Settings(), agent)
    with torch.no_grad():
        for params, bias in ((objective.value, 2.0), (agent.critic, 3.0), (agent.target, 3.0)):
            for p in params:
                p.zero_()
            params[-1].fill_(bias)
    metrics = objective.update(batch_of(prior))
    # y = 0 + 0.5 · 2 = 1 and y = 10: (4 + 49) / 2 for each of the two critics
    assert float(metrics["pretrain/critic_loss"]) == pytest.approx(53.0, abs=1e-3)
    assert float(metrics["pretrain/value_loss"]) == pytest.approx(0.7 * 1.0)  # u = 3 - 2


def test_the_value_of_iql_descends_to_the_smaller_of_the_targets() -> None:
    """Q̄ = 3 and 5, Q = 10, V = 2: u = 1, and not 2 of their mean, 8 of the critics or 3 of the larger."""
    prior = prior_of(rows_of([2], obs_dim=1, action_dim=1))
    agent = make_sac(prior)
    objective = iql.make(iql.Settings(expectile=0.9), agent)
    constant(agent.critic, 10.0, 10.0)
    constant(agent.target, 3.0, 5.0)
    with torch.no_grad():
        for p in objective.value:
            p.zero_()
        objective.value[-1].fill_(2.0)
    assert float(objective.update(batch_of(prior))["pretrain/value_loss"]) == pytest.approx(0.9 * 1.0)


def test_iql_weights_the_policy_with_the_value_after_its_step() -> None:
    """Q̄ = 3, V = 2 everywhere; Adam's first step moves V's bias by the rate 0.5 to 2.5: w = exp(3 · 0.5)."""
    prior = prior_of(rows_of([2], obs_dim=1, action_dim=1))
    agent = make_sac(prior, critic_lr=0.5, actor_lr=1e-12)
    objective = iql.make(iql.Settings(), agent)
    with torch.no_grad():
        for params, bias in ((objective.value, 2.0), (agent.target, 3.0)):
            for p in params:
                p.zero_()
            params[-1].fill_(bias)
        batch = batch_of(prior)
        log_prob = agent.log_prob(agent.normaliser(batch.obs), batch.action).mean()
    loss = float(objective.update(batch)["pretrain/actor_loss"])
    assert loss == pytest.approx(float(-math.exp(3 * 0.5) * log_prob), rel=1e-4)


def test_the_calibrated_gap_by_hand() -> None:
    """One critic, state and action per source: uniform 0, policy at s 1, policy at s' 4, return-to-go 2."""
    q = torch.tensor([0.0, 1.0, 4.0]).reshape(1, 3, 1, 1)
    log_p = torch.log(torch.tensor([0.5, 1.0, 2.0])).reshape(3, 1, 1)
    gap = calibrated_gap(q, log_p, q_data=torch.tensor([[3.0]]), returns=torch.tensor([2.0]))
    # log(e^0 / 0.5 + e^max(1, 2) / 1 + e^max(4, 2) / 2) - 3; the uniform action is not lifted to the return
    assert gap.item() == pytest.approx(math.log(2 + math.e**2 + math.e**4 / 2) - 3, abs=1e-5)


def test_the_largest_of_several_actions_values_by_hand() -> None:
    """Two actions in three states; the entropy is that of the action whose value is the largest."""
    q = torch.tensor([[1.0, 5.0, -3.0], [2.0, 4.0, -4.0]])
    log_prob = torch.tensor([[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]])
    assert cal_ql.largest(q, log_prob, 0.0).tolist() == [2.0, 5.0, -3.0]
    assert cal_ql.largest(q, log_prob, 0.1).tolist() == pytest.approx([2 - 0.1, 5 - 2, -3 - 3])


@pytest.mark.parametrize(
    ("backup_entropy", "expected"), [(False, [12.0, 10.0]), (True, [12.0 - 0.5 * 0.25 * 3, 10.0])]
)
def test_the_max_target_by_hand(
    monkeypatch: pytest.MonkeyPatch, backup_entropy: bool, expected: list[float]
) -> None:
    """Q̄_1 = a and Q̄_2 = a + 1, of which the smaller counts; three actions are drawn in each of two states.

    r = 0, 1, scaled by 10; γ = 0.5, α = 0.25; the second row is terminal. In the first state the actions are
    4, 24 and -6 with log π = 1, 3 and 9: y = 0 + 0.5 · 24 = 12, or with the entropy 0.5 · (24 - 0.25 · 3).
    """
    prior = prior_of(rows_of([2], obs_dim=1, action_dim=1))
    agent = make_sac(
        prior, discount=0.5, reward_scale=10.0, backup_entropy=backup_entropy, initial_temperature=0.25
    )
    objective = cal_ql.make(cal_ql.Settings(max_target_actions=3), agent)
    drawn = torch.tensor(
        [[4.0], [7.0], [24.0], [8.0], [-6.0], [9.0]]
    )  # of state 1, of state 2, of state 1, …
    log_prob = torch.tensor([1.0, 5.0, 3.0, 5.0, 9.0, 5.0])
    monkeypatch.setattr(agent, "sample", lambda obs, noise: (drawn, log_prob))
    slow = {id(agent.target): 0.0, id(agent.critic): 100.0}  # the slow copies are asked
    monkeypatch.setattr(
        agent, "q", lambda which, obs, a: torch.stack([a[:, 0], a[:, 0] + 1]) + slow[id(which)]
    )
    batch = batch_of(prior)
    target = objective.targets(10 * batch.reward, agent.normaliser(batch.next_obs), batch.bootstrap)
    assert target.tolist() == pytest.approx(expected)


def test_the_max_target_is_what_the_critics_learn(
    small_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All critics say 3, all targets 7: the loss is Σ_k mean (3 - 7)²; without the option it is SAC's."""
    agent = make_sac(small_prior)
    objective = cal_ql.make(cal_ql.Settings(max_target_actions=4, conservative_weight=0.0), agent)
    monkeypatch.setattr(objective, "targets", lambda *parts: torch.full((len(small_prior),), 7.0))
    with torch.no_grad():
        for p in agent.critic:
            p.zero_()
        agent.critic[-1].fill_(3.0)
    metrics = objective.update(batch_of(small_prior))
    assert float(metrics["pretrain/td_loss"]) == pytest.approx(32.0)
    assert float(metrics["pretrain/q"]) == pytest.approx(3.0)


def test_cal_ql_pretrains_its_adapter_which_mixes_prior_and_life_in_halves() -> None:
    method = adapters.load("cal_ql")
    assert method.pretrain is not None
    assert method.pretrain.objective.settings == cal_ql.Settings(sampled_actions=4, max_target_actions=4)
    assert method.adapter.settings.prior_fraction == 0.5
    assert method.adapter.settings.guidance.name == "none"
    with pytest.raises(slrl.BadInput, match="max_target_actions must be 0 or more"):
        adapters.load("cal_ql", [("pretrain.objective.max_target_actions", -1)])


@pytest.mark.parametrize("name", ["iql", "cal_ql", "bc"])
def test_every_parameter_changes(small_prior: Prior, name: str) -> None:
    agent = make_sac(small_prior)
    objective: Any = objective_of(agent, name)
    before = {key: value.clone() for key, value in agent.state_dict().items()}
    for _ in range(3):
        objective.update(batch_of(small_prior))
    parts = {"bc": ["actor"]}.get(name, ["actor", "critic", "target"])
    for key, value in agent.state_dict().items():
        if key.split(".")[0] in parts:
            assert not torch.equal(value, before[key]), key


def bandit() -> Prior:
    """The best action equals the observation, the prior's are anything, and each row is an episode."""
    rng = np.random.default_rng(0)
    rows = rows_of([1] * 3000, obs_dim=1, action_dim=1)
    obs = rng.uniform(-0.8, 0.8, (3000, 1)).astype(np.float32)
    action = rng.uniform(-1, 1, (3000, 1)).astype(np.float32)
    reward = (1.0 - 4.0 * (action - obs)[:, 0] ** 2).astype(np.float32)
    return prior_of(
        rows._replace(
            obs=obs,
            action=action,
            reward=reward,
            terminated=np.ones(3000, bool),
            truncated=np.zeros(3000, bool),
        )
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("iql", {"expectile": 0.8, "advantage_temperature": 5.0}),
        ("cal_ql", {"conservative_weight": 0.5}),
        ("cal_ql", {"conservative_weight": 0.5, "max_target_actions": 5}),
    ],
)
def test_it_learns_the_best_actions_of_a_prior_that_acts_at_random(
    name: str, settings: dict[str, Any]
) -> None:
    prior, rng = bandit(), np.random.default_rng(1)
    agent = make_sac(
        prior,
        actor_lr=3e-3,
        critic_lr=3e-3,
        initial_temperature=0.05,
        target_entropy=-2.0,
        hidden=(32, 32),
        polyak=0.05,
    )
    objective: Any = objective_of(agent, name, **settings)
    everything = batch_of(prior)
    for _ in range(500):
        index = torch.from_numpy(rng.integers(3000, size=128))
        objective.update(Batch(*(column[index] for column in everything)))
    obs = np.linspace(-0.7, 0.7, 15, dtype=np.float32)[:, None]
    error = np.mean([np.abs(agent.act(o, sample=False) - o) for o in obs])
    random = np.mean(np.abs(prior.action - prior.obs))
    assert error < 0.3 * random


def test_cloning_imitates() -> None:
    rows = rows_of([2000], obs_dim=1, action_dim=1)
    prior = prior_of(rows._replace(action=np.tanh(rows.obs)))
    agent = make_sac(prior, actor_lr=3e-3)
    objective = bc.make(bc.Settings(), agent)
    for _ in range(400):
        objective.update(batch_of(prior))
    obs = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    assert np.mean([np.abs(agent.act(o, sample=False) - np.tanh(o)) for o in obs]) < 0.05


def test_calibration_needs_the_returns_of_the_prior(small_prior: Prior) -> None:
    agent = make_sac(small_prior, reward_scale=10.0, discount=0.5)
    returns = cal_ql.make(cal_ql.Settings(), agent)._returns
    np.testing.assert_allclose(returns.numpy(), 10 * small_prior.returns_to_go(0.5))


def test_a_step_of_cal_ql_is_calibrated_by_the_returns_of_its_rows(small_prior: Prior) -> None:
    """Returns of 1,000 lift the policy's actions by about so much, for each of two critics that say 0."""
    agent = make_sac(small_prior)
    objective = cal_ql.make(cal_ql.Settings(), agent)
    objective._returns = torch.where(torch.arange(len(small_prior)) < 10, 1000.0, -1000.0)
    everything, gaps = batch_of(small_prior), []
    for rows in (slice(0, 10), slice(10, 33)):
        constant(agent.critic, 0.0, 0.0)
        batch = Batch(*(column[rows] for column in everything))
        gaps.append(float(objective.update(batch)["pretrain/conservative_gap"]))
    assert gaps[0] == pytest.approx(2000, abs=30)  # log Σ exp(Q - log p) of twenty actions is a few nats
    assert abs(gaps[1]) < 30


def test_a_life_begins_with_new_optimisers_and_the_temperature_of_its_settings(small_prior: Prior) -> None:
    agent = make_sac(small_prior, initial_temperature=0.5)
    objective = ObjectivePlugin.parse({"name": "cal_ql"}, "[pretrain.objective]")
    settings = pretrain.Settings(objective=objective, steps=3, batch_size=8)
    steps = PretrainedAgent(agent, settings, 0, None).learn()
    optimisers = (agent.actor_optimiser, agent.critic_optimiser, agent.temperature_optimiser)
    next(steps), next(steps)
    assert all(bool(t.any()) for one in optimisers for t in one.tensors())
    assert agent.log_temperature.item() != pytest.approx(math.log(0.5), abs=1e-6)
    next(steps)
    after = (agent.actor_optimiser, agent.critic_optimiser, agent.temperature_optimiser)
    assert not any(bool(t.any()) for one in after for t in one.tensors())
    assert agent.log_temperature.item() == pytest.approx(math.log(0.5), abs=1e-7)


def test_the_learning_rates_fall_to_nothing_over_the_last_steps(small_prior: Prior) -> None:
    """Of ten steps the last four make 1, 3/4, 1/2 and 1/4 of a step; the life begins with whole ones."""
    agent = make_sac(small_prior, actor_lr=0.01, critic_lr=0.02)
    objective = ObjectivePlugin.parse({"name": "cal_ql"}, "[pretrain.objective]")
    settings = pretrain.Settings(objective=objective, steps=10, batch_size=8, decay=0.4)
    optimisers = (agent.actor_optimiser, agent.critic_optimiser)
    rates = [[one.lr for one in optimisers] for _ in PretrainedAgent(agent, settings, 0, None).learn()]
    shares = [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    np.testing.assert_allclose(rates, np.outer(shares, [0.01, 0.02]))
    assert (agent.actor_optimiser.lr, agent.critic_optimiser.lr) == (0.01, 0.02)


def test_decay_is_a_share_and_of_an_objective() -> None:
    for table, why in (({"decay": 1.5}, "between 0 and 1"), ({"decay": 0.5}, "there is none")):
        with pytest.raises(BadInput, match=why):
            plugins.bind(pretrain.Settings, table, where="[pretrain]")


def objective_of(agent: Sac, name: str, **settings: Any) -> Any:
    """As a ``[pretrain.objective]`` table makes it."""
    rng = np.random.default_rng(0)
    return ObjectivePlugin.parse({"name": name, **settings}, "[pretrain.objective]").make(
        agent=agent, rng=rng, latents=None
    )


def source(steps: int | None = 10, life_seed: int = 3, seed: int = 0) -> AgentSource:
    """Of an agent that learns for so many steps before the life, or not at all."""
    table = {"objective": {"name": "iql"}, "steps": steps, "batch_size": 8}
    plan = None if steps is None else plugins.bind(pretrain.Settings, table, where="[pretrain]")
    agent = AgentPlugin.parse({"name": "sac", "hidden": [8]}, "[agent]")
    return AgentSource(agent=agent, pretrain=plan, seed=seed, life_seed=life_seed, device=CPU)


def root(prior: Prior) -> Artefact[Prior]:
    return Artefact(name="prior", build=lambda: prior, about={"sha256": prior.sha256}, stored=False)


def test_pretraining_is_done_once_and_the_cached_agent_is_exactly_the_trained_one(
    small_prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = LearnedCache().get(source().artefact(root(small_prior))).agent
    monkeypatch.setattr(PretrainedAgent, "learn", None)  # whoever learns again now fails
    cached = LearnedCache().get(source().artefact(root(small_prior))).agent
    for key, value in trained.state_dict().items():
        assert torch.equal(value, cached.state_dict()[key]), key
    for other in (source(steps=11), source(seed=1)):  # other settings, or another pretraining: another agent
        with pytest.raises(TypeError):
            LearnedCache().get(other.artefact(root(small_prior)))


def test_lives_begin_with_the_same_weights_and_their_own_randomness(small_prior: Prior) -> None:
    scenario = slrl.load_scenario("windy_pointmass")
    method = adapters.load(
        "frozen", [("pretrain.steps", 10), ("agent.hidden", [8]), ("adapter.sample", True)]
    )
    one, two = (slrl.load_adapter(method, small_prior, scenario, seed=seed) for seed in (3, 4))
    again = slrl.load_adapter(method, small_prior, scenario, seed=3)
    assert torch.equal(one.agent.actor[0], two.agent.actor[0])  # type: ignore[attr-defined]
    obs = small_prior.obs[0]
    first = one.act(obs)
    assert not np.array_equal(first, two.act(obs))
    np.testing.assert_array_equal(first, again.act(obs))


def test_without_pretraining_the_weights_come_from_the_lifes_seed(small_prior: Prior) -> None:
    prior = root(small_prior)
    one, two = (LearnedCache().get(source(None, seed).artefact(prior)).agent for seed in (0, 1))
    assert not torch.equal(one.actor[0], two.actor[0])
