"""Pretraining: an agent learns from the prior before the life, by an objective."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from slrl.errors import BadInput
from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.learning.cache import Artefact, computed_on
from slrl.learning.extrinsics import Extrinsics
from slrl.learning.offline import Objective
from slrl.plugins import AgentPlugin, ObjectivePlugin, at_least, require, seed, table
from slrl.priors import Prior
from slrl.types import Metrics, State


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[pretrain]`` table of an adapter."""

    objective: ObjectivePlugin | None = None  # None: there is no agent, and only the seed counts
    steps: int = 0  # gradient steps
    batch_size: int = 256
    # n-step returns along the prior's own episodes; 1 is the papers' one-step target
    look_ahead_steps: int = 1
    # Share of the steps, the last ones, over which the learning rates of actor and critics fall to 0. Those
    # of IQL's own V and of the temperature stay. None: all stay.
    decay: float | None = None
    # Seed of all that is learned before the life, independent of the life's seed: all lives start from the
    # same agent. A level of a switch leaves it unset and gets a seed spawned from the method's.
    seed: int | None = None

    def __post_init__(self) -> None:
        at_least(self, 1, "batch_size", "look_ahead_steps")
        at_least(self, 0 if self.objective is None else 1, "steps")
        require(0 <= (self.decay or 0) <= 1, f"decay must be between 0 and 1, not {self.decay}")
        unused = (self.steps, self.batch_size, self.look_ahead_steps, self.decay) == (0, 256, 1, None)
        require(
            self.objective is not None or unused,
            "steps, batch_size, look_ahead_steps and decay are of an objective, and there is none",
        )
        seed(self)


class PretrainedAgent:
    """An agent that learns from the prior before the life."""

    def __init__(self, agent: Sac, settings: Settings, seed: int, latents: Extrinsics | None) -> None:
        self.agent, self.steps = agent, settings.steps
        self._settings, self._seed, self._latents = settings, seed, latents

    def learn(self) -> Iterator[Metrics]:
        """Minimise the objective on random rows; at the end reset the optimisers and the temperature."""
        agent, settings = self.agent, self._settings
        rng = np.random.default_rng(self._seed)
        assert settings.objective is not None
        objective: Objective = settings.objective.make(agent=agent, rng=rng, latents=self._latents)
        buffer = Buffer(agent.prior, 0, rng, agent.device)
        buffer.look_ahead(settings.look_ahead_steps, agent.prior, agent.discount)
        for step in range(1, self.steps + 1):
            self._decay(step)
            metrics = objective.update(buffer.sample(settings.batch_size))
            # The life has another objective, and starts with the temperature of its settings.
            if step == self.steps:
                agent.reset_optimisers()
                with torch.no_grad():
                    agent.log_temperature.fill_(float(np.log(agent.settings.initial_temperature)))
            yield metrics

    def _decay(self, step: int) -> None:
        """Learning rates of this step, counted from 1: as in the settings, or less near the end."""
        left, share = self.steps - step + 1, (self._settings.decay or 0.0) * self.steps
        if left <= share:
            agent = self.agent
            agent.actor_optimiser.lr = agent.settings.actor_lr * left / share
            agent.critic_optimiser.lr = agent.settings.critic_lr * left / share

    def state_dict(self) -> State:
        """The agent's state."""
        return self.agent.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load the agent's state, in place."""
        self.agent.load_state_dict(state)


class RandomAgent:
    """An agent without pretraining: its weights are drawn from the life's seed."""

    def __init__(self, agent: Sac) -> None:
        self.agent = agent


@dataclass(frozen=True, kw_only=True)
class AgentSource:
    """How a method's agents are made, for any prior."""

    agent: AgentPlugin | None  # None of a method that learns without one
    pretrain: Settings | None
    seed: int  # of the pretraining
    # of the agents' noise in the life, and of their weights without pretraining
    life_seed: int
    device: torch.device

    def artefact(self, prior: Artefact[Prior], latents: Artefact[Extrinsics] | None = None) -> Artefact[Any]:
        """The agent for ``prior``, pretrained if the method says so; the objective gets ``latents``."""
        if self.agent is None:
            raise BadInput("the method has no [agent], which its adapter needs.")
        if self.pretrain is None:
            return Artefact(
                name="agent",
                build=lambda prior: RandomAgent(self._made(prior, self.life_seed)),
                about={"agent": self.agent.table(), "seed": self.life_seed},
                needs=(prior,),
                stored=False,
                changes=True,
            )
        settings = self.pretrain

        def build(prior: Prior, *latents: Extrinsics) -> PretrainedAgent:
            return PretrainedAgent(
                self._made(prior, self.seed), settings, self.seed, latents[0] if latents else None
            )

        return Artefact(
            name="agent",
            build=build,
            about={
                "agent": self.agent.table(),
                "pretrain": table(replace(settings, seed=self.seed)),
                **computed_on(self.device),
            },
            needs=(prior,) if latents is None else (prior, latents),
            version=2,  # 1: the policy of IQL was weighted with the value of before its step
            steps=settings.steps,
            ms_per_step=1.2 if latents is None else 3.0,
            changes=True,
        )

    def _made(self, prior: Prior, seed: int) -> Sac:
        assert self.agent is not None
        made: Sac = self.agent.make(prior, torch.Generator().manual_seed(seed), self.device)
        return made
