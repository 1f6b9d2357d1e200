"""Going back the way one came, to try again: a part of adapters that imitate and have come to a standstill.

The way is the life's own path of the entries that the actions move; a proportional servo follows it
backwards. Its gain is measured in the prior's rows of free motion, where nothing else is moved: pushing
something gives less motion for the same action, and at worst the opposite sign. Actions that move the body
little, a grip, are on the way back what they were on the way there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from slrl.errors import Unsupported
from slrl.plugins import at_least, positive
from slrl.priors import Prior
from slrl.types import F32, Bools, State, Transition

LAGS = 3  # steps of motion before an action that say what the body would do without it
RESPONSE = 10  # steps over which the motion that follows a constant action is averaged
LEADS = (
    1 / 3
)  # of what moves an entry most, as actions vary in the prior: one that moves none so far leads none
AHEAD = 3  # points of the path between the body and the point that it is drawn to
WITHIN = 2.0  # steps in which it is to be there
NEAR = 0.4  # of the entries' common spread: so near its end the way back is over
SEARCHED = 10  # points, of which the nearest is where the body is on its way
STUCK = 3  # steps without passing a point, after which it is left out
APART = 0.02  # of that spread: standing still does not lengthen the path
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

    ``gain`` (E, A): mean change of each entry per step, for a unit of each action over ``RESPONSE`` steps.
    """

    def __init__(self, prior: Prior, entries: Sequence[int], free: Bools) -> None:
        """``free`` (N,): rows in which nothing but the body moves; all rows if there are too few of them."""
        self.entries = list(entries)
        self.gain = _response(prior, self.entries, free)
        moved = np.abs(self.gain) * prior.action.std(0)
        self.leads: Bools = (moved > LEADS * moved.max(1, keepdims=True)).any(0)
        self.spread = float(np.sqrt((prior.obs[:, self.entries].astype(np.float64).std(0) ** 2).mean()))
        if not np.ptp(prior.obs[:, self.entries], axis=0).any():
            raise Unsupported("a way back takes entries of the body that vary in the prior")
        self._inverse = np.linalg.pinv(self.gain[:, self.leads], rcond=0.05)

    def act(self, obs: F32, target: F64, others: F64) -> F32:
        """The action (A,), in [-1, 1], from obs (O,) towards the target (E,).

        ``others`` (A,): an action, of which the entries are taken that do not lead the body.
        """
        wanted = self._inverse @ (target - obs[self.entries]) / WITHIN
        action = others.copy()
        action[self.leads] = wanted / np.abs(wanted).max(initial=1.0)
        return action.astype(np.float32)

    def distance(self, obs: F32, target: F64) -> float:
        """The largest difference of an entry to the target (E,), in the entries' common spread."""
        return float(np.abs(obs[self.entries] - target).max()) / self.spread


def _response(prior: Prior, entries: list[int], free: Bools) -> F64:
    """(E, A): what a unit of each action moves per step, of a body that goes on as it went.

    The next motion is a linear function of the action and of the last ``LAGS`` motions. Without these a
    demonstrator's habits look like effects: to go down whenever it goes to the right.
    """
    obs, next_obs = (rows[:, entries].astype(np.float64) for rows in (prior.obs, prior.next_obs))
    rows = np.arange(LAGS, len(prior))
    rows = rows[prior.episode[rows] == prior.episode[rows - LAGS]]
    if not len(rows):
        raise Unsupported(f"a way back takes episodes of more than {LAGS} steps in the prior")
    size, actions = len(entries), prior.action.shape[1]
    kept = rows[np.logical_and.reduce([free[rows - lag] for lag in range(LAGS)])]
    if len(kept) >= 10 * (actions + LAGS * size + 1):
        rows = kept
    before = [obs[rows - lag] - obs[rows - lag - 1] for lag in range(LAGS)]
    inputs = np.concatenate([prior.action[rows], *before], 1)
    model = LinearRegression().fit(inputs, next_obs[rows] - obs[rows])
    own, *past = np.split(model.coef_, [actions + size * lag for lag in range(LAGS)], 1)
    motions: list[F64] = []
    for _ in range(RESPONSE):
        motions.append(own + sum(part @ last for part, last in zip(past, motions[::-1], strict=False)))
    found: F64 = np.mean(motions, 0)
    return found


class Retrace:
    """Remembers the path of the present attempt, and goes back along it when asked."""

    def __init__(self, settings: Settings, servo: Servo) -> None:
        self._settings, self.servo = settings, servo
        self.path: list[F64] = []  # entries and the action that led there (E + A,), since the attempt began
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
        point = self.back[max(0, len(self.back) - 1 - AHEAD)]
        return self.servo.act(obs, *np.split(point, [len(self.servo.entries)]))

    def observe(self, transition: Transition) -> None:
        """Take in a step: it lengthens the path, or shortens the way back."""
        obs = transition.next_obs
        if not self.back:
            if not self.path or self._distance(obs, self.path[-1]) > APART:
                here = obs[self.servo.entries]
                self.path.append(np.concatenate([here, transition.action]).astype(np.float64))
            return
        self.steps_back += 1
        nearest = int(np.argmin([self._distance(obs, point) for point in self.back[-SEARCHED:]]))
        passed = len(self.back[-SEARCHED:]) - 1 - nearest
        if not passed and self.steps_back % STUCK == 0:  # a point that cannot be reached is left out
            passed = 1
        del self.back[max(1, len(self.back) - passed) :]
        arrived = len(self.back) == 1 and self._distance(obs, self.back[0]) < NEAR
        if arrived or self.steps_back >= self._limit:
            self.stop()

    def _distance(self, obs: F32, point: F64) -> float:
        return self.servo.distance(obs, point[: len(self.servo.entries)])

    def stop(self) -> None:
        """End the way back here; what is left of it is still the way by which the body came."""
        self.path, self.back = self.path + self.back, []

    def state_dict(self) -> State:
        """The path and the way back, (n, E + A) each, and the counters."""
        width = sum(self.servo.gain.shape)
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
