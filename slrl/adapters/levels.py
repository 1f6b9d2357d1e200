"""The level that the prior supports acts; where a move of the prior fails, a graph over its moves takes over.

Which level acts is decided by what is found in the prior, or by the points that a scenario declares
(``adapter.points`` of ``frames``), never by the scenario's name:

* ``frames`` where the actions move something to a goal;
* else ``modes`` where its episodes change different things;
* else ``low``, and ``graph`` where a move fails that the prior could make and the body stands still.

The first two notice by themselves that they come no nearer, and try again. A body that moves too slowly
for the prior's moves, as against a wind, is left to ``low`` for longer; a graph whose moves fail too gives
back to it. Each turn is twice as long as the last. Where a body with a latent stands still beside where the
prior arrived, its model brings it there (:mod:`slrl.adapters.arrive`).
"""

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slrl.adapters import frames, graph, modes
from slrl.adapters.arrive import Arrive
from slrl.adapters.arrive import Settings as ArriveSettings
from slrl.adapters.graph import Graph
from slrl.adapters.latent import Latent
from slrl.adapters.method import Method
from slrl.adapters.setup import Plan, Setup
from slrl.errors import Unsupported
from slrl.learning.cache import Artefact
from slrl.learning.relations import entries_of
from slrl.learning.state import nest, of_rng, set_rng, substate
from slrl.plugins import at_least
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, State, Transition

NEEDS_AGENT = False
STILL_STEPS, STILL = 10, 0.1  # stands still: moved less in so many steps, of what the prior does in ten
FIRST = ("frames", "modes")  # levels in the order in which they are preferred, before ``low``


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    low: Method  # acts where no other level can
    frames: Method
    modes: Method
    graph: Method
    failures: int = (
        6  # moves that must fail before the graph takes over from a body that does not stand still
    )
    arrive: ArriveSettings = field(default_factory=ArriveSettings)  # of a ``low`` with a latent
    graph_failures: int = 12  # and more of the graph's than succeed, before it gives back

    def __post_init__(self) -> None:
        at_least(self, 1, "failures", "graph_failures")


def missing(level: Method, prior: Prior) -> str:
    """What the level would need and the prior does not have; empty if it can act."""
    settings = level.adapter.settings
    if isinstance(settings, frames.Settings):
        return frames.missing(settings, prior)
    if isinstance(settings, modes.Settings):
        return modes.missing(settings, prior)
    if isinstance(settings, graph.Settings):
        return graph.missing(entries_of(prior))
    return ""


def chosen(settings: Settings, prior: Prior) -> str:
    """The name of the level that acts first."""
    able = [name for name in FIRST if not missing(getattr(settings, name), prior)]
    return able[0] if able else "low"


class Levels:
    """The chosen level, and the graph that watches it and may take over."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        level: Adapter,
        watching: Graph | None,
        arrive: Arrive | None,
        rng: np.random.Generator,
    ) -> None:
        self.level, self.graph, self.arrive, self._settings = level, watching, arrive, settings
        self._rng = rng  # of the actions that are drawn to arrive
        own: tuple[str, ...] = getattr(level, "modes", ()) or (name,)
        watched = ("graph",) if watching is not None else ()
        self.modes = (*own, *watched, *(("arrive",) if arrive is not None else ()))
        self._graph_mode, self._arrive_mode = len(own), len(own) + len(watched)
        self._mode = -1  # which of them acts next; -1 before the first step
        self.taken_over, self.turns = False, 0  # turns that the graph has had
        self._since = (0.0, 0.0)  # failures and wins when the present turn began
        self._places: list[
            NDArray[np.float64]
        ] = []  # the slow entries of the last steps, on the cells' scale

    def act(self, obs: F32) -> F32:
        """The action (A,) of the level, of the graph once a move has failed, or of the model to arrive."""
        if self.arriving is not None:
            return self.arriving.act(obs)
        return self._graph().act(obs) if self.taken_over else self.level.act(obs)

    @property
    def arriving(self) -> Arrive | None:
        """What acts for the last steps, where it does."""
        return self.arrive if self.arrive is not None and self.arrive.left else None

    def observe(self, transition: Transition) -> Metrics:
        """All observe; ``adapter/mode`` is the number of what acts next in ``modes``.

        ``adapter/changed`` is 1 where that is another one than before.
        """
        metrics = {**self.level.observe(transition)}
        if self.graph is not None:
            before = float(self.graph.moves.failures.sum())
            metrics |= self.graph.observe(transition)
            if self.arriving is None:
                self._turn(self.graph, transition.next_obs, before)
            else:  # moves that fail while the model acts are nobody's
                moves = self.graph.moves
                self._since, self._places = (float(moves.failures.sum()), float(moves.wins.sum())), []
        if self.arrive is not None:
            self.arrive.observe(transition.next_obs)
        then, self._mode = self._mode, self._mode_of(metrics)
        metrics.pop("adapter/changed", None)  # of the level alone, which may not be what acts
        if self._mode != then and then >= 0:
            metrics["adapter/changed"] = 1.0
        return {**metrics, "adapter/mode": float(self._mode)}

    def _mode_of(self, metrics: Metrics) -> int:
        """The number, in ``modes``, of what acts next; ``metrics`` are those of the level."""
        if self.arriving is not None:
            return self._arrive_mode
        if self.taken_over:
            return self._graph_mode
        return int(metrics.get("adapter/mode", 0)) if getattr(self.level, "modes", ()) else 0

    def _turn(self, watching: Graph, obs: F32, before: float) -> None:
        """Change who acts, if the moves of the present turn say so; ``before`` failed before this step."""
        self._places = [*self._places[-STILL_STEPS:], watching.cells.places(obs)]
        counts = float(watching.moves.failures.sum()), float(watching.moves.wins.sum())
        failed, won = (now - then for now, then in zip(counts, self._since, strict=True))
        longer = 2**self.turns
        if self.taken_over:
            over = failed - won >= self._settings.graph_failures * longer
            self.turns += over
        else:
            far = float(np.abs(self._places[-1] - self._places[0]).max())
            still = len(self._places) > STILL_STEPS and far < STILL
            over = (counts[0] > before and still) or failed >= self._settings.failures * longer
        if over:
            self.taken_over, self._since = not self.taken_over, counts

    def _graph(self) -> Graph:
        assert self.graph is not None
        return self.graph

    def learn(self) -> Metrics:
        """What the level that acts learns."""
        return {} if self.taken_over else self.level.learn()

    def state_dict(self) -> State:
        """Both levels, who acts since which failures and wins, and the slow entries of the last steps."""
        own = {
            "turns": torch.tensor([int(self.taken_over), self.turns, self._mode]),
            "since": torch.tensor(self._since, dtype=torch.float64),
            "places": torch.tensor(np.array(self._places)),
        }
        parts = {"level": self.level.state_dict(), "own": own}
        if self.graph is not None:
            parts["graph"] = self.graph.state_dict()
        if self.arrive is not None:
            parts["arrive"] = self.arrive.state_dict()
        parts["draws"] = of_rng(self._rng)
        return nest(**parts)

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.level.load_state_dict(substate(state, "level"))
        if self.graph is not None:
            self.graph.load_state_dict(substate(state, "graph"))
        if self.arrive is not None:
            self.arrive.load_state_dict(substate(state, "arrive"))
        set_rng(self._rng, substate(state, "draws"))
        own = substate(state, "own")
        taken_over, self.turns, self._mode = own["turns"].tolist()
        self.taken_over, self._since = bool(taken_over), tuple(own["since"].tolist())
        self._places = list(own["places"].numpy().copy())


def used(settings: Settings, prior: Prior) -> list[str]:
    """The levels that a life with this prior has: the chosen one, and the graph behind ``low``."""
    first = chosen(settings, prior)
    watched = first == "low" and not missing(settings.graph, prior)
    return [first, "graph"] if watched else [first]


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """What the levels of this prior need; nothing is learned for the others."""
    found: list[Artefact[Any]] = []
    for name in used(settings, plan.root):
        level: Method = getattr(settings, name)
        found += plan.level(level, getattr(plan.seeds, name)).of_adapter(level.adapter)
    return found


def make(settings: Settings, setup: Setup) -> Levels:
    """Assemble the levels that the prior supports; says which one acts, and why the others do not."""
    sequences = dict(
        zip(
            ("low", "frames", "modes", "graph"),
            np.random.SeedSequence(int(setup.rng.integers(2**63))).spawn(4),
            strict=True,
        )
    )
    names = used(settings, setup.plan.root)
    built = {
        name: setup.level(getattr(settings, name), getattr(setup.plan.seeds, name), sequences[name])
        for name in names
    }
    watching = built.get("graph")
    if watching is not None and not isinstance(watching, Graph):
        raise Unsupported("the level 'graph' must be an adapter of that kind")
    print(f"slrl: acts by {names[0]}{', watched by the graph' if watching else ''}", file=sys.stderr)
    low = built[names[0]]
    arrive = Arrive(settings.arrive, setup.prior, low, setup.rng) if isinstance(low, Latent) else None
    return Levels(settings, names[0], low, watching, arrive, setup.rng)
