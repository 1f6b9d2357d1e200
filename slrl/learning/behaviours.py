"""Behaviours of a repertoire: patterns of actions, with or without the policy behind them, and as genes.

a_t = clip(g π(s_t) + P[⌊t / h⌋ mod p]): a pattern P (p, A), each row held for h steps, over the policy's
action times a gain g. See :mod:`slrl.learning.repertoire`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from slrl.types import F32

GAINS = (0.0, 0.5, 1.0)  # of the policy's action behind a pattern
LENGTHS = (2, 10)  # of a pattern, least and most
SPARSE, FULL = 0.2, 0.4  # shares of a new pattern's actions that are 0, and +1 or -1 each
FAINT = (0.25, 0.5, 1.0)  # times as large is a pattern with the policy behind it
CHANGED, STEP = 0.2, 0.7  # share of the actions that a mutation changes, and by how much


class Behaviour:
    """A pattern P (p, A), each row held for h steps, over the policy's action times a gain."""

    def __init__(self, hold: int, gain: float, pattern: NDArray[np.float64]) -> None:
        self.hold, self.gain, self.pattern = hold, gain, pattern.astype(np.float32)

    def act(self, step: int, policy: Callable[[], F32]) -> F32:
        """The action (A,) at a step of its play, counted from 0; asks the policy only if it is behind it."""
        own: F32 = self.pattern[step // self.hold % len(self.pattern)]
        if not self.gain:
            return own
        action: F32 = np.clip(self.gain * policy() + own, -1, 1).astype(np.float32)
        return action


class Genes:
    """Behaviours as vectors: index of the hold, length, index of the gain, and the longest pattern."""

    def __init__(self, holds: tuple[int, ...], actions: int) -> None:
        self.holds, self.actions = holds, actions
        self.size = 3 + LENGTHS[1] * actions

    def behaviour(self, genes: NDArray[np.float64]) -> Behaviour:
        """What a vector stands for."""
        hold, length, gain = (round(float(x)) for x in genes[:3])
        pattern = genes[3:].reshape(LENGTHS[1], self.actions)[:length]
        return Behaviour(self.holds[hold], GAINS[gain], pattern)

    def new(self, rng: np.random.Generator, behind: float = 0.1) -> NDArray[np.float64]:
        """Random: most actions are bounds. Behind a share of them is the policy, some of these are faint."""
        head = [
            rng.integers(len(self.holds)),
            rng.integers(LENGTHS[0], LENGTHS[1] + 1),
            rng.choice(len(GAINS), p=[1 - behind, behind / 2, behind / 2]),
        ]
        pattern = rng.choice([-1.0, 0.0, 1.0], LENGTHS[1] * self.actions, p=[FULL, SPARSE, FULL])
        if head[2]:
            pattern = pattern * rng.choice(FAINT)
        return np.concatenate([head, pattern])

    def mutated(self, genes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """A fifth of its actions changed, sometimes its hold or its length."""
        found = genes.copy()
        changed = rng.random(len(found) - 3) < CHANGED
        moved = found[3:] + STEP * rng.normal(size=len(changed))
        found[3:] = np.where(changed, moved.clip(-1, 1), found[3:])
        if rng.random() < 0.15:
            found[0] = rng.integers(len(self.holds))
        if rng.random() < 0.15:
            found[1] = np.clip(found[1] + rng.choice([-1, 1]), *LENGTHS)
        return found
