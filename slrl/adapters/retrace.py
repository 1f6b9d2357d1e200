"""Going back the way one came, to try again: a part of adapters that imitate and have come to a standstill.

The way is the life's own path of the entries that the actions move; a proportional servo follows it
backwards. Its gain is measured in the prior's rows of free motion, where nothing else is moved: pushing
something gives less motion for the same action, and at worst the opposite sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from slrl.errors import Unsupported
from slrl.plugins import at_least, positive
from slrl.priors import Prior
from slrl.types import F32, Bools, State

GAIN_STEPS = 3  # over which the motion that follows an action is measured
AHEAD = 3  # points of the path between the body and the point that it is drawn to
NEAR = 0.4  # of the entries' common spread: so near its end the way back is over
SEARCHED = 10  # points, of which the nearest is where the body is on its way
STUCK = 3  # steps without passing a point, after which it is left out
APART = 0.02  # of that spread: standing still does not lengthen the path
RIDGE = 1e-4  # of the rows' number and the actions' variance
F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.retrace]`` table."""

    depth: int = 60  # steps of the path to go back at the first time; twice as many at each further one
    doublings: int = 2  # and no deeper than after so many
    patience: float = 1.5  # times the way: after so many steps back it goes on from where it is

    def __post_init__(self) -> None:
        at_least(self, 1, "depth")
        at_least(self, 0, "doublings")
        positive(self, "patience")


class Servo:
    """Actions that move some entries towards a target: a linear model of free motion, inverted.

    ``gain`` (E, A): change of each entry per step, for a unit of each action.
    """

    def __init__(self, prior: Prior, entries: Sequence[int], free: Bools) -> None:
        """``free`` (N,): rows in which nothing but the body moves; all rows if there are too few of them."""
        self.entries = list(entries)
        episode, obs = prior.episode, prior.obs
        rows = np.flatnonzero(episode[GAIN_STEPS:] == episode[:-GAIN_STEPS])
        if free[rows].sum() >= 10 * (prior.action.shape[1] + 1):
            rows = rows[free[rows]]
        if not len(rows):
            raise Unsupported(f"a way back takes episodes of more than {GAIN_STEPS} steps in the prior")
        change = (obs[rows + GAIN_STEPS][:, self.entries] - obs[rows][:, self.entries]) / GAIN_STEPS
        action = np.mean([prior.action[rows + i] for i in range(GAIN_STEPS)], 0).astype(np.float64)
        centred = action - action.mean(0)
        gram = centred.T @ centred + RIDGE * len(rows) * np.eye(action.shape[1]) * max(action.var(), 1e-12)
        self.gain: F64 = np.linalg.solve(gram, centred.T @ (change - change.mean(0))).T
        self.spread = float(np.sqrt((obs[:, self.entries].astype(np.float64).std(0) ** 2).mean()))
        self._inverse = np.linalg.pinv(self.gain, rcond=0.05)

    def act(self, obs: F32, target: F64) -> F32:
        """The action (A,), in [-1, 1], from obs (O,) towards the target (E,)."""
        return np.clip(self._inverse @ (target - obs[self.entries]), -1, 1).astype(np.float32)

    def distance(self, obs: F32, target: F64) -> float:
        """The largest difference of an entry to the target, in the entries' common spread."""
        return float(np.abs(obs[self.entries] - target).max()) / self.spread


class Retrace:
    """Remembers the path of the present attempt, and goes back along it when asked."""

    def __init__(self, settings: Settings, servo: Servo) -> None:
        self._settings, self.servo = settings, servo
        self.path: list[F64] = []  # of the entries (E,), since the life or the attempt began
        self.back: list[F64] = []  # what is left to go back; empty while the policy acts
        self.steps_back, self.times = 0, 0
        self._limit = 0.0  # of the steps back

    @property
    def going_back(self) -> bool:
        """Whether the way back is under way."""
        return bool(self.back)

    def begin(self, depth: int | None = None) -> None:
        """Turn back, by ``depth`` steps of the path, or by more at each time."""
        doubled = self._settings.depth * 2 ** min(self.times, self._settings.doublings)
        depth = min(doubled if depth is None else depth, max(len(self.path) - 1, 0))
        self.times += 1
        self.steps_back, self._limit = 0, self._settings.patience * depth
        self.back, self.path = self.path[len(self.path) - depth - 1 :], self.path[: len(self.path) - depth]

    def forget(self) -> None:
        """A new attempt begins here: neither its path nor its depth goes on from the last."""
        self.path, self.back, self.times = [], [], 0

    def act(self, obs: F32) -> F32:
        """The action (A,) on the way back."""
        return self.servo.act(obs, self.back[max(0, len(self.back) - 1 - AHEAD)])

    def observe(self, obs: F32) -> None:
        """Take in an observation (O,): it lengthens the path, or shortens the way back."""
        if not self.back:
            here = obs[self.servo.entries].astype(np.float64)
            if not self.path or np.abs(here - self.path[-1]).max() > APART * self.servo.spread:
                self.path.append(here)
            return
        self.steps_back += 1
        nearest = int(np.argmin([self.servo.distance(obs, point) for point in self.back[-SEARCHED:]]))
        passed = len(self.back[-SEARCHED:]) - 1 - nearest
        if not passed and self.steps_back % STUCK == 0:  # a point that cannot be reached is left out
            passed = 1
        del self.back[max(1, len(self.back) - passed) :]
        arrived = len(self.back) == 1 and self.servo.distance(obs, self.back[0]) < NEAR
        if arrived or self.steps_back >= self._limit:
            self.stop()

    def stop(self) -> None:
        """End the way back here; what is left of it is still the way by which the body came."""
        self.path, self.back = self.path + self.back, []

    def state_dict(self) -> State:
        """The path and the way back, (n, E) each, and the counters."""
        width = len(self.servo.entries)
        return {
            "path": torch.tensor(np.reshape(self.path, (-1, width))),
            "back": torch.tensor(np.reshape(self.back, (-1, width))),
            "counts": torch.tensor([self.steps_back, self.times]),
            "limit": torch.tensor(self._limit, dtype=torch.float64),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict`."""
        self.path, self.back = list(state["path"].numpy().copy()), list(state["back"].numpy().copy())
        self.steps_back, self.times = state["counts"].tolist()
        self._limit = float(state["limit"])
