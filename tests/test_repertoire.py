"""The repertoire: practice in the source world, what is chosen in the life, and going on from a state."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import slrl
from slrl import adapters, envs
from slrl.adapters import repertoire as adapter
from slrl.adapters.repertoire import AFTER, BASE, PLAY, REST, Posterior, Repertoire
from slrl.errors import BadInput
from slrl.learning import repertoire
from slrl.learning.behaviours import Behaviour, Genes
from slrl.learning.clones import Clones
from slrl.learning.feeling import Feeling, Turns, beginning, best_episodes, windows
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.repertoire import Rhythm
from slrl.priors import Prior
from slrl.types import F32, Transition

from .conftest import prior_of, rows_of

SCENARIO = "cheetah_upside_down"


def running(steps: int = 60, episodes: int = 6) -> Prior:
    """Random observations of a half-cheetah near its start; later episodes have more reward."""
    rng = np.random.default_rng(0)
    prior = prior_of(rows_of([steps] * episodes, obs_dim=17, action_dim=6))
    reward = prior.episode + 0.1 * rng.normal(size=len(prior)).astype(np.float32)
    none = np.zeros(len(prior), np.bool_)
    scaled = {"obs": 0.1 * prior.obs, "next_obs": 0.1 * prior.next_obs}
    return replace(prior, **scaled, reward=reward.astype(np.float32), terminated=none)


# --- behaviours and numbers by hand -------------------------------------------------------------------------


def test_a_pattern_is_held_and_begins_anew() -> None:
    pattern = np.array([[1.0, 0.0], [-0.5, 0.5]])
    behaviour = Behaviour(2, 0.0, pattern)
    played = [behaviour.act(step, lambda: pytest.fail("asked the policy")).tolist() for step in range(5)]
    assert played == [[1, 0], [1, 0], [-0.5, 0.5], [-0.5, 0.5], [1, 0]]


def test_behind_a_pattern_is_the_policys_action_times_a_gain() -> None:
    policy = np.array([0.8, -0.4], np.float32)
    action = Behaviour(1, 0.5, np.array([[0.9, 0.1]])).act(0, lambda: policy)
    np.testing.assert_allclose(action, [1.0, -0.1], atol=1e-6)  # 0.4 + 0.9 is cut


def test_genes_stand_for_hold_length_gain_and_pattern() -> None:
    genes = Genes((2, 3, 4), 1)
    behaviour = genes.behaviour(np.array([2, 3, 1, 0.1, 0.2, 0.3, *[9.0] * 7]))
    assert (behaviour.hold, behaviour.gain) == (4, 0.5)
    np.testing.assert_allclose(behaviour.pattern, [[0.1], [0.2], [0.3]])


def test_mutants_are_behaviours_too() -> None:
    genes, rng = Genes((2, 3), 3), np.random.default_rng(0)
    one = genes.new(rng)
    for _ in range(200):
        one = genes.mutated(one, rng)
        behaviour = genes.behaviour(one)
        assert 2 <= len(behaviour.pattern) <= 10
        assert np.abs(behaviour.pattern).max() <= 1
        assert behaviour.hold in (2, 3)


def test_steps_follow_from_the_time_that_one_takes() -> None:
    settings = repertoire.Settings()
    assert Rhythm.of(settings, 0.05) == Rhythm(50, 25, 20, (2, 3, 4, 5, 6))
    walker = Rhythm.of(settings, 0.008)
    assert (walker.play, walker.after, walker.window) == (100, 60, 60)


def test_the_best_episodes_hold_a_share_of_the_rows() -> None:
    prior = prior_of(rows_of([3, 6, 3]))
    prior = replace(prior, reward=np.repeat([2, 0, 4], [3, 6, 3]).astype(np.float32))
    for share, rows in ((0.1, [(9, 12)]), (0.5, [(0, 3), (9, 12)]), (0.6, [(0, 3), (3, 9), (9, 12)])):
        assert [(own.start, own.stop) for own in best_episodes(prior, share)] == rows
    good = best_episodes(prior, 0.5)
    assert [one.tolist() for one in windows(prior, good, 2)] == [[2, 2], [4, 4]]
    assert windows(prior, good, 4) == []


def test_a_beginning_lasts_until_the_first_window_that_is_as_usual() -> None:
    prior = prior_of(rows_of([6, 6]))
    prior = replace(prior, reward=np.array([0, 0, 0, 4, 4, 4, 0, 4, 4, 4, 4, 4], np.float32))
    both = [slice(0, 6), slice(6, 12)]
    assert beginning(prior, both[:1], 2, 3.0) == 5  # steps 4 and 5
    assert beginning(prior, both, 2, 3.0) == 5
    assert beginning(prior, both[1:], 2, 3.0) == 3
    assert beginning(prior, both, 2, 9.0) == 2  # never


def test_a_whole_turn_feels_like_none() -> None:
    prior = running()
    turns = Turns(prior)
    turns._angles[1] = True
    feeling = Feeling(prior, turns)
    rest = np.zeros((10, 17), np.float32)
    rest[:, 0], rest[:, 1] = np.linspace(-1, 1, 10), np.linspace(-3, 3, 10)  # only these differ at rest
    feeling.learn(rest)
    assert np.flatnonzero(feeling.standing).tolist() == [0, 1]
    obs = np.full(17, 0.3, np.float32)
    turned = obs.copy()
    turned[1] += 2 * np.pi
    np.testing.assert_allclose(feeling(obs), feeling(turned), atol=1e-5)
    other = obs.copy()
    other[9] += 5  # a speed
    np.testing.assert_array_equal(feeling.posture(obs), feeling.posture(other))


def test_a_quaternion_has_one_sign_and_a_posture_no_heading() -> None:
    """By hand: a quarter turn about x, with any heading, has "up" along the body's y."""
    prior = running()
    prior = replace(prior, obs=prior.obs + np.eye(17, dtype=np.float32)[3])  # whose w is near 1
    turns = Turns(prior)
    turns._first[3] = True
    level = np.zeros(17, np.float32)
    level[3] = 1
    tilted = []
    for heading in (0.0, 0.7, -2.0):
        w, z = np.cos(heading / 2), np.sin(heading / 2)
        obs = np.full(17, 0.2, np.float32)
        obs[3:7] = np.array([w, w, z, z]) * np.sqrt(0.5)  # the heading's times a quarter turn about x
        tilted.append(obs)
    np.testing.assert_allclose(turns.upright(level)[3:7], [0, 0, 1, 0], atol=1e-6)
    for obs in tilted:
        np.testing.assert_allclose(turns.upright(obs)[3:7], [0, 1, 0, 0], atol=1e-6)
        other = obs.copy()
        other[3:7] *= -1
        np.testing.assert_array_equal(turns.whole(obs), turns.whole(other))
    np.testing.assert_array_equal(turns.whole(-level)[3:7], [1, 0, 0, 0])
    np.testing.assert_allclose(turns.upright(np.stack(tilted))[:, 3:7], [[0, 1, 0, 0]] * 3, atol=1e-6)


# --- what is chosen -----------------------------------------------------------------------------------------


def posterior_of(
    outcomes: Any, felt: Any, ways: Any = None, falls: Any = None, noise: float = 1.0, **settings: Any
) -> Posterior:
    """Of these rewards, and of the policy, which gets 0, and of doing nothing."""
    rows = np.array([*outcomes, [0.0] * len(felt), [0.0] * len(felt)], np.float32)
    none = np.zeros_like(rows)
    ways, falls = (none if one is None else np.array([*one, *none[-2:]], np.float32) for one in (ways, falls))
    felt = np.array(felt, np.float32)
    return Posterior(adapter.Settings(**settings), rows, (ways, falls), felt, noise=noise, worth=4.0)


def credit(
    posterior: Posterior, choice: int, here: F32, gain: float, on: bool = False, fell: bool = False
) -> None:
    posterior.credit(choice, here, gain, on=on, fell=fell)


def test_what_was_measured_moves_the_expectation_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One plight: the practice counts as 0.5 plays, a play in the same place as one."""
    monkeypatch.setattr(adapter, "DOUBTS", 1)
    posterior = posterior_of([[1.0], [3.0]], [[0.0, 0.0]], confidence=0.5)
    here = np.zeros(2, np.float32)
    mean, std = posterior.of(here)
    np.testing.assert_allclose(mean, [1, 3, 0, 0])
    np.testing.assert_allclose(std, 1 / np.sqrt(0.5))  # the noise of practice is 1
    credit(posterior, 1, here, 0.0)
    # The miss was 3, of a normal with 0.5 plays behind it: 0.5 / 1.5 · 9 = 3, beside the practice's 1.
    assert posterior.noise == pytest.approx(np.sqrt((1 + 3) / 2))
    # Of the four choices' mean square, 10 / 4, all was kept, of the promised 3 nothing.
    assert posterior.kept(here) == pytest.approx(2.5 / (2.5 + 9))
    mean, std = posterior.of(here)
    kept = 2.5 / 11.5
    np.testing.assert_allclose(mean, [kept, 0.5 * 3 * kept / 1.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(std, posterior.noise / np.sqrt([0.5, 1.5, 0.5, 0.5]))


def test_chances_are_counted_by_hand() -> None:
    """The first choice got on in all of practice and not here, the second here alone; and it fell."""
    here = np.zeros(2, np.float32)
    posterior = posterior_of(
        [[0.0], [0.0]], [here], ways=[[1.0], [0.0]], falls=[[0.0], [0.5]], confidence=2.0
    )
    np.testing.assert_allclose(posterior.chance(here, 0)[0], [2.2, 0.2, 0.2, 0.2])
    np.testing.assert_allclose(posterior.chance(here, 0)[1], [0.2, 2.2, 2.2, 2.2])
    credit(posterior, 0, here, 0.0)
    credit(posterior, 1, here, 0.0, on=True)
    credit(posterior, 1, here, 0.0, fell=True)
    np.testing.assert_allclose(posterior.chance(here, 0)[0], [2.2, 1.2, 0.2, 0.2])
    np.testing.assert_allclose(posterior.chance(here, 0)[1], [1.2, 3.2, 2.2, 2.2])
    np.testing.assert_allclose(posterior.chance(here, 1)[0], [0.2, 2.2, 0.2, 0.2])
    far = np.full(2, 9.0, np.float32)
    np.testing.assert_allclose(posterior.chance(far, 0)[0], [2.2, 0.2, 0.2, 0.2], atol=1e-6)


def test_a_way_out_is_worth_more_than_reward_and_a_fall_costs_it() -> None:
    """The first choice gets on, the second has more reward, the third falls."""
    here = np.zeros(1, np.float32)
    posterior = posterior_of(
        [[0.0], [1.0], [1.5]], [here], ways=[[1], [0], [0]], falls=[[0], [0], [1]], confidence=50.0
    )
    rng = np.random.default_rng(0)
    drawn = {
        down: np.mean([posterior.draw(here, rng, fallen=down) for _ in range(200)], 0)
        for down in (True, False)
    }
    assert np.argsort(-drawn[True])[:3].tolist() == [0, 2, 1]
    assert np.argsort(-drawn[False])[:2].tolist() == [0, 1]
    assert drawn[False][2] < -1


def test_what_happened_elsewhere_counts_less() -> None:
    felt = np.array([[0.0], [4.0]], np.float32)
    posterior = posterior_of([[1, 0], [0, 1]], felt)
    assert posterior.expected(felt[0])[0] > 0.9
    assert posterior.expected(felt[1])[0] < 0.1
    credit(posterior, 0, felt[1], -5.0)
    assert posterior.of(felt[0])[0][0] > 0.8
    assert posterior.of(felt[1])[0][0] < -2


@pytest.mark.parametrize("kind", ["kernel", "gaussian_process"])
def test_the_better_behaviour_is_learned_in_the_life(kind: Any) -> None:
    """The practice took the third of five for the best; in this life the second brings most."""
    rng, here = np.random.default_rng(0), np.zeros(3, np.float32)
    truth = np.array([0.0, 1.0, -1.0, 0.2, 0.1, 0.0, 0.0])
    practised = [[0.0, 1.0], [0.2, -1.0], [1.0, 0.5], [0.1, -0.5], [0.3, 0.0]]  # elsewhere they differ more
    posterior = posterior_of(practised, [here, here + 9], noise=0.3, posterior=kind)
    posterior.worth = 0.0
    chosen = []
    for _ in range(60):
        chosen.append(int(np.argmax(posterior.draw(here, rng, fallen=True))))
        credit(posterior, chosen[-1], here, float(truth[chosen[-1]] + 0.1 * rng.normal()))
    assert chosen[0] == 2 or 2 in chosen[:10]
    assert np.mean(np.array(chosen[-20:]) == 1) > 0.6


# --- the life -----------------------------------------------------------------------------------------------


class Told:
    """A practice whose policy is told by the first entry: gets on above 0, recovers above 0."""

    rhythm, low, plights, count, begin = Rhythm(4, 2, 3, (1,)), 1.0, 1, 1, 3
    outcomes, idle = np.array([[2.0]], np.float32), np.zeros(1, np.float32)
    ways = falls = np.zeros((1, 1), np.float32)
    enough, noise, worth = 0.5, 1.0, 3.0
    brace = np.full(1, 0.6, np.float32)
    felt = np.zeros((1, 2), np.float32)
    genes = SimpleNamespace(actions=1)
    elites = (Behaviour(1, 0.0, np.array([[0.7]])),)

    def __init__(self) -> None:
        prior = prior_of(rows_of([4], obs_dim=2))
        self.feeling = Feeling(prior, Turns(prior))

    def act(self, obs: F32) -> F32:
        return np.full(1, 0.25, np.float32)

    def recovery(self, obs: F32) -> float:
        return float(obs[0])


def step(life: Repertoire, place: float, reward: float, moved: float = 0.0) -> dict[str, float]:
    """The body is at ``place`` after a step that moved its second entry."""
    obs, then = np.array([place, 0], np.float32), np.array([place, moved], np.float32)
    found = life.observe(Transition(obs, life.act(obs), reward, then, False, False))
    return {key: float(value) for key, value in found.items()}


def told(**settings: Any) -> Repertoire:
    practice: Any = Told()
    return Repertoire(adapter.Settings(**settings), practice, np.random.default_rng(0))


def test_a_fallen_body_rests_then_a_behaviour_is_played() -> None:
    life = told()
    modes = [step(life, -1, 2.0)["adapter/mode"] for _ in range(3)]
    assert modes == [BASE] * 3  # rewards are as usual
    assert [step(life, -1, 0.0)["adapter/mode"] for _ in range(2)] == [BASE, REST]  # 2, 0, 0 is below 1
    assert life.act(np.zeros(2, np.float32)) == pytest.approx(0.6)  # it braces
    assert step(life, -1, 0.0, moved=5.0)["adapter/mode"] == REST
    assert step(life, -1, 0.0)["adapter/mode"] == PLAY  # it lies still


def test_a_play_whose_body_stays_down_is_followed_by_another() -> None:
    life = told(rest=False)
    while life.mode == BASE:
        step(life, -1, 0.0)
    assert life.mode == PLAY
    ended = [step(life, -1, 0.5) for _ in range(4)][-1]
    assert ended["adapter/gain"] == 0.5
    assert ended["adapter/mode"] == PLAY
    assert life.posterior.gains.tolist() == [0.5]


def test_after_a_play_that_got_the_body_up_the_policy_acts_and_both_are_credited() -> None:
    life = told(rest=False)
    while life.mode == BASE:
        step(life, -1, 0.0)
    for _ in range(4):
        step(life, +1, 1.0)
    assert life.mode == AFTER
    assert life.act(np.zeros(2, np.float32)).tolist() == [0.25]
    step(life, +1, 4.0)
    ended = step(life, +1, 4.0)
    assert ended["adapter/gain"] == pytest.approx((4 * 1 + 2 * 4) / 6)
    assert ended["adapter/mode"] == BASE
    assert '"gain": 2.0' in life.files()["repertoire.jsonl"]
    assert life.posterior.came.tolist() == [[1, 0]]  # it got on, and did not fall


def test_a_body_that_is_up_plays_to_the_end_and_the_policy_follows() -> None:
    """It does not rest, and that it is up ends no play."""
    life = told()
    life.practice.rhythm = Rhythm(12, 2, 3, (1,))
    while life.mode == BASE:
        step(life, +1, 0.0)
    assert [life.mode, *(step(life, +1, 0.5)["adapter/mode"] for _ in range(12))] == [PLAY] * 12 + [AFTER]
    assert [step(life, +1, 3.0)["adapter/mode"] for _ in range(2)] == [AFTER, BASE]
    assert life.posterior.gains.tolist() == [(12 * 0.5 + 2 * 3) / 14]


def test_a_body_that_was_up_and_falls_is_counted() -> None:
    life = told()
    while life.mode == BASE:
        step(life, +1, 0.0)
    for _ in range(4):
        step(life, +1, 0.0)
    for _ in range(2):
        step(life, -1, 0.0)
    assert life.posterior.came.tolist() == [[0, 1]]


def test_a_fallen_body_is_looked_at_during_a_play() -> None:
    life = told(rest=False)
    life.practice.rhythm = Rhythm(12, 2, 3, (1,))
    while life.mode == BASE:
        step(life, -1, 0.0)
    modes = [step(life, +1, 0.5)["adapter/mode"] for _ in range(5)]  # it is up at once
    assert modes == [PLAY] * 4 + [AFTER]


def test_rest_ends_after_so_many_steps_though_the_body_moves() -> None:
    life = told()
    life.practice.rhythm = Rhythm(4, 2, 4, (1,))
    while life.mode == BASE:
        step(life, -1, 0.0)
    assert [step(life, -1, 0.0, moved=9.0)["adapter/mode"] for _ in range(4)] == [REST] * 3 + [PLAY]


def test_uniform_choice_is_a_control() -> None:
    life = told(choice="uniform", rest=False)
    chosen = set()
    for _ in range(200):
        if life.mode == PLAY:
            chosen.add(life._choice)
        step(life, -1, 0.0)
    assert chosen == {0, 1, 2}


@pytest.mark.parametrize("mode", [BASE, REST, PLAY, AFTER])
def test_it_goes_on_exactly_from_its_state(tmp_path: Path, mode: int) -> None:
    one, two = told(), told()
    rng = np.random.default_rng(3)
    while one.plays < 12 or one.mode != mode:
        step(one, float(rng.choice([-1, 1])), 2 * float(rng.random()), moved=5.0)
    for _ in range(9):
        step(two, -1, 0.0)
    save_file(one.state_dict(), tmp_path / "state.safetensors")
    two.load_state_dict(load_file(tmp_path / "state.safetensors"))
    for _ in range(60):
        place, reward = float(rng.choice([-1, 1])), float(rng.random())
        obs = np.array([place, 0], np.float32)
        np.testing.assert_array_equal(one.act(obs), two.act(obs))
        assert step(one, place, reward) == step(two, place, reward)
    assert one.log == two.log
    for key, value in one.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), two.state_dict()[key].numpy(), err_msg=key)


# --- practice -----------------------------------------------------------------------------------------------


def short(**more: Any) -> adapters.Method:
    settings = {
        "adapter.regression.steps": 20,
        "adapter.practice.evaluations": 30,
        "adapter.practice.drawn": 6,
        "adapter.practice.poses": 2,
        "adapter.practice.weak": 1,
        "adapter.practice.elites": 5,
        "adapter.practice.recovery_steps": 20,
    }
    return adapters.load("repertoire", list({**settings, **more}.items()))


def test_the_state_of_a_world_comes_back_exactly_and_turns_are_found() -> None:
    pytest.importorskip("mujoco")
    from slrl.envs.poses import Poses

    env = envs.make_world(slrl.load_scenario(SCENARIO).source)
    body = Poses(env, np.random.default_rng(0))
    pose = body.random(5)
    after = []
    for _ in range(2):
        body.set(pose)
        after.append([env.step(np.full(6, 0.5, np.float32))[0] for _ in range(4)][-1])
    np.testing.assert_array_equal(*after)
    assert body.angles(pose) == [1]  # the pitch
    assert body.quaternions(pose) == []
    others = [body.random(5).obs for _ in range(4)]
    assert np.std([obs[1] for obs in others]) > 0.3


def test_practice_is_in_the_source_only_and_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    pytest.importorskip("ribs")
    scenario, prior = slrl.load_scenario(SCENARIO), running()
    opened, make = [], envs.make_world
    monkeypatch.setattr(envs, "make_world", lambda world, **k: opened.append(world) or make(world, **k))
    method = short()
    first = slrl.load_adapter(method, prior, scenario, seed=0, life_steps=50)
    assert isinstance(first, Repertoire)
    # The target is opened once, for its spaces: nothing is stepped there.
    assert [world for world in opened if world != scenario.source] == [scenario.target]
    practised = len([world for world in opened if world == scenario.source])
    second = slrl.load_adapter(method, prior, scenario, seed=0, life_steps=50)
    again = len([world for world in opened if world == scenario.source]) - practised
    assert again < practised  # not practised anew
    for one, two in (
        (first.practice.state_dict(), second.practice.state_dict()),
        (first.practice._base.state_dict(), second.practice._base.state_dict()),  # type: ignore[attr-defined]
    ):
        assert one.keys() == two.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value.numpy(), two[key].numpy(), err_msg=key)
    state = first.practice.state_dict()
    assert state["practice.brace"].abs().max() <= 1
    assert any(state[f"practice.{key}"].abs().max() > 0 for key in ("ways", "outcomes"))
    assert first.practice._base.state_dict()["turns.angles"].nonzero().tolist() == [[1]]  # type: ignore[attr-defined]
    assert first.practice.count == 5
    lives = [
        slrl.live(
            slrl.make(scenario, life_steps=120), slrl.load_adapter(method, prior, scenario, seed=1), seed=1
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(lives[0].obs, lives[1].obs)


def test_practice_finds_more_than_the_policy_alone() -> None:
    """A short practice gains in some plight over what the policy gets there."""
    pytest.importorskip("mujoco")
    pytest.importorskip("ribs")
    scenario = slrl.load_scenario(SCENARIO)
    method = short(**{"adapter.practice.evaluations": 120, "adapter.practice.weak": 0})
    life = slrl.load_adapter(method, running(), scenario, seed=0, life_steps=50)
    assert isinstance(life, Repertoire)
    practice = life.practice
    gained = (
        practice.outcomes[: practice.count, : practice.plights].max(0) - practice.idle[: practice.plights]
    )
    assert gained.max() > 0.2


def test_an_ants_quaternion_is_found() -> None:
    pytest.importorskip("mujoco")
    from slrl.envs.poses import Poses

    env = envs.make_world(slrl.load_scenario("ant_broken_leg").source)
    body = Poses(env, np.random.default_rng(0))
    assert body.quaternions(body.random(5)) == [1]
    assert body.angles(body.random(5)) == []


class Line:
    """A body on a line that each action moves; the reward is where it is."""

    def __init__(self) -> None:
        self.env, self.x = self, 0.0

    def set(self, pose: Any) -> F32:
        self.x = float(pose.obs[0])
        return np.array([self.x, 0.0], np.float32)

    def step(self, action: F32) -> tuple[Any, ...]:
        self.x += float(action[0])
        return np.array([self.x, 0.0], np.float32), self.x, False, False, {}


class Still:
    """A policy that does nothing, cloned from all of a prior."""

    def __init__(self, prior: Prior, actions: int) -> None:
        self.turns, self.episodes, self.actions = Turns(prior), best_episodes(prior, 1.0), actions

    def act(self, obs: F32) -> F32:
        return np.zeros(self.actions, np.float32)


def on_a_line(monkeypatch: pytest.MonkeyPatch, safe: float) -> repertoire.Practice:
    """A practice whose policy stands still, which recovers from 0 on, and gets on above ``safe``."""
    prior = replace(prior_of(rows_of([20] * 4, obs_dim=2, action_dim=1)), reward=np.ones(80, np.float32))
    world: Any = None
    settings = repertoire.Settings(poses=1, weak=0)
    practice = repertoire.Practice(settings, prior, Still(prior, 1), world, Rhythm(10, 4, 2, (1,)), seed=0)
    practice.feeling.mean, practice.feeling.scale = np.zeros(2, np.float32), np.ones(2, np.float32)
    practice._safe = np.array([[8.0, 0.0]], np.float32)
    practice.enough = safe
    monkeypatch.setattr(practice, "recovery", lambda obs: float(obs[0]))
    return practice


def at(start: float, strength: float = 1.0) -> repertoire.Place:
    pose: Any = SimpleNamespace(obs=np.array([start, 0.0], np.float32))
    return repertoire.Place(pose, np.full(1, strength, np.float32))


def played(
    practice: repertoire.Practice, start: float, speed: float, strength: float = 1.0
) -> repertoire.Play:
    body: Any = Line()
    rng = np.random.default_rng(1)  # whose first draw is above DOUBT
    return practice._play(body, at(start, strength), Behaviour(1, 0.0, np.array([[speed]])), rng)


def test_a_play_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """From -4 at 1 a step it is up after the look at step 5, at 1; there it stands for 4 more steps."""
    practice = on_a_line(monkeypatch, safe=0.5)
    assert played(practice, -4, 1.0) == (pytest.approx((-3 - 2 - 1 + 0 + 1 + 4 * 1) / 9), 1.0, False)
    assert [(obs.tolist(), fine) for obs, fine in practice._ends] == [([1.0, 0.0], True)]


def test_a_play_that_only_seems_to_end_well_is_no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came from 12 to 7 units from where the policy gets on."""
    practice = on_a_line(monkeypatch, safe=5.0)
    assert played(practice, -4, 1.0).closer == pytest.approx(1 - 7 / 12)
    assert [fine for _, fine in practice._ends] == [False]


def test_a_play_that_stays_down_comes_closer(monkeypatch: pytest.MonkeyPatch) -> None:
    practice = on_a_line(monkeypatch, safe=0.5)
    outcome, closer, _ = played(practice, -4, 0.25)
    assert outcome == pytest.approx(np.mean(-4 + 0.25 * np.arange(1, 11)))
    assert closer == pytest.approx(1 - 9.5 / 12)
    assert practice._ends == []


def test_a_body_that_was_up_may_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    practice = on_a_line(monkeypatch, safe=50.0)
    assert played(practice, 1, -1.0).fell
    assert not played(practice, 1, 1.0).fell
    assert not played(practice, -9, 0.0).fell  # it was down


def test_a_way_out_is_tried_in_the_other_places_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """From -4 it gets up, weakened it does not; what is no way out is tried once."""
    practice = on_a_line(monkeypatch, safe=0.5)
    plight = repertoire.Plight((at(-4), at(-4, strength=0.1)), idle=0.0, share=1.0)
    body: Any = Line()
    seen = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        tries = practice._try(body, plight, Behaviour(1, 0.0, np.array([[1.0]])), rng)
        seen.add(tuple(one.closer == 1 for one in tries))
    assert seen == {(True, False), (False,)}


def test_scores_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gain 2 in units of usual - low = 2; a way out in one of two places; a fall in none, then in both."""
    practice = on_a_line(monkeypatch, safe=0.5)
    practice.usual, practice.low = 3.0, 1.0
    plight = repertoire.Plight((at(-4),), idle=1.0, share=1.0)
    tries = [repertoire.Play(6.0, 1.0, False), repertoire.Play(4.0, 0.5, False)]
    assert practice._scores(tries, plight) == (2 + 0.75 + 3 / 2, 2)
    fallen = [one._replace(fell=True) for one in tries]
    assert practice._scores(fallen, plight) == (2 - 3 + 0.75 + 3 / 2, 2 - 3)


class Slope(Line):
    """A body that stays where it was put; only an action of -1 brings it to 0."""

    def step(self, action: F32) -> tuple[Any, ...]:
        if action[0] == -1:
            self.x = 0.0
        return np.array([self.x, 0.0], np.float32), 0.0, False, False, {}

    def here(self, obs: F32) -> Any:
        return SimpleNamespace(obs=obs)


def test_the_brace_is_what_makes_bodies_lie_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    practice = on_a_line(monkeypatch, safe=0.5)
    body: Any = Slope()
    practice._find_brace(body, [at(x).pose for x in (-3.0, -1.0, 2.0, 4.0)], np.random.default_rng(0))
    assert practice.brace.tolist() == [-1]


def test_what_acts_best_in_the_source_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The better half of the prior moves more, which is worse in the world: all of it is cloned."""
    prior = prior_of(rows_of([50] * 4, obs_dim=2, action_dim=1))
    better = prior.episode >= 2
    prior = replace(
        prior,
        reward=better.astype(np.float32),
        action=np.where(better, 0.5, -0.5)[:, None].astype(np.float32),
    )

    class World:
        """The reward is less, the more the action is."""

        def reset(self, seed: int | None = None) -> tuple[F32, dict[str, Any]]:
            return np.zeros(2, np.float32), {}

        def step(self, action: F32) -> tuple[F32, float, bool, bool, dict[str, Any]]:
            return np.zeros(2, np.float32), -float(action[0]), False, False, {}

        def close(self) -> None: ...

    monkeypatch.setattr("slrl.learning.clones.Poses", lambda env, rng: None)
    monkeypatch.setattr(Turns, "learn", lambda self, body: None)
    settings = RegressionSettings(hidden=(8,), steps=60, lr=1e-2)
    world: Any = World
    one, two = (Clones(settings, (0.5, 1.0), prior, world, 0, torch.device("cpu")) for _ in range(2))
    for _ in one.learn():
        pass
    assert one.best == 1  # a mix of both moves less than the better half
    assert one.earned[0] == pytest.approx(-0.5, abs=0.15)
    assert [own.start for own in one.episodes] == [0, 50, 100, 150]
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one.act(prior.obs[0]), two.act(prior.obs[0]))


def test_weakened_bodies_teach_nothing_of_postures(monkeypatch: pytest.MonkeyPatch) -> None:
    practice = on_a_line(monkeypatch, safe=0.5)
    played(practice, -0.5, 1.0, strength=0.3)
    assert practice._ends == []


def test_offspring_are_of_parents_in_the_same_plight() -> None:
    """Without a way out those of the second layer have none."""
    archives = pytest.importorskip("ribs.archives")
    prior = replace(prior_of(rows_of([20] * 4, obs_dim=2, action_dim=6)), reward=np.ones(80, np.float32))
    world: Any = None
    settings = repertoire.Settings(poses=2, weak=0, fresh=0.0)
    practice = repertoire.Practice(settings, prior, Still(prior, 6), world, Rhythm(10, 4, 2, (1, 2)), seed=0)
    dims = (2, repertoire.LAYERS, 2, 3)
    ranges = [(0.0, float(size)) for size in dims]
    archive = archives.GridArchive(solution_dim=practice.genes.size, dims=dims, ranges=ranges)
    for which in range(2):
        for layer in range(repertoire.LAYERS):
            one = np.full(practice.genes.size, 0.5 - which - 0.25 * layer)
            one[:3] = 0, 4, 0
            archive.add_single(one, float(layer), practice._cell(which, layer, one))
    rng = np.random.default_rng(0)
    for which, way, parents in ((0, False, {0.5}), (1, False, {-0.5}), (1, True, {-0.5, -0.75})):
        made = [practice._offspring(archive, which, rng, new=False, way=way, behind=0.1) for _ in range(40)]
        assert {float(np.median(one[3:])) for one in made} == parents


def test_what_is_missing_is_said() -> None:
    prior = running()
    sparse = replace(prior, reward=np.zeros_like(prior.reward))
    assert "sparse" in adapter.missing(sparse, None)
    assert "no scenario names it" in adapter.missing(prior, None)
    assert "no MuJoCo world" in adapter.missing(prior, slrl.load_scenario("windy_pointmass").source)
    with pytest.raises(BadInput, match="sparse"):
        slrl.load_adapter(
            short(), slrl.load_prior("pointmass"), slrl.load_scenario("windy_pointmass"), seed=0, life_steps=9
        )


def test_settings_that_cannot_be_are_refused() -> None:
    for key, value in (
        ("confidence", 0.0),
        ("alike", -1.0),
        ("choice", "best"),
        ("shares", []),
        ("shares", [0.0]),
    ):
        with pytest.raises(BadInput, match=key):
            adapters.load("repertoire", [(f"adapter.{key}", value)])
    with pytest.raises(BadInput, match="alarm"):
        adapters.load("repertoire", [("adapter.practice.alarm", 0.5)])
    with pytest.raises(BadInput, match="strength"):
        adapters.load("repertoire", [("adapter.practice.strength", [])])
    inner = adapters.load("rma", [("adapter.inner", "repertoire")])
    with pytest.raises(BadInput, match="inside another adapter"):
        slrl.load_adapter(inner, running(), slrl.load_scenario(SCENARIO), seed=0, life_steps=9)
    with pytest.raises(BadInput, match="drawn"):
        adapters.load("repertoire", [("adapter.practice.drawn", 2)])
