"""What a prior's observations are made of: entries the actions move, entries that move together, arrivals.

Everything is found in the rows alone, by least squares and spreads; no network is trained. An *entry* is one
number of an observation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from slrl.priors import Prior
from slrl.types import Bools

Ints = NDArray[np.int64]
F64 = NDArray[np.float64]
TINY = 1e-12
VARIES = 1e-3  # an entry varies if its standard deviation is more than this share of its largest value
COPY = 1e-3  # standard deviations by which a copy of another entry may differ from it
SPAN = 5  # steps over which entries are seen to move together
TOGETHER_R2, TOGETHER_SLOPE = 0.7, 0.2  # Δj = Δi explains so much of Δj; the slope of j on i is 1 ± so much
ALONE = 0.25  # a mover moves without the moved too: by this share of what it moves with it
ARRIVES = 0.5  # spread of the difference at success, as a share of either spread
SLOW_STEPS, SLOW = (
    10,
    0.25,
)  # an entry is slow if it changes less than so many of its spreads in so many steps
PLACE = 0.7  # of its spread that a place may change in ten steps
CONTROLLED = 0.05  # share of a one-step change that the action must explain
ROWS = 8000  # that a least-squares fit is made on


@dataclass(frozen=True)
class Relation:
    """An entry that is moved, with what moves it, and with where it is to be."""

    moved: int
    mover: int
    goal: int | None = None
    # Spread of moved - mover while the moved one moves: how exactly it must be held. Spreads are half of the
    # width that holds the middle 68 %.
    contact: float = 1.0
    # Spread of goal - moved at the prior's successes: how exactly it must arrive; their median difference.
    arrival: float = 1.0
    offset: float = 0.0
    free: bool = True  # whether the prior has it at different places when an episode begins


class Entries:
    """The entries of a prior's observations, by what the rows say of them."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self._rng = np.random.default_rng(0)
        self.spread: F64 = prior.obs.std(0, dtype=np.float64)

    @property
    def rows(self) -> int:
        """How many rows the prior has."""
        return len(self._prior)

    def moved_by(self, steps: int) -> tuple[Ints, F64]:
        """Rows (M,) with a later one of the same episode so many steps on, and the changes (M, O) to it."""
        episode = self._prior.episode
        rows = np.flatnonzero(episode[steps:] == episode[: len(episode) - steps])
        obs = self._prior.obs
        return rows, (obs[rows + steps] - obs[rows]).astype(np.float64)

    @cached_property
    def varying(self) -> list[int]:
        """Entries that vary, without those that copy an earlier one of the same or the previous step."""
        prior, found = self._prior, list[int]()
        same = np.flatnonzero(prior.episode[1:] == prior.episode[:-1])
        same = same[:: max(1, len(same) // 3000)]
        now, before = prior.obs[same + 1], prior.obs[same]
        largest = np.abs(prior.obs).max(0)
        for i in np.flatnonzero(self.spread > VARIES * np.maximum(largest, 1)).tolist():
            near = COPY * self.spread[i]
            copies = (
                np.abs(other[:, found] - now[:, [i]]).max(0, initial=np.inf if not len(now) else 0.0) < near
                for other in (now, before)
            )
            if not any(copy.any() for copy in copies):
                found.append(i)
        return found

    @cached_property
    def fixed(self) -> Bools:
        """(O,) whether an entry never changes within an episode."""
        found: Bools = np.abs(self._prior.next_obs - self._prior.obs).max(0) < 1e-6
        return found

    @cached_property
    def drift(self) -> F64:
        """(O,) change of an entry in ten steps (root mean square), as a share of its spread.

        Of what keeps nothing of its value in that time it is √2.
        """
        _, change = self.moved_by(min(SLOW_STEPS, self.longest))
        found: F64 = np.sqrt((change**2).mean(0)) / np.maximum(self.spread, TINY)
        return found

    @property
    def slow(self) -> Bools:
        """(O,) whether an entry changes little in ten steps, as places do and velocities do not."""
        return (self.drift < SLOW) & ~self.fixed

    @cached_property
    def controlled(self) -> F64:
        """(O,) share of the one-step change that is explained by the action, beyond what the state explains.

        Of a linear model.
        """
        prior = self._prior
        rows = self._rng.choice(len(prior), min(len(prior), ROWS), replace=False)
        state = np.column_stack([prior.obs[rows] / (self.spread + 1e-6), np.ones(len(rows))])
        change = prior.next_obs[rows] - prior.obs[rows]
        both = np.column_stack([prior.action[rows], state])
        without, with_action = (
            ((change - x @ np.linalg.lstsq(x, change, rcond=None)[0]) ** 2).mean(0) for x in (state, both)
        )
        found: F64 = np.where(without > TINY, 1 - with_action / np.maximum(without, TINY), 0.0)
        return found

    @cached_property
    def successes(self) -> Ints:
        """Rows with which an episode succeeds."""
        return np.flatnonzero(self._prior.terminated & (self._prior.reward > 0))

    @property
    def longest(self) -> int:
        """Steps between the first and the last row of the longest episode."""
        return int((self._prior.ends - self._prior.starts).max())

    def together(self) -> list[tuple[int, int]]:
        """Pairs (mover, moved): what the moved one moves, the mover moves too, and it also moves alone."""
        if self.longest < SPAN:
            return []
        _, change = self.moved_by(SPAN)
        places = [
            i for i in self.varying if self.drift[i] < PLACE
        ]  # a velocity is nowhere that others could be too
        found = []
        for j in places:
            moves = np.abs(change[:, j]) > self.still(change[:, j], j)
            if self.fixed[j] or moves.mean() < 0.01 or (~moves).sum() < 100:
                continue
            y, x = change[moves, j], change[moves][:, places]
            slope = y @ x / ((x**2).sum(0) + TINY)
            explained = 1 - ((y[:, None] - x) ** 2).sum(0) / (y @ y)
            alone = np.abs(change[~moves][:, places]).mean(0) / (np.abs(x).mean(0) + TINY)
            fits = (explained > TOGETHER_R2) & (np.abs(slope - 1) < TOGETHER_SLOPE) & (alone > ALONE)
            fits &= (np.array(places) != j) & (self.controlled[places] > CONTROLLED)
            if fits.any():
                found.append((places[int(np.argmax(np.where(fits, explained, -np.inf)))], j))
        return found

    def still(self, change: F64, j: int) -> float:
        """The largest change (over any number of steps) at which entry j is said not to move."""
        return max(0.02 * float(self.spread[j]), 5 * float(np.quantile(np.abs(change), 0.05)))

    def arrivals(self) -> list[tuple[int, int]]:
        """Pairs (i, goal): at successes i is near that entry, which is fixed in an episode."""
        if len(self.successes) < 10:
            return []
        at = self._prior.next_obs[self.successes].astype(np.float64)
        found = []
        for goal in self.varying:
            if not self.fixed[goal]:
                continue
            for i in self.varying:
                if self.fixed[i]:
                    continue
                smaller = min(at[:, goal].std(), self.spread[i])
                if (at[:, i] - at[:, goal]).std() < ARRIVES * smaller:
                    found.append((i, goal))
        return found

    def relations(self, points: Sequence[Sequence[int]] = ()) -> list[Relation]:
        """What is moved by what, and to where; ``points`` are declared triples (mover, moved, goal).

        A declared goal of -1 is none. Without declared ones, those of :meth:`together` and :meth:`arrivals`.
        """
        at, goals = self._prior.next_obs[self.successes].astype(np.float64), dict[int, int]()
        for i, goal in self.arrivals():  # of several the one that it is nearest to
            if i not in goals or (at[:, i] - at[:, goal]).std() < (at[:, i] - at[:, goals[i]]).std():
                goals[i] = goal
        pairs = [(i, j, goals.get(j)) for i, j in self.together()]
        if points:
            pairs = [(i, j, None if goal < 0 else goal) for i, j, goal in points]
        return [self._measured(*pair) for pair in pairs]

    def _measured(self, mover: int, moved: int, goal: int | None) -> Relation:
        prior = self._prior
        rows, change = self.moved_by(min(SPAN, self.longest))
        moves = rows[np.abs(change[:, moved]) > self.still(change[:, moved], moved)]
        apart = (prior.obs[:, moved] - prior.obs[:, mover]).astype(np.float64)
        contact = _spread(apart[moves] if len(moves) > 1 else apart)
        arrival, offset = 1.0, 0.0
        if goal is not None:
            at = prior.next_obs[self.successes if len(self.successes) else prior.ends].astype(np.float64)
            left = at[:, goal] - at[:, moved]
            arrival, offset = _spread(left), float(np.median(left))
        begun = prior.obs[prior.starts]
        named = [mover, moved, *([] if goal is None else [goal])]
        free = any(begun[:, i].std() > 0.05 * max(float(self.spread[i]), TINY) for i in named)
        least = 1e-3 * max(float(apart.std()), TINY)
        return Relation(moved, mover, goal, max(contact, least), max(arrival, least), offset, free)


@lru_cache(maxsize=4)
def entries_of(prior: Prior) -> Entries:
    """The entries of a prior; of the last few they are kept."""
    return Entries(prior)


def _spread(values: F64) -> float:
    """Half of the width that holds the middle 68 %: the standard deviation of a normal distribution."""
    low, high = np.quantile(values, (0.16, 0.84))
    return float(high - low) / 2
