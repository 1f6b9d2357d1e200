"""Each shift by its physical effect, shifts together, and the model of before when the environment closes."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from slrl import envs, files, plugins, scenarios
from slrl.errors import BadInput
from slrl.scenarios import World

mujoco = pytest.importorskip("mujoco")

STILL_ANT = {
    "include_cfrc_ext_in_observation": False,
    "terminate_when_unhealthy": False,
    "reset_noise_scale": 0.0,
}
MAZE = "gymnasium_robotics:PointMaze_UMaze-v3"
CORRIDOR = {
    "maze_map": [[1, 1, 1, 1, 1, 1], [1, "r", 0, 0, "g", 1], [1, 1, 1, 1, 1, 1]],
    "continuing_task": False,
}
SHIFTS: dict[str, dict[str, Any]] = {
    "wind": {"env": "slrl/Pointmass-v0", "y_units_per_step": [0.5, 0.5]},
    "force": {"body": "torso", "force_n": [0, 0, 30]},
    "gravity": {"gravity_m_per_s2": [0, 0, -1.62]},
    "mass": {"body": "torso", "times": 3.0},
    "friction": {"times": 0.1},
    "damping": {"times": 10.0},
    "actuator": {"strength": 0.5},
    "action_delay": {"delay_steps": 3},
    "action_noise": {"std_action_units": 0.3},
    "obs_noise": {"std_obs_units": 0.1},
    "obs_dropout": {"probability_per_step": 0.5},
    "obs_delay": {"delay_steps": 2},
    "obstacles": {"env": MAZE, "boxes_m": [[0.6, 0, 0.2, 0.05, 1, 0.2]]},
    "blocked_cells": {"env": MAZE, "cells": [[1, 3]]},
    "start_state": {"joints_m_or_rad": {"rooty": 1.0}},
    "goal": {"env": "slrl/Pointmass-v0", "position_m": [50, 0]},
}


def open_world(*shifts: dict[str, Any], env: str = "HalfCheetah-v5", **settings: Any) -> gym.Env[Any, Any]:
    return envs.make_world(World(env=env, settings=settings, shifts=shifts))


def rollout(
    env: gym.Env[Any, Any], steps: int = 60, action: float | None = None, seed: int = 0
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = env.action_space.shape or ()
    actions = (rng.uniform(-1, 1, shape) if action is None else np.full(shape, action) for _ in range(steps))
    seen = [env.reset(seed=seed)[0], *(env.step(chosen.astype(np.float32))[0] for chosen in actions)]
    return np.array(seen)


def simulator(env: gym.Env[Any, Any]) -> Any:
    return env.unwrapped


def test_every_shift_is_in_this_file() -> None:
    assert sorted(SHIFTS) == plugins.names(plugins.SHIFTS)


@pytest.mark.parametrize("name", sorted(SHIFTS))
@pytest.mark.parametrize("start_step", [0, 20])
def test_a_shift_begins_at_its_step_and_not_before(name: str, start_step: int) -> None:
    settings = dict(SHIFTS[name])
    world = settings.pop("env", "HalfCheetah-v5")
    about: dict[str, Any] = {}
    if world == MAZE:
        pytest.importorskip("gymnasium_robotics")
        about = CORRIDOR
    if name == "goal" and start_step == 0:
        start_step = 1
    action = 1.0 if world == MAZE else None
    with_shift = open_world({"name": name, "start_step": start_step, **settings}, env=world, **about)
    plain, shifted = rollout(open_world(env=world, **about), 200, action), rollout(with_shift, 200, action)
    apart = np.flatnonzero(np.abs(plain - shifted).max(1) > 1e-5)
    assert len(apart), "the shift changed nothing"
    assert apart[0] >= start_step
    waits = ("obstacles", "blocked_cells", "damping", "friction")  # for something to touch or to move
    if name not in waits:
        assert apart[0] <= start_step + 4
    with_shift.close()


MODEL_FIELDS = (
    "body_mass",
    "body_inertia",
    "geom_friction",
    "dof_damping",
    "actuator_gainprm",
    "actuator_biasprm",
    "geom_rgba",
    "geom_contype",
    "geom_conaffinity",
    "dof_invweight0",
    "body_subtreemass",
)


@pytest.mark.parametrize("family", ["HalfCheetah-v5", MAZE, "slrl/Kitchen-v0", "slrl/MetaWorld-v0"])
@pytest.mark.parametrize("start_step", [0, 3])
def test_closing_restores_the_model(family: str, start_step: int) -> None:
    settings: dict[str, Any] = {}
    body = {
        "HalfCheetah-v5": "torso",
        "slrl/Kitchen-v0": "panda0_link5",
        "slrl/MetaWorld-v0": "leftclaw",
    }.get(family, "particle")
    if family != "HalfCheetah-v5":
        pytest.importorskip("metaworld" if "MetaWorld" in family else "gymnasium_robotics")
    if family == "slrl/MetaWorld-v0":
        settings = {"task": "door-close-v3"}
    shifts = [
        {"name": "obstacles", "boxes_m": [[50, 50, 1, 0.1, 0.1, 0.1]]},
        {"name": "mass", "body": body, "added_kg": 1.0},
        {"name": "friction", "times": 0.5},
        {"name": "damping", "times": 2.0},
        {"name": "actuator", "strength": 0.5},
        {"name": "gravity", "gravity_m_per_s2": [1, 0, -5]},
        {"name": "force", "body": body, "force_n": [1, 0, 0]},
    ]
    bare = envs.make_world(World(env=family, settings=settings))
    from slrl.envs.shift import simulator as find

    holder = find(bare, "test")
    model = holder.model
    before = {field: getattr(model, field).copy() for field in MODEL_FIELDS} | {
        "gravity": model.opt.gravity.copy()
    }
    env = envs.with_shifts(bare, [{**shift, "start_step": start_step} for shift in shifts])
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros(env.action_space.shape, np.float32))
    assert holder.model is not model
    assert not np.array_equal(holder.model.opt.gravity, before["gravity"])
    env.close()
    assert holder.model is model
    for field, values in before.items():
        now = model.opt.gravity if field == "gravity" else getattr(model, field)
        np.testing.assert_allclose(now, values, atol=1e-12, err_msg=field)
    assert not holder.data.xfrc_applied.any()


def test_a_world_without_its_shifts_goes_on_as_if_there_had_been_none() -> None:
    """Recipes lay a new shift over the same open world in every episode."""
    bare = open_world()
    plain = rollout(bare)
    env = envs.with_shifts(
        bare, [{"name": "mass", "body": "torso", "times": 2.0}, {"name": "friction", "times": 3.0}]
    )
    shifted = rollout(env)
    envs.without_shifts(env, bare)
    np.testing.assert_array_equal(rollout(bare), plain)
    assert np.abs(shifted - plain).max() > 0.01


TORSO_TWICE: dict[str, Any] = {"name": "mass", "body": "torso", "times": 2.0}
TORSO_TEN_TIMES: dict[str, Any] = {"name": "mass", "body": "torso", "times": 10.0}


def torso_kg(env: gym.Env[Any, Any]) -> float:
    return float(simulator(env).model.body("torso").mass[0])


@pytest.mark.parametrize("starts", [(3, 0), (0, 3), (0, 0), (3, 3)])
@pytest.mark.parametrize("way", ["without_shifts", "close", "reset"])
def test_shifts_of_the_same_field_are_undone_whichever_began_first(starts: tuple[int, int], way: str) -> None:
    bare = open_world()
    plain = torso_kg(bare)
    inner, outer = ({**TORSO_TWICE, "start_step": starts[0]}, {**TORSO_TEN_TIMES, "start_step": starts[1]})
    env = envs.with_shifts(bare, [inner, outer])
    rollout(env, 5)
    assert torso_kg(env) == pytest.approx(20 * plain)
    if way == "without_shifts":
        envs.without_shifts(env, bare)
    elif way == "close":
        env.close()
    else:
        env.reset(seed=0)
    factors = (2 if starts[0] == 0 else 1) * (10 if starts[1] == 0 else 1) if way == "reset" else 1
    assert torso_kg(bare) == pytest.approx(factors * plain)


def test_a_shift_that_stays_is_whole_after_one_that_began_before_it_was_removed() -> None:
    bare = open_world({**TORSO_TWICE, "start_step": 3})
    plain = torso_kg(bare)
    env = envs.with_shifts(bare, [TORSO_TEN_TIMES])
    rollout(env, 5)
    envs.without_shifts(env, bare)
    assert torso_kg(bare) == pytest.approx(plain)
    bare.step(np.zeros(6, np.float32))
    assert torso_kg(bare) == pytest.approx(2 * plain)
    bare.close()
    assert torso_kg(bare) == pytest.approx(plain)


def test_of_two_moved_goals_the_worlds_own_comes_back() -> None:
    bare = open_world(env="slrl/Pointmass-v0")
    late = {"name": "goal", "position_m": [30.0, 0.0], "start_step": 4}
    early = {"name": "goal", "position_m": [60.0, 0.0], "start_step": 1}
    env = envs.with_shifts(bare, [late, early])
    seen = rollout(env, 6, action=0.0)[:, 4]
    assert seen.tolist() == [100, 100, 60, 60, 60, 30, 30]
    assert rollout(env, 1, action=0.0)[0, 4] == 100
    rollout(env, 6, action=0.0)
    envs.without_shifts(env, bare)
    assert rollout(bare, 1, action=0.0)[0, 4] == 100


def test_of_two_winds_that_of_the_world_blows_on() -> None:
    calm, south, north = ({"name": "wind", "y_units_per_step": [y, y]} for y in (0.0, -0.2, 0.4))
    bare = open_world(south, env="slrl/Pointmass-v0")
    env = envs.with_shifts(bare, [calm, north])
    rollout(env, 2, action=0.0)
    envs.without_shifts(env, bare)
    start = bare.unwrapped.position[1]  # type: ignore[attr-defined]
    assert bare.step(np.zeros(2, np.float32))[0][1] - start == pytest.approx(-0.2, abs=1e-5)


def test_shifts_that_stay_begin_again_after_others_were_removed() -> None:
    bare = open_world({"name": "gravity", "gravity_m_per_s2": [0, 0, -1.6]})
    plain = rollout(bare)
    env = envs.with_shifts(bare, [{"name": "friction", "times": 3.0}])
    rollout(env)
    envs.without_shifts(env, bare)
    np.testing.assert_array_equal(rollout(bare), plain)
    assert simulator(bare).model.opt.gravity[2] == -1.6


def test_shifts_compose_in_order() -> None:
    once = open_world(
        {"name": "mass", "body": "torso", "times": 2.0}, {"name": "mass", "body": "torso", "added_kg": 1.0}
    )
    plain = open_world()
    once.reset(seed=0)
    mass = float(simulator(plain).model.body("torso").mass[0])
    assert float(simulator(once).model.body("torso").mass[0]) == pytest.approx(2 * mass + 1)


def test_gravity_a_body_falls_by_half_g_t_squared() -> None:
    for g in (9.81, 1.62):
        env = open_world({"name": "gravity", "gravity_m_per_s2": [0, 0, -g]}, env="Ant-v5", **STILL_ANT)
        env.reset(seed=0)
        data, model = simulator(env).data, simulator(env).model
        data.qpos[2] = 50.0
        mujoco.mj_forward(model, data)
        start = data.subtree_com[0][2]
        steps, dt = 8, simulator(env).dt
        for _ in range(steps):
            env.step(np.zeros(8, np.float32))
        mujoco.mj_forward(model, data)
        assert start - data.subtree_com[0][2] == pytest.approx(g * (steps * dt) ** 2 / 2, rel=0.03)


def test_force_is_mass_times_acceleration() -> None:
    env = open_world(
        {"name": "gravity", "gravity_m_per_s2": [0, 0, 0]},
        {"name": "force", "body": "torso", "force_n": [3, 0, 0]},
        env="Ant-v5",
        **STILL_ANT,
    )
    env.reset(seed=0)
    data, model = simulator(env).data, simulator(env).model
    data.qpos[2] = 50.0
    mujoco.mj_forward(model, data)
    start = data.subtree_com[0][0]
    for _ in range(10):
        env.step(np.zeros(8, np.float32))
    mujoco.mj_forward(model, data)
    mass, time = float(model.body_mass.sum()), 10 * simulator(env).dt
    # The whole ant in free space: its centre of mass moves by F t² / 2 m (the air of Ant-v5 has density 0).
    assert data.subtree_com[0][0] - start == pytest.approx(3 * time**2 / (2 * mass), rel=0.06)


def test_mass_a_heavier_torso_is_pushed_less_far() -> None:
    def pushed(times: float) -> float:
        env = open_world(
            {"name": "gravity", "gravity_m_per_s2": [0, 0, 0]},
            {"name": "mass", "body": "torso", "times": times},
            {"name": "force", "body": "torso", "force_n": [3, 0, 0]},
            env="Ant-v5",
            **STILL_ANT,
        )
        env.reset(seed=0)
        data = simulator(env).data
        data.qpos[2] = 50.0
        for _ in range(10):
            env.step(np.zeros(8, np.float32))
        mujoco.mj_forward(simulator(env).model, data)
        return float(data.subtree_com[0][0]) * float(simulator(env).model.body_mass.sum())

    # Displacement times mass is F t² / 2 for both.
    assert pushed(10.0) == pytest.approx(pushed(1.0), rel=0.02)


def test_friction_an_ant_slides_further_on_ice() -> None:
    def slide(times: float) -> float:
        env = open_world({"name": "friction", "times": times}, env="Ant-v5", **STILL_ANT)
        env.reset(seed=0)
        for _ in range(40):
            env.step(np.zeros(8, np.float32))  # it comes to stand
        simulator(env).data.qvel[0] = 3.0
        start = simulator(env).data.qpos[0]
        for _ in range(60):
            env.step(np.zeros(8, np.float32))
        return float(simulator(env).data.qpos[0] - start)

    assert slide(0.02) > 1.5 * slide(1.0)


def test_damping_a_damped_joint_swings_slower() -> None:
    def speed(times: float) -> float:
        env = open_world({"name": "damping", "joints": ["ffoot"], "times": times})
        env.reset(seed=0)
        data = simulator(env).data
        data.qpos[1] = 20.0  # in the air
        for _ in range(3):
            env.step(np.array([0, 0, 0, 0, 0, 1], np.float32))
        return abs(float(data.joint("ffoot").qvel[0]))

    assert speed(200.0) < 0.3 * speed(1.0)


@pytest.mark.parametrize(("strength", "ratio"), [(0.5, 0.5), (0.0, 0.0), (-1.0, -1.0)])
def test_actuators_weak_dead_and_reversed(strength: float, ratio: float) -> None:
    def force(*shifts: dict[str, Any]) -> np.ndarray:
        env = open_world(*shifts, env="Ant-v5", **STILL_ANT)
        env.reset(seed=0)
        env.step(np.full(8, 0.4, np.float32))
        result: np.ndarray = simulator(env).data.actuator_force.copy()
        return result

    plain = force()
    shifted = force({"name": "actuator", "strength": strength, "actuators": ["hip_1", "ankle_1"]})
    # In the order of Ant's actions.
    names = [f"{joint}_{leg}" for leg in (4, 1, 2, 3) for joint in ("hip", "ankle")]
    for index, name in enumerate(names):
        assert shifted[index] == pytest.approx(
            plain[index] * (ratio if name in ("hip_1", "ankle_1") else 1.0)
        )


def test_action_delay_carries_out_what_was_said_before() -> None:
    env = open_world({"name": "action_delay", "delay_steps": 2, "start_step": 3}, env="slrl/Pointmass-v0")
    start = env.reset(seed=0)[0][0]
    x = [
        start,
        *(env.step(np.array([action, 0], np.float32))[0][0] for action in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
    ]
    # 0.3 was carried out at step 3; while the queue fills it goes on, then 0.4 comes two steps late.
    np.testing.assert_allclose(np.diff(x), [0.1, 0.2, 0.3, 0.3, 0.3, 0.4], atol=1e-5)


def test_action_noise_has_its_standard_deviation() -> None:
    env = open_world({"name": "action_noise", "std_action_units": 0.2}, env="slrl/Pointmass-v0")
    moves = np.diff(rollout(env, 3000, action=0.0)[:, :2], axis=0)
    assert moves.mean() == pytest.approx(0.0, abs=0.02)
    assert moves.std() == pytest.approx(0.2, abs=0.01)


def test_obs_noise_and_bias_blur_what_is_seen_and_not_what_is() -> None:
    env = open_world(
        {"name": "obs_noise", "std_obs_units": 0.5, "bias_obs_units": 3.0, "dims": [0]},
        env="slrl/Pointmass-v0",
    )
    seen = rollout(env, 2000, action=0.0)
    true = env.unwrapped.position  # type: ignore[attr-defined]
    assert seen[:, 0].mean() - true[0] == pytest.approx(3.0, abs=0.06)
    assert seen[:, 0].std() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(seen[:, 1], true[1], atol=1e-5)


def test_obs_dropout_keeps_the_last_reading() -> None:
    env = open_world(
        {"name": "obs_dropout", "probability_per_step": 0.3, "dims": [0]}, env="slrl/Pointmass-v0"
    )
    x = rollout(env, 90, action=0.5)[:, 0]
    assert np.mean(np.diff(x) == 0) == pytest.approx(0.3, abs=0.15)
    certain = open_world(
        {"name": "obs_dropout", "probability_per_step": 1.0, "start_step": 10}, env="slrl/Pointmass-v0"
    )
    x = rollout(certain, 30, action=0.5)[:, 0]
    assert len(set(x[11:])) == 1


def test_obs_delay_shows_the_past() -> None:
    plain = rollout(open_world(env="slrl/Pointmass-v0"), 20, action=0.5)
    late = rollout(
        open_world({"name": "obs_delay", "delay_steps": 4}, env="slrl/Pointmass-v0"), 20, action=0.5
    )
    np.testing.assert_array_equal(late[4:], plain[:-4])
    np.testing.assert_array_equal(late[:4], plain[[0] * 4])


def test_the_success_test_sees_the_world_as_it_is() -> None:
    blind = scenarios.parse(
        {
            "summary": "",
            "prior": "pointmass",
            "life_steps": 10,
            "success_obs": 0,
            "success_above": 0.9,
            "source": {"env": "slrl/Pointmass-v0"},
            "target": {
                "env": "slrl/Pointmass-v0",
                "shifts": [{"name": "obs_noise", "bias_obs_units": -50.0}],
            },
        },
        name="blind",
    )
    env = envs.make(blind)
    env.reset(seed=0)
    results = [env.step(np.array([0.5, 0], np.float32)) for _ in range(2)]
    assert results[-1][0][0] < -40
    assert [result[4]["success"] for result in results] == [False, True]


def test_a_wall_stops_the_cheetah_and_leaves_its_observation_alone() -> None:
    wall = {"name": "obstacles", "boxes_m": [[1.2, 0, 1.0, 0.1, 2, 1.0]]}
    env = open_world(wall)
    assert env.observation_space.shape == (17,)
    env.reset(seed=0)
    data = simulator(env).data
    for _ in range(100):
        data.qvel[0] = 4.0  # thrown at it again and again
        env.step(np.zeros(6, np.float32))
    assert data.qpos[0] < 1.2
    free = open_world()
    free.reset(seed=0)
    for _ in range(100):
        simulator(free).data.qvel[0] = 4.0
        free.step(np.zeros(6, np.float32))
    assert simulator(free).data.qpos[0] > 5


def test_the_hurdles_stand_where_the_paper_has_them() -> None:
    env = envs.make(scenarios.load("cheetah_hurdles"))
    model = env.unwrapped.model  # type: ignore[attr-defined]
    boxes = [i for i in range(model.ngeom) if model.geom(i).name.startswith("obstacles")]
    assert [model.geom_pos[i][0] for i in boxes] == [7, 30, 40, 60, 85, 135, 160, 180, 220, 260]
    tops = [model.geom_pos[i][2] + model.geom_size[i][2] for i in boxes]
    np.testing.assert_allclose(tops, [0.4] * 6 + [0.41] * 2 + [0.42] * 2)
    torso = model.geom("torso")
    assert torso.size[1] == pytest.approx(0.28)
    assert model.body_mass.sum() == pytest.approx(14.0)


def test_a_blocked_cell_stops_the_ball() -> None:
    pytest.importorskip("gymnasium_robotics")
    ends = []
    for shifts in ((), ({"name": "blocked_cells", "cells": [[1, 3]]},)):
        env = envs.make_world(World(env=MAZE, settings=CORRIDOR, shifts=shifts))
        env.reset(seed=0)
        for _ in range(300):
            *_, terminated, _, info = env.step(np.array([1, 0], np.float32))
            if terminated:
                break
        ends.append(info["success"])
    assert ends == [True, False]


def test_a_start_state_is_seen_in_the_first_observation_and_keeps_the_reset_noise() -> None:
    on_its_back = {"name": "start_state", "joints_m_or_rad": {"rooty": -2.88}}
    pitches = [open_world(on_its_back).reset(seed=seed)[0][1] for seed in range(5)]
    np.testing.assert_allclose(pitches, -2.88, atol=0.11)
    assert len(set(pitches)) == 5


def test_a_moved_goal_is_what_is_shown_and_rewarded() -> None:
    env = open_world({"name": "goal", "position_m": [3.0, 0.0], "start_step": 1}, env="slrl/Pointmass-v0")
    env.reset(seed=0)
    results = [env.step(np.array([1, 0], np.float32)) for _ in range(2)]
    assert [result[0][4] for result in results] == [100.0, 3.0]
    assert [result[1] for result in results] == [0.0, 1.0]
    assert results[1][2]


def test_a_turning_wind_comes_from_all_sides() -> None:
    shift = {"name": "wind", "y_units_per_step": [0.4, 0.4], "turn_deg_per_step": 90.0}
    drift = np.diff(rollout(open_world(shift, env="slrl/Pointmass-v0"), 5, action=0.0)[:, :2], axis=0)
    np.testing.assert_allclose(drift, [[0, 0.4], [-0.4, 0], [0, -0.4], [0.4, 0], [0, 0.4]], atol=1e-5)


@pytest.mark.parametrize(
    ("shift", "says"),
    [
        ({"name": "gravty", "gravity_m_per_s2": [0, 0, 0]}, "did you mean 'gravity'"),
        ({"name": "mass", "body": "torsoo"}, "did you mean 'torso'"),
        ({"name": "mass", "body": "nothing like it"}, "choose from bfoot, bshin"),
        ({"name": "mass", "body": "torso", "times": "heavy"}, "'times' in shift 'mass' must be a number"),
        ({"name": "mass", "body": "torso", "added_kg": -100}, "must be more than 0"),
        ({"name": "force", "body": "torso"}, "needs the setting 'force_n'"),
        ({"name": "actuator", "strength": 0.5, "actuators": ["knee"]}, "unknown actuator"),
        ({"name": "damping", "joints": ["bfot"]}, "did you mean 'bfoot'"),
        ({"name": "friction", "times": -1}, "0 or more"),
        ({"name": "friction", "times": 1, "geoms": ["flor"]}, "did you mean 'floor'"),
        ({"name": "obstacles", "boxes_m": [[0, 0, 0.7, 0.2, 1, 0.2]]}, "deep inside 'torso' at the start"),
        ({"name": "obstacles", "boxes_m": [[5, 0, 0.7, 0.2, 1]]}, "a list of 6"),
        ({"name": "obstacles", "boxes_m": [[5, 0, 0.7, 0.2, 1, 0]]}, "sizes more than 0"),
        ({"name": "obs_noise", "dims": [17]}, "0 to 16, not 17"),
        ({"name": "obs_dropout", "probability_per_step": 2}, "must be between 0 and 1"),
        ({"name": "action_delay", "delay_steps": 0}, "1 or more"),
        ({"name": "start_state", "joints_m_or_rad": {"rooti": 1.0}}, "did you mean 'root"),
        ({"name": "goal", "position_m": [1, 2]}, "it has no position as its goal"),
        ({"name": "blocked_cells", "cells": [[1, 1]]}, "needs a maze"),
        (
            {"name": "gravity", "gravity_m_per_s2": [0, 0, -1], "start_step": -5},
            "shift 'gravity': start_step must be 0 or more, not -5",
        ),
    ],
)
def test_wrong_shifts_are_refused_in_a_sentence(shift: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        open_world(shift).reset(seed=0)


def test_a_shift_of_mujoco_needs_mujoco() -> None:
    with pytest.raises(BadInput, match="needs a MuJoCo world, and Pointmass has no MuJoCo model"):
        open_world({"name": "gravity", "gravity_m_per_s2": [0, 0, 0]}, env="slrl/Pointmass-v0")


def test_every_shift_of_the_gallery_is_described() -> None:
    for name in files.names("scenarios"):
        for description in envs.describe(scenarios.load(name).target):
            assert description.text
