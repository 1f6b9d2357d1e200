"""A life step by step, in a world and with an adapter that are scripts; and what is drawn of it."""

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from slrl.envs import OneLife
from slrl.learning import seeds
from slrl.lives import life as lives
from slrl.lives import render, trace
from slrl.lives.life import live
from slrl.scenarios import parse
from slrl.types import Transition

from .conftest import prior_of, rows_of


class Script(gym.Env[Any, Any]):
    """Observes (steps so far, last action); ends or succeeds at the step it is told to."""

    def __init__(self, end_at: int = 0, success_at: int = 0, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.end_at, self.success_at, self.count = end_at, success_at, 0
        self.seeds: list[int | None] = []
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.seeds.append(seed)
        return np.array([0, 0], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        info = {"success": self.count == self.success_at, "far": 1000 - self.count}
        obs = np.array([self.count, action[0]], np.float32)
        return obs, self.count / 2, self.count == self.end_at, False, info

    def render(self) -> Any:
        return np.zeros((4, 4, 3), np.uint8)


class Actor:
    """Acts as far as it was told, tells what it is told to tell, and remembers all it saw."""

    modes = ("first", "second", "third")

    def __init__(self, told: dict[int, dict[str, float]] | None = None, stop_at: int = 0) -> None:
        self.told, self.stop_at = told or {}, stop_at
        self.seen: list[Transition] = []

    def act(self, obs: Any) -> Any:
        return np.array([(obs[0] % 10) / 10], np.float32)

    def observe(self, transition: Transition) -> dict[str, float]:
        self.seen.append(transition)
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        return self.told.get(len(self.seen), {})

    def learn(self) -> dict[str, float]:
        return {}


def lived(budget: int, actor: Any = None, progress: str | None = None, **world: int) -> lives.Life:
    return live(OneLife(Script(**world), budget, progress_info=progress), actor or Actor(), 0)


@pytest.mark.parametrize(
    ("world", "outcome", "steps"),
    [
        ({}, "timeout", 5),
        ({"end_at": 3}, "failure", 3),
        ({"success_at": 3}, "success", 3),
        ({"end_at": 3, "success_at": 3}, "success", 3),
        ({"end_at": 5}, "failure", 5),
        ({"success_at": 5}, "success", 5),
        ({"success_at": 1}, "success", 1),
    ],
)
def test_how_a_life_ends_is_its_outcome(world: dict[str, int], outcome: str, steps: int) -> None:
    found = lived(5, **world)
    assert (found.outcome, found.steps) == (outcome, steps)


def test_a_life_is_what_happened_in_its_order() -> None:
    """The action in state n is n / 10; the reward for arriving in n is n / 2."""
    found = lived(4, progress="far")
    assert found.obs[:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.action[:, 0], [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(found.obs[1:, 1], found.action[:, 0])
    assert found.reward.tolist() == [0.5, 1, 1.5, 2]
    assert found.progress.tolist() == [999, 998, 997, 996]
    assert {a.dtype for a in (found.obs, found.action, found.reward, found.progress)} == {np.dtype("float32")}
    assert found.wall_clock_s > 0


def test_an_adapter_is_told_each_step_as_it_was() -> None:
    actor = Actor()
    lived(3, actor, success_at=3)
    assert [(t.obs[0], t.next_obs[0], t.reward) for t in actor.seen] == [(0, 1, 0.5), (1, 2, 1), (2, 3, 1.5)]
    assert [(t.terminated, t.truncated) for t in actor.seen] == [(False, False)] * 2 + [(True, False)]
    cut = Actor()
    lived(2, cut)
    assert [(t.terminated, t.truncated) for t in cut.seen] == [(False, False), (False, True)]


@pytest.mark.parametrize(
    ("steps", "rows"), [(99, [99]), (100, [100]), (101, [100, 101]), (250, [100, 200, 250]), (1, [1])]
)
def test_metrics_have_a_row_every_hundred_steps_and_one_at_the_end(steps: int, rows: list[int]) -> None:
    assert [row["life/step"] for row in lived(steps).metrics] == rows


def test_a_row_of_metrics_has_the_step_its_numbers_and_those_of_the_adapter() -> None:
    told = {100: {"critic/loss": np.float32(0.5)}, 42: {"adapter/changed": 1.0, "x": 2}, 43: {"y": 3.0}}
    found = lived(120, Actor(told), progress="far")  # type: ignore[arg-type]
    assert [row["life/step"] for row in found.metrics] == [42, 100, 120]
    row = dict(found.metrics[1])
    assert row.pop("time/steps_per_s") > 0
    assert row == {"life/step": 100, "life/reward": 50, "life/progress": 900, "critic/loss": 0.5}
    assert found.metrics[0]["x"] == 2
    assert all(type(value) is float for row in found.metrics for value in row.values())


@pytest.mark.parametrize("stop_at", [1, 7, 100])
def test_an_interrupted_life_keeps_the_step_in_which_it_was_interrupted(stop_at: int) -> None:
    found = lived(200, Actor(stop_at=stop_at))
    assert (found.outcome, found.steps) == ("interrupted", stop_at)
    assert found.obs[:, 0].tolist() == list(range(stop_at + 1))


def test_a_life_that_was_interrupted_before_its_first_step_is_empty_and_has_its_shapes() -> None:
    class Gone(Actor):
        def act(self, obs: Any) -> Any:
            raise KeyboardInterrupt

    found = lived(10, Gone())
    assert (found.outcome, found.steps, found.metrics) == ("interrupted", 0, [])
    assert (found.obs.shape, found.action.shape, found.reward.shape) == ((1, 2), (0, 1), (0,))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_action_that_is_no_number_ends_the_life_as_diverged(wrong: float) -> None:
    """Nothing is lost of the three steps before it, and the sentence says what became of the action."""

    class Diverged(Actor):
        def act(self, obs: Any) -> Any:
            return np.array([wrong if obs[0] == 3 else 0.0], np.float32)

    found = lived(10, Diverged(), progress="far")
    assert (found.outcome, found.steps, found.obs[:, 0].tolist()) == ("diverged", 3, [0, 1, 2, 3])
    assert found.progress.tolist() == [999, 998, 997]
    assert [row["life/step"] for row in found.metrics] == [3]
    advice = "learning diverged; choose smaller learning rates."
    assert found.reason == f"the action became [{wrong}] after 3 steps: {advice}"
    assert lived(10).reason == ""


def test_the_seed_of_the_world_is_the_lifes_own_and_fits_gymnasium() -> None:
    env = Script()
    for seed in (0, 0, 1):
        live(OneLife(env, 1), Actor(), seed)  # type: ignore[arg-type]
    first, same, other = env.seeds
    assert first == same != other
    assert first == seeds.seed_of(seeds.of_life(0).world) % 2**31


@pytest.mark.parametrize(
    ("mode", "given", "sees"), [(None, False, False), (None, True, True), ("rgb_array", False, True)]
)
def test_who_watches_is_given_a_view_where_there_is_one(mode: Any, given: bool, sees: bool) -> None:
    class Watching(Actor):
        def watch(self, view: Any) -> None:
            self.view = view

    def picture() -> Any:
        return np.zeros((2, 2, 3), np.uint8)

    actor = Watching()
    env: Any = OneLife(Script(render_mode=mode), 1)
    live(env, actor, 0, view=picture if given else None)  # type: ignore[arg-type]
    assert (actor.view is picture) == given
    assert (actor.view is not None) == sees


# --- the trace ----------------------------------------------------------------------------------------------

LEAST = {
    "summary": "s",
    "prior": "p",
    "life_steps": 9,
    "source": {"env": "a"},
    "target": {"env": "slrl/Pointmass-v0"},
}
PLANE = {"obs": [1, 0], "x_limits": [-2, 8], "y_limits": [-10, 40], "goal": [3, 4], "goal_radius": 0.5}


def test_modes_that_begin_at_the_first_row_or_change_without_being_told() -> None:
    def row(step: float, mode: float, **more: float) -> dict[str, float]:
        return {"life/step": step, "adapter/mode": mode, **more}

    assert trace.modes_of([row(100, 2), row(150, 3)], 200) == [(2, 0, 150), (3, 150, 200)]
    mixed = [{"life/step": 100.0}, row(200, 1), {"life/step": 300.0}]
    assert trace.modes_of(mixed, 300) == [(1, 0, 300)]
    assert trace.modes_of([], 5) == []


def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, found: lives.Life, **scenario: Any) -> Any:
    """The figure itself, instead of its picture."""
    from matplotlib.figure import Figure

    kept: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: kept.append(self))
    table = parse({**LEAST, **scenario}, name="mine")
    rows = rows_of([5], obs_dim=2)
    rows.obs[:] = [30, -1]
    trace.draw(tmp_path / "x.png", found, "someone", table, prior_of(rows))
    return kept[0]


@pytest.mark.parametrize(
    ("world", "title"),
    [
        ({"success_at": 4}, "mine · someone: succeeded after 4 steps"),
        ({"end_at": 4}, "mine · someone: failed after 4 steps"),
        ({}, "mine · someone: had not succeeded after 1,200 steps"),
    ],
)
def test_the_title_of_a_trace_says_how_the_life_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, world: dict[str, int], title: str
) -> None:
    figure = drawn(monkeypatch, tmp_path, lived(1200, **world))
    assert figure.get_suptitle() == title


def test_without_a_plane_the_return_and_without_progress_the_reward_are_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Rewards 1/2, 1, 3/2 sum to 1/2, 3/2, 3."""
    left, right = drawn(monkeypatch, tmp_path, lived(3)).axes
    assert left.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 1.5], [3, 3]]
    assert right.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 1], [3, 1.5]]
    found = drawn(monkeypatch, tmp_path, lived(2, progress="far"), progress_info="far")
    assert found.axes[1].lines[0].get_xydata().tolist() == [[1, 999], [2, 998]]
    assert found.axes[1].get_ylabel() == "far"


def test_a_long_life_is_thinned_out_and_keeps_its_last_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(trace, "MOST_POINTS", 4)
    left, _ = drawn(monkeypatch, tmp_path, lived(9)).axes
    assert left.lines[0].get_xydata().tolist() == [[3, 3], [6, 10.5], [9, 22.5]]  # n (n + 1) / 4


def test_the_plane_has_the_path_its_ends_the_goal_and_the_drift(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    wind = {"name": "wind", "x_units_per_step": [3, 3], "y_units_per_step": [-4, -4]}
    target = {**LEAST["target"], "shifts": [wind]}  # type: ignore[dict-item]
    axes = drawn(monkeypatch, tmp_path, lived(3), plane=PLANE, target=target).axes[0]
    start, end, goal = (line.get_xydata()[0].tolist() for line in axes.lines)
    assert (start, end, goal) == ([0, 0], [pytest.approx(0.2), 3], [3, 4])  # x is entry 1, y entry 0
    known = axes.collections[0].get_array()  # five rows at x = -1, y = 30, in cells of 0.25 and 1.25
    assert np.argwhere(known).tolist() == [[32, 4]]
    assert known[32, 4] == pytest.approx(np.log(6))
    np.testing.assert_allclose(axes.get_xlim(), (-2.6, 8.6))
    np.testing.assert_allclose(axes.get_ylim(), (-12, 42))
    (circle,) = (patch for patch in axes.patches if hasattr(patch, "radius"))
    assert (circle.center, circle.radius) == ((3.0, 4.0), 0.5)
    (arrows,) = (one for one in axes.collections if hasattr(one, "U"))
    # a length of 0.09 · 50 along (3, -4) / 5, at four places in x and seven in y
    np.testing.assert_allclose((arrows.U[0], arrows.V[0]), (2.7, -3.6))
    assert len(arrows.X) == 28
    assert arrows.X.min() == pytest.approx(0.0)


def test_the_band_of_modes_is_drawn_from_step_to_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    told = {3: {"adapter/changed": 1.0, "adapter/mode": 2.0}, 8: {"adapter/mode": 2.0}}
    band = drawn(monkeypatch, tmp_path, lived(8, Actor(told))).axes[2]
    assert [(p.get_x(), p.get_x() + p.get_width()) for p in band.patches] == [(0, 3), (3, 8)]
    assert len(band.get_legend().get_texts()) == 2


# --- pictures of both worlds --------------------------------------------------------------------------------


def test_of_two_lives_the_shorter_one_stands_still_and_both_are_held_at_the_end() -> None:
    left, right = [(f"l{i}", "") for i in range(3)], [("r0", "")]
    pairs = [(a[0], b[0]) for a, b in render._paired(left, right)]  # type: ignore[arg-type]
    assert pairs == [("l0", "r0"), ("l1", "r0"), *[("l2", "r0")] * (1 + render.HOLD_FRAMES)]


@pytest.mark.parametrize(
    ("every", "world", "texts"),
    [
        (2, {}, ["step 0", "step 2", "step 4", "step 5"]),
        (2, {"end_at": 3}, ["step 0", "step 2", "step 3"]),
        (1, {"success_at": 2}, ["step 0", "step 1", "step 2 · success"]),
        (9, {}, ["step 0", "step 5"]),
    ],
)
def test_frames_of_a_life_are_taken_evenly_and_at_its_end(
    every: int, world: dict[str, int], texts: list[str]
) -> None:
    class Camera:
        pictures, closed = 0, False

        def __call__(self) -> int:
            self.pictures += 1
            return self.pictures

        def close(self) -> None:
            self.closed = True

    view, actor = Camera(), Actor()
    shots = list(render._shoot(OneLife(Script(**world), 5), actor, 0, every, view))  # type: ignore[arg-type]
    assert [text for _, text in shots] == texts
    assert [picture for picture, _ in shots] == list(range(1, len(texts) + 1))
    assert view.closed
    assert [t.next_obs[0] for t in actor.seen] == list(range(1, len(actor.seen) + 1))


@pytest.mark.parametrize(("shape", "width"), [((120, 240), 600), ((240, 120), 260)])
def test_a_page_has_both_pictures_at_the_same_height_beside_each_other(
    shape: tuple[int, int], width: int
) -> None:
    """A picture twice as wide as high is 600 pixels wide at a height of 300; a narrow one has 260."""
    red, blue = (np.full((*shape, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    pair = ((red, "step 1"), (blue, "step 2"))
    page = render._page(SimpleNamespace(), "who", ("source", "target"), pair)  # type: ignore[arg-type]
    margin = render.MARGIN_PX
    assert page.size == (2 * width + 3 * margin, render.SIZE_PX + render.BANNER_PX + margin)
    pixels = np.asarray(page)[render.BANNER_PX + 150]
    shown = round(render.SIZE_PX * shape[1] / shape[0])
    for colour, left in (([200, 0, 0], margin), ([0, 0, 200], 2 * margin + width)):
        at = np.flatnonzero((pixels == colour).all(1))
        assert (at[0], len(at)) == (left + (width - shown) // 2, shown)
