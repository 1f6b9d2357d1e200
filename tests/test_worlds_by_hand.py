"""Each world's rewards and successes by hand, and that every shift is undone when a world closes."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from slrl import envs
from slrl.envs import cheetah, pointmass, rewards, tabletop
from slrl.envs.pointmass import Pointmass
from slrl.envs.tabletop import Tabletop
from slrl.errors import BadInput
from slrl.scenarios import World

mujoco = pytest.importorskip("mujoco")


def rows(width: int, *entries: dict[int, float]) -> np.ndarray:
    """Rows of zeros but for some entries."""
    found = np.zeros((len(entries), width), np.float32)
    for row, values in enumerate(entries):
        for column, value in values.items():
            found[row, column] = value
    return found


# --- rewards of recorded rows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward", "width", "cases"),
    [
        # 0.27, 0.36: 0.45 away
        (rewards.maze, 4, [({0: 0.26, 1: 0.36}, 1), ({0: 0.28, 1: 0.36}, 0), ({2: 0.4}, 1), ({3: -0.5}, 0)]),
        (rewards.maze, 8, [({0: 5, 1: -7, 2: 5, 3: -7}, 1), ({4: 99, 5: 99}, 1)]),
        # 0.048, 0.064: 0.08 away; three axes count
        (rewards.door_close, 39, [({4: 0.047, 6: 0.064}, 1), ({4: 0.049, 6: 0.064}, 0), ({38: 0.07}, 1)]),
        (rewards.door_close, 39, [({5: 0.09}, 0), ({38: 0.09}, 0), ({3: 1, 7: 1, 35: 1}, 1)]),
        # light switch: 7, 8 against 18, 19, less than 0.3; slide cabinet: 10 against 21, less than 0.3
        (
            rewards.kitchen_pair,
            81,
            [({7: 0.2, 8: 0.2, 10: 0.29}, 1), ({7: 0.2, 8: 0.25}, 0), ({10: -0.31}, 0)],
        ),
        (rewards.kitchen_pair, 81, [({18: 0.31}, 0), ({21: 0.31}, 0), ({9: 9, 20: -9, 6: 9, 11: 9}, 1)]),
        # kettle: 0 to 6 against 11 to 17, less than 0.3; slide cabinet as above
        (rewards.kitchen_kettle, 81, [({0: 0.2, 6: 0.2}, 1), ({0: 0.25, 1: 0.2}, 0), ({17: 0.31}, 0)]),
        (rewards.kitchen_kettle, 81, [({10: 0.31}, 0), ({7: 9, 8: 9, 9: 9, 18: 9}, 1)]),
        # 1.2, 1.6: 2 away
        (pointmass.reward, 6, [({4: 1.2, 5: 1.6}, 1), ({0: -1.21, 1: 1.6}, 0), ({2: 9, 3: 9}, 1)]),
        # 0.09, 0.12: 0.15 away
        (tabletop.reward, 12, [({2: 0.09, 3: 0.119}, 1), ({8: 0.09, 9: 0.121}, 0), ({0: 2, 6: 2}, 1)]),
    ],
)
def test_rewards_of_rows_are_for_where_they_arrive(
    reward: Any, width: int, cases: list[tuple[dict[int, float], float]]
) -> None:
    arrived = rows(width, *(entries for entries, _ in cases))
    elsewhere = np.full_like(arrived, 1e3)
    paid = reward(elsewhere, np.zeros((len(cases), 2), np.float32), arrived)
    assert paid.tolist() == [expected for _, expected in cases]
    assert paid.dtype == np.float32


# --- the point mass -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("radius", "start", "action", "arrives"),
    [
        (2.0, (97.5, 0), (0.5, 0), True),  # exactly 2 away
        (2.0, (97.4, 0), (0.5, 0), False),
        (2.0, (97.4, 0), (9.0, 0), True),  # no more than one unit: 1.6 away
        (0.5, (98.9, 0), (1.0, 0), True),  # 0.1 away
        (0.5, (98.0, 0), (1.0, 0), False),
        (2.0, (100, 2.9), (0, -1), True),
        (2.0, (100, -3.1), (0, 1), False),
    ],
)
def test_the_point_mass_arrives_within_its_radius(
    radius: float, start: tuple[float, float], action: tuple[float, float], arrives: bool
) -> None:
    env = Pointmass(goal_radius=radius)
    env.reset(seed=0)
    env.position = np.array(start)
    obs, reward, terminated, truncated, info = env.step(np.array(action))
    assert (reward, terminated, truncated, info["success"]) == (float(arrives), arrives, False, arrives)
    assert info["distance"] == pytest.approx(np.hypot(obs[0] - 100, obs[1]), abs=1e-4)


def test_air_and_step_add_up_and_walls_stop_both() -> None:
    env = Pointmass()
    env.reset(seed=0)
    env.position = np.array([99.0, -199.0])
    env.wind_low = env.wind_high = np.array([-0.25, -0.75])
    assert env.step(np.array([0.5, 0.5]))[0][:2].tolist() == [99.25, -199.25]
    obs, *_, info = env.step(np.array([2.0, -2.0]))
    assert obs[:2].tolist() == [100, -200]
    assert info["wind"].tolist() == [-0.25, -0.75]


# --- the tabletop -------------------------------------------------------------------------------------------


def placed(mug: tuple[float, float], gripper: tuple[float, float] = (0, 0), **settings: Any) -> Tabletop:
    env = Tabletop(goals=((1.0, 1.0),), **settings)
    env.reset(seed=0)
    env.mug, env.gripper = np.array(mug), np.array(gripper)
    return env


@pytest.mark.parametrize(
    ("mug", "settings", "done"),
    [
        ((1.09, 1.119), {}, True),
        ((1.09, 1.121), {}, False),
        ((1.3, 1.0), {"tolerance": 0.31}, True),
        ((1.0, 1.0), {"gripper_home": True}, False),  # the gripper is 0.2 from the origin
        ((1.1, 1.0), {"gripper_home": True, "tolerance": 0.23}, True),  # all four: sqrt(0.04 + 0.01) = 0.224
        ((1.1, 1.0), {"gripper_home": True, "tolerance": 0.22}, False),
    ],
)
def test_the_mug_is_home_within_the_tolerance(
    mug: tuple[float, float], settings: dict[str, Any], done: bool
) -> None:
    env = placed(mug, **settings)
    _, reward, terminated, truncated, info = env.step(np.array([1.0, 0, -1]))
    assert (reward, terminated, truncated, info["success"]) == (float(done), done, False, done)
    assert info["distance"] == pytest.approx(np.hypot(mug[0] - 1, mug[1] - 1))


@pytest.mark.parametrize(
    ("distance", "grip", "held"), [(0.39, 1, True), (0.41, 1, False), (0.39, 0, False), (0.39, 0.01, True)]
)
def test_a_mug_is_grasped_within_reach_and_with_a_grip(distance: float, grip: float, held: bool) -> None:
    env = placed((-distance, 0))
    obs, *_, info = env.step(np.array([0, 0.5, grip]))
    assert info["holding"] is held
    np.testing.assert_allclose(
        obs[:6], [0, 0.1, -distance, 0.1 if held else 0, *([0, 0] if held else [-1, -1])], atol=1e-6
    )


def test_a_mug_once_held_is_held_at_any_distance_until_it_is_let_go() -> None:
    env = placed((0.3, 0))
    env.step(np.array([0, 0, 1.0]))
    env.gripper = np.array([-2.0, 0.0])
    assert env.step(np.array([0, 0, 1.0]))[4]["holding"] is True
    assert env.step(np.array([0, 0, 0.0]))[4]["holding"] is False
    assert env.step(np.array([0, 0, 1.0]))[4]["holding"] is False


# --- the worlds of others -----------------------------------------------------------------------------------


def open_world(env: str, *shifts: dict[str, Any], **settings: Any) -> gym.Env[Any, Any]:
    return envs.make_world(World(env=env, settings=settings, shifts=shifts))


@pytest.mark.parametrize(
    ("light", "cabinet", "left"),
    [
        ((0.0, 0.0), 0.0, 0),
        ((0.2, 0.2), 0.29, 0),
        ((0.2, 0.25), 0.0, 1),
        ((0.0, 0.0), 0.31, 1),
        ((9.0, 0.0), 9.0, 2),
    ],
)
def test_the_kitchen_is_done_when_both_of_the_pair_are_near(
    monkeypatch: pytest.MonkeyPatch, light: tuple[float, float], cabinet: float, left: int
) -> None:
    pytest.importorskip("gymnasium_robotics")
    from slrl.envs import kitchen

    world = kitchen.Kitchen.__new__(kitchen.Kitchen)
    world._pair = ["light switch", "slide cabinet"]
    world.goal = {"light switch": np.array([1.0, 2.0]), "slide cabinet": np.array([3.0])}
    achieved = {
        "light switch": np.array([1 + light[0], 2 + light[1]]),
        "slide cabinet": np.array([3 + cabinet]),
    }
    said = ({"achieved_goal": achieved}, 7.0, True, True, {"their own": 1})
    monkeypatch.setattr(kitchen.KitchenEnv, "step", lambda self, action: said)
    _, reward, terminated, truncated, info = world.step(np.zeros(9))
    assert (reward, terminated, truncated) == (float(left == 0), left == 0, False)
    assert info == {"their own": 1, "success": left == 0, "open": left}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pair": ["light switch", "kettel"]}, "did you mean 'kettle'"),
        ({"to_do": [["microwave"]]}, "'to_do' must list parts of the pair"),
        ({"pair": ["hinge cabinet", "kettle"], "to_do": [["kettle"]]}, "must be two of microwave, kettle"),
    ],
)
def test_wrong_tasks_of_the_kitchen(settings: dict[str, Any], says: str) -> None:
    pytest.importorskip("gymnasium_robotics")
    with pytest.raises(BadInput, match=says):
        open_world("slrl/Kitchen-v0", **settings)


@pytest.mark.parametrize("success", [0.0, 1.0])
def test_metaworld_pays_for_success_alone(success: float) -> None:
    pytest.importorskip("metaworld")
    from slrl.envs.metaworld import MetaWorld

    given: list[list[float]] = []

    class Robot:
        def step(self, action: np.ndarray) -> tuple[Any, ...]:
            given.append(action.tolist())
            return np.arange(39.0), 123.0, True, True, {"success": success, "near": 0.5}

    world = MetaWorld.__new__(MetaWorld)
    world.robot = Robot()
    obs, reward, terminated, truncated, info = world.step(np.array([2.0, -2, 0.5, 1]))
    assert given == [[1, -1, 0.5, 1]]
    assert (reward, terminated, truncated) == (success, success == 1, False)
    assert (info["success"] is (success == 1), info["near"], obs.dtype) == (True, 0.5, np.float32)


def test_the_short_cheetah_is_short_and_weighs_what_the_long_one_weighs() -> None:
    """Its torso is 2 · 0.28 m, the head 0.1 m before its end; thighs hang at its ends."""
    model = open_world("slrl/ShortCheetah-v0").unwrapped.model  # type: ignore[attr-defined]
    assert model.body_mass.sum() == pytest.approx(14.0, abs=0.1)
    assert model.geom("torso").size[1] == pytest.approx(0.28)
    assert model.geom("head").pos.tolist() == pytest.approx([0.38, 0, 0.1])
    assert (model.body("bthigh").pos[0], model.body("fthigh").pos[0]) == (-0.28, 0.28)
    assert (cheetah.HALF_LENGTH, cheetah.HEAD_GAP) == (0.28, 0.1)


@pytest.mark.parametrize("pitch", [1.0, -1.0, 7.0])
def test_a_cheetah_pays_its_pitch_unwrapped_and_shows_all_but_its_place(pitch: float) -> None:
    env: Any = open_world("slrl/ShortCheetah-v0").unwrapped
    env.reset(seed=0)
    env.data.qpos[:] = np.arange(9) + 10.0
    env.data.qvel[:] = np.arange(9) + 30.0
    assert env._get_obs().tolist() == [*range(11, 19), *range(30, 39), -1]
    env.data.qpos[2] = pitch
    reward, parts = env._get_rew(3.0, np.full(6, 0.5))
    assert reward == pytest.approx(3 - 0.1 * 6 * 0.25 - abs(pitch))
    assert parts["reward_upright"] == -abs(pitch)


# --- every shift is undone ----------------------------------------------------------------------------------

SHIFTS: dict[str, dict[str, Any]] = {
    "wind": {"env": "slrl/Pointmass-v0", "x_units_per_step": [0.1, 0.2], "turn_deg_per_step": 3.0},
    "goal": {"env": "slrl/Pointmass-v0", "position_m": [7, 8]},
    "force": {"body": "torso", "force_n": [1, 2, 3]},
    "gravity": {"gravity_m_per_s2": [1, 2, 3]},
    "mass": {"body": "bthigh", "added_kg": 1.0, "times": 2.0},
    "friction": {"times": 0.0},
    "damping": {"times": 0.0, "added_n_m_s_per_rad": 2.0},
    "actuator": {"strength": 0.0, "actuators": ["bfoot"]},
    "start_state": {"joints_m_or_rad": {"rooty": 1.0, "bfoot": -0.2}},
    "obstacles": {"boxes_m": [[50, 50, 1, 0.1, 0.1, 0.1]]},
    "action_delay": {"delay_steps": 1},
    "action_noise": {"std_action_units": 1.0},
    "obs_noise": {"bias_obs_units": 1.0},
    "obs_dropout": {"probability_per_step": 1.0},
    "obs_delay": {"delay_steps": 1},
}


def state_of(world: Any) -> dict[str, np.ndarray]:
    """All that a shift could have changed in a world, but not where its body is."""
    if isinstance(world, Pointmass):
        return {
            key: np.array(getattr(world, key)) for key in ("goal", "wind_low", "wind_high", "goal_radius")
        }
    model = world.model
    fields = [key for key in dir(model) if isinstance(getattr(model, key), np.ndarray) and key[0] != "_"]
    found = {key: getattr(model, key).copy() for key in fields}
    found |= {
        f"opt.{key}": np.array(getattr(model.opt, key)) for key in ("gravity", "wind", "timestep", "density")
    }
    return found | {"init_qpos": world.init_qpos.copy(), "force": world.data.xfrc_applied.copy()}


def test_every_shift_that_needs_no_maze_is_undone_here() -> None:
    files = {path.stem for path in (Path(envs.__file__).parent / "shifts").glob("[!_]*.py")}
    assert {*SHIFTS, "blocked_cells"} == files


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("start_step", [0, 2])
def test_a_world_is_as_before_when_a_shift_closes(name: str, start_step: int) -> None:
    settings = dict(SHIFTS[name])
    start_step = max(start_step, int(name == "goal"))
    bare = open_world(settings.pop("env", "HalfCheetah-v5"))
    bare.reset(seed=0)
    before = state_of(bare.unwrapped)
    env = envs.with_shifts(bare, [{"name": name, "start_step": start_step, **settings}])
    changed = False
    for _ in range(2):  # two lives
        env.reset(seed=0)
        for _ in range(5):
            env.step(np.zeros(env.action_space.shape or (), np.float32))
        now = state_of(bare.unwrapped)
        changed |= any(not np.array_equal(now[key], values) for key, values in before.items() if key in now)
    displaced = name == "start_state" and start_step > 0  # the body is moved, and the world is not changed
    assert changed == (name[:7] not in ("action_", "obs_del", "obs_dro", "obs_noi") and not displaced)
    env.close()
    for key, values in state_of(bare.unwrapped).items():
        np.testing.assert_allclose(values, before[key], atol=1e-12, err_msg=key)


@pytest.mark.parametrize(
    "name", ["mass", "gravity", "friction", "damping", "actuator", "start_state", "force"]
)
def test_two_of_a_kind_at_the_same_step_are_undone_in_the_order_that_brings_the_world_back(name: str) -> None:
    bare = open_world("HalfCheetah-v5")
    bare.reset(seed=0)
    before = state_of(bare.unwrapped)
    env = envs.with_shifts(bare, [{"name": name, **SHIFTS[name]}, {"name": name, **SHIFTS[name]}])
    env.reset(seed=0)
    env.step(np.zeros(6, np.float32))
    envs.without_shifts(env, bare)
    for key, values in state_of(bare.unwrapped).items():
        np.testing.assert_allclose(values, before[key], atol=1e-12, err_msg=key)
