"""Adapt on the go (ROAM: Chen et al., 2023): at every step the behaviour with the highest value acts.

Every behaviour of the prior has its own agent, pretrained on its own rows. Their critics are then trained to
classify states: V_b is raised on b's own states and lowered on those of others, so that a behaviour has low
values outside its own data. A copy of these critics chooses for the whole life: those of a behaviour that
acts go on learning, and with the rewards of the life its value would outgrow those of all others.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slrl.adapters.setup import Plan, Setup
from slrl.errors import Unsupported
from slrl.learning import joint_critics
from slrl.learning.cache import Artefact
from slrl.learning.joint_critics import JointCritics
from slrl.learning.state import nest, of_rng, of_tensors, set_rng, set_tensors, substate
from slrl.plugins import AdapterPlugin, at_least, require
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, State, Transition


class Behaviours:
    """The behaviours of a prior: critics that choose, and an inner adapter for each that acts and learns.

    ``rng`` draws the rows on which the learning ones go on to classify states.
    """

    def __init__(
        self,
        critics: JointCritics,
        abstain_quantile: float,
        inner: list[Adapter],
        rng: np.random.Generator,
    ) -> None:
        self.frozen, self.inner, self._rng = critics.frozen(), inner, rng
        self._device = critics.agents[0].device
        self.middle, self.spread, self.lowest = critics.on_own_rows(abstain_quantile)
        critics.go_on_in_life(rng)

    @torch.no_grad()
    def values(self, obs: F32) -> tuple[Tensor, bool]:
        """Standardised V (N,) of each behaviour in ``obs`` (O,), and whether the state is unknown to all.

        Each V is standardised by its median and standard deviation on its own rows; a state is unknown to a
        behaviour whose V is below the ``abstain_quantile`` there.
        """
        values = self.frozen.values(torch.from_numpy(obs).to(self._device).unsqueeze(0))[:, 0]
        return (values - self.middle) / self.spread, bool((values < self.lowest).all())

    def state_dict(self) -> State:
        """The state of each inner adapter, as ``inner0``, ``inner1``, …, and what chooses among them."""
        inner = {f"inner{i}": adapter.state_dict() for i, adapter in enumerate(self.inner)}
        return nest(**inner, chooser=of_tensors(self._choosing()), rows=of_rng(self._rng))

    def load_state_dict(self, state: State) -> None:
        """Load each inner adapter and what chooses among them, in place."""
        for i, adapter in enumerate(self.inner):
            adapter.load_state_dict(substate(state, f"inner{i}"))
        set_tensors(self._choosing(), substate(state, "chooser"))
        set_rng(self._rng, substate(state, "rows"))

    def _choosing(self) -> list[Tensor]:
        return [*self.frozen.tensors(), self.middle, self.spread, self.lowest]


@dataclass(frozen=True)
class Dependencies:
    """The artefacts behind a choice among behaviours: lists with one item per behaviour, and the critics."""

    priors: list[Artefact[Prior]]
    agents: list[Artefact[Any]]
    critics: Artefact[JointCritics]


def dependencies(settings: joint_critics.Settings, plan: Plan) -> Dependencies:
    """The behaviours of the plan's prior.

    Raises:
        Unsupported: if it has only one.
    """
    count = joint_critics.behaviour_count(plan.root)
    if count < 2:
        raise Unsupported(
            f"prior {plan.root.name} has only one behaviour to choose from; give --prior several times, "
            "or a file with a behaviour column."
        )
    priors = [joint_critics.one_behaviour(plan.prior, number) for number in range(count)]
    agents = [plan.agents.artefact(prior) for prior in priors]
    critics = joint_critics.artefact(settings, plan.seeds.joint_critics, priors, agents)
    return Dependencies(priors, agents, critics)


def artefacts_of(settings: joint_critics.Settings, inner: AdapterPlugin, plan: Plan) -> list[Artefact[Any]]:
    """The joint critics, and what the inner adapter of each behaviour needs."""
    needed = dependencies(settings, plan)
    found: list[Artefact[Any]] = [needed.critics]
    for prior, agent in zip(needed.priors, needed.agents, strict=True):
        found += plan.inner(prior, agent).of_adapter(inner)
    return found


def behaviours_of(settings: joint_critics.Settings, inner: AdapterPlugin, setup: Setup) -> Behaviours:
    """The behaviours, assembled from their artefacts."""
    needed = dependencies(settings, setup.plan)
    critics: JointCritics = setup.get(needed.critics)
    pairs = zip(needed.priors, needed.agents, strict=True)
    adapters = [setup.inner(inner, prior, agent) for prior, agent in pairs]
    return Behaviours(critics, settings.abstain_quantile, adapters, setup.rng.spawn(1)[0])


@dataclass(frozen=True, kw_only=True)
class Settings(joint_critics.Settings):
    """The ``[adapter]`` table."""

    inner: AdapterPlugin  # acts and learns, once for each behaviour
    temperature: float = 1.0  # of the softmax over values, in standard deviations of each behaviour's own
    hold_steps: int = 10  # least number of steps that a behaviour acts
    margin: float = 0.1  # lead in the softmax needed to replace the present behaviour

    def __post_init__(self) -> None:
        super().__post_init__()
        fine = self.temperature > 0 and self.margin >= 0
        require(fine, "temperature must be more than 0, and margin 0 or more")
        at_least(self, 1, "hold_steps")


class Select:
    """N behaviours, of which one acts and learns; another takes over after ``hold_steps`` with a clear lead.

    In a state that no behaviour knows (see :meth:`Behaviours.values`) the values are ignored, and the
    behaviour that has waited longest acts.
    """

    def __init__(self, settings: Settings, behaviours: Behaviours) -> None:
        self._settings, self.behaviours = settings, behaviours
        self.present, self.held, self.changes, self.abstains = -1, 0, 0, False
        self.waited = np.zeros(len(behaviours.inner), np.int64)  # steps since each acted

    def act(self, obs: F32) -> F32:
        """The acting behaviour's action (A,); chooses anew after ``hold_steps`` steps."""
        if self.present < 0 or self.held >= self._settings.hold_steps:
            chosen = self.choose(obs)
            if chosen != self.present:
                self.changes += self.present >= 0
                self.present, self.held = chosen, 0
            elif self.abstains:
                self.held = 0  # chosen again
        return self.behaviours.inner[self.present].act(obs)

    def choose(self, obs: F32) -> int:
        """The index of the behaviour to act in ``obs`` (O,).

        The largest softmax(V / temperature); the present one stays unless it is beaten by more than
        ``margin``.
        """
        values, self.abstains = self.behaviours.values(obs)
        if self.abstains:
            return int(np.argmax(self.waited))
        share = torch.softmax(values / self._settings.temperature, 0).cpu().numpy()
        best = int(np.argmax(share))
        if self.present >= 0 and share[best] - share[self.present] <= self._settings.margin:
            return self.present
        return best

    def observe(self, transition: Transition) -> Metrics:
        """Pass the step to the acting behaviour. Metrics: its index, changes, and whether all abstain."""
        self.held += 1
        self.waited += 1
        self.waited[self.present] = 0
        metrics = self.behaviours.inner[self.present].observe(transition)
        own = {"behaviour": self.present, "changes": self.changes, "abstains": self.abstains}
        return metrics | {f"adapter/{key}": float(value) for key, value in own.items()}

    def learn(self) -> Metrics:
        """Update the behaviour that acted, and only it."""
        return self.behaviours.inner[self.present].learn()

    def state_dict(self) -> State:
        """The inner adapters, the acting behaviour, its steps, changes, abstention, waiting times (N,)."""
        own = {
            "counts": torch.tensor([self.present, self.held, self.changes, int(self.abstains)]),
            "waited": torch.from_numpy(self.waited.copy()),
        }
        return nest(select=own, behaviours=self.behaviours.state_dict())

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.behaviours.load_state_dict(substate(state, "behaviours"))
        own = substate(state, "select")
        self.present, self.held, self.changes = (int(value) for value in own["counts"][:3])
        self.abstains = bool(own["counts"][3])
        self.waited = own["waited"].numpy().copy()


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The joint critics, and what the inner adapter of each behaviour needs."""
    return artefacts_of(settings, settings.inner, plan)


def make(settings: Settings, setup: Setup) -> Select:
    """Assemble from the artefacts."""
    return Select(settings, behaviours_of(settings, settings.inner, setup))
