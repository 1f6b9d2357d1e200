"""Which level acts, when the graph takes over and gives back, and the last steps by the model."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl import adapters
from slrl.adapters import arrive, levels, modes
from slrl.adapters.arrive import Arrive
from slrl.adapters.graph import Cells, Graph
from slrl.adapters.levels import Levels, chosen, used
from slrl.priors import Prior
from slrl.recording.describe import describe
from slrl.types import F32, Transition

from .conftest import prior_of, rows_of
from .test_adapters import hurried, trimmed
from .test_frames import RING, learned, ring
from .things import carried, pressed

SETTINGS: levels.Settings = adapters.load("levels").adapter.settings


def test_the_level_is_what_the_prior_supports() -> None:
    assert chosen(SETTINGS, carried()) == "frames"
    assert chosen(SETTINGS, pressed()) == "modes"
    assert used(SETTINGS, ring()) == ["low", "graph"]
    without = ring()
    assert used(SETTINGS, replace(without, terminated=np.zeros(len(without), bool))) == ["low"]


def test_members_of_each_level_are_those_that_its_lives_had() -> None:
    """Frames has more of them; modes and graph take its other settings, but not this one."""
    levels_ = {name: getattr(SETTINGS, name).adapter.settings for name in ("frames", "modes", "graph")}
    assert {name: found.regression.members for name, found in levels_.items()} == {
        "frames": 15,
        "modes": 3,
        "graph": 3,
    }


def test_relations_come_before_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "missing", lambda *_: "")
    assert chosen(SETTINGS, carried()) == "frames"
    assert chosen(SETTINGS, pressed()) == "modes"


def test_points_that_a_scenario_declares_count() -> None:
    door = adapters.load("levels", suggested=slrl.load_scenario("door_stiff").overrides())
    assert door.adapter.settings.frames.adapter.settings.triples()[0] == (0, 4, 36)


def test_only_what_acts_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    from slrl.adapters.setup import Plan

    plan = Plan.of(hurried("levels"), trimmed(carried(), [0, 1, 2, 3, 4, 5]))
    assert [one.name for one in levels.artefacts(SETTINGS, plan)] == ["frames"]


class Still:
    """A level that does nothing."""

    def act(self, obs: F32) -> F32:
        return np.zeros(2, np.float32)

    def observe(self, transition: Transition) -> dict[str, Any]:
        return {}

    def learn(self) -> dict[str, Any]:
        return {"learned": 1.0}


class East(Still):
    """Walks the ring's upper half, as the prior does, by its place alone; slides along a wall."""

    def act(self, obs: F32) -> F32:
        return np.array([-obs[1], obs[0]], np.float32) if obs[1] >= 0 else np.zeros(2, np.float32)


@pytest.fixture(scope="module")
def cells() -> Cells:
    return learned(Cells(RING, ring(), seed=0))


def walked(adapter: Levels, wall: Any, steps: int = 1500) -> tuple[bool, list[int]]:
    """Whether the other side of the ring was reached, and at which steps the acting level changed."""
    at, changes, before = np.array([1.0, 0.0], np.float32), [], 0.0
    for step in range(steps):
        action = adapter.act(at)
        after = wall(at, (at + 0.015 * np.clip(action, -1, 1)).astype(np.float32))
        done = bool(np.abs(after - [-1, 0]).max() < 0.12)
        mode = float(adapter.observe(Transition(at, action, float(done), after, done, False))["adapter/mode"])
        if mode != before:
            changes.append(step)
        before, at = mode, after
        if done:
            return True, changes
    return False, changes


def made(cells: Cells, level: Any, **more: Any) -> Levels:
    settings = replace(SETTINGS, **more)
    return Levels(settings, "low", level, Graph(RING, cells), None, np.random.default_rng(0))


def blocked(at: F32, after: F32) -> F32:
    return at if after[1] > 0.5 and abs(after[0]) < 0.1 else after


def test_the_graph_takes_over_from_a_body_that_stands_before_a_wall(cells: Cells) -> None:
    arrived, changes = walked(made(cells, East()), blocked)
    assert arrived
    assert len(changes) == 1
    # Control: a level that nobody relieves stands there for good.
    alone = Levels(SETTINGS, "low", East(), None, None, np.random.default_rng(0))
    assert walked(alone, blocked) == (False, [])


def test_a_body_that_moves_slowly_is_left_alone_for_longer(cells: Cells) -> None:
    """At a fifth of the pace every move fails, and the body does not stand still."""

    class Slow(East):
        def act(self, obs: F32) -> F32:
            return 0.2 * super().act(obs)

    first = {
        failures: walked(made(cells, Slow(), failures=failures), lambda at, to: to)[1][0]
        for failures in (1, 4)
    }
    assert first[4] > 2 * first[1]


def test_a_graph_whose_moves_fail_gives_back_and_turns_grow_longer(cells: Cells) -> None:
    """Nothing moves the body any more: it is held where it is."""
    adapter = made(cells, Still(), graph_failures=3)
    arrived, changes = walked(adapter, lambda at, to: at, 3000)
    assert not arrived
    assert adapter.turns >= 2
    turns = np.diff(changes)
    assert turns[2] > 1.5 * turns[0]


def test_the_modes_are_those_of_what_can_act_and_each_change_is_said(cells: Cells) -> None:
    class Turning(Still):
        modes = ("forth", "back")

        def observe(self, transition: Transition) -> dict[str, Any]:
            return {"adapter/mode": float(transition.reward)}

    rng = np.random.default_rng(0)
    alone = Levels(SETTINGS, "frames", Turning(), None, None, rng)
    assert alone.modes == ("forth", "back")
    obs = np.zeros(2, np.float32)
    said = [
        alone.observe(Transition(obs, np.zeros(2, np.float32), reward, obs, False, False))
        for reward in (0, 1, 1, 0)
    ]
    assert [one["adapter/mode"] for one in said] == [0, 1, 1, 0]
    assert ["adapter/changed" in one for one in said] == [False, True, False, True]
    assert Levels(SETTINGS, "low", Still(), Graph(RING, cells), None, rng).modes == ("low", "graph")


def test_changes_of_a_level_that_does_not_act_are_not_said(cells: Cells) -> None:
    """As those of a switch behind which the graph has taken over; and a first mode is no change."""

    class Restless(Still):
        modes = ("graph", "other")  # a name that another level has too

        def observe(self, transition: Transition) -> dict[str, Any]:
            return {"adapter/mode": 1.0, "adapter/changed": 0.0}

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            pass

    adapter = made(cells, Restless())
    at = np.array([1.0, 0.0], np.float32)
    still = Transition(at, np.zeros(2, np.float32), 0.0, at, False, False)
    first = adapter.observe(still)
    assert (first["adapter/mode"], "adapter/changed" in first) == (1, False)
    restored = made(cells, Restless())
    restored.load_state_dict(adapter.state_dict())
    for one in (adapter, restored):
        one.taken_over = True
        said = [one.observe(still) for _ in range(3)]
        assert [row["adapter/mode"] for row in said] == [2, 2, 2]
        assert ["adapter/changed" in row for row in said] == [True, False, False]


def test_what_acts_learns(cells: Cells) -> None:
    adapter = made(cells, Still())
    assert adapter.learn() == {"learned": 1.0}
    adapter.taken_over = True
    assert adapter.learn() == {}


# -- the last steps ------------------------------------------------------------------------------------------


def sharp_prior() -> Prior:
    """x, y spread by 10; at success they are 0 ± 0.1."""
    rng = np.random.default_rng(0)
    rows, end = rows_of([20] * 50, obs_dim=2), np.arange(1000) % 20 == 19
    obs = rng.normal(0, 10, (1000, 2)).astype(np.float32)
    arrived = rng.normal(0, 0.1, (1000, 2)).astype(np.float32)
    none = np.zeros(1000, bool)
    next_obs = np.where(end[:, None], arrived, obs)
    reward = end.astype(np.float32)
    return prior_of(rows._replace(obs=obs, next_obs=next_obs, terminated=end, truncated=none, reward=reward))


def bringing(prior: Prior, **more: Any) -> Arrive:
    """With a model that knows the wind, which blows to the north by 0.5 a step."""

    def predict(obs: torch.Tensor, action: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, None]:
        return (obs + action + torch.tensor([0.0, 0.5]))[None], None

    dynamics = SimpleNamespace(predict=predict, mean=torch.zeros(1))
    latent: Any = SimpleNamespace(
        extrinsics=SimpleNamespace(dynamics=dynamics, prior=prior), z=torch.zeros(3)
    )
    return Arrive(arrive.Settings(**more), prior, latent, np.random.default_rng(0))


def test_a_body_that_stands_beside_the_goal_is_brought_there() -> None:
    prior = sharp_prior()
    adapter = bringing(prior, still_steps=5, steps=40)
    assert adapter.entries == [0, 1]
    at = np.array([0.0, 1.5], np.float32)
    for _ in range(6):
        assert not adapter.left
        adapter.observe(at)
    assert adapter.left == 40
    for _ in range(4):
        at = (at + adapter.act(at) + [0, 0.5]).astype(np.float32)
        adapter.observe(at)
    assert np.abs(at).max() < 0.15


def test_a_spell_that_brings_the_body_no_nearer_is_followed_by_a_pause_that_doubles() -> None:
    """It is held beside the goal: the levels must have their turn."""
    adapter, acted = bringing(sharp_prior(), still_steps=5, steps=10), ""
    for _ in range(200):
        adapter.observe(np.array([0.0, 1.5], np.float32))
        acted += "x" if adapter.left else " "
    pauses = [len(part) for part in acted.strip().split("x") if part]
    assert pauses[:3] == pytest.approx([10, 20, 40], abs=1)


def test_without_arrivals_it_does_nothing_and_its_state_comes_back() -> None:
    prior = sharp_prior()
    none = replace(prior, reward=np.zeros_like(prior.reward))
    one, two = bringing(none), bringing(none)
    one.observe(np.zeros(2, np.float32))
    two.load_state_dict(one.state_dict())
    assert (one.entries, two.left) == ([], 0)


@pytest.mark.parametrize("lengths", [[1] * 40, [2] * 40, [5]])
def test_a_prior_of_short_episodes_is_lived_with_by_low(lengths: list[int]) -> None:
    prior = prior_of(rows_of(lengths))
    assert used(SETTINGS, prior) == ["low"]
    assert "episodes" in describe(prior)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (lambda step: (0.0, 1.5 + 0.2 * step), {}),  # moves
        (lambda step: (0.0, 9.0), {}),  # stands elsewhere
        (lambda step: (0.0, 1.5), {"steps": 0}),  # switched off
    ],
)
def test_others_are_left_alone(path: Any, more: dict[str, int]) -> None:
    adapter = bringing(sharp_prior(), **{"still_steps": 5, **more})
    for step in range(20):
        adapter.observe(np.array(path(step), np.float32))
    assert adapter.left == 0
