"""Adversarial guidance (GAIL: Ho & Ermon, 2016), as in single-life RL (Chen et al., 2022).

A discriminator D = σ(f) is trained to tell prior (label 1) from life (label 0), and the agent is rewarded
with -log(1 - D).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from slrl.learning.networks import Adam, Normaliser, mlp, mlp_params
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.plugins import at_least, positive, require
from slrl.priors import Prior
from slrl.types import Agent, Batch, Metrics, State


class RowWeights(Protocol):
    """Gives each prior row of a batch its weight in the discriminator's loss."""

    def __call__(self, prior: Batch, newest: Tensor) -> tuple[Tensor, Metrics]:
        """Weights (B,) of the rows ``prior``, and metrics.

        ``newest`` (O,) is the latest observation of the life.
        """
        ...

    def tensors(self) -> list[Tensor]:
        """The tensors that the weights depend on, for the discriminator's state."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.guidance]`` table."""

    on: Literal["state", "state_action"] = "state"
    hidden: tuple[int, ...] = (128,)
    lr: float = 3e-4
    mixup: float = 1.0  # λ ~ Beta(mixup, mixup); 0 turns it off
    reward_max: float = 23.03
    scale: float = 1.0  # weight of the discriminator's reward
    offset: float = 0.0  # subtracted from it at every step: a cost of living
    task_reward: float = 0.0  # weight of the environment's reward
    half_life_updates: int = 0  # updates after which the discriminator's reward is halved; 0: never
    absorbing: bool = False  # whether a terminal state's reward counts for ever, r / (1 - γ), or once

    def __post_init__(self) -> None:
        require(bool(self.hidden) and min(self.hidden) >= 1, "hidden must list layers of 1 or more units")
        positive(self, "lr", "reward_max")
        at_least(self, 0, "mixup", "half_life_updates")


class Gail:
    """One discriminator. Every prior row has weight 1 in its loss, unless ``weigh`` says otherwise."""

    def __init__(
        self,
        settings: Settings,
        prior: Prior,
        agent: Agent,
        rng: np.random.Generator,
        generator: torch.Generator,
        device: torch.device,
        weigh: RowWeights | None = None,
    ) -> None:
        self.settings, self.agent, self.rng, self.device, self.weigh = settings, agent, rng, device, weigh
        self._normaliser = Normaliser(prior, device)
        # Latents at the end of observations are left out: they alone would separate life and prior.
        self._own = prior.obs.shape[1] - prior.latent_size
        inputs = self._own + (prior.action.shape[1] if settings.on == "state_action" else 0)
        self.params = mlp_params((inputs, *settings.hidden, 1), generator, device)
        self._optimiser = Adam(self.params, settings.lr)
        self.strength = torch.ones((), device=device)  # of the discriminator's reward, after fading

    def logit(self, batch: Batch) -> Tensor:
        """f (B,) of next_obs, or of obs and action if ``on`` is "state_action"."""
        return mlp(self.params, self._inputs(batch))[:, 0]

    def update(self, prior: Batch, life: Batch, newest: Tensor) -> Metrics:
        """One step of the discriminator: mean of w · BCE(f, label) over prior and life rows, after mixup.

        Prior rows have the weight that ``weigh`` gives, life rows weight 1. Then the reward fades by
        0.5^(1/half-life).
        """
        weight, metrics = self.weigh(prior, newest) if self.weigh else (torch.ones_like(prior.reward), {})
        x = torch.cat([self._inputs(prior), self._inputs(life)])
        label = torch.cat([torch.ones_like(prior.reward), torch.zeros_like(life.reward)])
        weight = torch.cat([weight, torch.ones_like(life.reward)])
        if self.settings.mixup:
            share = torch.from_numpy(
                self.rng.beta(self.settings.mixup, self.settings.mixup, len(label)).astype(np.float32)
            ).to(self.device)
            order = torch.from_numpy(self.rng.permutation(len(label))).to(self.device)
            x, label, weight = mix(x, share, order), mix(label, share, order), mix(weight, share, order)
        loss = F.binary_cross_entropy_with_logits(mlp(self.params, x)[:, 0], label, weight)
        self._optimiser.step(torch.autograd.grad(loss, self.params))
        if self.settings.half_life_updates:
            self.strength *= 0.5 ** (1 / self.settings.half_life_updates)
        return {"guidance/loss": loss.detach(), "guidance/strength": self.strength.clone(), **metrics}

    @torch.no_grad()
    def reward(self, batch: Batch) -> Tensor:
        """(B,) strength · scale · (min(-log(1 - D), reward_max) - offset) + task_reward · r.

        -log(1 - D) = softplus(f). With ``absorbing`` the reward of a terminal row is divided by 1 - γ.
        """
        familiar = F.softplus(self.logit(batch)).clamp(max=self.settings.reward_max)
        reward = (
            self.strength * self.settings.scale * (familiar - self.settings.offset)
            + self.settings.task_reward * batch.reward
        )
        return (
            torch.where(batch.terminated > 0, reward / (1 - self.agent.discount), reward)
            if self.settings.absorbing
            else reward
        )

    def state_dict(self) -> State:
        """The discriminator, its optimiser, the strength, and what the row weights depend on."""
        return nest(discriminator=of_tensors(self._tensors()))

    def load_state_dict(self, state: State) -> None:
        """Copy the discriminator and its optimiser, in place."""
        set_tensors(self._tensors(), substate(state, "discriminator"))

    def _tensors(self) -> list[Tensor]:
        return [
            *self.params,
            *self._optimiser.tensors(),
            self.strength,
            *(self.weigh.tensors() if self.weigh else ()),
        ]

    def _inputs(self, batch: Batch) -> Tensor:
        if self.settings.on == "state":
            return self._normaliser(batch.next_obs)[:, : self._own]
        return torch.cat([self._normaliser(batch.obs)[:, : self._own], batch.action], -1)


def mix(values: Tensor, share: Tensor, order: Tensor) -> Tensor:
    """Mixup (Zhang et al., 2018): λ_i v_i + (1 - λ_i) v_P(i), each row with its own λ_i."""
    return torch.lerp(values[order], values, share.unsqueeze(-1) if values.dim() == 2 else share)


make = Gail
