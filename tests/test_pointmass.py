"""The point mass, its wind, and the single-life rule."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from slrl import envs, scenarios
from slrl.envs import OneLife
from slrl.errors import BadInput
from slrl.scenarios import World


def test_it_passes_gymnasiums_own_check() -> None:
    env = gym.make("slrl/Pointmass-v0", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=False)
    env.reset(seed=0)
    image = env.render()
    assert image.shape == (840, 440, 3)  # type: ignore[union-attr]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) >= 4  # type: ignore[union-attr]  # arena, goal, body


def test_constants_of_the_paper() -> None:
    env = envs.make_world(World(env="slrl/Pointmass-v0"))
    starts = np.array([env.reset(seed=seed)[0] for seed in range(300)])
    assert np.abs(starts[:, :2]).max() <= 0.2
    assert np.abs(starts[:, :2]).max() > 0.19
    assert starts[:, 2:4].std() == pytest.approx(0.01, abs=0.001)
    assert (starts[:, 4:] == [100, 0]).all()
    obs, reward, terminated, truncated, info = env.step(np.array([5.0, -5.0]))  # clipped to 1
    np.testing.assert_allclose(obs[:2] - starts[-1, :2], [1, -1], atol=1e-5)
    assert (obs[2:4] == starts[-1, 2:4]).all()
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)


def test_walls_and_arrival() -> None:
    env = envs.make_world(World(env="slrl/Pointmass-v0"))
    env.reset(seed=0)
    for _ in range(250):
        obs, *_ = env.step(np.array([-1.0, 1.0]))
    assert obs[:2].tolist() == [-100, 200]
    env.reset(seed=0)
    steps, terminated = 0, False
    while not terminated:
        steps += 1
        obs, reward, terminated, _, info = env.step(np.array([1.0, 0.0]))
        assert (
            reward
            == float(terminated)
            == float(info["success"])
            == float(np.hypot(obs[0] - 100, obs[1]) <= 2)
        )
    assert steps in (98, 99)


def test_the_wind_moves_the_body_and_is_gone_when_the_world_is_closed() -> None:
    env = envs.make(scenarios.load("windy_pointmass"))
    obs, _ = env.reset(seed=0)
    path = [obs[:2]]
    for _ in range(100):
        obs, *_, info = env.step(np.zeros(2))
        path.append(obs[:2])
        assert 0.8 <= info["wind"][1] <= 0.9
    drift = np.diff(path, axis=0)
    np.testing.assert_allclose(drift[:, 0], -0.2, atol=1e-4)
    assert drift[:, 1].mean() == pytest.approx(0.85, abs=0.01)
    assert drift[:, 1].std() == pytest.approx(0.1 / 12**0.5, abs=0.006)
    body = env.unwrapped
    env.close()
    assert not np.any([body.wind_low, body.wind_high])  # type: ignore[attr-defined]


def test_the_wind_can_rise_later() -> None:
    shift = {"name": "wind", "y_units_per_step": [0.5, 0.5], "start_step": 10}
    env = envs.make_world(World(env="slrl/Pointmass-v0", shifts=(shift,)))
    obs, _ = env.reset(seed=0)
    heights = [obs[1], *(env.step(np.zeros(2))[0][1] for _ in range(20))]
    np.testing.assert_allclose(np.diff(heights), [0.0] * 10 + [0.5] * 10, atol=1e-5)


def steps_to_completion(scenario: str, seed: int, y_action: float) -> int | None:
    env = envs.make(scenarios.load(scenario), life_steps=2000)
    obs, _ = env.reset(seed=seed)
    for step in range(1, 2001):
        counter = np.clip((0 - obs[1]) / max(100 - obs[0], 1) + y_action, -1, 1) if y_action else 0.0
        obs, _, terminated, truncated, _ = env.step(np.array([1.0, counter]))
        if terminated:
            return step
        if truncated:
            assert obs[1] == 200
            return None
    raise AssertionError("the life did not end")


def test_the_optimum_of_the_windy_scenario_is_a_controller_that_leans_into_the_mean_wind() -> None:
    optimum = scenarios.load("windy_pointmass").optimum_steps
    found = [steps_to_completion("windy_pointmass", seed, -0.85) for seed in range(20)]
    assert None not in found
    assert np.median(found) == pytest.approx(optimum, abs=1)  # type: ignore[arg-type]
    assert steps_to_completion("windy_pointmass", 0, 0.0) is None  # straight ahead ends at the northern wall
    calm = [steps_to_completion("calm_pointmass", seed, 0.0) for seed in range(20)]
    assert np.median(calm) == pytest.approx(scenarios.load("calm_pointmass").optimum_steps, abs=1)


def test_from_the_corner_it_is_more_than_a_thousand_steps_back() -> None:
    env = envs.make(scenarios.load("windy_pointmass"))
    env.reset(seed=0)
    env.unwrapped.position = np.array([100.0, 200.0])  # type: ignore[attr-defined]
    steps = next(step for step in range(1, 3000) if env.step(np.array([1.0, -1.0]))[2])
    assert 1200 < steps < 1500


@pytest.mark.parametrize("name", ["calm_pointmass", "windy_pointmass"])
def test_a_life_cannot_be_restarted_or_outlived(name: str) -> None:
    env = envs.make(scenarios.load(name), life_steps=3)
    with pytest.raises(RuntimeError, match="outside a life"):
        env.step(np.zeros(2))
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="cannot be restarted"):
        env.reset(seed=0)
    ends = [env.step(np.zeros(2))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(RuntimeError, match="outside a life"):
        env.step(np.zeros(2))
    with pytest.raises(RuntimeError, match="cannot be restarted"):
        env.reset()


def test_a_time_limit_of_the_world_does_not_end_a_life() -> None:
    env = OneLife(gym.make("slrl/Pointmass-v0", max_episode_steps=5), life_steps=20)
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[3] for _ in range(20)] == [False] * 19 + [True]


def test_success_on_the_last_step_is_success() -> None:
    env = OneLife(gym.make("slrl/Pointmass-v0"), life_steps=1)
    env.reset(seed=0)
    env.unwrapped.position = np.array([99.0, 0.0])  # type: ignore[attr-defined]
    *_, terminated, truncated, info = env.step(np.zeros(2))
    assert (terminated, truncated, info["success"]) == (True, False, True)


def test_a_world_without_the_success_key_says_which_keys_it_has() -> None:
    env = OneLife(gym.make("slrl/Pointmass-v0"), life_steps=5, success_info="is_success")
    env.reset(seed=0)
    with pytest.raises(BadInput, match="distance, success, wind"):
        env.step(np.zeros(2))


def test_unusable_worlds_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no environment 'Nowhere-v0'"):
        envs.make_world(World(env="Nowhere-v0"))
    with pytest.raises(BadInput, match="does not accept the settings"):
        envs.make_world(World(env="slrl/Pointmass-v0", settings={"gravity": 1}))
    with pytest.raises(BadInput, match="needs a flat Box"):
        envs.make_world(World(env="CartPole-v1"))
    with pytest.raises(BadInput, match="it has no air"):
        envs.make_world(World(env="Pendulum-v1", shifts=({"name": "wind"},)))
    with pytest.raises(BadInput, match="lowest, highest"):
        envs.make_world(
            World(env="slrl/Pointmass-v0", shifts=({"name": "wind", "x_units_per_step": [1, 0]},))
        )


def test_actions_are_rescaled_to_the_worlds_own_bounds() -> None:
    env = envs.make_world(World(env="Pendulum-v1"))
    assert env.action_space.low == -1  # type: ignore[attr-defined]
    env.reset(seed=0)
    env.step(np.ones(1, np.float32))
    assert env.unwrapped.last_u == 2.0  # type: ignore[attr-defined]
