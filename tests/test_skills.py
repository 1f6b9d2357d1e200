"""Skills: courses and chains by hand, the anchored agent's divergence, and the states between skills."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl import adapters
from slrl.adapters.skills import Skills
from slrl.learning.agents import anchored
from slrl.learning.agents.anchored import Anchored, divergence
from slrl.learning.networks import Adam, Normaliser, mlp, mlp_params
from slrl.learning.offline import skill_iql
from slrl.learning.skills import Settings, SkillModel
from slrl.priors import Prior
from slrl.types import Metrics, Transition

from .conftest import prior_of, rows_of
from .test_sac import batch_of

CPU = torch.device("cpu")


def test_a_course_is_what_follows_a_row_and_ends_with_its_episode(small_prior: Prior) -> None:
    model = SkillModel(Settings(horizon=4), small_prior, CPU)
    assert model.length[:5].tolist() == [4, 4, 3, 2, 1]  # the first episode has five rows
    obs, action, mask = model.courses(np.array([3, 5]))
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    np.testing.assert_array_equal(obs[0, :2], small_prior.obs[3:5])
    np.testing.assert_array_equal(action[1], small_prior.action[5:9])


def test_what_lies_behind_the_end_of_a_course_does_not_change_its_skill(small_prior: Prior) -> None:
    model = SkillModel(Settings(horizon=4), small_prior, CPU)
    obs, action, mask = model.courses(np.array([3]))
    before = model.encode(obs, action, mask)
    action[0, 2:] = obs[0, 2:] = 9.0
    for one, other in zip(before, model.encode(obs, action, mask), strict=True):
        torch.testing.assert_close(one, other)


def test_the_prior_in_skills_by_hand() -> None:
    """Seven steps in skills of three: chains 0-3-6, 1-4 and 2-5, of 3, 3, 1 and 3, 3 and 3, 2 steps."""
    rows = rows_of([7, 4])
    prior = prior_of(rows._replace(reward=np.arange(11, dtype=np.float32)))
    model = SkillModel(Settings(horizon=3, size=2), prior, CPU)
    skills = model.as_prior(model.encoded())
    starts = [0, 3, 6, 1, 4, 2, 5, 7, 10, 8, 9]
    np.testing.assert_array_equal(skills.obs, prior.obs[starts])
    np.testing.assert_array_equal(skills.next_obs, prior.next_obs[[2, 5, 6, 3, 6, 4, 6, 9, 10, 10, 10]])
    assert skills.reward.tolist() == [3, 12, 6, 6, 15, 9, 11, 24, 10, 27, 19]
    assert skills.episode.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5]
    assert skills.terminated.tolist() == [
        False,
        False,
        True,
        False,
        True,
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    assert skills.truncated.tolist() == [False] * 8 + [True, True, True]
    assert skills.action.shape == (11, 2)
    assert np.abs(skills.action).max() <= 1


def wanderers(episodes: int, seed: int) -> Prior:
    """Walks that keep one of four directions for ten steps; the state alone does not show which."""
    rng = np.random.default_rng(seed)
    rows = rows_of([40] * episodes, seed=seed)
    ways = np.array([[0.8, 0], [-0.8, 0], [0, 0.8], [0, -0.8]])
    action = np.repeat(ways[rng.integers(4, size=episodes * 4)], 10, 0) + rng.normal(
        0, 0.05, (episodes * 40, 2)
    )
    obs = rng.normal(size=rows.obs.shape)
    return prior_of(rows._replace(action=action.astype(np.float32), obs=obs.astype(np.float32)))


def test_a_decoder_rebuilds_held_out_actions_better_than_a_clone_without_skills() -> None:
    prior, other = wanderers(40, 1), wanderers(10, 2)
    model = SkillModel(Settings(size=4, steps=600, hidden=32), prior, CPU)
    for _ in model.learn():
        pass
    held_out = SkillModel(Settings(size=4, hidden=32), other, CPU)
    obs, action, _ = held_out.courses(np.arange(0, len(other), 10))
    with torch.no_grad():
        mean, _ = model.encode(obs, action, torch.ones(obs.shape[:2], dtype=torch.bool))
        skill = (2 * torch.tanh(mean)).unsqueeze(1).expand(-1, 10, -1)
        with_skill = float((model.decode(obs, skill) - action).square().mean())
    clone = mlp_params((6, 32, 32, 2), torch.Generator().manual_seed(0), CPU)
    optimiser, normalise, rng = Adam(clone, 1e-3), Normaliser(prior, CPU), np.random.default_rng(0)
    x, y = normalise(torch.tensor(prior.obs)), torch.tensor(prior.action)
    for _ in range(600):
        at = rng.integers(len(prior), size=256)
        optimiser.step(torch.autograd.grad((torch.tanh(mlp(clone, x[at])) - y[at]).square().mean(), clone))
    with torch.no_grad():
        cloned = float(
            (torch.tanh(mlp(clone, normalise(obs.flatten(0, 1)))) - action.flatten(0, 1)).square().mean()
        )
    assert with_skill < 0.5 * cloned


def test_divergence_of_gaussians_by_hand() -> None:
    """KL(N(1, 1) ‖ N(0, 2)) = log 2 + (1 + 1) / 8 - 1/2, and twice that in two dimensions."""
    mean, log_std = torch.ones(1, 2), torch.zeros(1, 2)
    found = divergence(mean, log_std, torch.zeros(1, 2), torch.full((1, 2), float(np.log(2))))
    assert float(found) == pytest.approx(2 * (np.log(2) + 0.25 - 0.5))
    assert float(divergence(mean, log_std, mean, log_std)) == 0.0


def test_the_anchored_agent_pays_for_leaving_its_anchor(small_prior: Prior) -> None:
    agent = Anchored(anchored.Settings(hidden=(8,)), small_prior, torch.Generator().manual_seed(0), CPU)
    obs, noise = torch.tensor(small_prior.obs[:4]), torch.zeros(4, 2)
    assert agent.sample(obs, noise)[1].min().item() >= 0.0
    agent.anchor_here()
    assert agent.sample(obs, noise)[1].abs().max().item() == 0.0
    with torch.no_grad():
        agent.actor[-1] += 0.3
    assert agent.sample(obs, noise)[1].min().item() > 0.0
    assert agent.entropy_goal == -1.0


def test_the_skill_prior_is_the_policy_of_the_last_step_before_the_life(small_prior: Prior) -> None:
    agent = Anchored(anchored.Settings(hidden=(8,)), small_prior, torch.Generator().manual_seed(0), CPU)
    objective = skill_iql.make(skill_iql.Settings(), agent)
    for _ in range(2):
        before = [p.clone() for p in agent.actor]
        objective.update(batch_of(small_prior))
        assert not torch.equal(agent.actor[0], before[0])
        assert all(torch.equal(held, p) for held, p in zip(agent.anchor, agent.actor, strict=True))


class Recorder:
    """Stands in for the inner adapter: remembers what it is asked and told."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        self.told: list[Transition] = []

    def act(self, obs: np.ndarray) -> np.ndarray:
        self.asked.append(obs.copy())
        return np.full(3, 0.1 * len(self.asked), np.float32)

    def observe(self, transition: Transition) -> Metrics:
        self.told.append(transition)
        return {}


def held(prior: Prior, horizon: int) -> tuple[Skills, Recorder]:
    inner = Recorder()
    return Skills(SkillModel(Settings(horizon=horizon, size=3), prior, CPU), prior.obs.shape[1], inner), inner


def test_boundary_states_are_where_skills_were_drawn(small_prior: Prior) -> None:
    """SPiRL's released sampler stores the state one step later."""
    adapter, inner = held(small_prior, 3)
    obs = small_prior.obs
    for step in range(8):
        action = adapter.act(obs[step])
        adapter.observe(Transition(obs[step], action, float(step), obs[step + 1], step == 7, False))
    np.testing.assert_array_equal(inner.asked, obs[[0, 3, 6]])
    assert [told.reward for told in inner.told] == [0 + 1 + 2, 3 + 4 + 5, 6 + 7]
    np.testing.assert_array_equal([told.obs for told in inner.told], obs[[0, 3, 6]])
    np.testing.assert_array_equal([told.next_obs for told in inner.told], obs[[3, 6, 8]])
    np.testing.assert_allclose([told.action[0] for told in inner.told], [0.1, 0.2, 0.3], rtol=1e-6)
    assert [told.terminated for told in inner.told] == [False, False, True]


def test_a_skill_sees_the_state_it_acts_in(small_prior: Prior) -> None:
    adapter, _ = held(small_prior, 3)
    for step in range(3):
        row = torch.tensor(small_prior.obs[step])[None]
        by_hand = adapter.model.decode(row, torch.full((1, 3), 0.2))[0].detach()
        np.testing.assert_allclose(adapter.act(small_prior.obs[step]), by_hand, rtol=1e-5)
        adapter.observe(
            Transition(
                small_prior.obs[step], np.zeros(2, np.float32), 0.0, small_prior.obs[step], False, False
            )
        )


def test_what_skills_cannot_be_made_of_is_refused_in_one_sentence(small_prior: Prior) -> None:
    scenario = slrl.load_scenario("windy_pointmass")
    short = replace(prior_of(rows_of([5, 5])), name="short")
    with pytest.raises(slrl.BadInput, match="no episode of 10 steps"):
        slrl.load_adapter("skills", short, scenario)
    with pytest.raises(slrl.BadInput, match="needs the agent 'anchored'"):
        slrl.load_adapter(
            adapters.load("skills", [("adapter.skills.steps", 5), ("agent", agent_table())]),
            small_prior,
            scenario,
        )
    with pytest.raises(
        slrl.BadInput, match=r"\[adapter.skills\] of adapter 'skills': horizon must be 1 or more"
    ):
        adapters.load("skills", [("adapter.skills.horizon", 0)])


def agent_table() -> dict[str, Any]:
    return {"name": "sac", "hidden": [8]}
