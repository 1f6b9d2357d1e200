"""Joint critics: the critics of several behaviours, trained to classify states (ROAM: Chen et al., 2023).

Every behaviour of a prior has its own agent, pretrained on its own rows. Together their critics are trained
to classify states: V_b is raised on b's own states and lowered on those of others, so that a behaviour has
low values outside its own data. The classification goes on in the life, in the critics of the behaviour that
learns. Which behaviour acts is not for those critics to say, but for a copy that the life does not change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.learning.cache import Artefact
from slrl.learning.networks import mlp
from slrl.learning.pretrain import PretrainedAgent
from slrl.learning.state import nest, substate
from slrl.plugins import at_least, share
from slrl.priors import Prior, part
from slrl.types import Batch, Metrics, State


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What adapters that choose among behaviours have in common."""

    classification_weight: float = 0.1  # β: L = (1 - β) L_TD + β L_CE, before the life and in it
    regularisation_steps: int = 3000  # of the critics, before the life
    batch_size: int = 128  # in total, with the same number of rows of each behaviour
    # of a behaviour's values on its own rows; a state is unknown where all values are lower
    abstain_quantile: float = 0.05

    def __post_init__(self) -> None:
        share(self, "classification_weight", "abstain_quantile")
        at_least(self, 1, "batch_size")
        at_least(self, 0, "regularisation_steps")


class JointCritics:
    """The critics of N agents, trained with L = (1 - β) L_TD + β L_CE."""

    def __init__(self, settings: Settings, seed: int, priors: Sequence[Prior], agents: Sequence[Sac]) -> None:
        self.agents, self._priors, self.steps = agents, priors, settings.regularisation_steps
        self._weight = settings.classification_weight
        self._size = max(1, settings.batch_size // len(agents))
        device = agents[0].device
        self._device = device
        self._draw_with(np.random.default_rng(seed))
        self._generator = torch.Generator().manual_seed(seed)

    def _draw_with(self, rng: np.random.Generator) -> None:
        self._buffers = [Buffer(prior, 0, rng, self._device) for prior in self._priors]

    def go_on_in_life(self, rng: np.random.Generator) -> None:
        """Let every agent that learns from now on minimise :meth:`whole_loss`, on rows drawn with ``rng``."""
        self._draw_with(rng)
        for agent in self.agents:
            agent.whole_loss = self.whole_loss if self._weight else None

    def whole_loss(self, td: Tensor) -> Tensor:
        """(1 - β) L_TD + β L_CE of one behaviour's critics, on balanced batches of all behaviours' rows."""
        batches = [buffer.sample(self._size) for buffer in self._buffers]
        return (1 - self._weight) * td + self._weight * self._classification(batches)

    def _classification(self, batches: Sequence[Batch]) -> Tensor:
        """L_CE = mean -log softmax(V(s))_b over the rows of each behaviour b."""
        obs = torch.cat([batch.obs for batch in batches])
        label = torch.arange(len(batches), device=obs.device).repeat_interleave(self._size)
        return F.cross_entropy(self.values(obs).T, label)

    def frozen(self) -> "FrozenCritics":
        """A copy of the present critics and policies that later updates do not change."""
        return FrozenCritics(self.agents)

    def values(self, obs: Tensor) -> Tensor:
        """V (N, B) = mean over critics of Q_i(s, π_i(s)), s = obs (B, O); gradients only to critics."""
        found = []
        for agent in self.agents:
            with torch.no_grad():
                action = agent.mode(obs)
            found.append(agent.q(agent.critic, agent.normaliser(obs), action).mean(0))
        return torch.stack(found)

    def learn(self) -> Iterator[Metrics]:
        """Balanced batches of all behaviours train the critics; the policies do not change."""
        for _ in range(self.steps):
            batches = [buffer.sample(self._size) for buffer in self._buffers]
            classification = self._classification(batches)
            td = torch.stack(
                [self._td(agent, batch) for agent, batch in zip(self.agents, batches, strict=True)]
            ).sum()
            loss = (1 - self._weight) * td + self._weight * classification
            params = [p for agent in self.agents for p in agent.critic]
            gradients = iter(torch.autograd.grad(loss, params))
            for agent in self.agents:
                agent.critic_optimiser.step([next(gradients) for _ in agent.critic])
                agent.move_targets()
            yield {"pretrain/classification": classification.detach(), "pretrain/td": td.detach()}
        for agent in self.agents:
            agent.reset_optimisers()  # the life has another objective

    def _td(self, agent: Sac, batch: Any) -> Tensor:
        obs, next_obs = agent.normaliser(batch.obs), agent.normaliser(batch.next_obs)
        noise = torch.randn(len(obs), agent.action_dim, generator=self._generator).to(obs.device)
        reward = agent.reward_scale * batch.reward
        return agent.critic_loss(obs, batch.action, reward, next_obs, batch.bootstrap, noise, None)[0]

    @torch.no_grad()
    def on_own_rows(self, quantile: float) -> tuple[Tensor, Tensor, Tensor]:
        """Median, standard deviation and ``quantile`` of each V_b over b's own states, (N,) each."""
        found = []
        for i, prior in enumerate(self._priors):
            at = np.linspace(0, len(prior) - 1, min(len(prior), 4096)).astype(int)
            values = self.values(torch.tensor(prior.obs[at], device=self.agents[i].device))[i]
            found.append(
                torch.stack([values.median(), values.std().clamp(min=1e-6), values.quantile(quantile)])
            )
        middle, spread, lowest = torch.stack(found).unbind(1)
        return middle, spread, lowest

    def state_dict(self) -> State:
        """The state of every agent, as ``agent0``, ``agent1``, …"""
        return nest(**{f"agent{i}": agent.state_dict() for i, agent in enumerate(self.agents)})

    def load_state_dict(self, state: State) -> None:
        """Load every agent; their generators stay as they are, because they belong to the life."""
        for i, agent in enumerate(self.agents):
            generator = agent.generator.get_state()
            agent.load_state_dict(substate(state, f"agent{i}"))
            agent.generator.set_state(generator)  # the life's own randomness


class FrozenCritics:
    """The values of several agents at a moment."""

    def __init__(self, agents: Sequence[Sac]) -> None:
        self._agents = agents
        self._actors, self._critics = (
            [[p.detach().clone() for p in params] for params in several]
            for several in ([agent.actor for agent in agents], [agent.critic for agent in agents])
        )

    @torch.no_grad()
    def values(self, obs: Tensor) -> Tensor:
        """V (N, B) of obs (B, O), as :meth:`JointCritics.values` was."""
        found = []
        for agent, actor, critic in zip(self._agents, self._actors, self._critics, strict=True):
            x = agent.normaliser(obs)
            mean, _ = mlp(actor, x).chunk(2, dim=-1)
            found.append(agent.q(critic, x, torch.tanh(mean)).mean(0))
        return torch.stack(found)

    def tensors(self) -> list[Tensor]:
        """All weights."""
        return [p for params in (*self._actors, *self._critics) for p in params]


def behaviours(prior: Prior) -> list[Prior]:
    """The prior split into one prior per behaviour."""
    if prior.behaviour is None:
        return [prior]
    return [
        replace(
            part(prior, prior.behaviour == name),
            behaviour=None,
            parts=(),
            name=f"{prior.name}, behaviour {name}",
        )
        for name in np.unique(prior.behaviour)
    ]


def behaviour_count(prior: Prior) -> int:
    """How many behaviours a prior has."""
    return 1 if prior.behaviour is None else len(np.unique(prior.behaviour))


def one_behaviour(prior: Artefact[Prior], number: int) -> Artefact[Prior]:
    """The rows of one behaviour of a prior."""
    return Artefact(
        name="prior",
        build=lambda prior: behaviours(prior)[number],
        about={"behaviour": number},
        needs=(prior,),
        stored=False,
    )


def artefact(
    settings: Settings,
    seed: int,
    priors: Sequence[Artefact[Prior]],
    agents: Sequence[Artefact[PretrainedAgent]],
) -> Artefact[JointCritics]:
    """The behaviours' agents with jointly trained critics."""
    count = len(priors)
    about = {
        "classification_weight": settings.classification_weight,
        "regularisation_steps": settings.regularisation_steps,
        "batch_size": settings.batch_size,
        "seed": seed,
    }

    def build(*values: Any) -> JointCritics:
        return JointCritics(
            settings, seed, values[:count], [pretrained.agent for pretrained in values[count:]]
        )

    return Artefact(
        name="joint critics",
        build=build,
        about=about,
        needs=(*priors, *agents),
        steps=settings.regularisation_steps,
        ms_per_step=2.0,
        changes=True,
    )
