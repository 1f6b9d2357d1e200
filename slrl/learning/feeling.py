"""What a repertoire makes of observations and rewards: postures, likeness, and whether a body gets on.

See :mod:`slrl.learning.repertoire`.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from slrl.envs.poses import Poses
from slrl.priors import Prior
from slrl.types import F32, State

AT_REST = 0.2  # of an entry's spread in the prior; one that differs less between bodies at rest is a speed


def best_episodes(prior: Prior, share: float) -> list[slice]:
    """The rows of the episodes with the highest mean reward, until they are this share of all rows."""
    rows = [slice(start, end + 1) for start, end in zip(prior.starts, prior.ends, strict=True)]
    found, left = [], share * len(prior)
    for k in np.argsort([-prior.reward[own].mean() for own in rows], kind="stable"):
        if left <= 0:
            break
        found.append(int(k))
        left -= rows[k].stop - rows[k].start
    return [rows[k] for k in sorted(found)]


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


class Turns:
    """How a body is turned: which entries of an observation (O,) say it, and what they say without doubles.

    The body is the same after a whole turn, and what has learned from a prior, which may never have turned,
    should see the same. So angles lose their whole turns, and of q and -q, which are one orientation, the one
    nearer to the prior's is taken.
    """

    def __init__(self, prior: Prior) -> None:
        self._mean = prior.obs.mean(0)
        self._angles = np.zeros(len(self._mean), np.bool_)  # that grow by 2π at each whole turn
        self._first = np.zeros(len(self._mean), np.bool_)  # of the four entries of a quaternion (w, x, y, z)

    def learn(self, body: Poses) -> None:
        """Find these entries in the world where the prior comes from."""
        pose = body.random(1)
        self._angles[body.angles(pose)] = True
        self._first[body.quaternions(pose)] = True

    @property
    def _quaternions(self) -> list[slice]:
        return [slice(int(k), int(k) + 4) for k in np.flatnonzero(self._first)]

    def whole(self, obs: F32) -> F32:
        """(…, O) -> (…, O): angles within half a turn of the prior's mean, quaternions of its sign."""
        if not self._angles.any() and not self._first.any():
            return obs
        found: F32 = obs.copy()
        centre = self._mean[self._angles]
        found[..., self._angles] = (obs[..., self._angles] - centre + np.pi) % (2 * np.pi) - np.pi + centre
        for own in self._quaternions:
            found[..., own] *= np.where(obs[..., own] @ self._mean[own] < 0, -1, 1)[..., None]
        return found

    def upright(self, obs: F32) -> F32:
        """(…, O) -> (…, O): whole, and instead of a quaternion where the body feels "up", and a 0.

        A posture has no heading.
        """
        found: F32 = self.whole(obs)
        for own in self._quaternions:
            scale = np.maximum(np.linalg.norm(obs[..., own], axis=-1, keepdims=True), 1e-6)
            w, x, y, z = np.moveaxis(obs[..., own] / scale, -1, 0)
            up = (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), np.zeros_like(w))
            found[..., own] = np.stack(up, -1)
        return found

    def state_dict(self) -> State:
        """Which entries these are."""
        return {"angles": torch.from_numpy(self._angles), "quaternions": torch.from_numpy(self._first)}

    def load_state_dict(self, state: State) -> None:
        """Load what :meth:`state_dict` gave."""
        self._angles[:], self._first[:] = state["angles"].numpy(), state["quaternions"].numpy()


class Feeling:
    """Observations (O,) on the scale of the prior, however often the body has turned."""

    def __init__(self, prior: Prior, turns: Turns) -> None:
        self._turns = turns
        seen = turns.upright(prior.obs)
        self.mean, std = seen.mean(0), seen.std(0)
        self.scale = np.maximum(std, 1e-3 * max(float(std.max()), 1e-6)).astype(np.float32)
        self.standing = np.ones(len(std), np.bool_)  # (O,) which entries differ where the body is at rest

    def learn(self, obs: F32) -> None:
        """Learn from observations (N, O) at rest which entries differ there: speeds do not."""
        differs = self._turns.upright(obs).std(0) > AT_REST * self.scale
        self.standing[:] = differs if differs.any() else True

    def posture(self, obs: F32) -> F32:
        """(…, O) -> (…, O): scaled but not drawn in, and 0 where postures do not differ."""
        found: F32 = (self._scaled(obs) * self.standing).astype(np.float32)
        return found

    def __call__(self, obs: F32) -> F32:
        """(…, O) -> (…, O): whole, centred, scaled, and with far values drawn in."""
        found: F32 = np.arcsinh(self._scaled(obs)).astype(np.float32)
        return found

    def _scaled(self, obs: F32) -> F32:
        found: F32 = (self._turns.upright(obs) - self.mean) / self.scale
        return found
