"""Adapt on the go (ROAM: Chen et al., 2023): at every step, act by that behaviour whose values say that it knows what to do here.

Every behaviour of the prior has its own agent, pretrained on its own rows. Their critics are then taught to tell the behaviours
apart: V_b is raised on b's own states and lowered on those of others, so that a behaviour is not confident where it never was.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from slrl import injection as plugins
from slrl.adapters import Pretrainer
from slrl.errors import BadInput
from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.learning.networks import mlp
from slrl.learning.state import fingerprint, nest, part
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, State, Transition


class Behaviours:
    """The behaviours of a prior: an agent of each, values that know their own states, and who acts and learns for each."""

    def __init__(
        self,
        prior: Prior,
        pretrainer: Pretrainer,
        life_steps: int,
        rng: np.random.Generator,
        generator: torch.Generator,
        device: torch.device,
        inner: dict[str, Any],
        classification_weight: float,
        regularisation_steps: int,
        batch_size: int,
        abstain_quantile: float,
    ) -> None:
        parts = behaviours(prior)
        if len(parts) < 2:
            raise BadInput(
                f"prior {prior.name} has only one behaviour to choose from; give --prior several times, or a file with a "
                "behaviour column."
            )
        agents = [pretrainer.agent(own) for own in parts]
        self.repertoire = Repertoire(
            parts,
            agents,
            classification_weight,
            regularisation_steps,
            batch_size,
            pretrainer.seeds.joint_critics,
        )
        pretrainer.once(
            self.repertoire,
            "repertoire",
            [own.sha256 for own in parts],
            [fingerprint(agent.critic) for agent in agents],
            classification_weight,
            regularisation_steps,
            batch_size,
            pretrainer.seeds.joint_critics,
        )
        name, settings = plugins.split(inner, "[adapter.inner]")
        self.inner: list[Adapter] = [
            plugins.make(
                "slrl.adapters",
                name,
                settings,
                where="[adapter.inner]",
                agent=agent,
                prior=own,
                life_steps=life_steps,
                rng=rng,
                generator=generator,
                device=device,
                pretrainer=pretrainer,
            )
            for agent, own in zip(agents, parts, strict=True)
        ]
        self.middle, self.spread, self.lowest = self.repertoire.on_own_rows(abstain_quantile)
        self._device = device

    @torch.no_grad()
    def values(self, obs: F32) -> tuple[Tensor, bool]:
        """What each (N,) thinks that this state is worth, in deviations from its own rows, and whether none knows it."""
        values = self.repertoire.values(torch.from_numpy(obs).to(self._device).unsqueeze(0))[:, 0]
        return (values - self.middle) / self.spread, bool((values < self.lowest).all())

    def state_dict(self) -> State:
        return nest(**{f"inner{i}": adapter.state_dict() for i, adapter in enumerate(self.inner)})

    def load_state_dict(self, state: State) -> None:
        for i, adapter in enumerate(self.inner):
            adapter.load_state_dict(part(state, f"inner{i}"))


class Select:
    """N behaviours, of which one acts and learns. Another takes over when its lead is clear and the present one had its time.

    Where no behaviour knows the state, its best value below all but ``abstain_quantile`` of those on its own rows, values mean
    nothing; then each behaviour gets its turn, the one that has waited longest first.
    """

    def __init__(
        self,
        prior: Prior,
        pretrainer: Pretrainer,
        life_steps: int,
        rng: np.random.Generator,
        generator: torch.Generator,
        device: torch.device,
        inner: dict[str, Any],
        classification_weight: float = 0.1,
        regularisation_steps: int = 3000,
        batch_size: int = 128,
        temperature: float = 1.0,
        hold_steps: int = 10,
        margin: float = 0.1,
        abstain_quantile: float = 0.05,
    ) -> None:
        self.behaviours = Behaviours(
            prior,
            pretrainer,
            life_steps,
            rng,
            generator,
            device,
            inner,
            classification_weight,
            regularisation_steps,
            batch_size,
            abstain_quantile,
        )
        self._temperature, self._hold, self._margin = temperature, hold_steps, margin
        self.present, self.held, self.changes, self.abstains = -1, 0, 0, False
        self.waited = np.zeros(len(self.behaviours.inner), np.int64)  # steps since each acted

    def act(self, obs: F32) -> F32:
        if self.present < 0 or self.held >= self._hold:
            chosen = self.choose(obs)
            if chosen != self.present:
                self.changes += self.present >= 0
                self.present, self.held = chosen, 0
            elif self.abstains:
                self.held = 0  # its turn began anew
        return self.behaviours.inner[self.present].act(obs)

    def choose(self, obs: F32) -> int:
        """Which behaviour should act in this state."""
        values, self.abstains = self.behaviours.values(obs)
        if self.abstains:
            return int(np.argmax(self.waited))
        share = torch.softmax(values / self._temperature, 0).cpu().numpy()
        best = int(np.argmax(share))
        if self.present >= 0 and share[best] - share[self.present] <= self._margin:
            return self.present
        return best

    def observe(self, transition: Transition) -> Metrics:
        self.held += 1
        self.waited += 1
        self.waited[self.present] = 0
        metrics = self.behaviours.inner[self.present].observe(transition)
        own = {"behaviour": self.present, "changes": self.changes, "abstains": self.abstains}
        return metrics | {f"adapter/{key}": float(value) for key, value in own.items()}

    def state_dict(self) -> State:
        own = {
            "counts": torch.tensor([self.present, self.held, self.changes, int(self.abstains)]),
            "waited": torch.from_numpy(self.waited.copy()),
        }
        return nest(select=own, behaviours=self.behaviours.state_dict())

    def load_state_dict(self, state: State) -> None:
        self.behaviours.load_state_dict(part(state, "behaviours"))
        own = part(state, "select")
        self.present, self.held, self.changes = (int(value) for value in own["counts"][:3])
        self.abstains = bool(own["counts"][3])
        self.waited = own["waited"].numpy().copy()


class Repertoire:
    """The critics of several agents, which learn together whose states are whose: L = (1 - β) L_TD + β L_CE."""

    def __init__(
        self,
        priors: list[Prior],
        agents: list[Sac],
        weight: float,
        steps: int,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        self.agents, self._priors, self.steps = agents, priors, steps
        self._weight, self._size = weight, max(1, batch_size // len(agents))
        device = agents[0].device
        self._rng = np.random.default_rng(seed)
        self._buffers = [Buffer(prior, 0, self._rng, device) for prior in priors]
        self._generator = torch.Generator().manual_seed(seed)

    def values(self, obs: Tensor) -> Tensor:
        """V (N, B) = mean over critics of Q_i(s, π_i(s)), with gradients for the critics alone."""
        found = []
        for agent in self.agents:
            x = agent.normaliser(obs)
            with torch.no_grad():
                action = torch.tanh(mlp(agent.actor, x).chunk(2, -1)[0])
            found.append(agent.q(agent.critic, x, action).mean(0))
        return torch.stack(found)

    def learn(self) -> Iterator[Metrics]:
        """As many rows of every behaviour, so that the one with most data is not favoured; policies stay as they are."""
        for _ in range(self.steps):
            batches = [buffer.sample(self._size) for buffer in self._buffers]
            obs = torch.cat([batch.obs for batch in batches])
            label = torch.arange(len(batches), device=obs.device).repeat_interleave(self._size)
            classification = F.cross_entropy(self.values(obs).T, label)
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
        """Median, standard deviation and a low quantile (N,) of each V_b on b's own states."""
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
        return nest(**{f"agent{i}": agent.state_dict() for i, agent in enumerate(self.agents)})

    def load_state_dict(self, state: State) -> None:
        for i, agent in enumerate(self.agents):
            generator = agent.generator.get_state()
            agent.load_state_dict(part(state, f"agent{i}"))
            agent.generator.set_state(generator)  # the life's own randomness


def behaviours(prior: Prior) -> list[Prior]:
    """The rows of each behaviour, as priors of their own."""
    if prior.behaviour is None:
        return [prior]
    found = []
    for name in np.unique(prior.behaviour):
        kept = prior.behaviour == name
        rows = {
            key: getattr(prior, key)[kept]
            for key in ("obs", "action", "reward", "next_obs", "terminated", "truncated")
        }
        episode = np.unique(prior.episode[kept], return_inverse=True)[1].astype(np.int32)
        params = None if prior.env_params is None else prior.env_params[kept]
        found.append(
            replace(
                prior,
                **rows,
                episode=episode,
                env_params=params,
                behaviour=None,
                name=f"{prior.name}, behaviour {name}",
            )
        )
    return found


def check(settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the values, if anything."""
    if not 0 <= settings["classification_weight"] <= 1 or not 0 <= settings["abstain_quantile"] <= 1:
        return "classification_weight and abstain_quantile must be between 0 and 1"
    if settings["temperature"] <= 0 or settings["margin"] < 0:
        return "temperature must be more than 0, and margin 0 or more"
    for key in ("hold_steps", "batch_size"):
        if settings[key] < 1:
            return f"{key} must be 1 or more, not {settings[key]}"
    if settings["regularisation_steps"] < 0:
        return f"regularisation_steps must be 0 or more, not {settings['regularisation_steps']}"
    return None


make = Select
