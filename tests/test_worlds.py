"""The worlds that are thin layers over those of others: kitchen, Meta-World, short cheetah."""

from typing import Any

import numpy as np
import pytest

from slrl import envs
from slrl.errors import BadInput
from slrl.scenarios import World


def kitchen(*to_do: list[str]) -> Any:
    pytest.importorskip("gymnasium_robotics")
    return envs.make_world(World(env="slrl/Kitchen-v0", settings={"to_do": list(to_do)}))


def test_the_kitchen_has_the_spaces_of_d4rls_data() -> None:
    """Minari flattens D4RL/kitchen in the order of its keys, as our reader and Gymnasium do."""
    ours = kitchen(["light switch", "slide cabinet"])
    tasks = ["microwave", "kettle", "light switch", "slide cabinet"]
    theirs = envs.make_world(
        World(env="gymnasium_robotics:FrankaKitchen-v1", settings={"tasks_to_complete": tasks})
    )
    assert ours.observation_space.shape == theirs.observation_space.shape == (81,)
    assert ours.action_space == theirs.action_space
    plain, _ = theirs.reset(seed=0)
    same, _ = ours.reset(seed=0)
    # Goals reached and wanted: nothing is done in either.
    np.testing.assert_allclose(same[:22], plain[:22], atol=0.02)


def test_what_is_not_to_do_is_done_already() -> None:
    light, cabinet = slice(7, 9), slice(10, 11)
    for to_do, undone, done in ((["light switch"], light, cabinet), (["slide cabinet"], cabinet, light)):
        env = kitchen(to_do)
        obs, info = env.reset(seed=0)
        assert info["open"] == 1
        achieved, desired = obs[:11], obs[11:22]
        assert np.linalg.norm(achieved[done] - desired[done]) < 0.05
        assert np.linalg.norm(achieved[undone] - desired[undone]) > 0.3
        obs, reward, terminated, _, info = env.step(np.zeros(9, np.float32))
        assert (reward, terminated, info["open"]) == (0.0, False, 1)
    both = kitchen(["light switch", "slide cabinet"])
    assert both.reset(seed=0)[1]["open"] == 2
    seen = {kitchen(["light switch"], ["slide cabinet"]).reset(seed=seed)[0][10] > 0.2 for seed in range(6)}
    assert seen == {True, False}  # which one is to do is drawn


def test_a_kitchen_with_nothing_to_draw_from_is_refused_before_its_reset() -> None:
    with pytest.raises(BadInput, match="'to_do' of slrl/Kitchen-v0 is empty; it must list at least one"):
        kitchen()


def test_observations_of_the_kitchen_do_not_change_under_their_reader() -> None:
    env = kitchen(["light switch"])
    first, _ = env.reset(seed=0)
    kept = first.copy()
    for _ in range(5):
        env.step(np.ones(9, np.float32))
    np.testing.assert_array_equal(first, kept)


def test_metaworld_starts_where_the_scenario_says_and_ends_in_success() -> None:
    pytest.importorskip("metaworld")
    settings = {
        "task": "peg-insert-side-v3",
        "start_low": [0.2, 0.4, 0.02, -0.3, 0.5, 0.0],
        "start_high": [0.3, 0.45, 0.02, -0.3, 0.5, 0.0],
    }
    env = envs.make_world(World(env="slrl/MetaWorld-v0", settings=settings))
    starts = np.array([env.reset(seed=seed)[0][4:6] for seed in range(5)])
    assert ((starts >= [0.18, 0.38]) & (starts <= [0.35, 0.47])).all()
    assert len(np.unique(starts[:, 0])) == 5
    np.testing.assert_array_equal(env.reset(seed=3)[0], env.reset(seed=3)[0])
    for _ in range(600):  # Meta-World itself stops at 500
        *_, terminated, _, info = env.step(np.zeros(4, np.float32))
    assert not terminated
    assert info["success"] is False
    with pytest.raises(BadInput, match="did you mean 'door-close-v3'"):
        envs.make_world(World(env="slrl/MetaWorld-v0", settings={"task": "door-clos-v3"}))
    with pytest.raises(BadInput, match="must be 6 numbers each"):
        envs.make_world(World(env="slrl/MetaWorld-v0", settings={**settings, "start_low": [0, 0]}))


def test_the_short_cheetah_is_paid_for_speed_and_pays_for_effort_and_pitch() -> None:
    pytest.importorskip("mujoco")
    env = envs.make_world(World(env="slrl/ShortCheetah-v0"))
    obs, _ = env.reset(seed=0)
    assert obs.shape == (18,)
    assert obs[-1] == -1
    action = np.full(6, 0.5, np.float32)
    obs, reward, terminated, truncated, info = env.step(action)
    assert reward == pytest.approx(info["x_velocity"] - 0.1 * 6 * 0.25 - abs(float(obs[1])), abs=1e-5)
    assert not terminated
    assert not truncated
