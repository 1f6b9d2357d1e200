"""The monitor's thresholds by hand and its false alarms; the switch's modes by dictated signals."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl import adapters, files
from slrl.adapters.monitor import NEVER, SIGNALS, Monitor, Settings, held_out, threshold
from slrl.adapters.setup import Plan
from slrl.adapters.switch import LATENT, NOMINAL, SKILL, WEIGHTS, Switch, monitored
from slrl.learning.cache import LearnedCache
from slrl.learning.seeds import with_seed
from slrl.lives.trace import modes_of
from slrl.priors import Prior
from slrl.types import Transition

from .conftest import prior_of, rows_of
from .test_adapters import breezy_prior, hurried

CPU = torch.device("cpu")


def test_the_conformal_threshold_by_hand() -> None:
    """Of 19 values at α = 0.05 the ⌈20 · 0.95⌉ = 19th smallest, the largest; of 39 the 38th; of 18 none."""
    assert threshold(np.arange(19)[::-1], 0.05) == 18.0
    assert threshold(np.arange(39), 0.05) == 37.0
    assert threshold(np.arange(18), 0.05) == NEVER
    assert threshold([-np.inf] * 30, 0.05) == NEVER
    assert threshold(np.arange(9), 0.5) == 4.0


def test_the_promise_holds_on_new_trajectories() -> None:
    """Over many draws of 39 trajectories, a new one is beyond the threshold in 5 % of the cases."""
    rng = np.random.default_rng(0)
    alarms = [rng.exponential() > threshold(rng.exponential(size=39), 0.05) for _ in range(4000)]
    assert 0.035 < np.mean(alarms) < 0.065


class Distance:
    """The value of a state is minus its distance from the origin in the first entry."""

    def v(self, obs: torch.Tensor) -> torch.Tensor:
        return -obs[:, 0].abs()

    def q(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.v(obs)

    def tensors(self) -> list[torch.Tensor]:
        return []


def walks(episodes: int, steps: int, seed: int, push: float = 0.0) -> Prior:
    """From -100 to the origin, 0.5 ± 0.3 a step; s'[0] = s[0] + a plus a push unknown to the model."""
    rng = np.random.default_rng(seed)
    rows = rows_of([steps] * episodes, obs_dim=3, action_dim=1, seed=seed)
    action = np.clip(rng.normal(0.5, 0.3, (episodes * steps, 1)), -1, 1).astype(np.float32)
    never = np.zeros(len(rows.reward), bool)
    start = np.tile(np.array([-100.0, 0, 0], np.float32), (episodes, 1)) + rng.normal(
        0, [3, 0.2, 0.2], (episodes, 3)
    )
    obs = np.zeros_like(rows.obs)
    next_obs = np.zeros_like(rows.obs)
    for episode in range(episodes):
        at = slice(episode * steps, (episode + 1) * steps)
        path = start[episode] + np.vstack(
            [np.zeros(3), np.cumsum(np.pad(action[at] + push, ((0, 0), (0, 2))), 0)]
        )
        obs[at], next_obs[at] = path[:-1], path[1:]
    truncated = np.arange(len(never)) % steps == steps - 1
    rows = rows._replace(obs=obs, action=action, next_obs=next_obs)
    return prior_of(rows._replace(reward=0 * rows.reward, terminated=never, truncated=truncated))


def monitor(prior: Prior, **settings: float) -> Monitor:
    usual = {"steps": 300, "window": 40, "held_out": 0.5, **settings}
    found = Monitor(Settings(**usual), prior, Distance(), CPU)  # type: ignore[arg-type]
    for _ in found.learn():
        pass
    return found


def watched(found: Monitor, prior: Prior) -> np.ndarray:
    """Which signals were raised in each episode of another recording."""
    raised = np.zeros((prior.episodes, len(SIGNALS)), bool)
    begun = found.state_dict()
    for episode in range(prior.episodes):
        found.load_state_dict(begun)
        for row in np.flatnonzero(prior.episode == episode):
            step = Transition(prior.obs[row], prior.action[row], 0.0, prior.next_obs[row], False, False)
            raised[episode] |= found.raised(found.update(step))
    return raised


def test_false_alarms_are_rare_where_nothing_is_new_and_a_push_is_noticed() -> None:
    quiet = []
    # the promise is kept on average over monitors: each has thresholds of forty walks
    for seed in (
        10,
        11,
        12,
    ):
        found = monitor(walks(80, 120, seed=seed))
        assert found.unsupported() == ["value_drop"]  # no walk of the prior ever lost value over a window
        quiet.append(watched(found, walks(60, 120, seed=100 + seed)).mean(0))
    assert np.mean(quiet, 0).max() <= 0.1  # 5 % promised
    pushed = watched(found, walks(10, 120, seed=3, push=-0.8))
    assert pushed[:, SIGNALS.index("residual")].all()
    assert pushed[:, SIGNALS.index("stall")].all()


def test_to_stand_still_is_no_gain_and_to_walk_as_usual_is_one() -> None:
    found = monitor(walks(80, 120, seed=1))  # 10 units nearer in 20 steps
    assert 5 < float(found.usual_gain) < 12
    found.track.values = [-50.0] * 41
    assert not found.gaining()
    found.track.values = [-50.0 + 0.6 * i for i in range(41)]
    assert found.gaining()
    strolling = walks(80, 120, seed=1)
    back = replace(strolling, obs=-strolling.obs[::-1].copy(), next_obs=-strolling.next_obs[::-1].copy())
    assert float(monitor(back).usual_gain) > 0


def test_a_monitor_of_short_or_few_trajectories_says_what_it_cannot_do() -> None:
    short = monitor(walks(80, 30, seed=1))  # shorter than the window
    assert short.unsupported() == ["stall", "value_drop"]
    assert "the longest has 30 steps, and stall and value_drop take more than window = 40" in (
        short.why_unsupported()
    )
    few = monitor(walks(10, 120, seed=1))  # five held out
    assert few.unsupported() == list(SIGNALS)
    assert few.why_unsupported() == "a threshold takes 19 held-out episodes, and there are 5"
    alone = monitor(walks(1, 120, seed=1), held_out=0.9)  # something must be learned from
    assert (alone.unsupported(), len(alone.held_out)) == (list(SIGNALS), 0)


def switch_plan(prior: Prior, **monitor: float) -> tuple[Any, Plan]:
    """The settings of a hurried switch, and its plan for a prior."""
    method = hurried("switch", [(f"adapter.monitor.{key}", value) for key, value in monitor.items()])
    return method.adapter.settings, Plan.of(method, prior)


def test_held_out_episodes_teach_nothing_but_the_thresholds() -> None:
    """Other held-out rows: the value, the latents, the dynamics and the known states stay as they were."""
    prior = breezy_prior()
    settings, plan = switch_plan(prior, false_alarms=0.5)
    watch = with_seed(settings.monitor, plan.seeds.monitor)
    out = np.isin(prior.episode, held_out(watch, prior))
    assert 0 < out.sum() < len(prior)
    shift = np.where(out[:, None], 50.0, 0.0).astype(np.float32)
    other = replace(
        prior,
        obs=prior.obs + shift,
        next_obs=prior.next_obs + shift,
        reward=prior.reward + shift[:, 0],
        env_params=prior.env_params + shift[:, :1],
    )
    found = [LearnedCache().get(monitored(*switch_plan(p, false_alarms=0.5))) for p in (prior, other)]
    for name in ("known", "scale", "middle"):
        np.testing.assert_array_equal(*(getattr(one, name) for one in found))
    one, two = (each.state_dict() for each in found)
    different = {key for key in one if not torch.equal(one[key], two[key])}
    assert {"monitor.thresholds"} <= different <= {"monitor.thresholds", "monitor.usual_gain"}
    assert {key.partition(".")[0] for key in one} == {"model", "monitor", "value", "latents", "reading"}


def test_a_recording_is_watched_as_a_life_is() -> None:
    """z included: the signals of an episode, computed at once, are those of its steps, one by one."""
    prior = breezy_prior()
    found: Monitor = LearnedCache().get(monitored(*switch_plan(prior)))
    begun = found.state_dict()
    for episode, at_once in enumerate(found.of_episodes(prior, range(prior.episodes))):
        found.load_state_dict(begun)
        stepwise = []
        for row in range(prior.starts[episode], prior.ends[episode] + 1):
            step = Transition(
                prior.obs[row], prior.action[row], float(prior.reward[row]), prior.next_obs[row], False, False
            )
            stepwise.append(found.update(step))
        np.testing.assert_allclose(at_once, stepwise, rtol=1e-4, atol=5e-4)  # distances are of float32
        assert np.isfinite(at_once[20:, 2:]).all()


def test_modes_change_between_skills_or_the_settings_are_refused() -> None:
    for hold, horizon in ((20, 10), (10, 5), (15, 15)):
        adapters.load(
            "switch", [("adapter.hold_steps", hold), ("adapter.high.adapter.skills.horizon", horizon)]
        )
    adapters.load("switch", [("adapter.high", "frozen"), ("adapter.hold_steps", 7)])
    with pytest.raises(slrl.BadInput, match=r"multiple of the high level's skills.horizon \(10\).* not 15"):
        adapters.load("switch", [("adapter.hold_steps", 15)])


@pytest.mark.parametrize("window", [4, 7])
def test_a_stall_is_the_value_lost_over_the_whole_window(window: int) -> None:
    """V = -1, -2, -4, -8, …; without smoothing the stall after t steps is V(t - W) - V(t)."""
    found = Monitor(Settings(window=window, smoothing=0.0), walks(4, 20, seed=1), Distance(), CPU)  # type: ignore[arg-type]
    stalls = []
    for step in range(window + 3):
        arrived = np.array([2.0**step, 0, 0], np.float32)
        signals = found.update(Transition(0 * arrived, np.zeros(1, np.float32), 0.0, arrived, False, False))
        stalls.append(signals[SIGNALS.index("stall")])
    assert stalls[:window] == [-np.inf] * window
    assert stalls[window:] == [2.0 ** (window + i) - 2.0**i for i in range(3)]


def test_distance_to_what_is_known_by_hand() -> None:
    prior = walks(4, 20, seed=1)
    found = Monitor(Settings(), prior, Distance(), CPU)
    x = prior.obs[7] + np.array([5, 0.1, 0.3], np.float32)
    apart = np.sqrt((((found.known * found.scale + found.middle) - x) / found.scale) ** 2 @ np.ones(3))
    assert found.distance(x[None])[0] == pytest.approx(np.sort(apart)[:5].mean(), rel=1e-3)


def dictated(**settings: int) -> Any:
    """A switch whose levels do nothing."""
    switch: Any = object.__new__(Switch)
    given = {
        "residual_steps": 3,
        "clear_steps": 4,
        "latent_steps": 6,
        "unmended_steps": 40,
        "stall_steps": 5,
        "settled_steps": 10,
        "hold_steps": 5,
        "patience_steps": 30,
        **settings,
    }
    switch._settings = SimpleNamespace(**given)
    switch.high, switch.latent = object(), SimpleNamespace(every=10, usual=10)
    switch.learner = SimpleNamespace(learning=False)
    switch.mode, switch.since, switch.relapses, switch.since_best, switch.best = NOMINAL, 0, -1, 0, 0.0
    switch.rows, switch.clear = np.zeros(5, np.int64), np.zeros(5, np.int64)
    switch.monitor = SimpleNamespace(gaining=lambda: False, every=10, usual=10)
    return switch


def live(switch: Any, steps: int, *names: str) -> list[int]:
    """So many steps on which these signals are raised."""
    modes = []
    raised = np.array([name in names for name in SIGNALS])
    for _ in range(steps):
        switch.rows, switch.clear = (
            np.where(raised, switch.rows + 1, 0),
            np.where(raised, 0, switch.clear + 1),
        )
        switch.since += 1
        switch.since_best += 1
        before, switch.mode = switch.mode, switch.next_mode(raised)
        if switch.mode != before:
            switch._enter(before)
        modes.append(switch.mode)
    return modes


class Level:
    """Acts with a number of its own, and remembers what it observed and how often it learned."""

    def __init__(self, number: float) -> None:
        self.number, self.told, self.learned = number, list[Transition](), 0

    def act(self, obs: np.ndarray) -> np.ndarray:
        return np.array([self.number], np.float32)

    def observe(self, transition: Transition) -> dict[str, float]:
        self.told.append(transition)
        return {}

    def learn(self) -> dict[str, float]:
        self.learned += 1
        return {}


def test_the_low_level_sees_what_the_skills_do_and_the_skills_not_what_it_does() -> None:
    prior = walks(4, 20, seed=1)
    watched = Monitor(Settings(), prior, Distance(), CPU)  # type: ignore[arg-type]
    low, high = Level(0.1), Level(0.2)
    settings = adapters.load("switch").adapter.settings
    switch = Switch(settings, low, high, watched)  # type: ignore[arg-type]
    for mode, acts in ((NOMINAL, 0.1), (SKILL, 0.2), (NOMINAL, 0.1)):
        switch.mode = mode
        for row in range(3):
            action = switch.act(prior.obs[row])
            assert action.tolist() == pytest.approx([acts])
            done = Transition(prior.obs[row], action, 0.0, prior.next_obs[row], False, False)
            switch.observe(done)
            switch.learn()
    assert [float(told.action[0]) for told in low.told] == pytest.approx([0.1] * 3 + [0.2] * 3 + [0.1] * 3)
    assert [float(told.action[0]) for told in high.told] == pytest.approx([0.2] * 3)
    assert (low.learned, high.learned) == (9, 3)


def test_a_residual_reads_the_latent_at_every_step_until_it_is_clear() -> None:
    switch = dictated()
    assert live(switch, 4, "residual") == [NOMINAL, NOMINAL, LATENT, LATENT]
    assert (switch.latent.every, switch.monitor.every) == (1, 1)
    assert live(switch, 5) == [LATENT] * 3 + [NOMINAL] * 2
    assert (switch.latent.every, switch.monitor.every) == (10, 10)


def test_a_single_peak_changes_nothing() -> None:
    switch = dictated()
    for _ in range(10):
        assert set(live(switch, 2, "residual", "stall") + live(switch, 1)) == {NOMINAL}


def test_what_the_latent_does_not_mend_is_for_the_skills_but_not_at_once() -> None:
    switch = dictated()
    live(switch, 3, "residual")
    assert live(switch, 6, "residual", "stall") == [LATENT] * 5 + [SKILL]
    switch = dictated()
    live(switch, 3, "residual")
    assert live(switch, 7, "residual", "value_drop", "unfamiliarity")[-1] == SKILL
    switch = dictated()
    live(switch, 3, "residual")
    assert set(live(switch, 20, "residual", "value_drop")) == {LATENT}  # a drop where all is familiar


def test_a_residual_that_no_latent_mends_is_for_the_skills_unless_values_rise() -> None:
    switch = dictated()
    live(switch, 3, "residual")
    assert live(switch, 40, "residual") == [LATENT] * 39 + [SKILL]
    switch = dictated()
    switch.monitor.gaining = lambda: True
    live(switch, 3, "residual")
    assert set(live(switch, 100, "residual")) == {LATENT}


def test_a_relapse_through_the_latent_is_one_too_and_the_latent_is_given_half_as_long() -> None:
    switch = dictated(patience_steps=1000)
    for waited, settled in ((40, 10), (20, 20), (10, 40)):
        switch.monitor.gaining = lambda: False
        live(switch, 3, "residual")
        assert live(switch, waited, "residual") == [LATENT] * (waited - 1) + [SKILL]
        switch.monitor.gaining = lambda: True
        switch.since_best = -settled
        assert live(switch, settled) == [SKILL] * (settled - 1) + [NOMINAL]


def test_a_stall_needs_no_change_of_dynamics() -> None:
    switch = dictated()
    assert live(switch, 5, "stall") == [NOMINAL] * 4 + [SKILL]
    switch = dictated()
    assert live(switch, 1, "stall", "unfamiliarity") == [SKILL]


def test_skills_are_left_for_values_better_than_ever_and_later_after_each_relapse() -> None:
    switch = dictated(patience_steps=1000)
    live(switch, 5, "stall")
    switch.since_best = 0
    assert live(switch, 20)[-1] == SKILL  # familiar, but no gain
    switch.monitor.gaining = lambda: True
    assert live(switch, 5)[-1] == SKILL  # a gain, but it was better before
    switch.since_best = -5
    assert live(switch, 5) == [SKILL] * 4 + [NOMINAL]
    for settled in (20, 40):
        live(switch, 5, "stall")
        switch.since_best = -settled
        assert live(switch, settled) == [SKILL] * (settled - 1) + [NOMINAL]
    live(switch, 5, "stall")
    switch.since_best = -100
    assert set(live(switch, 100, "unfamiliarity")) == {SKILL}


def test_weights_learn_last() -> None:
    switch = dictated()
    live(switch, 5, "stall")
    assert not switch.learner.learning
    modes = live(switch, 60, "unfamiliarity")
    assert modes.index(WEIGHTS) + 1 == 25  # the five steps of a hold count as gone by
    assert switch.learner.learning
    assert set(modes[25:]) == {WEIGHTS}


def test_levels_that_are_not_there_are_left_out() -> None:
    switch = dictated()
    switch.high = None
    assert live(switch, 5, "stall")[-1] == WEIGHTS
    switch = dictated()
    switch.high = switch.learner = None
    assert set(live(switch, 50, "stall", "unfamiliarity")) == {NOMINAL}
    switch = dictated()
    switch.latent = None
    assert set(live(switch, 50, "residual")) == {NOMINAL}


def test_a_prior_too_short_for_skills_is_said_once(
    small_prior: Prior, capsys: pytest.CaptureFixture[str]
) -> None:
    short = replace(prior_of(rows_of([8] * 30)), name="short")
    quick = [
        (f"adapter.low.{key}", value)
        for key, value in (("adapter.extrinsics.steps", 5), ("pretrain.steps", 5))
    ]
    brief = [(f"adapter.monitor.{key}", 5) for key in ("steps", "latent_steps")]
    method = adapters.load("switch", [*quick, ("pretrain.steps", 5), *brief])
    adapter = slrl.load_adapter(method, short, slrl.load_scenario("windy_pointmass"), life_steps=50)
    said = capsys.readouterr().err
    assert said.count("slrl: the switch does without") == 1
    assert "no episode of 10 steps" in said
    assert "the signals stall, value_drop, unfamiliarity, residual, disagreement (a threshold takes" in said
    life = slrl.live(slrl.make(slrl.load_scenario("windy_pointmass"), life_steps=50), adapter, seed=0)
    assert life.steps == 50


def test_any_two_adapters_can_be_its_levels_and_settings_keep_them_whole(tmp_path: Path) -> None:
    method = adapters.load("switch", [("adapter.low.agent.hidden", [8]), ("adapter.residual_steps", 7)])
    assert method.adapter.settings.low.name == "rma_qwale"
    assert method.adapter.settings.low.agent.settings.hidden == (8,)
    assert method.adapter.settings.high.adapter.name == "skills"
    path = tmp_path / "mine.toml"
    text = (files.folder("adapters") / "switch.toml").read_text().replace('"skills"', '"qwale"')
    path.write_text(text)
    assert adapters.load(str(path)).adapter.settings.high.adapter.name == "replay"
    path.write_text(text.replace('"qwale"', '"skilly"'))
    with pytest.raises(slrl.BadInput, match="did you mean 'skills'"):
        adapters.load(str(path))
    named = adapters.load("switch", [("adapter.low", "frozen"), ("adapter.low.agent.hidden", [4])])
    assert (named.adapter.settings.low.name, named.adapter.settings.low.agent.settings.hidden) == (
        "frozen",
        (4,),
    )
    with pytest.raises(slrl.BadInput, match="did you mean 'frozen'"):
        adapters.load("switch", [("adapter.low", "frosen")])
    with pytest.raises(slrl.BadInput, match="stall_steps must be 1 or more"):
        adapters.load("switch", [("adapter.stall_steps", 0)])


def test_the_band_under_the_trace_by_hand() -> None:
    def life(*rows: dict[str, float]) -> Any:
        return SimpleNamespace(metrics=list(rows), steps=300)

    def row(step: float, mode: float, **more: float) -> dict[str, float]:
        return {"life/step": step, "adapter/mode": mode, **more}

    changed = {"adapter/changed": 8.0}
    told = life(
        row(57, 1, **changed),
        row(97, 0, **changed),
        row(100, 0),
        row(200, 0),
        row(250, 2, **changed),
        row(300, 2),
    )
    assert modes_of(told.metrics, told.steps) == [(0, 0, 57), (1, 57, 97), (0, 97, 250), (2, 250, 300)]
    assert modes_of([row(100, 0), row(200, 0)], 300) == [(0, 0, 300)]
    assert modes_of([{"life/step": 100.0}], 300) == []


def test_a_change_of_mode_has_a_row_of_its_own() -> None:
    class Changing:
        def __init__(self) -> None:
            self.steps = 0

        def act(self, obs: np.ndarray) -> np.ndarray:
            return np.zeros(2, np.float32)

        def observe(self, transition: Transition) -> dict[str, float]:
            self.steps += 1
            told = {"adapter/mode": float(self.steps >= 7)}
            return {**told, "adapter/changed": 8.0} if self.steps == 7 else told

        def learn(self) -> dict[str, float]:
            return {}

    life = slrl.live(slrl.make(slrl.load_scenario("windy_pointmass"), life_steps=20), Changing(), seed=0)
    assert [row["life/step"] for row in life.metrics] == [7.0, 20.0]
    assert modes_of(life.metrics, life.steps) == [(0, 0, 7), (1, 7, 20)]
