"""A graph over what the prior did: cells, moves between them, and what the life found out about each move.

The cells are clusters of the slow entries of the observation. A move from cell to cell costs the time that
the prior took for it, and more with every failure in the life; the shortest way to where the prior arrived is
planned anew after each. Nothing is bootstrapped: the ways come from Dijkstra's algorithm, the actions from
regression on the prior's own futures. Nearest in the literature: Eysenbach et al., Search on the Replay
Buffer, 2019; Zhu et al., Value Memory Graph, 2022.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from slrl.adapters.setup import Plan, Setup
from slrl.errors import Unsupported
from slrl.learning.cache import Artefact
from slrl.learning.regression import Regression
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.relations import CONTROLLED, SLOW_STEPS, SPAN, Entries, entries_of
from slrl.learning.state import nest, substate
from slrl.plugins import at_least, positive, require, table
from slrl.priors import Prior
from slrl.types import F32, Metrics, State, Transition

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
FEWEST = 10  # successes, to know where arrivals are
FITTED = 15_000  # rows that the cells are fitted on
RARE, RARE_COST = 2, 20.0  # moves that the prior made less often cost so many steps more
ROWS_A_CELL = 10  # at least, or there are fewer cells
DRAWS = 3  # futures of each row that the policy learns from
NEEDS_AGENT = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    regression: RegressionSettings = field(default_factory=RegressionSettings)
    cells: int = 130
    horizon: int = 20  # steps: the longest way that the policy is asked for at once
    ahead: int = 12  # steps along the prior's row that makes the move
    haste: float = 0.7  # of the prior's time for it
    failure_weight: float = 20.0  # of a failure, against the one success that is assumed of every move
    patience: float = 1.5  # a move has failed after so many times its time in the prior
    patience_steps: int = 6  # and so many steps more

    def __post_init__(self) -> None:
        at_least(self, 2, "cells")
        at_least(self, 1, "horizon", "ahead", "patience_steps")
        positive(self, "haste", "failure_weight", "patience")
        require(
            self.haste * self.ahead <= self.horizon,
            f"haste × ahead must be no more than horizon ({self.horizon}), the longest way that is learned",
        )


def slow(entries: Entries) -> list[int]:
    """The entries that cells are made of: slow ones that the actions move."""
    return [i for i in entries.varying if entries.slow[i] and entries.controlled[i] > CONTROLLED]


def missing(entries: Entries) -> str:
    """What a graph would need and the prior does not have; empty if there can be one."""
    found, successes = len(slow(entries)), len(entries.successes)
    if found and successes >= FEWEST and entries.rows >= 2 * ROWS_A_CELL and entries.longest >= SPAN:
        return ""
    return (
        f"a graph takes entries that the actions move slowly, and {FEWEST} successes; the prior has {found} "
        f"and {successes}"
    )


class Cells:
    """Clusters of the prior's slow entries, fitted before the life, with the policy from one to the next."""

    def __init__(self, settings: Settings, prior: Prior, seed: int) -> None:
        entries = entries_of(prior)
        if why := missing(entries):
            raise Unsupported(why)
        self.slow = slow(entries)
        _, change = entries.moved_by(min(SLOW_STEPS, entries.longest))
        usual = np.sqrt((change**2).mean(0))
        self.scale = np.maximum(usual, 0.02 * entries.spread)[self.slow]  # (S,)
        # The prior's goal is the same all along, and says nothing of the way to another place.
        self.seen = [i for i in entries.varying if not entries.fixed[i]]
        self._settings, self._seed, self.prior = settings, seed, prior
        self.centres: F64 = np.zeros((min(settings.cells, len(prior) // ROWS_A_CELL), len(self.slow)))
        self.steps = settings.regression.steps + 1
        rng = np.random.default_rng(seed)
        rows = np.repeat(np.arange(len(prior)), DRAWS)
        steps = np.minimum(rng.integers(1, settings.horizon + 1, len(rows)), self.ends[rows] - rows + 1)
        goals = prior.next_obs[rows + steps - 1][:, self.slow]
        inputs = self.inputs(prior.obs[rows], goals, steps)
        self.policy = Regression(settings.regression, inputs, prior.action[rows], seed, torch.device("cpu"))

    @cached_property
    def ends(self) -> Ints:
        """(N,) the last row of each row's episode."""
        found: Ints = self.prior.ends[self.prior.episode]
        return found

    def inputs(self, obs: F32, goal: F32, steps: Any) -> F32:
        """(…, O), (…, S), (…) -> (…, D): what is seen, the way to the goal, and the steps for it."""
        time = np.asarray(steps, np.float32)[..., None] / self._settings.horizon
        return np.concatenate([obs[..., self.seen], goal - obs[..., self.slow], time], -1, dtype=np.float32)

    def places(self, obs: F32) -> F64:
        """(…, O) -> (…, S): the slow entries, on a common scale."""
        found: F64 = obs[..., self.slow].astype(np.float64) / self.scale
        return found

    def at(self, obs: F32) -> Ints:
        """(…, O) -> (…): the cell of each observation."""
        found: Ints = ((self.places(obs)[..., None, :] - self.centres) ** 2).sum(-1).argmin(-1)
        return found

    def learn(self) -> Iterator[Metrics]:
        """Fit the cells in the first step, then the policy."""
        rng = np.random.default_rng(self._seed)
        rows = rng.choice(len(self.prior), min(len(self.prior), FITTED), replace=False)
        model = KMeans(len(self.centres), n_init=1, max_iter=30, random_state=self._seed % 2**32)
        with threadpool_limits(1):  # else the sums, and the cells, depend on the number of threads
            self.centres[:] = model.fit(self.places(self.prior.obs[rows])).cluster_centers_
        yield {}
        yield from self.policy.learn()

    def state_dict(self) -> State:
        """The cells' centres (K, S) and the policy."""
        return nest(policy=self.policy.state_dict(), cells={"centres": torch.from_numpy(self.centres.copy())})

    def load_state_dict(self, state: State) -> None:
        """Load what :meth:`state_dict` gave, in place."""
        self.policy.load_state_dict(substate(state, "policy"))
        self.centres[:] = substate(state, "cells")["centres"].numpy()


class Moves:
    """The moves that the prior made between cells; cell K is to have arrived.

    ``time`` (K + 1, K + 1): mean steps of a move; ``count``: how often it was made. ``wins`` and ``failures``
    are of the life.
    """

    def __init__(self, cells: Cells, failure_weight: float) -> None:
        prior, k = cells.prior, len(cells.centres)
        self._weight, self.arrived = failure_weight, k
        cell = np.concatenate([cells.at(rows) for rows in np.array_split(prior.obs, len(prior) // 4000 + 1)])
        last = np.zeros(len(prior), bool)
        last[prior.ends] = True
        reached = prior.terminated & (prior.reward > 0)
        leaves = last | np.append(cell[1:] != cell[:-1], True)
        to = np.where(last, np.where(reached, k, -1), np.append(cell[1:], -1))
        # For each row: the row with which its cell is left.
        at = np.where(leaves, np.arange(len(prior)), len(prior))
        leaving = np.minimum.accumulate(at[::-1])[::-1]
        self.cell, self.to, self.left = cell, to[leaving], leaving - np.arange(len(prior)) + 1
        entered = np.append(True, leaves[:-1]) & (self.to >= 0)
        size = (k + 1, k + 1)
        self.count, total = np.zeros(size), np.zeros(size)
        np.add.at(self.count, (cell[entered], self.to[entered]), 1)
        np.add.at(total, (cell[entered], self.to[entered]), self.left[entered])
        self.time = total / np.maximum(self.count, 1)
        self.wins, self.failures = np.zeros(size), np.zeros(size)
        self._rows: dict[tuple[int, int], Ints] = {}
        self.plan()

    def cost(self) -> F64:
        """(K + 1, K + 1) steps that a move is expected to cost, over the square of its chance; 0: no move."""
        chance = (1 + self.wins) / (1 + self.wins + self._weight * self.failures)
        cost = (self.time + 1) / chance**2 + np.where(self.count < RARE, RARE_COST, 0)
        found: F64 = np.where(self.count > 0, cost, 0)
        return found

    def plan(self) -> None:
        """Find the shortest way to the arrivals from all cells: ``next`` (K + 1,), -1 where there is none."""
        self.distance, after = dijkstra(
            csr_matrix(self.cost().T), indices=self.arrived, return_predecessors=True
        )
        self.next: Ints = np.where(after >= 0, after, -1).astype(np.int64)

    def rows(self, cell: int, to: int) -> Ints:
        """The prior's rows that are in a cell and leave it for another."""
        if (cell, to) not in self._rows:
            self._rows[cell, to] = np.flatnonzero((self.cell == cell) & (self.to == to))
        return self._rows[cell, to]


class Graph:
    """Follows the shortest way over the prior's moves, and learns in the life which of them do not work."""

    def __init__(self, settings: Settings, cells: Cells) -> None:
        self._settings, self.cells = settings, cells
        self.moves = Moves(cells, settings.failure_weight)
        self.here = -1  # the cell of the body
        self.cell = self.to = -1  # the move under way; it may be that of the nearest cell that the prior left
        self.left = 0.0  # steps until it has failed

    def act(self, obs: F32) -> F32:
        """The action (A,) for obs (O,): the policy's, towards where the prior was when it made the move."""
        if self.here < 0:
            self._begin(obs)
        rows = self.moves.rows(self.cell, self.to)
        places = self.cells.places(self.cells.prior.obs[rows])
        row = int(rows[((places - self.cells.places(obs)) ** 2).sum(1).argmin()])
        then = min(row + self._settings.ahead, int(self.cells.ends[row]))
        goal = self.cells.prior.next_obs[then][self.cells.slow]
        steps = self._settings.haste * (then - row + 1)
        return self.cells.policy.act(self.cells.inputs(obs, goal, steps))

    def observe(self, transition: Transition) -> Metrics:
        """Count the move as made or as failed; metrics ``adapter/failures`` and ``adapter/distance``.

        Whoever acts: another level may have, while this one watches whether the moves of the prior succeed.
        """
        if self.here < 0:
            self._begin(transition.obs)
        self.left -= 1
        now = int(self.cells.at(transition.next_obs))
        if now != self.here:  # in another cell than the one aimed at, the next move begins from there
            if now == self.to:
                self.moves.wins[self.cell, self.to] += 1
            self._begin(transition.next_obs)
        elif self.left < 0:
            self.moves.failures[self.cell, self.to] += 1
            self.moves.plan()
            self._begin(transition.next_obs)
        return {
            "adapter/failures": float(self.moves.failures.sum()),
            "adapter/distance": float(self.moves.distance[self.cell]),
        }

    def _begin(self, obs: F32) -> None:
        """The next move of the shortest way; without a way, the move that the prior made most often here."""
        cell = self.here = int(self.cells.at(obs))
        to = int(self.moves.next[cell])
        if to < 0:
            to = int(self.moves.count[cell].argmax())
        if not self.moves.count[
            cell, to
        ]:  # the prior was never seen to leave: as the nearest cell that it left
            leaves = self.moves.count[:-1].sum(1) > 0
            near = ((self.cells.centres - self.cells.centres[cell]) ** 2).sum(1)
            cell = int(np.where(leaves, near, np.inf).argmin())
            to = (
                int(self.moves.next[cell])
                if self.moves.next[cell] >= 0
                else int(self.moves.count[cell].argmax())
            )
        self.cell, self.to = cell, to
        self.left = self._settings.patience * self.moves.time[cell, to] + self._settings.patience_steps

    def learn(self) -> Metrics:
        """No weight is trained in the life."""
        return {}

    def state_dict(self) -> State:
        """Cells and policy, wins and failures (K + 1, K + 1), the plan (K + 1,), and the move under way."""
        own = {
            "wins": torch.from_numpy(self.moves.wins.copy()),
            "failures": torch.from_numpy(self.moves.failures.copy()),
            "move": torch.tensor([self.here, self.cell, self.to]),
            "next": torch.from_numpy(self.moves.next.copy()),
            "distance": torch.from_numpy(self.moves.distance.copy()),
            "left": torch.tensor(self.left, dtype=torch.float64),
        }
        return nest(cells=self.cells.state_dict(), graph=own)

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.cells.load_state_dict(substate(state, "cells"))
        self.moves = Moves(self.cells, self._settings.failure_weight)
        own = substate(state, "graph")
        self.moves.wins, self.moves.failures = own["wins"].numpy().copy(), own["failures"].numpy().copy()
        self.here, self.cell, self.to = own["move"].tolist()
        self.left = float(own["left"])
        # As they were planned after the last failure: wins since then do not count before the next one.
        self.moves.next, self.moves.distance = own["next"].numpy().copy(), own["distance"].numpy().copy()


def wanted(settings: Settings, plan: Plan) -> Artefact[Cells]:
    """Cells and policy, learned from the prior."""
    seed, about = plan.agents.seed, table(settings)
    learned = {key: about[key] for key in ("regression", "cells", "horizon")}
    return Artefact(
        name="graph",
        build=lambda prior: Cells(settings, prior, seed),
        about={**learned, "seed": seed, "sklearn": sklearn.__version__},  # cells depend on it
        needs=(plan.prior,),
        steps=settings.regression.steps + 1,
        ms_per_step=1.5,
    )


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """Cells and policy."""
    return [wanted(settings, plan)]


def make(settings: Settings, setup: Setup) -> Graph:
    """Assemble from the artefact; nothing is drawn in the life."""
    return Graph(settings, setup.get(wanted(settings, setup.plan)))
