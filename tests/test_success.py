"""Tests of success, the single-life rule and the order of shifts, in a small world that counts."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from slrl import envs
from slrl.envs import OneLife
from slrl.envs.rollout import rollout
from slrl.envs.sensors import Sensors, entries
from slrl.envs.shift import Shift
from slrl.envs.success import Success, WithSuccess, imported, look_up
from slrl.errors import BadInput
from slrl.lives.life import live
from slrl.plugins import ShiftPlugin
from slrl.scenarios import World, parse


class Counter(gym.Env[Any, Any]):
    """Observes (number of the step, last action); succeeds and ends when it is told to."""

    def __init__(self, success_at: int = 99, end_at: int = 99) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.success_at, self.end_at, self.count, self.closed = success_at, end_at, 0, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        info = {"success": self.count == self.success_at, "far": 10 - self.count}
        obs = np.array([self.count, action[0]], np.float32)
        return obs, 0.5, self.count == self.end_at, self.count % 2 == 0, info

    def close(self) -> None:
        self.closed = True


def ends(env: gym.Env[Any, Any], steps: int) -> list[tuple[bool, bool]]:
    env.reset(seed=0)
    return [env.step(np.zeros(1))[2:4] for _ in range(steps)]


# --- success ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "value", "reached"),
    [
        ({}, True, True),
        ({}, np.bool_(False), False),
        ({}, 0.3, True),  # without a threshold any finite number but 0 is a truth
        ({}, np.nan, False),  # it has said nothing
        ({}, np.inf, False),
        ({}, np.float32(1.0), True),
        ({"above": 2.0}, 2.0, True),
        ({"above": 2.0}, 1.999, False),
        ({"below": 2.0}, 2.0, True),
        ({"below": 2.0}, 2.001, False),
        ({"below": 0.0}, 0.0, True),
        ({"above": 1.0, "below": 2.0}, 0.5, False),
        ({"above": 1.0, "below": 2.0}, 2.5, False),
        ({"above": 1.0, "below": 2.0}, 1.5, True),
        ({"above": 1.0}, np.nan, False),
        ({"below": 1.0}, np.nan, False),
    ],
)
@pytest.mark.parametrize("where", ["info", "obs"])
def test_thresholds_of_success_are_reached_at_their_value(
    settings: dict[str, float], value: float, reached: bool, where: str
) -> None:
    test = Success("key", obs=1 if where == "obs" else None, **settings)  # type: ignore[arg-type]
    obs, info = np.array([100.0, value, 100.0]), {"key": value}
    assert test(obs if where == "obs" else np.full(3, 100.0), info if where == "info" else {}) is reached


def test_what_a_world_says_of_success_is_one_truth_or_number() -> None:
    judge = Success("key")
    assert judge(np.ones(1), {"key": np.array([[True]])}) is True
    assert judge(np.ones(1), {"key": None}) is False
    for said in (np.array([True, False]), np.zeros(0), "False", [1, 2]):
        with pytest.raises(BadInput, match=r"info\['key'\] must be one truth or number, not"):
            judge(np.ones(1), {"key": said})
    with pytest.raises(BadInput, match=r"info\['key'\] must be one truth or number, not"):
        Success("key", above=1.0)(np.ones(1), {"key": np.ones(2)})
    assert Success("key", function=lambda obs, info: np.nan)(np.ones(1), {}) is False
    with pytest.raises(BadInput, match="the function of the success test must be one truth"):
        Success("key", function=lambda obs, info: obs > 0)(np.ones(2), {})


def test_a_function_goes_before_everything_else() -> None:
    seen = []

    def judge(obs: np.ndarray, info: dict[str, Any]) -> int:
        seen.append((obs.tolist(), info))
        return 1

    assert Success("nothing", obs=9, above=1e9, function=judge)(np.ones(1), {"a": 2}) is True
    assert seen == [([1.0], {"a": 2})]


def test_the_first_entry_that_an_observation_lacks_is_refused() -> None:
    assert Success("x", obs=2, above=1)(np.ones(3), {}) is True
    with pytest.raises(BadInput, match="'success_obs' is 3, but the observation has the entries 0 to 2"):
        Success("x", obs=3, above=1)(np.ones(3), {})


def test_a_key_that_is_missing_is_said_with_those_that_are_there() -> None:
    assert look_up({"a": 0}, "a") == 0
    with pytest.raises(BadInput, match="info has no 'a'; it has b, c"):
        look_up({"c": 1, "b": 2}, "a")
    with pytest.raises(BadInput, match="info has no 'a'; it has nothing"):
        look_up({}, "a")


@pytest.mark.parametrize("name", ["", "json", "json:", ":loads"])
def test_a_function_is_named_by_its_module_and_itself(name: str) -> None:
    assert imported("json:loads", "success_function")("[1]") == [1]
    with pytest.raises(BadInput, match=f"'success_function' must be module:function, not '{name}'"):
        imported(name, "success_function")


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(BadInput, match="the module 'math' has no function 'pi'"):
        imported("math:pi", "reward_function")


def test_a_scenarios_test_is_made_of_its_five_keys() -> None:
    table = {"summary": "s", "prior": "p", "life_steps": 1, "source": {"env": "a"}, "target": {"env": "a"}}
    keys = {"success_info": "far", "success_obs": 4, "success_above": 1.0, "success_below": 2.0}
    assert Success.of(parse({**table, **keys}, name="x")) == Success("far", 4, 1.0, 2.0, None)
    assert Success.of(parse(table, name="x")) == Success("success")
    named = Success.of(parse({**table, "success_function": "json:loads"}, name="x"))
    assert named.function is imported("json:loads", "")


def test_a_judged_world_keeps_its_info_and_lets_the_test_have_the_last_word() -> None:
    env = WithSuccess(Counter(success_at=1), Success("far", below=8))
    env.reset(seed=0)
    told = [env.step(np.zeros(1))[4] for _ in range(3)]
    assert told == [{"success": 9 - n <= 8, "far": 9 - n} for n in range(3)]


# --- one life -----------------------------------------------------------------------------------------------

GOES_ON, ENDED, CUT = (False, False), (True, False), (False, True)


@pytest.mark.parametrize(
    ("world", "budget", "expected"),
    [
        ({}, 3, [GOES_ON, GOES_ON, CUT]),
        ({"end_at": 2}, 3, [GOES_ON, ENDED]),
        ({"end_at": 3}, 3, [GOES_ON, GOES_ON, ENDED]),  # an end on the last step is no cut
        ({"success_at": 2}, 3, [GOES_ON, ENDED]),  # even where the world itself goes on
        ({}, 1, [CUT]),
    ],
)
def test_how_a_life_ends(world: dict[str, int], budget: int, expected: list[tuple[bool, bool]]) -> None:
    env = OneLife(Counter(**world), budget)
    assert ends(env, len(expected)) == expected
    with pytest.raises(RuntimeError, match="outside a life"):
        env.step(np.zeros(1))


def test_the_info_of_a_life_has_success_and_progress_under_these_names() -> None:
    env = OneLife(Counter(), 5, success_info="far", progress_info="far")
    env.reset(seed=0)
    *_, info = env.step(np.zeros(1))
    assert info == {"success": True, "far": 9, "progress": 9.0}
    plain = OneLife(Counter(), 5)
    plain.reset(seed=0)
    info = plain.step(np.zeros(1))[4]
    assert info["success"] is False
    assert np.isnan(info["progress"])


class Saying(Counter):
    """Says of success what it is told to."""

    said: Any = np.nan

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:4], {"success": self.said}


def test_a_world_that_says_nan_has_not_succeeded() -> None:
    env = OneLife(Saying(), 3)
    assert ends(env, 3) == [GOES_ON, GOES_ON, CUT]
    env = OneLife(Saying(), 3)
    env.unwrapped.said = np.array([False, True])
    env.reset(seed=0)
    with pytest.raises(BadInput, match=r"info\['success'\] must be one truth or number"):
        env.step(np.zeros(1))


class Reusing(Counter):
    """Writes every observation into the same array, and its own units into the action that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = np.zeros(2, np.float32)

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        self.buffer[:] = super().reset(**settings)[0]
        return self.buffer, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, *rest = super().step(action)
        self.buffer[:] = obs
        action *= 100
        return self.buffer, *rest  # type: ignore[return-value]


class Still:
    """Acts with the number of its last observation, as a tenth, and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def act(self, obs: Any) -> Any:
        return obs[:1] / 10

    def observe(self, transition: Any) -> dict[str, float]:
        self.shown.append(transition)
        return {}

    def learn(self) -> dict[str, float]:
        return {}


def test_a_world_that_returns_the_same_array_at_every_step_has_a_life_of_distinct_rows() -> None:
    adapter = Still()
    life = live(OneLife(Reusing(), 5), adapter, seed=0)
    assert life.obs[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(life.action[:, 0], [0, 0.1, 0.2, 0.3, 0.4])
    assert [step.obs[0] for step in adapter.shown] == [0, 1, 2, 3, 4]
    assert [step.next_obs[0] for step in adapter.shown] == [1, 2, 3, 4, 5]
    env = OneLife(Reusing(), 5)
    kept = [env.reset(seed=0)[0], *(env.step(np.zeros(1))[0] for _ in range(3))]
    assert [obs[0] for obs in kept] == [0, 1, 2, 3]


def test_a_recording_of_such_a_world_has_distinct_rows_too() -> None:
    steps = [step.transition for step in rollout(Reusing(), lambda obs: np.zeros(1), seed=0, max_steps=2)]
    assert [(step.obs[0], step.next_obs[0]) for step in steps] == [(0, 1), (1, 2)]


# --- the order of shifts ------------------------------------------------------------------------------------


class Told(Shift):
    """Writes down when it begins and ends."""

    def __init__(self, env: gym.Env[Any, Any], name: str, start_step: int, diary: list[str]) -> None:
        super().__init__(env, start_step)
        self.name, self.diary = name, diary

    def begin(self) -> None:
        self.diary.append(f"{self.name} begins")

    def end(self) -> None:
        self.diary.append(f"{self.name} ends")


def nested(*starts: int) -> tuple[gym.Env[Any, Any], list[str], Counter]:
    diary: list[str] = []
    world = Counter()
    env: gym.Env[Any, Any] = world
    for name, start in zip("abcd", starts, strict=False):
        env = gym.wrappers.TransformReward(Told(env, name, start, diary), lambda r: r)
    return env, diary, world


def test_shifts_begin_from_the_inside_out_and_end_from_the_outside_in() -> None:
    env, diary, world = nested(0, 0, 0)
    env.reset(seed=0)
    assert diary == ["a begins", "b begins", "c begins"]
    env.close()
    assert diary[3:] == ["c ends", "b ends", "a ends"]
    assert world.closed
    env.close()
    assert len(diary) == 6  # once is enough


def test_a_shift_begins_before_the_step_of_its_number_and_once() -> None:
    env, diary, world = nested(2, 1, 0)
    env.reset(seed=0)
    seen = [list(diary)]
    for _ in range(4):
        env.step(np.zeros(1))
        seen.append(list(diary))
    b, a = ["c begins", "b begins"], ["c begins", "b begins", "a begins"]
    assert seen == [["c begins"], ["c begins"], b, a, a]
    assert world.count == 4


def test_a_shift_that_never_began_does_not_end() -> None:
    env, diary, _ = nested(5, 0)
    env.reset(seed=0)
    env.step(np.zeros(1))
    env.close()
    assert diary == ["b begins", "b ends"]


def test_a_reset_undoes_all_shifts_and_counts_anew() -> None:
    env, diary, _ = nested(0, 1)
    env.reset(seed=0)
    env.step(np.zeros(1))
    env.step(np.zeros(1))
    env.reset(seed=0)
    assert diary == ["a begins", "b begins", "b ends", "a ends", "a begins"]
    env.step(np.zeros(1))
    assert diary[5:] == []
    env.step(np.zeros(1))
    assert diary[5:] == ["b begins"]


def test_lifted_shifts_are_undone_and_the_world_stays_open() -> None:
    env, diary, world = nested(0, 0)
    below = env.unwrapped
    env.reset(seed=0)
    envs.without_shifts(env, below)
    assert diary[2:] == ["b ends", "a ends"]
    assert not world.closed


def test_after_some_are_lifted_the_outermost_that_is_left_sees_to_the_rest() -> None:
    inner, diary, _ = nested(0)
    env = Told(inner, "z", 0, diary)
    env.reset(seed=0)
    envs.without_shifts(env, inner)
    inner.reset(seed=0)
    assert diary == ["a begins", "z begins", "z ends", "a ends", "a begins"]


def test_a_shift_cannot_begin_before_the_life() -> None:
    with pytest.raises(BadInput, match="shift 'obs_delay': start_step must be 0 or more, not -1"):
        shift("obs_delay", delay_steps=1, start_step=-1)


# --- sensors and commands -----------------------------------------------------------------------------------


def shift(name: str, **settings: Any) -> Any:
    """A shift over :class:`Counter`, as a scenario's table makes it."""
    return ShiftPlugin.parse({"name": name, **settings}, f"shift {name!r}").make(Counter())


class Hundred(Sensors):
    def sense(self, obs: np.ndarray) -> np.ndarray:
        return obs + 100


def shown(env: gym.Env[Any, Any], actions: list[float]) -> list[list[float]]:
    first, _ = env.reset(seed=0)
    return [first.tolist(), *(env.step(np.array([a], np.float32))[0].tolist() for a in actions)]


@pytest.mark.parametrize(
    ("start", "numbers"), [(0, [100, 101, 102, 103]), (2, [0, 1, 2, 103]), (1, [0, 1, 102, 103])]
)
def test_sensors_change_what_is_seen_from_their_step_on(start: int, numbers: list[float]) -> None:
    """The shift begins before step number ``start``, from 0, and is seen in the observation after it."""
    assert [obs[0] for obs in shown(Hundred(Counter(), start), [0, 0, 0])] == numbers


@pytest.mark.parametrize(("dims", "meant"), [((), [0, 1]), ((1,), [1]), ((1, 0), [1, 0])])
def test_entries_that_are_named_or_all(dims: tuple[int, ...], meant: list[int]) -> None:
    assert entries(Counter(), dims, "s") == meant


@pytest.mark.parametrize("dim", [-1, 2])
def test_an_entry_that_is_not_there_is_refused(dim: int) -> None:
    with pytest.raises(BadInput, match=f"'s' must be entries of the observation, 0 to 1, not {dim}"):
        entries(Counter(), (0, dim), "s")


def test_a_delay_of_observations_repeats_the_first_one_until_it_is_over() -> None:
    assert [obs[0] for obs in shown(shift("obs_delay", delay_steps=2), [0] * 5)] == [0, 0, 0, 1, 2, 3]
    env = shift(
        "obs_delay", delay_steps=2, start_step=3
    )  # from step 3 on: what came before is not remembered
    assert [obs[0] for obs in shown(env, [0] * 8)] == [0, 1, 2, 3, 4, 4, 4, 5, 6]
    assert [obs[0] for obs in shown(env, [0] * 5)] == [0, 1, 2, 3, 4, 4]  # anew in another life


def test_a_delay_of_actions_goes_on_with_the_last_command_of_before() -> None:
    actions = [0.1, 0.2, 0.3, 0.4, 0.5]
    at_once = shift("action_delay", delay_steps=2)
    for _ in range(2):  # anew in another life
        np.testing.assert_allclose([obs[1] for obs in shown(at_once, actions)[1:]], [0, 0, 0.1, 0.2, 0.3])
    later = shift("action_delay", delay_steps=1, start_step=2)
    np.testing.assert_allclose([obs[1] for obs in shown(later, actions)[1:]], [0.1, 0.2, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(("probability", "numbers"), [(0.0, [0, 1, 2, 3]), (1.0, [0, 0, 0, 0])])
def test_dropout_that_is_certain_or_impossible(probability: float, numbers: list[float]) -> None:
    seen = shown(shift("obs_dropout", probability_per_step=probability, dims=[0]), [0.25, 0.5, 0.75])
    assert [obs[0] for obs in seen] == numbers
    assert [obs[1] for obs in seen] == [0, 0.25, 0.5, 0.75]  # the other entry is never lost


def test_dropout_from_a_later_step_keeps_the_first_reading_from_there() -> None:
    env = shift("obs_dropout", probability_per_step=1.0, dims=[0], start_step=2)
    for _ in range(2):  # anew in another life
        assert [obs[0] for obs in shown(env, [0] * 5)] == [0, 1, 2, 3, 3, 3]


def test_a_bias_is_added_to_its_entries_and_the_world_keeps_its_own_numbers() -> None:
    seen = shown(shift("obs_noise", std_obs_units=0.0, bias_obs_units=-3.0, dims=[0]), [0.5, 0.5])
    assert seen == [[-3, 0], [-2, 0.5], [-1, 0.5]]


def test_noisy_actions_stay_within_their_bounds_and_begin_at_their_step() -> None:
    taken = [
        obs[1] for obs in shown(shift("action_noise", std_action_units=5.0, start_step=3), [0.5] * 40)[1:]
    ]
    assert taken[:3] == [0.5] * 3
    assert (min(taken), max(taken)) == (-1, 1)
    assert 0.5 not in taken[3:]


def test_shifts_are_told_in_their_order() -> None:
    shifts = (
        {"name": "wind", "x_units_per_step": [-0.4, 0.0], "y_units_per_step": [0.8, 0.9], "start_step": 1500},
        {"name": "obs_delay", "delay_steps": 2},
        {"name": "goal", "position_m": [1.5, -2.0]},
    )
    told = envs.describe(World(env="slrl/Pointmass-v0", shifts=shifts))
    assert [one.text for one in told] == [
        "wind (-0.20, +0.85) units per step from step 1,500",
        "observations 2 steps late",
        "the goal at (1.5, -2) from step 1",
    ]
    assert told[0].drift == pytest.approx((-0.2, 0.85))
    assert told[1].drift is None
