"""A policy cloned from the best of a prior; how much of it is best, the world where it comes from says.

Of a prior with falls in it, all or half make a policy that falls; of one that is good throughout, a quarter
makes a policy that knows less. Which it is cannot be told from the error of cloning. So one is cloned from
each of some shares of the rows, and the one that earns most in the source world is taken.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from slrl.envs.poses import Poses
from slrl.learning.feeling import Turns, best_episodes
from slrl.learning.regression import Regression, Settings
from slrl.learning.state import nest, substate
from slrl.priors import Prior
from slrl.types import F32, Metrics, State

TRIALS, TRIAL_STEPS = 6, 400  # in the source world, of each candidate


class Clones:
    """Policies cloned from shares of a prior, and which of them acts.

    Attributes:
        turns: what they see of how the body is turned.
        earned: (S,) mean reward of a step of each in the source world.
    """

    def __init__(
        self,
        settings: Settings,
        shares: tuple[float, ...],
        prior: Prior,
        world: Callable[[], gym.Env[Any, Any]],
        seed: int,
        device: torch.device,
    ) -> None:
        self.shares = shares
        self._prior, self._world, self._seed = prior, world, seed
        self.turns = Turns(prior)
        self.earned = np.zeros(len(shares), np.float32)
        self._settings, self._device = settings, device
        self._policies = [self._policy(share) for share in shares]

    @property
    def steps(self) -> int:
        """Gradient steps of all of them."""
        return self._settings.steps * len(self.shares)

    @property
    def best(self) -> int:
        """Which of them acts."""
        return int(np.argmax(self.earned))

    @property
    def episodes(self) -> list[slice]:
        """The rows of the prior that it is cloned from."""
        return best_episodes(self._prior, self.shares[self.best])

    def act(self, obs: F32) -> F32:
        """The action (A,) for an observation (O,)."""
        return self._policies[self.best].act(self.turns.whole(obs))

    def learn(self) -> Iterator[Metrics]:
        """Clone each in turn, then try them."""
        with closing(self._world()) as env:
            self.turns.learn(Poses(env, np.random.default_rng(self._seed)))
            self._policies = [self._policy(share) for share in self.shares]
            for policy in self._policies:
                yield from policy.learn()
            if len(self.shares) > 1:
                self.earned[:] = [self._earns(env, policy) for policy in self._policies]

    def _policy(self, share: float) -> Regression:
        rows = np.concatenate([np.arange(own.start, own.stop) for own in best_episodes(self._prior, share)])
        obs = self.turns.whole(self._prior.obs[rows])
        return Regression(self._settings, obs, self._prior.action[rows], self._seed, self._device)

    def _earns(self, env: gym.Env[Any, Any], policy: Regression) -> float:
        total = 0.0
        for trial in range(TRIALS):
            obs, _ = env.reset(seed=self._seed + trial)
            for _ in range(TRIAL_STEPS):
                obs, reward, ended, cut, _ = env.step(policy.act(self.turns.whole(obs)))
                total += float(reward)
                if ended or cut:
                    obs, _ = env.reset()
        return total / (TRIALS * TRIAL_STEPS)

    def state_dict(self) -> State:
        """All policies, what they earned, and what they see of turns."""
        policies = {f"policy{k}": one.state_dict() for k, one in enumerate(self._policies)}
        return nest(turns=self.turns.state_dict(), own={"earned": torch.from_numpy(self.earned)}, **policies)

    def load_state_dict(self, state: State) -> None:
        """Load what :meth:`state_dict` gave."""
        self.turns.load_state_dict(substate(state, "turns"))
        self.earned[:] = substate(state, "own")["earned"].numpy()
        for k, policy in enumerate(self._policies):
            policy.load_state_dict(substate(state, f"policy{k}"))
