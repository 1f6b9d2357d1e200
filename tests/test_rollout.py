"""The loop of acting: what it yields, when it ends, and in which order it asks and tells."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from slrl import envs, scenarios
from slrl.envs.rollout import rollout
from slrl.recording import recipes


class Counter(gym.Env[Any, Any]):
    """Observes the number of the step, and writes down what it is asked."""

    def __init__(self, terminates_at: int = 10**9, truncates_at: int = 10**9) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self._ends, self.asked, self._steps = (terminates_at, truncates_at), list[str](), 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.asked.append(f"reset {seed}")
        self._steps = 0
        return np.zeros(1, np.float32), {"start": True}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        self.asked.append(f"step {self._steps}")
        ends = [self._steps >= end for end in self._ends]
        return np.full(1, self._steps, np.float32), 0.5 * self._steps, *ends, {"now": self._steps}


def act(obs: np.ndarray) -> np.ndarray:
    return -obs / 10


def test_steps_follow_each_other_until_the_end() -> None:
    episode = rollout(Counter(terminates_at=3), act, seed=7)
    assert (episode.first_obs, episode.first_info) == (0, {"start": True})
    steps = list(episode)
    assert [step.number for step in steps] == [1, 2, 3]
    assert [float(step.transition.obs[0]) for step in steps] == [0, 1, 2]
    assert [float(step.transition.next_obs[0]) for step in steps] == [1, 2, 3]
    assert [float(step.transition.action[0]) for step in steps] == pytest.approx([0, -0.1, -0.2])
    assert [step.transition.reward for step in steps] == [0.5, 1.0, 1.5]
    assert [step.over for step in steps] == [False, False, True]
    assert [step.info["now"] for step in steps] == [1, 2, 3]


@pytest.mark.parametrize(
    ("most", "ends", "steps", "over"),
    [(None, {"truncates_at": 4}, 4, True), (2, {"truncates_at": 4}, 2, False), (0, {}, 0, None)],
)
def test_it_ends_where_the_environment_or_the_caller_says(
    most: int | None, ends: dict[str, int], steps: int, over: bool | None
) -> None:
    taken = list(rollout(Counter(**ends), act, max_steps=most))
    assert len(taken) == steps
    assert (taken[-1].over if taken else None) is over


def test_a_step_is_told_before_the_next_action_is_asked_for() -> None:
    env, order = Counter(terminates_at=2), list[str]()

    def asked(obs: np.ndarray) -> np.ndarray:
        order.append("act")
        return act(obs)

    episode = rollout(env, asked, seed=3)
    assert env.asked == ["reset 3"]
    order.extend(f"told {step.number}" for step in episode)
    assert order == ["act", "told 1", "act", "told 2"]


def test_a_life_by_rollout_is_the_same_as_by_hand() -> None:
    env, again = (envs.make(scenarios.load("windy_pointmass"), life_steps=20) for _ in range(2))
    obs, _ = env.reset(seed=1)
    for step in rollout(again, lambda obs: np.array([1, 0], np.float32), seed=1):
        np.testing.assert_array_equal(step.transition.obs, obs)
        obs, *_ = env.step(np.array([1, 0], np.float32))
    assert (step.number, step.transition.truncated, step.info["success"]) == (20, True, False)


def test_a_drawn_episode_has_the_wind_that_it_names() -> None:
    recipe, _ = recipes.read("pointmass_breezy")
    world = recipes.DrawnWorld(recipe, *np.random.SeedSequence(0).spawn(2))
    seen = []
    for _ in range(3):
        episode = world.draw()
        assert episode.params is not None
        for step in rollout(episode.env, lambda obs: np.zeros(2, np.float32), seed=episode.seed, max_steps=5):
            drift = (step.transition.next_obs - step.transition.obs)[:2]
            np.testing.assert_allclose(drift, episode.params, atol=1e-5)
        seen.append(tuple(episode.params))
    assert len(set(seen)) == 3
    world.close()
