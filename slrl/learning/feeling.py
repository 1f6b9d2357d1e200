"""What a repertoire makes of observations and rewards: postures, likeness, and whether a body gets on.

See :mod:`slrl.learning.repertoire`.
"""

import numpy as np
from numpy.typing import NDArray

from slrl.priors import Prior
from slrl.types import F32

AT_REST = 0.2  # of an entry's spread in the prior; one that differs less between bodies at rest is a speed


def good_episodes(prior: Prior) -> list[slice]:
    """The rows of the better half of the episodes, by mean reward."""
    rows = [slice(start, end + 1) for start, end in zip(prior.starts, prior.ends, strict=True)]
    means = np.array([prior.reward[own].mean() for own in rows])
    return [own for own, mean in zip(rows, means, strict=True) if mean >= np.median(means)]


def windows(prior: Prior, episodes: list[slice], steps: int) -> list[NDArray[np.float64]]:
    """The mean reward of every window of so many steps, of each episode that has one."""
    kernel = np.ones(steps) / steps
    long = [own for own in episodes if own.stop - own.start >= steps]
    return [np.convolve(prior.reward[own], kernel, "valid") for own in long]


def beginning(prior: Prior, episodes: list[slice], window: int, low: float) -> int:
    """Steps until a window's mean reward reaches ``low``, from the beginning of 19 of 20 such episodes."""
    means = windows(prior, episodes, window)
    first = [window + int(np.argmax(one >= low)) for one in means if (one >= low).any()]
    return int(np.ceil(np.quantile(first, 0.95))) if first else window


class Feeling:
    """Observations (O,) on the scale of the prior, whole turns of the body taken away."""

    def __init__(self, prior: Prior) -> None:
        self.mean, std = prior.obs.mean(0), prior.obs.std(0)
        self.scale = np.maximum(std, 1e-3 * max(float(std.max()), 1e-6)).astype(np.float32)
        # (O,) which entries grow by 2π at each whole turn of the body, and which differ where it is at rest.
        self.turning, self.standing = np.zeros(len(std), np.bool_), np.ones(len(std), np.bool_)

    def learn(self, obs: F32, turning: list[int]) -> None:
        """Learn from observations (N, O) at rest which entries differ there: speeds do not."""
        self.turning[turning] = True
        differs = self.whole(obs).std(0) > AT_REST * self.scale
        self.standing[:] = differs if differs.any() else True

    def whole(self, obs: F32) -> F32:
        """The observation with its angles within half a turn of the prior's mean."""
        if not self.turning.any():
            return obs
        found: F32 = obs.copy()
        centre = self.mean[self.turning]
        found[..., self.turning] = (obs[..., self.turning] - centre + np.pi) % (2 * np.pi) - np.pi + centre
        return found

    def posture(self, obs: F32) -> F32:
        """(…, O) -> (…, O): scaled but not drawn in, and 0 where postures do not differ."""
        found: F32 = ((self.whole(obs) - self.mean) / self.scale * self.standing).astype(np.float32)
        return found

    def __call__(self, obs: F32) -> F32:
        """(…, O) -> (…, O): whole, centred, scaled, and with far values drawn in."""
        found: F32 = np.arcsinh((self.whole(obs) - self.mean) / self.scale).astype(np.float32)
        return found
