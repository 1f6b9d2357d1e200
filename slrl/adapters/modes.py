"""What the prior can do, one thing at a time: a policy per mode, and the way back in between.

The *slow* entries that no action moves by itself are things in the world: a switch, a door. Episodes are
grouped by which of them they change; each group is a mode. A mode's policy, cloned from its episodes, sees
the body and its own things only, so that it acts alike whatever else is done or undone. A mode is done when
its things have changed as far as in nine of ten of its episodes. In the life the shortest undone mode comes
first; when it is done, or has taken too long, the body goes back the way it came, to where episodes begin.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from slrl.adapters.retrace import LAGS, Retrace, Servo
from slrl.adapters.retrace import Settings as RetraceSettings
from slrl.adapters.setup import Plan, Setup
from slrl.errors import Unsupported
from slrl.learning.cache import Artefact
from slrl.learning.modes import BODY, modes
from slrl.learning.regression import Regression
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.relations import Entries, entries_of
from slrl.learning.state import nest, substate
from slrl.plugins import at_least, positive, share, table
from slrl.priors import Prior
from slrl.types import F32, Metrics, State, Transition

KEEPS = 1.05  # drift of an entry that is a place and not a velocity (see Entries.drift)
NEEDS_AGENT = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    regression: RegressionSettings = field(default_factory=RegressionSettings)
    retrace: RetraceSettings = field(default_factory=RetraceSettings)
    fewest: int = 20  # episodes that make a mode
    done: float = 0.1  # quantile, over its episodes, of how far its things have changed at the end
    patience: float = 1.5  # a mode has failed after so many times the length of nine of ten episodes

    def __post_init__(self) -> None:
        at_least(self, 1, "fewest")
        share(self, "done")
        positive(self, "patience")


def places(entries: Entries) -> list[int]:
    """The body's entries that are places: the way back leads through them."""
    return [i for i in entries.varying if entries.controlled[i] > BODY and entries.drift[i] < KEEPS]


def missing(settings: Settings, prior: Prior) -> str:
    """What modes would need and the prior does not have; empty if there are some."""
    entries = entries_of(prior)
    found = modes(prior, entries, settings.fewest, settings.done)
    if len(found) > 1 and places(entries) and int((prior.ends - prior.starts).max()) >= LAGS:
        return ""
    return (
        f"modes take two groups of {settings.fewest} episodes or more that change different things which no "
        "action moves by itself, and places of the body; the prior has "
        f"{len(found)} and {len(places(entries))}"
    )


class Repertory:
    """The modes of a prior, with a cloned ensemble of each."""

    def __init__(self, settings: Settings, prior: Prior, seed: int) -> None:
        if why := missing(settings, prior):
            raise Unsupported(why)
        entries = entries_of(prior)
        self.body = [i for i in entries.varying if entries.controlled[i] > BODY]
        self.places = places(entries)
        self.modes = modes(prior, entries, settings.fewest, settings.done)
        self.policies = []
        for number, mode in enumerate(self.modes):
            rows = np.isin(prior.episode, mode.episodes)
            inputs = prior.obs[rows][:, self.body + mode.things]
            own = seed + number
            self.policies.append(
                Regression(settings.regression, inputs, prior.action[rows], own, torch.device("cpu"))
            )
        self.steps = len(self.modes) * settings.regression.steps

    def act(self, mode: int, obs: F32) -> F32:
        """The action (A,) of a mode's policy for an observation (O,)."""
        return self.policies[mode].act(obs[self.body + self.modes[mode].things])

    def learn(self) -> Iterator[Metrics]:
        """Train one ensemble after the other."""
        for policy in self.policies:
            yield from policy.learn()

    def state_dict(self) -> State:
        """The ensembles, in the order of the modes."""
        return nest(**{f"mode{i}": policy.state_dict() for i, policy in enumerate(self.policies)})

    def load_state_dict(self, state: State) -> None:
        """Load what :meth:`state_dict` gave, in place."""
        for i, policy in enumerate(self.policies):
            policy.load_state_dict(substate(state, f"mode{i}"))


class Modes:
    """One mode at a time until it is done or fails; then back, and the next that is undone."""

    def __init__(self, settings: Settings, repertory: Repertory, prior: Prior) -> None:
        self.repertory, self._patience = repertory, settings.patience
        self.modes = (*(f"mode {i + 1}" for i in range(len(repertory.modes))), "back")
        everywhere = np.ones(len(prior), np.bool_)
        self.retrace = Retrace(settings.retrace, Servo(prior, repertory.places, everywhere))
        self.mode, self.used = -1, 0  # the mode that acts, and for how many steps it has
        self._again = False  # whether it was done when it was chosen
        self.tries = np.zeros(len(repertory.modes), np.int64)

    def act(self, obs: F32) -> F32:
        """The action (A,) of the present mode's policy, or of the servo on the way back."""
        if self.retrace.going_back:
            return self.retrace.act(obs)
        if self.mode < 0:
            self._choose(obs)
        return self.repertory.act(self.mode, obs)

    def observe(self, transition: Transition) -> Metrics:
        """End the mode if it is done or has taken too long; ``adapter/mode`` is the mode's number."""
        obs = transition.next_obs
        back = self.retrace.going_back
        self.retrace.observe(transition)
        if back and not self.retrace.going_back:
            self._choose(obs)
        elif not back:
            self.used += 1
            own = self.repertory.modes[self.mode]
            done = own.is_done(obs) and not self._again
            if done or self.used >= self._patience * own.steps:
                self.retrace.begin(len(self.retrace.path))
        number = len(self.tries) if self.retrace.going_back else self.mode
        return {"adapter/mode": float(number)}

    def _choose(self, obs: F32) -> None:
        """The undone mode that was tried least, the shortest of several; any mode, if all are done.

        That all are done and the life goes on says that one is not: it is acted out again, for its patience.
        """
        self.retrace.forget()
        undone = [i for i, mode in enumerate(self.repertory.modes) if not mode.is_done(obs)]
        self.mode = min(undone or range(len(self.tries)), key=lambda i: (self.tries[i], i))
        self._again = not undone
        self.tries[self.mode] += 1
        self.used = 0

    def learn(self) -> Metrics:
        """Nothing is learned in the life."""
        return {}

    def state_dict(self) -> State:
        """The policies, the path, and mode, steps and tries."""
        counts = [self.mode, self.used, int(self._again), *self.tries.tolist()]
        own = {"counts": torch.tensor(counts)}
        return nest(policies=self.repertory.state_dict(), retrace=self.retrace.state_dict(), modes=own)

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.repertory.load_state_dict(substate(state, "policies"))
        self.retrace.load_state_dict(substate(state, "retrace"))
        self.mode, self.used, again, *tries = substate(state, "modes")["counts"].tolist()
        self._again = bool(again)
        self.tries = np.array(tries, np.int64)


def wanted(settings: Settings, plan: Plan) -> Artefact[Repertory]:
    """The modes with their policies."""
    seed, about = plan.agents.seed, table(settings)
    learned = {key: about[key] for key in ("regression", "fewest")}
    return Artefact(
        name="modes",
        build=lambda prior: Repertory(settings, prior, seed),
        about={**learned, "seed": seed},
        needs=(plan.prior,),
        steps=2 * settings.regression.steps,  # of two modes; how many there are shows when the prior is read
        ms_per_step=1.5,
    )


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The modes with their policies."""
    return [wanted(settings, plan)]


def make(settings: Settings, setup: Setup) -> Modes:
    """Assemble from the artefact; nothing is drawn in the life."""
    return Modes(settings, setup.get(wanted(settings, setup.plan)), setup.prior)
