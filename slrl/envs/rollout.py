"""The loop of acting in a world, for lives, pictures, recordings and the contracts of scenarios."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from slrl.types import F32, Transition


class Step(NamedTuple):
    """One step of a rollout."""

    number: int  # from 1
    transition: Transition
    info: dict[str, Any]  # of the environment, after the step

    @property
    def over(self) -> bool:
        """Whether the environment ended the episode with this step."""
        return self.transition.terminated or self.transition.truncated


@dataclass(frozen=True, eq=False)
class Rollout:
    """An episode that has begun; to be iterated over once, for its steps are taken while it is."""

    first_obs: F32  # (O,) of the reset
    first_info: dict[str, Any]  # of the reset
    _steps: Iterator[Step]

    def __iter__(self) -> Iterator[Step]:
        return self._steps


def rollout(
    env: gym.Env[Any, Any],
    act: Callable[[F32], F32],
    *,
    seed: int | None = None,
    max_steps: int | None = None,
) -> Rollout:
    """Reset ``env`` at once, then act in it, step by step as the rollout is iterated over.

    It ends with the step that the environment calls terminated or truncated, or after ``max_steps``; the last
    transition is not marked as truncated by the latter. What the caller does with a step (observe, learn,
    draw) is done before ``act`` is asked for the next action. ``env`` is left open. Observations are copies,
    for a world may write into the same array at every step.

    Args:
        env: with observations (O,) and actions (A,).
        act: gives the action for an observation; called once per step.
        seed: of the reset.
        max_steps: how many steps are taken at most; without it, the environment decides.
    """
    first, info = env.reset(seed=seed)
    obs = np.copy(first)
    return Rollout(obs, info, _steps(env, act, obs, max_steps))


def _steps(
    env: gym.Env[Any, Any], act: Callable[[F32], F32], obs: F32, max_steps: int | None
) -> Iterator[Step]:
    number, over = 0, False
    while not over and number != max_steps:
        action = act(obs)
        seen, reward, terminated, truncated, info = env.step(action)
        next_obs = np.copy(seen)
        number, over = number + 1, bool(terminated or truncated)
        transition = Transition(obs, action, float(reward), next_obs, bool(terminated), bool(truncated))
        yield Step(number, transition, info)
        obs = next_obs
