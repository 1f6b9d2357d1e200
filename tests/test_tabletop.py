"""The tabletop by hand, and beside the demonstrations of the original."""

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from slrl.envs.tabletop import GOALS, Tabletop
from slrl.errors import BadInput

EARL = Path(__file__).parents[2] / "shared" / "data"


def act(env: Tabletop, *actions: tuple[float, float, float]) -> list[np.ndarray]:
    return [env.step(np.array(action, np.float32))[0] for action in actions]


def test_the_hand_carries_what_it_holds_and_the_edge_stops_both() -> None:
    env = Tabletop(goals=((-2.5, 1.0),))
    start, _ = env.reset(seed=0)
    np.testing.assert_allclose(start, [0, 0, 2.5, 0, -1, -1, 0, 0, -2.5, 1, -1, -1])
    far = act(env, *[(1, 0, 1)] * 11)[-1]
    # 0.5 away before the last move: out of reach.
    np.testing.assert_allclose(far[:6], [2.2, 0, 2.5, 0, -1, -1], atol=1e-6)
    held = act(env, (0.5, 0, 1))[-1]
    # 0.3 away: grasped, and moved with the hand.
    np.testing.assert_allclose(held[:6], [2.3, 0, 2.6, 0, 0, 0], atol=1e-6)
    edge = act(env, (1, 1, 1), (1, 1, 1), (1, 1, 1))[-1]
    np.testing.assert_allclose(edge[:4], [2.8, 0.6, 2.8, 0.6], atol=1e-6)  # the mug at 2.8, the hand then too
    free = act(env, (-1, 0, -1))[-1]
    np.testing.assert_allclose(free[:6], [2.6, 0.6, 2.8, 0.6, -1, -1], atol=1e-6)


def test_success_is_the_mug_at_its_goal() -> None:
    env = Tabletop(goals=((0.0, 2.0),), mug_starts=((0.0, 1.6),))
    env.reset(seed=0)
    env.gripper = np.array([0.0, 1.5])
    steps = [env.step(np.array([0, 1, 1], np.float32)) for _ in range(2)]
    assert [(reward, terminated) for _, reward, terminated, _, _ in steps] == [(0.0, False), (1.0, True)]
    assert steps[0][4]["distance"] == pytest.approx(0.2)


def test_starts_and_goals_are_those_that_are_named() -> None:
    env = Tabletop(mug_starts=((2.7, 1.5), (2.7, -1.5)), mug_noise=0.15)
    seen = np.array([env.reset(seed=seed)[0] for seed in range(60)])
    assert {tuple(goal) for goal in seen[:, 8:10]} == set(GOALS)
    assert np.abs(seen[:, 2] - 2.7).max() <= 0.15
    assert np.abs(np.abs(seen[:, 3]) - 1.5).max() <= 0.15 + 1e-6
    assert {np.sign(y) for y in seen[:, 3]} == {-1.0, 1.0}
    with pytest.raises(BadInput, match="'goals'"):
        Tabletop(goals=((9.0, 0.0),))


@pytest.mark.parametrize("name", ["forward", "reverse"])
def test_the_demonstrations_of_the_original_replay_exactly_and_to_success(name: str) -> None:
    """Each action leads to the stored next observation; each episode, played from its start, succeeds."""
    path = EARL / f"earl_tabletop_{name}.hdf5"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    with h5py.File(path) as file:
        obs, actions, next_obs, terminals = (
            file[key][()] for key in ("observations", "actions", "next_observations", "terminals")
        )
    env = Tabletop(goals=(*GOALS, (2.5, 0.0)), tolerance=0.2, gripper_home=True)  # EARL's own test of success
    assert env.observation_space.shape == obs.shape[1:]
    assert env.action_space.shape == actions.shape[1:]
    env.reset(seed=0)

    def put(row: int) -> None:
        env.gripper, env.mug, env.holding = (
            obs[row, :2].astype(float),
            obs[row, 2:4].astype(float),
            bool(obs[row, 4] == 0),
        )
        env.goal = obs[row, 8:10].astype(float)

    for row in range(len(obs)):
        put(row)
        reached, reward, terminated, _, _ = env.step(actions[row])
        np.testing.assert_allclose(reached, next_obs[row], atol=1e-5)
        assert terminated == bool(terminals[row]) == (reward == 1.0)
    starts = np.append(0, np.flatnonzero(terminals) + 1)
    for first, after in pairwise(starts):
        put(first)
        ends = [env.step(action)[2] for action in actions[first:after]]
        assert ends == [False] * (len(ends) - 1) + [True]
