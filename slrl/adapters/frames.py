"""Imitation by relations, and trying again: the hand's way to an object and the object's to its goal.

A cloned ensemble acts by differences between what moves together (:mod:`slrl.learning.frames`), at a pace
that is asked for. Where the object has come no nearer to its goal for longer than it lay still in nearly all
of the prior's episodes, or is further away from it again than in nearly all of those that succeed, the body
goes back along its own path, further each time, and tries again.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slrl.adapters.retrace import LAGS, Retrace, Servo
from slrl.adapters.retrace import Settings as RetraceSettings
from slrl.adapters.setup import Plan, Setup
from slrl.learning import frames
from slrl.learning.cache import Artefact
from slrl.learning.frames import FramesPolicy
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.relations import entries_of
from slrl.learning.state import nest, substate
from slrl.plugins import require, share
from slrl.priors import Prior
from slrl.types import F32, Bools, Metrics, State, Transition

POINTS = ("mover", "moved", "goal")
STAND = 0.02  # of its spread: an object that comes less near to its goal over the whole patience stands still
SLOWED = 0.4  # of the most that it came nearer in as long a time in this life: with less it has slipped away
USUAL = 0.95  # quantile over the prior's episodes of what still is as it should be
SLACK = 1.2  # times that
SLACKEST = 3.0
PACES = (0.5, 0.7, 0.3)  # of further attempts, in turn with the one that is asked for
HOOKED = 0.05  # of its spread: a thing that moves more on the way back is caught, and the way back is over
NEEDS_AGENT = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    regression: RegressionSettings = field(default_factory=RegressionSettings)
    retrace: RetraceSettings = field(default_factory=RetraceSettings)
    pace: float = 0.9  # rank among the prior's episodes, from the slowest (0) to the fastest (1)
    # Entries of the points that move, are moved, and are where they are to be: of each as many, axis by axis.
    # A goal's entry of -1 is none. Empty: as found in the prior.
    points: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        share(self, "pace")
        require(
            not self.points
            or (set(self.points) == set(POINTS) and len(set(map(len, self.points.values()))) == 1),
            "points must give 'mover', 'moved' and 'goal' equally many entries, or be empty",
        )

        entries = [(name, i) for name, own in self.points.items() for i in own]
        whole = all(type(i) is int and i >= (-1 if name == "goal" else 0) for name, i in entries)
        require(whole, "points must be entries of the observation, from 0 on (a goal's may be -1: none)")

    def triples(self) -> frames.Points:
        """The declared points, axis by axis."""
        return tuple(zip(*(self.points[name] for name in POINTS), strict=True)) if self.points else ()


class Frames:
    """Acts with the cloned policy; goes back and tries again where the object comes no nearer to its goal."""

    modes = ("forth", "back")

    def __init__(self, settings: Settings, policy: FramesPolicy, prior: Prior) -> None:
        self.policy, self._pace = policy, settings.pace
        self._moved = [one.moved for one in policy.relations]
        spread = prior.obs[:, self._moved].std(0)
        self._spread = np.maximum(spread, 1e-3 * spread.max())
        self._aimed = [self._moved.index(one.moved) for one in policy.aims]
        still = at_rest(prior, self._moved)
        self.patience = patience(prior, still)
        self.astray = max(HOOKED, SLACK * usual_loss(prior, self._distance(prior.next_obs)))
        self.best = 0.0  # the furthest that an object came nearer to its goal within the patience
        movers = [one.mover for one in policy.relations]
        self.retrace = Retrace(settings.retrace, Servo(prior, movers, still))
        self._left: list[float] = []  # distances to the goal after the last ``patience`` + 1 steps
        self._nearest = np.inf  # of this attempt
        self._grace = 0  # steps until a standstill counts again
        self._held = False  # whether the thing may move along on the way back
        self._turned: NDArray[Any] = np.zeros(len(self._moved))  # where it was when the body turned back

    def act(self, obs: F32) -> F32:
        """The action (A,) of the policy for an observation (O,), or of the servo on the way back."""
        if self.retrace.going_back:
            return self.retrace.act(obs)
        return self.policy.act(obs, (self._pace, *PACES)[self.retrace.times % (1 + len(PACES))])

    def observe(self, transition: Transition) -> Metrics:
        """Follow the object; turn back if it comes no nearer. ``adapter/mode`` is 1 on the way back."""
        back = self.retrace.going_back
        self.retrace.observe(transition)
        there = transition.next_obs[self._moved] / self._spread
        if back:
            caught = not self._held and np.abs(there - self._turned).max() > HOOKED
            if self.retrace.going_back and caught:
                self.retrace.stop()
            # As many steps to come again.
            self._left, self._nearest, self._grace = [], np.inf, self.retrace.steps_back
        elif self._is_lost(float(self._distance(transition.next_obs))):
            self._turned = there
            self.retrace.begin()
        return {"adapter/mode": float(self.retrace.going_back)}

    def _is_lost(self, left: float) -> bool:
        """Whether, with so much left to the goal, the object is further away again or comes no nearer."""
        self._nearest = min(self._nearest, left)
        self._held = left > self._nearest + self.astray
        if self._held or self._grace:
            self._grace = max(0, self._grace - 1)
            return self._held
        self._left = [*self._left[-self.patience :], left]
        if len(self._left) <= self.patience:
            return False
        gain = self._left[0] - self._left[-1]
        self.best = max(self.best, gain)
        possible = min(self.best, self._left[0])  # near the goal there is less to gain
        return gain < max(STAND, SLOWED * possible)

    def _distance(self, obs: F32) -> NDArray[np.float32]:
        """(…, O) -> (…): of the object to its goal, in its spreads."""
        left = self.policy.left(obs) / self._spread[self._aimed]
        found: NDArray[np.float32] = np.linalg.norm(left, axis=-1)
        return found

    def learn(self) -> Metrics:
        """Nothing is learned in the life."""
        return {}

    def state_dict(self) -> State:
        """The policy, the path, and how this attempt goes."""
        own = {
            "left": torch.tensor(self._left, dtype=torch.float64),
            "best": torch.tensor(self.best, dtype=torch.float64),
            "nearest": torch.tensor(self._nearest, dtype=torch.float64),
            "counts": torch.tensor([self._grace, int(self._held)]),
            "turned": torch.tensor(self._turned, dtype=torch.float64),
        }
        return nest(policy=self.policy.state_dict(), retrace=self.retrace.state_dict(), frames=own)

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.policy.load_state_dict(substate(state, "policy"))
        self.retrace.load_state_dict(substate(state, "retrace"))
        own = substate(state, "frames")
        self._left = own["left"].tolist()
        self.best, self._nearest = float(own["best"]), float(own["nearest"])
        self._grace, held = own["counts"].tolist()
        self._held = bool(held)
        self._turned = own["turned"].numpy().copy()


def missing(settings: Settings, prior: Prior) -> str:
    """What this would need and the prior does not have; empty if it can act."""
    entries, declared = entries_of(prior), settings.triples()
    goals = (
        [goal for _, _, goal in declared if goal >= 0]
        if declared
        else [one.goal for one in entries.relations() if one.goal is not None]
    )
    return "" if goals and entries.longest >= LAGS else "nothing in the prior is moved to a goal"


def at_rest(prior: Prior, entries: list[int]) -> Bools:
    """(N,) whether none of these entries moves in a row."""
    step = np.abs(prior.next_obs[:, entries] - prior.obs[:, entries])
    found: Bools = (step < frames.LEAST_MOVE * prior.obs[:, entries].std(0)).all(1)
    return found


def patience(prior: Prior, still: Bools) -> int:
    """Steps that an object may lie still: longer than in nearly all of the prior's episodes.

    Episodes that fail may stand still for long, so it is no more than ``SLACKEST`` times as long as in those
    that succeed.

    ``still`` (N,): the rows in which nothing moved it.
    """
    spells = []
    for first, last in zip(prior.starts, prior.ends, strict=True):
        edges = np.flatnonzero(np.diff(np.r_[False, still[first : last + 1], False]))
        spells.append(int((edges[1::2] - edges[::2]).max(initial=0)))
    usual, succeeding = (
        float(np.quantile(np.array(spells)[kept], USUAL))
        for kept in (np.ones(len(spells), np.bool_), frames.successful(prior))
    )
    return max(2, int(np.ceil(min(SLACK * usual, SLACKEST * succeeding))))


def usual_loss(prior: Prior, left: NDArray[np.float32]) -> float:
    """How much further away again than before the object has been in nearly all successful episodes.

    ``left`` (N,): the distance to the goal after each row.
    """
    losses = []
    succeeded = frames.successful(prior)
    for first, last in zip(prior.starts[succeeded], prior.ends[succeeded], strict=True):
        own = left[first : last + 1]
        losses.append(float((own - np.minimum.accumulate(own)).max()))
    return float(np.quantile(losses, USUAL))


def wanted(settings: Settings, plan: Plan) -> Artefact[FramesPolicy]:
    """The cloned policy."""
    return frames.artefact(settings.regression, plan.prior, settings.triples(), plan.agents.seed)


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The cloned policy."""
    return [wanted(settings, plan)]


def make(settings: Settings, setup: Setup) -> Frames:
    """Assemble from the cloned policy; nothing is drawn in the life."""
    return Frames(settings, setup.get(wanted(settings, setup.plan)), setup.prior)
