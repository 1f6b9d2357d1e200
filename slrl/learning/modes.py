"""What the episodes of a prior change: groups of them that change the same things."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slrl.learning.relations import Entries
from slrl.priors import Prior
from slrl.types import F32

BODY = 0.2  # share of an entry's one-step change that the action explains, of a body's entry
NOISE = 5.0  # median one-step changes that a thing must have changed by in an episode
CHANGED = 0.1  # of its spread, too
MARGIN = 0.02  # of its change, beyond the quantile,
LEAST = 1e-3  # but less than the median, which a thing that stops at its end does not exceed
FEWEST, DONE = 20, 0.1  # episodes that make a mode; quantile of how far its things have changed at the end


@dataclass(frozen=True)
class Mode:
    """Episodes that change the same things."""

    things: list[int]  # entries that they change
    episodes: NDArray[np.int64]
    before: NDArray[np.float64]  # (T,) medians of the things when an episode begins
    after: NDArray[np.float64]  # (T,) and ends
    enough: float  # share of that change with which the mode is done
    steps: float  # the 90 % quantile of its episodes' lengths
    median_steps: float

    def is_done(self, obs: F32) -> bool:
        """Whether all of its things have changed as far as in most of its episodes."""
        share = (obs[self.things] - self.before) / (self.after - self.before)
        return bool((share >= self.enough).all())


def things(entries: Entries) -> list[int]:
    """Slow entries that no action moves by itself."""
    return [i for i in entries.varying if entries.slow[i] and entries.controlled[i] < BODY]


def modes(prior: Prior, entries: Entries, fewest: int = FEWEST, done: float = DONE) -> list[Mode]:
    """The groups of episodes that change the same things, the shortest first."""
    own = things(entries)
    if not own:
        return []
    begin, end = prior.obs[prior.starts][:, own], prior.next_obs[prior.ends][:, own]
    noise = np.median(np.abs(prior.next_obs[:, own] - prior.obs[:, own]), 0)
    # Turning a thing on and turning it off are two modes.
    changed = np.abs(end - begin) > np.maximum(NOISE * noise, CHANGED * entries.spread[own])
    changed = changed * np.sign(end - begin).astype(np.int8)
    kinds, which = np.unique(changed, axis=0, return_inverse=True)
    lengths = prior.ends - prior.starts + 1
    found = []
    for number, signs in enumerate(kinds):
        kind = signs != 0
        episodes = np.flatnonzero(which.reshape(-1) == number)
        if not kind.any() or len(episodes) < fewest:
            continue
        before, after = (np.median(rows[episodes][:, kind], 0).astype(np.float64) for rows in (begin, end))
        shares = ((end[episodes][:, kind] - before) / (after - before)).min(1)
        found.append(
            Mode(
                [own[i] for i in np.flatnonzero(kind)],
                episodes,
                before,
                after,
                min(float(np.quantile(shares, done)) + MARGIN, float(np.median(shares)) - LEAST),
                float(np.quantile(lengths[episodes], 0.9)),
                float(np.median(lengths[episodes])),
            )
        )
    return sorted(found, key=lambda mode: mode.median_steps)
