"""The level that the prior supports acts; where a move of the prior fails, a graph over its moves takes over.

Which level acts is decided by what is found in the prior, never by the scenario's name:

* ``frames`` where the actions move something to a goal;
* else ``modes`` where its episodes change different things;
* else ``low``, and ``graph`` from the first move that the prior could make and this life cannot.

The first two notice by themselves that nothing moves any more, and try again.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from slrl.adapters import frames, graph, modes
from slrl.adapters.graph import Graph
from slrl.adapters.method import Method
from slrl.adapters.setup import Plan, Setup
from slrl.errors import Unsupported
from slrl.learning.cache import Artefact
from slrl.learning.relations import entries_of
from slrl.learning.state import nest, substate
from slrl.plugins import at_least
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, State, Transition

NEEDS_AGENT = False
FIRST = ("frames", "modes")  # levels in the order in which they are preferred, before ``low``


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    low: Method  # acts where no other level can
    frames: Method
    modes: Method
    graph: Method
    failures: int = 1  # moves of the prior that must have failed before the graph takes over

    def __post_init__(self) -> None:
        at_least(self, 1, "failures")


def missing(level: Method, prior: Prior) -> str:
    """What the level would need and the prior does not have; empty if it can act."""
    settings, entries = level.adapter.settings, entries_of(prior)
    if isinstance(settings, frames.Settings):
        aimed = any(one.goal is not None for one in entries.relations(settings.triples()))
        return "" if aimed else "nothing in the prior is moved to a goal"
    if isinstance(settings, modes.Settings):
        found = modes.modes(prior, entries, settings.fewest, settings.done)
        return "" if len(found) > 1 else "its episodes do not change different things"
    if isinstance(settings, graph.Settings):
        return graph.missing(entries)
    return ""


def chosen(settings: Settings, prior: Prior) -> str:
    """The name of the level that acts first."""
    able = [name for name in FIRST if not missing(getattr(settings, name), prior)]
    return able[0] if able else "low"


class Levels:
    """The chosen level, and the graph that watches it and may take over."""

    def __init__(self, settings: Settings, name: str, level: Adapter, watching: Graph | None) -> None:
        self.level, self.graph, self._failures = level, watching, settings.failures
        self.modes = (name, "graph") if watching is not None else (name,)
        self.taken_over = False

    def act(self, obs: F32) -> F32:
        """The action (A,) of the level, or of the graph once a move has failed."""
        return self._graph().act(obs) if self.taken_over else self.level.act(obs)

    def observe(self, transition: Transition) -> Metrics:
        """Both observe; ``adapter/mode`` is 1 where the graph acts, with its failures and distance."""
        metrics = {**self.level.observe(transition)}
        if self.graph is not None:
            metrics |= self.graph.observe(transition)
            failed = float(self.graph.moves.failures.sum())
            self.taken_over = self.taken_over or failed >= self._failures
        return {**metrics, "adapter/mode": float(self.taken_over)}

    def _graph(self) -> Graph:
        assert self.graph is not None
        return self.graph

    def learn(self) -> Metrics:
        """What the level that acts learns."""
        return {} if self.taken_over else self.level.learn()

    def state_dict(self) -> State:
        """Both levels, and whether the graph has taken over."""
        parts = {"level": self.level.state_dict(), "own": {"taken_over": torch.tensor(self.taken_over)}}
        if self.graph is not None:
            parts["graph"] = self.graph.state_dict()
        return nest(**parts)

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.level.load_state_dict(substate(state, "level"))
        if self.graph is not None:
            self.graph.load_state_dict(substate(state, "graph"))
        self.taken_over = bool(substate(state, "own")["taken_over"])


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
    return Levels(settings, names[0], built[names[0]], watching)
