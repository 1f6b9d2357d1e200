"""Relations instead of places, the way back, one mode at a time, and a graph over the prior's moves."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from slrl.adapters import frames, graph, modes
from slrl.adapters.frames import Frames
from slrl.adapters.graph import Cells, Graph, Moves
from slrl.adapters.modes import Modes, Repertory
from slrl.adapters.retrace import Retrace, Servo
from slrl.adapters.retrace import Settings as RetraceSettings
from slrl.envs import OneLife
from slrl.errors import BadInput, Unsupported
from slrl.learning.frames import FramesPolicy, paces
from slrl.learning.modes import modes as modes_of
from slrl.learning.regression import Settings as Regressed
from slrl.learning.relations import entries_of
from slrl.lives.life import Life, live
from slrl.plugins import bind
from slrl.priors import Prior
from slrl.types import Adapter, Metrics, Transition

from .conftest import prior_of, rows_of
from .things import Things, carried, pressed

CARRIED, PRESSED = carried(), pressed()
QUICK = Regressed(members=2, hidden=(64,), steps=600, batch_size=128)


def learned(part: Any) -> Any:
    for _ in part.learn():
        pass
    return part


def lived(adapter: Adapter, world: Things, steps: int = 400) -> Life:
    return live(OneLife(world, life_steps=steps), adapter, seed=0, quiet=True)


@pytest.fixture(scope="module")
def carrying() -> FramesPolicy:
    return learned(FramesPolicy(replace(QUICK, members=3, hidden=(128,), steps=4000), CARRIED, (), seed=0))


# -- frames --------------------------------------------------------------------------------------------------


def test_an_object_where_none_was_is_carried_to_where_none_was(carrying: FramesPolicy) -> None:
    """Outside the part of the table that the prior knows: objects at x to 1.5, goals at y to 1."""
    for place, goal in (((1.9, 1.0), (-1.8, -1.2)), ((2.2, 0.8), (-1.0, 0.0))):
        life = lived(Frames(frames.Settings(), carrying, CARRIED), Things("carry", place, goal))
        assert life.outcome == "success"


def test_without_relations_it_says_what_is_missing() -> None:
    with pytest.raises(Unsupported, match=r"nothing in the prior is moved to a goal.*\[adapter\] points"):
        FramesPolicy(QUICK, PRESSED, (), seed=0)


def test_features_do_not_change_when_everything_is_somewhere_else(carrying: FramesPolicy) -> None:
    obs = CARRIED.obs[50]
    moved = obs + np.array([3, -2, 3, -2, 3, -2, 0, 0], np.float32)
    assert carrying.features(moved, 0.5) == pytest.approx(carrying.features(obs, 0.5), abs=1e-3)


def test_features_by_hand(carrying: FramesPolicy) -> None:
    """Hand at the origin, object at (0.3, 0.4), goal at (0.3, 1.4)."""
    obs = np.array([0, 0, 0.3, 0.4, 0.3, 1.4, 0, 0], np.float32)
    x, y = carrying.relations
    found = carrying.features(obs, 0.25)
    assert found[:2] == pytest.approx([0.3, 0.4])
    assert found[2:4] == pytest.approx(np.arcsinh([0.3 / x.contact, 0.4 / y.contact]))
    fine = np.hypot(x.contact, y.contact)
    assert found[6:8] == pytest.approx([0.3 / (0.5 + fine), 0.4 / (0.5 + fine)])
    assert found[8:10] == pytest.approx([-x.offset, 1 - y.offset], abs=1e-6)
    assert found[-1] == 0.25


def test_a_goal_is_where_the_object_was_put_down_next() -> None:
    """The hand carries the object one step on, leaves it, comes back, and carries it to another place."""
    hand = np.array([0.0, 1, 2, 1, 2, 3, 4, 5])
    thing = np.array([0.0, 1, 1, 1, 2, 3, 3, 3])
    path = np.zeros((8, 8), np.float32)
    path[:, 0], path[:, 2], path[:, 4] = hand, thing, 9
    rows = rows_of([7], obs_dim=8, action_dim=3)._replace(obs=path[:-1], next_obs=path[1:])
    policy = FramesPolicy.__new__(FramesPolicy)
    policy.relations = [replace(FramesPolicy(QUICK, CARRIED, (), 0).relations[0], offset=0.0, arrival=0.01)]
    assert policy._relabelled(prior_of(rows))[:, 4].tolist() == [1, 3, 3, 3, 3, 3, 3]


def test_a_goal_that_was_reached_is_left_as_it_is(carrying: FramesPolicy) -> None:
    reached = CARRIED.episode == CARRIED.episode[CARRIED.terminated][0]
    kept = carrying._relabelled(CARRIED)[reached]
    tolerance = [4 * one.arrival for one in carrying.relations]
    assert (np.abs(kept[:, 4:6] - CARRIED.obs[reached][:, 4:6]) <= tolerance).all()


def test_the_goal_is_drawn_where_the_object_has_not_been_moved_yet(carrying: FramesPolicy) -> None:
    """In the prior the ways to the object and to the goal vary together, which the policy must not see."""
    drawn = CARRIED.obs.copy()
    carrying._draw_goals(CARRIED, drawn, seed=0)
    first = CARRIED.obs[CARRIED.starts][CARRIED.episode]
    away = (np.abs(CARRIED.obs - first)[:, 2:4] > 0.1 * CARRIED.obs[:, 2:4].std(0)).any(1)
    changed = (drawn != CARRIED.obs).any(1)
    assert changed[CARRIED.starts].all()
    assert not changed[away].any()
    assert changed[~away].mean() > 0.99
    assert (np.delete(drawn, [4, 5], 1) == np.delete(CARRIED.obs, [4, 5], 1)).all()  # goals alone
    before, after = ((obs[:, 4] - obs[:, 2])[changed] for obs in (CARRIED.obs, drawn))
    everywhere = (CARRIED.obs[:, 4] - CARRIED.obs[:, 2]).std()
    assert after.std() == pytest.approx(2 * everywhere, rel=0.1)
    assert abs(np.corrcoef(drawn[changed, 2] - drawn[changed, 0], after)[0, 1]) < 0.1
    assert abs(np.corrcoef(CARRIED.obs[changed, 2] - CARRIED.obs[changed, 0], before)[0, 1]) > 0.2
    kept = np.isin(CARRIED.episode, CARRIED.episode[CARRIED.terminated])  # those that succeed
    cloned = carrying._rows(CARRIED, seed=0).seen[:, 8]
    assert cloned[changed[kept]].std() > 1.5 * everywhere
    again = CARRIED.obs.copy()
    carrying._draw_goals(CARRIED, again, seed=0)
    assert (again == drawn).all()


def test_paces_are_ranks() -> None:
    rows = rows_of([3, 3, 3])
    action = np.repeat([[0.5, 0], [0.1, 0], [0.9, 0]], 3, 0).astype(np.float32)
    assert paces(prior_of(rows._replace(action=action))).tolist() == [0.5, 0, 1]


class Refusing(Things):
    """The object cannot be grasped until the hand has been near it and has gone away again."""

    touched = willing = False

    def step(self, action: Any) -> Any:
        away = float(np.abs(self.hand - self.object).max())
        self.touched |= away < 0.15
        self.willing |= self.touched and away > 0.4
        return super().step(np.append(action[:2], action[2] if self.willing else -1.0))


@pytest.mark.parametrize("back", [True, False])
def test_where_nothing_moves_it_goes_back_and_tries_again(
    carrying: FramesPolicy, back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without the way back the hand stays beside the object."""
    if not back:
        monkeypatch.setattr(Retrace, "begin", lambda self: None)
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    life = lived(adapter, Refusing("carry", (1.2, 0.8), (-1.0, 0.5)), 600)
    assert life.outcome == ("success" if back else "timeout")


def test_it_turns_back_when_the_object_has_not_moved_for_its_patience(carrying: FramesPolicy) -> None:
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    obs = CARRIED.obs[0].copy()
    modes_ = []
    for _ in range(adapter.patience + 30):
        obs = obs + np.array([0.02, 0, 0, 0, 0, 0, 0, 0], np.float32)
        metrics = adapter.observe(Transition(obs, adapter.act(obs), 0.0, obs, False, False))
        modes_.append(metrics["adapter/mode"])
        if metrics["adapter/mode"]:
            break
    assert len(modes_) == adapter.patience + 1


@pytest.mark.parametrize("sign", [1, -1])
def test_an_object_that_moves_must_come_nearer_to_its_goal(carrying: FramesPolicy, sign: int) -> None:
    """The goal lies at smaller x: after as many steps the other way the body turns back, though it moves.

    So slowly that it is not astray: by 0.03 of its spread, where 0.02 the right way are enough.
    """
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    step = sign * 0.03 * float(CARRIED.obs[:, 2].std()) / adapter.patience
    obs = np.array([2, 0, 2, 0, -1, 0, 0, 0], np.float32)
    turned = False
    for _ in range(adapter.patience + 2):
        obs = obs + np.array([step, 0, step, 0, 0, 0, 0, 0], np.float32)
        metrics = adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False))
        turned |= metrics["adapter/mode"] == 1
    assert turned == (sign > 0)


@pytest.mark.parametrize(("share", "turns"), [(0.3, True), (0.6, False)])
def test_an_object_that_comes_nearer_much_slower_than_before_has_slipped_away(
    carrying: FramesPolicy, share: float, turns: bool
) -> None:
    """Less than 0.4 times as fast as it was in as long a time before."""
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    obs = np.array([9, 0, 9, 0, -1, 0, 0, 0], np.float32)
    turned = []
    for step in (0.02, 0.02 * share):
        for _ in range(adapter.patience + 2):
            obs = obs - np.array([step, 0, step, 0, 0, 0, 0, 0], np.float32)
            metrics = adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False))
            turned.append(metrics["adapter/mode"] == 1)
    assert not any(turned[: adapter.patience + 2])
    assert any(turned) == turns


@pytest.mark.parametrize(
    "points", [{"mover": [0]}, {"mover": [0, 1], "moved": [2], "goal": [4]}, {"hand": [0]}]
)
def test_points_must_be_whole(points: dict[str, list[int]]) -> None:
    with pytest.raises(BadInput, match="points must give 'mover', 'moved' and 'goal' equally many entries"):
        bind(frames.Settings, {"points": points}, where="[adapter]")


def test_an_object_that_is_led_astray_is_taken_back(carrying: FramesPolicy) -> None:
    """Further from its goal than it was, by more than in the prior: it turns at once, and takes it along."""
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    obs = np.array([2, 0, 2, 0, -1, 0, 0, 0], np.float32)

    def step(x: float) -> float:
        nonlocal obs
        obs = obs + np.array([x, 0, x, 0, 0, 0, 0, 0], np.float32)
        still = np.zeros(3, np.float32)
        return adapter.observe(Transition(obs, still, 0.0, obs, False, False))["adapter/mode"]

    spread = CARRIED.obs[:, 2].std()
    nearer = [step(-0.1) for _ in range(20)]
    away = 0
    while not step(0.1):
        away += 1
        assert away < 99
    assert not any(nearer)
    assert away == int(adapter.astray * spread / 0.1)  # the next one was too much
    back = [step(-0.05) for _ in range(8)]
    assert all(back)  # though the object moves: by more than a twentieth of its spread
    assert frames.HOOKED * spread < 0.05 * 8


def turned_at_rest(adapter: Frames, obs: np.ndarray) -> np.ndarray:
    """The observation at which it turns back, of a hand that moves on while the object lies still."""
    for _ in range(adapter.patience + 1):
        obs = obs + np.array([0.05, 0, 0, 0, 0, 0, 0, 0], np.float32)
        last = adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False))
    assert last["adapter/mode"] == 1
    return obs


@pytest.mark.parametrize(("shift", "ends"), [(0.06, True), (0.04, False)])
def test_a_thing_that_moves_on_the_way_back_ends_it(carrying: FramesPolicy, shift: float, ends: bool) -> None:
    """By more than a twentieth of its spread, where it was not led astray but lay still."""
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    obs = turned_at_rest(adapter, np.array([2, 0, 2, 0, -1, 0, 0, 0], np.float32))
    obs = obs + np.array([-0.05, 0, shift * CARRIED.obs[:, 2].std(), 0, 0, 0, 0, 0], np.float32)
    metrics = adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False))
    assert (metrics["adapter/mode"] == 0) == ends


def test_after_a_way_back_the_distance_counts_anew(carrying: FramesPolicy) -> None:
    """A thing that lies further from its goal than before it was led astray is not astray again at once."""
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    obs = np.array([2, 0, 2, 0, -1, 0, 0, 0], np.float32)
    for x in [-0.1] * 20 + [0.1]:
        obs = obs + np.array([x, 0, x, 0, 0, 0, 0, 0], np.float32)
        adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False))
    assert adapter.retrace.going_back
    while adapter.retrace.going_back:
        adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False))
    for _ in range(adapter.patience):
        metrics = adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False))
        assert metrics["adapter/mode"] == 0


def test_near_the_goal_there_is_less_to_come_nearer(carrying: FramesPolicy) -> None:
    """After a long way at full speed the last bit, half of what is left per patience, is no slip."""
    adapter = Frames(frames.Settings(), carrying, CARRIED)
    spread = float(CARRIED.obs[:, 2].std())
    goal = -1 - carrying.relations[0].offset
    left = [8 - 0.1 * i for i in range(76)]
    while left[-1] > 0.15:
        left.append(left[-1] * 0.5 ** (1 / adapter.patience))
    turned = []
    for distance in left:
        obs = np.array([0, 0, goal + distance * spread, 0, -1, 0, 0, 0], np.float32)
        turned.append(adapter.observe(Transition(obs, np.zeros(3, np.float32), 0.0, obs, False, False)))
    assert adapter.best > 1
    assert not any(one["adapter/mode"] for one in turned)


def off_again(losses: list[float], failures: int) -> tuple[Prior, np.ndarray]:
    """Episodes that come nearer, go off again by so much, and arrive; and failures that go off by 50."""
    left = [[9, 8, 7, 7 + loss, 6, 1] for loss in losses] + [[9, 8, 7, 57, 57, 57]] * failures
    ends = np.zeros((len(left), 6), bool)
    ends[: len(losses), -1] = True
    rows = rows_of([6] * len(left))
    prior = prior_of(rows._replace(reward=ends.ravel().astype(np.float32), terminated=ends.ravel()))
    return prior, np.array(left, np.float32).ravel()


def test_how_far_off_again_is_usual_is_taken_from_successful_episodes() -> None:
    """Of 21 successes that lose 0, 1, ... 20 it is 19, the quantile 0.95; failures do not count."""
    prior, left = off_again([float(i) for i in range(21)], failures=21)
    assert frames.usual_loss(prior, left) == pytest.approx(19)


def test_what_is_usual_in_the_prior_is_not_astray(
    carrying: FramesPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "usual_loss", lambda prior, left: 0.5)
    assert Frames(frames.Settings(), carrying, CARRIED).astray == pytest.approx(0.6)


def test_a_restored_attempt_goes_on_as_it_would_have(carrying: FramesPolicy) -> None:
    """Each number that an attempt has counts: led astray, waiting, back with what is held, and on."""
    rng = np.random.default_rng(0)
    one = Frames(frames.Settings(), carrying, CARRIED)
    obs = np.array([2, 0, 2, 0, -1, 0, 0, 0], np.float32)
    seen = set()
    for step in range(600):
        two = Frames(frames.Settings(), carrying, CARRIED)
        two.load_state_dict(one.state_dict())
        for name in ("_left", "_nearest", "best", "_grace", "_held"):
            assert getattr(two, name) == getattr(one, name)
            seen |= {name} if getattr(one, name) not in (0, np.inf, False, []) else set()
        assert two._turned.tolist() == one._turned.tolist()
        for name in ("path", "back"):
            assert np.array_equal(getattr(two.retrace, name), getattr(one.retrace, name))
        for name in ("steps_back", "times", "_limit"):
            assert getattr(two.retrace, name) == getattr(one.retrace, name)
        x = (0.08 if step % 150 > 90 else -0.05) * rng.uniform(0.5, 1)
        obs = obs + np.array([x, 0, x * (step % 300 < 250), 0, 0, 0, 0, 0], np.float32)
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        one.observe(Transition(obs, action, 0.0, obs, False, False))
    assert seen == {"_left", "_nearest", "best", "_grace", "_held"}


# -- retrace -------------------------------------------------------------------------------------------------


def went(*obs: float, action: tuple[float, float] = (0.0, 0.0)) -> Transition:
    """A step that ends here."""
    here = np.array(obs, np.float32)
    return Transition(here, np.array(action, np.float32), 0.0, here, False, False)


def drift_prior(gain: tuple[float, float], pushing: float) -> tuple[Prior, np.ndarray]:
    """Entries that move by gain times the action; in the other half of the rows by ``pushing`` times that."""
    rows = rows_of([400] * 5, obs_dim=2)
    free = np.repeat([True, False], 1000)
    scale = np.where(free[:, None], gain, np.array(gain) * pushing)
    step = rows.action * scale
    obs = np.concatenate([np.vstack([np.zeros(2), np.cumsum(part, 0)[:-1]]) for part in np.split(step, 5)])
    return prior_of(rows._replace(obs=obs.astype(np.float32), next_obs=(obs + step).astype(np.float32))), free


def test_the_servos_gain_is_that_of_free_motion_with_its_sign() -> None:
    prior, free = drift_prior((0.1, -0.05), pushing=-0.5)
    servo = Servo(prior, [0, 1], free)
    assert servo.gain == pytest.approx(np.diag([0.1, -0.05]), abs=0.01)
    assert np.diag(Servo(prior, [0, 1], np.ones(2000, bool)).gain)[0] < 0.06  # of all rows it is too small
    near = servo.act(np.zeros(2, np.float32), np.array([0.05, 0.025]), np.zeros(2))
    assert near == pytest.approx([0.25, -0.25], abs=0.05)  # there in two steps
    far = servo.act(np.zeros(2, np.float32), np.array([0.8, 0.2]), np.zeros(2))
    assert far == pytest.approx([1, -0.5], abs=0.05)  # the direction stays


def test_a_demonstrators_habit_is_not_taken_for_an_effect() -> None:
    """A body with inertia, driven by one who goes down whenever it goes to the right."""
    rng = np.random.default_rng(0)
    obs, actions = [np.zeros(2)], []
    motion, action = np.zeros(2), np.zeros(2)
    for step in range(2000):
        if step % 8 == 0:
            x = rng.uniform(-1, 1)
            action = np.array([x, np.clip(rng.normal(-x, 0.1), -1, 1), rng.choice([-1, 1])])
        motion = 0.5 * motion + 0.05 * action[:2]
        obs.append(obs[-1] + motion)
        actions.append(action)
    rows = rows_of([400] * 5, obs_dim=2, action_dim=3)._replace(
        obs=np.array(obs[:-1], np.float32),
        next_obs=np.array(obs[1:], np.float32),
        action=np.array(actions, np.float32),
    )
    servo = Servo(prior_of(rows), [0, 1], np.ones(2000, bool))
    # (1 + (1 + 1/2) + ...) / 10 = (10 - (1 - 2**-10)) * 2 / 20 of full speed, 0.1
    assert servo.gain[:, :2] == pytest.approx(0.0900 * np.eye(2), abs=0.002)
    assert servo.leads.tolist() == [True, True, False]
    action = servo.act(np.zeros(2, np.float32), np.array([0.09, 0.0]), np.array([0.3, 0.3, -0.7]))
    assert action == pytest.approx([0.5, 0, -0.7], abs=0.03)  # the grip is what it is told


def test_entries_that_never_vary_are_refused_before_the_life() -> None:
    rows = rows_of([400] * 5, obs_dim=2)
    still = np.zeros_like(rows.obs)
    with pytest.raises(Unsupported, match="a way back takes entries of the body that vary in the prior"):
        Servo(prior_of(rows._replace(obs=still, next_obs=still)), [0, 1], np.ones(2000, bool))


def noisy_prior(gain: np.ndarray, action: np.ndarray) -> Prior:
    """Two entries that move by ``gain`` (2, A) times the action (2000, A), and a little by themselves."""
    step = action @ gain.T + 1e-3 * np.random.default_rng(1).standard_normal((2000, 2))
    obs = np.concatenate([np.vstack([np.zeros(2), np.cumsum(part, 0)[:-1]]) for part in np.split(step, 5)])
    return prior_of(
        rows_of([400] * 5, obs_dim=2, action_dim=action.shape[1])._replace(
            obs=obs.astype(np.float32),
            next_obs=(obs + step).astype(np.float32),
            action=action.astype(np.float32),
        )
    )


def test_a_slow_axis_leads_and_an_action_that_hardly_varies_does_not() -> None:
    """What leads is told entry by entry, and by how far the actions of the prior move it."""
    rng = np.random.default_rng(0)
    action = rng.uniform(-1, 1, (2000, 3)) * [1, 1, 1e-4]
    prior = noisy_prior(np.array([[0.05, 0, 0], [0, 0.005, 0]]), action)
    servo = Servo(prior, [0, 1], np.ones(2000, bool))
    assert np.abs(servo.gain[:, 2]).max() > 0.05  # noise divided by next to nothing
    assert servo.leads.tolist() == [True, True, False]


def test_the_grip_is_on_the_way_back_what_it_was_there() -> None:
    rng = np.random.default_rng(0)
    rows = rows_of([400] * 5, obs_dim=2)
    step = 0.1 * rows.action * [1, 0]
    obs = np.concatenate([np.vstack([np.zeros(2), np.cumsum(part, 0)[:-1]]) for part in np.split(step, 5)])
    rows = rows._replace(obs=obs.astype(np.float32), next_obs=(obs + step).astype(np.float32))
    retrace = Retrace(RetraceSettings(depth=10), Servo(prior_of(rows), [0], np.ones(2000, bool)))
    retrace.servo.spread = 0.1
    grips = rng.uniform(-1, 1, 30)
    for number, grip in enumerate(grips):
        retrace.observe(went(0.05 * number, 0, action=(0.5, grip)))
    retrace.begin(10)
    assert retrace.act(np.array([0.05 * 29, 0], np.float32))[1] == pytest.approx(grips[29 - 3], abs=1e-6)


def test_the_way_back_is_followed_and_is_longer_each_time() -> None:
    prior, free = drift_prior((0.1, 0.1), pushing=1.0)
    retrace = Retrace(RetraceSettings(depth=10, doublings=1), Servo(prior, [0, 1], free))
    retrace.servo.spread = 0.5
    obs = np.zeros(2, np.float32)
    for _ in range(60):
        retrace.observe(went(*obs))
        obs = obs + np.array([0.05, 0], np.float32)
    depths = []
    for _ in range(3):
        retrace.begin()
        depths.append(len(retrace.back) - 1)
        here = obs.copy()
        while retrace.going_back:
            obs = (obs + 0.1 * retrace.act(obs)).astype(np.float32)
            retrace.observe(went(*obs))
        assert obs[0] < here[0] - 0.2
    assert depths == [10, 20, 20]


def test_standing_still_does_not_lengthen_the_path() -> None:
    prior, free = drift_prior((0.1, 0.1), pushing=1.0)
    retrace = Retrace(RetraceSettings(), Servo(prior, [0, 1], free))
    for _ in range(50):
        retrace.observe(went(0, 0))
    assert len(retrace.path) == 1


def test_a_way_back_that_is_blocked_is_given_up() -> None:
    prior, free = drift_prior((0.1, 0.1), pushing=1.0)
    retrace = Retrace(RetraceSettings(depth=10, patience=1.5), Servo(prior, [0, 1], free))
    retrace.servo.spread = 0.01
    for step in range(30):
        retrace.observe(went(0.05 * step, 0))
    retrace.begin()
    for _ in range(15):
        assert retrace.going_back
        retrace.observe(went(5, 5))
    assert not retrace.going_back


# -- modes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pressing() -> Repertory:
    return learned(Repertory(modes.Settings(regression=QUICK), PRESSED, seed=0))


def test_modes_are_what_episodes_change(pressing: Repertory) -> None:
    assert sorted(mode.things for mode in pressing.modes) == [[6], [7]]
    assert [len(mode.episodes) for mode in pressing.modes] == [30, 30]
    mode = pressing.modes[0]
    undone, done = np.zeros(8, np.float32), np.ones(8, np.float32)
    assert not mode.is_done(undone)
    assert mode.is_done(done)  # the world's switches stop at 1


def test_both_switches_are_pressed_where_the_prior_only_pressed_one(
    pressing: Repertory, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = Modes(modes.Settings(), pressing, PRESSED)
    acted: list[int] = []
    observe = adapter.observe

    def watched(transition: Transition) -> Metrics:
        metrics = observe(transition)
        acted.append(int(metrics["adapter/mode"]))
        return metrics

    monkeypatch.setattr(adapter, "observe", watched)
    assert lived(adapter, Things("press", on=(0, 0)), 900).outcome == "success"
    order = [acted[0], *(b for a, b in pairwise(acted) if a != b)]
    assert order[:3] == [order[0], 2, 1 - order[0]]  # one, back, the other


def test_turning_on_and_turning_off_are_two_modes() -> None:
    on, off = PRESSED.obs.copy(), PRESSED.next_obs.copy()
    odd = PRESSED.episode % 4 >= 2
    on[odd, 6:], off[odd, 6:] = 1 - on[odd, 6:], 1 - off[odd, 6:]
    toggled = replace(PRESSED, obs=on, next_obs=off)
    found = modes_of(toggled, entries_of(toggled), fewest=10)
    assert len(found) == 4
    assert all(np.isfinite(mode.enough) for mode in found)


def test_a_mode_that_is_done_is_not_begun(pressing: Repertory) -> None:
    for number, mode in enumerate(pressing.modes):
        adapter = Modes(modes.Settings(), pressing, PRESSED)
        obs = np.zeros(8, np.float32)
        obs[mode.things] = 1.0
        adapter.act(obs)
        assert adapter.mode == 1 - number


def test_where_all_are_done_one_is_acted_out_again_for_its_patience(pressing: Repertory) -> None:
    """Not for one step: that it holds them all done and the life goes on says that one is not."""
    adapter = Modes(modes.Settings(), pressing, PRESSED)
    done = np.ones(8, np.float32)
    adapter.act(done)
    first = adapter.mode
    patience = int(np.ceil(modes.Settings().patience * pressing.modes[first].steps))
    transition = Transition(done, np.zeros(3, np.float32), 0.0, done, False, False)
    for step in range(patience):
        again = Modes(modes.Settings(), pressing, PRESSED)
        again.load_state_dict(adapter.state_dict())
        adapter = again  # what was done when it was chosen is in the state
        assert (adapter.mode, adapter.retrace.going_back, adapter.used) == (first, False, step)
        adapter.observe(transition)
    assert adapter.used == 0 or adapter.retrace.going_back


def test_a_prior_with_one_mode_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"modes take two groups of 20 .*; the prior has 0 and 4"):
        Repertory(modes.Settings(), CARRIED, seed=0)


# -- graph ---------------------------------------------------------------------------------------------------


def ring(episodes: int = 60) -> Prior:
    """Walks on a ring to angle π: from angle 0 over the top, and from 0.6 π back and round the bottom."""
    rng = np.random.default_rng(0)
    obs, action, next_obs, end, episode = [], [], [], [], []
    for number in range(episodes):
        first, last = (0.0, np.pi) if number % 2 else (0.6 * np.pi, -np.pi)
        at = np.array([np.cos(first), np.sin(first)])
        for angle in np.linspace(first, last, 1 + round(80 * abs(last - first)))[1:]:
            to = np.array([np.cos(angle), np.sin(angle)])
            move = (to - at) / 0.015 + rng.normal(0, 0.05, 2)
            after = at + 0.015 * np.clip(move, -1, 1)
            for column, value in zip((obs, action, next_obs), (at, np.clip(move, -1, 1), after), strict=True):
                column.append(value)
            end.append(angle == last)
            episode.append(number)
            at = after
    rows = rows_of([1])._replace(
        obs=np.array(obs, np.float32),
        action=np.array(action, np.float32),
        next_obs=np.array(next_obs, np.float32),
        reward=np.array(end, np.float32),
        terminated=np.array(end),
        truncated=np.zeros(len(end), bool),
        episode=np.array(episode, np.int32),
    )
    return prior_of(rows)


RING = graph.Settings(regression=QUICK, cells=16, horizon=10, ahead=6, haste=1.0)


@pytest.fixture(scope="module")
def cells() -> Cells:
    return learned(Cells(RING, ring(), seed=0))


def walk(adapter: Graph, blocked: bool, steps: int = 1500) -> tuple[int, int]:
    """Steps to the other side of the ring, or -1, and failures; a wall stands at the top if ``blocked``."""
    at = np.array([1.0, 0.0], np.float32)
    for step in range(steps):
        action = adapter.act(at)
        after = (at + 0.015 * action).astype(np.float32)
        if blocked and after[1] > 0.5 and abs(after[0]) < 0.1:
            after = at
        done = bool(np.abs(after - [-1, 0]).max() < 0.12)
        adapter.observe(Transition(at, action, float(done), after, done, False))
        at = after
        if done:
            return step + 1, int(adapter.moves.failures.sum())
    return -1, int(adapter.moves.failures.sum())


def test_a_ring_is_rounded_the_other_way_where_the_usual_way_is_blocked(cells: Cells) -> None:
    free = walk(Graph(RING, cells), blocked=False)
    assert 0 < free[0] < 300
    blocked = walk(Graph(RING, cells), blocked=True)
    assert free[0] < blocked[0] < 1000
    assert 1 <= blocked[1] <= 12  # a few moves led to the wall, and each was tried about once
    ignored = Graph(replace(RING, failure_weight=1e-9), cells)
    assert walk(ignored, blocked=True)[0] == -1  # control: what failed is forgotten


def test_moves_and_their_times_by_hand() -> None:
    """Three cells in a row; one episode goes 0, 0, 1, 1, 1, 2 and arrives, one stops in 1."""
    path = np.array([0, 0, 1, 1, 1, 2, 0, 1, 1], np.float32)
    rows = rows_of([6, 3], obs_dim=1)
    prior = prior_of(
        rows._replace(
            obs=path[:, None],
            next_obs=np.append(path[1:], 1)[:, None],
            reward=(np.arange(9) == 5).astype(np.float32),
            terminated=np.arange(9) == 5,
            truncated=np.arange(9) == 8,
        )
    )
    cells = Cells.__new__(Cells)
    cells.prior, cells.slow, cells.scale = prior, [0], np.ones(1)
    cells.centres = np.array([[0.0], [1.0], [2.0]])
    moves = Moves(cells, failure_weight=20.0)
    assert moves.count.tolist() == [[0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert moves.time[0, 1] == 1.5
    assert moves.time[1, 2] == 3
    assert moves.next.tolist()[:3] == [1, 2, 3]
    # (1.5 + 1) + (3 + 1 + 20) + (1 + 1 + 20): moves made once cost 20 more
    assert moves.distance[0] == pytest.approx(48.5)
    moves.failures[0, 1], moves.wins[0, 1] = 1, 1
    assert moves.cost()[0, 1] == pytest.approx(2.5 / (2 / 22) ** 2)
    assert moves.rows(1, 2).tolist() == [2, 3, 4]


def test_cells_and_wins_come_back_with_the_state(cells: Cells) -> None:
    one, two = Graph(RING, cells), Graph(RING, Cells(RING, ring(), seed=1))
    walk(one, blocked=True, steps=200)
    two.load_state_dict(one.state_dict())
    at = np.array([0.9, 0.3], np.float32)
    assert np.array_equal(one.act(at), two.act(at))
    assert np.array_equal(one.moves.next, two.moves.next)
    one.moves.failures[one.cell, one.to] += 1
    one.moves.plan()
    one.moves.wins[one.cell, one.to] += 1  # plans nothing anew before the next failure, here or there
    two.load_state_dict(one.state_dict())
    assert np.array_equal(one.moves.distance, two.moves.distance)


def test_where_the_prior_was_never_seen_to_leave_moves_can_fail_too(cells: Cells) -> None:
    """A body that is held in a cell without a way out counts failures of the nearest cell that has one."""
    adapter = Graph(RING, cells)
    at = np.array([0.0, 1.0], np.float32)
    adapter.moves.count[int(cells.at(at))] = 0
    adapter.moves.plan()
    for _ in range(200):
        adapter.observe(Transition(at, adapter.act(at), 0.0, at, False, False))
    assert adapter.moves.failures.sum() > 0
    assert adapter.moves.wins.sum() == 0


def test_a_prior_without_arrivals_has_no_graph() -> None:
    prior = ring()
    with pytest.raises(Unsupported, match="the prior has 2 and 0"):
        Cells(RING, replace(prior, terminated=np.zeros(len(prior), bool)), seed=0)


# -- arriving ------------------------------------------------------------------------------------------------


def test_where_the_prior_arrives_is_resolved_finely() -> None:
    """y spreads by 88 units and by 1 at the goal: 2.0 and 2.8 units become 0.4 apart, and were 0.009."""
    from slrl.learning.networks import Normaliser

    rng = np.random.default_rng(0)
    rows = rows_of([50] * 40, obs_dim=2)
    end = np.arange(2000) % 50 == 49
    obs = np.column_stack([rng.normal(0, 88, 2000), rng.normal(0, 0.05, 2000)]).astype(np.float32)
    arrived = np.column_stack([rng.normal(5, 1, 2000), obs[:, 1]]).astype(np.float32)
    prior = prior_of(
        rows._replace(
            obs=obs,
            next_obs=np.where(end[:, None], arrived, obs),
            terminated=end,
            truncated=np.zeros(2000, bool),
            reward=end.astype(np.float32),
        )
    )
    normaliser = Normaliser(prior, torch.device("cpu"))
    two = torch.tensor([[5 + 2.0, 0], [5 + 2.8, 0]])
    assert float(normaliser(two)[:, 0].diff()) == pytest.approx(0.009, abs=0.001)
    assert normaliser.resolve_arrivals(prior) == [0]
    assert normaliser.scale[0] == pytest.approx(2, rel=0.3)
    assert float(normaliser(two)[:, 0].diff()) > 0.2
    assert normaliser.scale[1] == pytest.approx(0.1)
