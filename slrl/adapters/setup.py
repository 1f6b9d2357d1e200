"""What adapters are built from: a plan of what to learn before the life, and a setup with the results."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from slrl import plugins
from slrl.adapters.method import Method
from slrl.adapters.planner import chat
from slrl.learning.agents.sac import Sac
from slrl.learning.cache import Artefact, LearnedCache
from slrl.learning.pretrain import AgentSource
from slrl.learning.seeds import PretrainingSeeds, of_pretraining, seed_of
from slrl.plugins import ADAPTERS, AdapterPlugin
from slrl.priors import Prior
from slrl.scenarios import World
from slrl.types import Adapter, RandomisedSource


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a method learns from, before anything is learned; it can be rebuilt in another process."""

    prior: Artefact[Prior]  # as the adapter sees it
    root: Prior  # as the method was given it
    agents: AgentSource
    seeds: PretrainingSeeds  # of the parts besides the agent
    world: RandomisedSource | None = None  # the prior's world, if its parameters can be drawn
    source: World | None = (
        None  # the scenario's source world; nothing is learned in its target before the life
    )
    own_agent: Artefact[Any] | None = None  # of an inner adapter: given by the adapter around it

    @classmethod
    def of(
        cls,
        method: Method,
        prior: Prior,
        *,
        life_seed: int = 0,
        device: torch.device | None = None,
        world: RandomisedSource | None = None,
        source: World | None = None,
    ) -> "Plan":
        """For a method and a prior whose actions are in [-1, 1]; ``life_seed`` is of the life's agents."""
        root = Artefact(name="prior", build=lambda: prior, about={"sha256": prior.sha256}, stored=False)
        seed = 0 if method.pretrain is None or method.pretrain.seed is None else method.pretrain.seed
        agents = AgentSource(
            agent=method.agent,
            pretrain=method.pretrain,
            seed=seed,
            life_seed=life_seed,
            device=device or torch.device("cpu"),
        )
        return cls(
            prior=root, root=prior, agents=agents, seeds=of_pretraining(seed), world=world, source=source
        )

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.agents.device

    def agent(self) -> Artefact[Any]:
        """The method's agent, pretrained on the prior as the adapter sees it."""
        return self.own_agent or self.agents.artefact(self.prior)

    def inner(self, prior: Artefact[Prior], agent: Artefact[Any]) -> "Plan":
        """The plan of an adapter inside this one, which uses ``prior`` and the given agent."""
        return replace(self, prior=prior, own_agent=agent)

    def level(self, method: Method, seed: int) -> "Plan":
        """The plan of a whole method inside this one, pretrained with ``seed`` unless it names its own."""
        if method.pretrain is not None and method.pretrain.seed is not None:
            seed = method.pretrain.seed
        agents = replace(self.agents, agent=method.agent, pretrain=method.pretrain, seed=seed)
        return replace(self, agents=agents, seeds=of_pretraining(seed), own_agent=None)

    def of_adapter(self, adapter: AdapterPlugin) -> list[Artefact[Any]]:
        """What its ``artefacts(settings, plan)`` lists, or else the method's agent."""
        listed = getattr(plugins.find(ADAPTERS, adapter.name), "artefacts", None)
        return [self.agent()] if listed is None else list(listed(adapter.settings, self))


def artefacts(
    method: Method,
    prior: Prior,
    life_seed: int,
    device: str,
    world: RandomisedSource | None,
    source: World | None = None,
) -> Sequence[Artefact[Any]]:
    """All that a method needs for a life, from arguments that can be sent to another process."""
    plan = Plan.of(
        method, prior, life_seed=life_seed, device=torch.device(device), world=world, source=source
    )
    return plan.of_adapter(method.adapter)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an adapter is assembled from, for one life."""

    plan: Plan
    learned: LearnedCache
    life_steps: int  # the budget, in steps of the adapter
    rng: np.random.Generator  # for rows of buffers and choices
    generator: torch.Generator  # for noise
    planner: chat.Settings | None = None  # of an adapter that asks one

    @property
    def prior(self) -> Prior:
        """The prior as this adapter sees it, with actions in [-1, 1]."""
        return self.learned.get(self.plan.prior)

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.plan.device

    def get(self, artefact: Artefact[Any]) -> Any:
        """An artefact's value, from the cache.

        Raises:
            BadInput: if learning it diverged.
        """
        return self.learned.get(artefact)

    def agent(self, artefact: Artefact[Any] | None = None) -> Sac:
        """The agent of an artefact, by default the method's, reseeded for the life."""
        agent: Sac = self.get(artefact or self.plan.agent()).agent
        if self.plan.agents.pretrain is not None:
            agent.reseed(self.plan.agents.life_seed)
        return agent

    def inner(
        self,
        adapter: AdapterPlugin,
        prior: Artefact[Prior],
        agent: Artefact[Any],
        life_steps: int | None = None,
    ) -> Adapter:
        """Build the inner adapter, on ``prior`` and ``agent``; its ``life_steps`` may count longer steps."""
        plan = self.plan.inner(prior, agent)
        own = replace(self, plan=plan, life_steps=life_steps or self.life_steps, planner=None)
        made: Adapter = adapter.make(own)
        return made

    def level(self, method: Method, pretraining_seed: int, sequence: np.random.SeedSequence) -> Adapter:
        """The adapter of a whole method, with its own agent, pretraining and randomness."""
        return assemble(
            method,
            self.plan.level(method, pretraining_seed),
            self.learned.for_level(),
            self.life_steps,
            sequence,
        )


def assemble(
    method: Method, plan: Plan, learned: LearnedCache, life_steps: int, sequence: np.random.SeedSequence
) -> Adapter:
    """The adapter of a method for one life, from what was learned."""
    rows, noise = sequence.spawn(2)
    setup = Setup(
        plan=plan,
        learned=learned,
        life_steps=life_steps,
        rng=np.random.default_rng(rows),
        generator=torch.Generator().manual_seed(seed_of(noise)),
        planner=method.planner,
    )
    adapter: Adapter = method.adapter.make(setup)
    return adapter
