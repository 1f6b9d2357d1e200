"""Random network distillation (Burda et al., 2019): a bonus for novel states, added to the task's reward."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slrl.learning.networks import Adam, Normaliser, mlp, mlp_params
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.plugins import at_least, positive, require, share
from slrl.priors import Prior
from slrl.types import Batch, Metrics, State


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.guidance]`` table."""

    hidden: tuple[int, ...] = (64,)
    features: int = 32  # outputs of the two networks
    lr: float = 1e-4
    scale: float = 1.0  # of the bonus
    bonus_max: float = 1000.0
    std_decay: float = 0.99  # of the running standard deviation
    task_reward: float = 1.0  # weight of the environment's reward

    def __post_init__(self) -> None:
        require(bool(self.hidden) and min(self.hidden) >= 1, "hidden must list layers of 1 or more units")
        at_least(self, 1, "features")
        positive(self, "lr", "bonus_max")
        share(self, "std_decay")


class Rnd:
    """Novelty e(s) = mean (T(s) - P(s))², divided by its running standard deviation and clipped."""

    def __init__(
        self, settings: Settings, prior: Prior, generator: torch.Generator, device: torch.device
    ) -> None:
        self._settings, self._normaliser = settings, Normaliser(prior, device)
        self._own = prior.obs.shape[1] - prior.latent_size
        sizes = (self._own, *settings.hidden, settings.features)
        self._target = [p.detach() for p in mlp_params(sizes, generator, device)]
        self.params = mlp_params(sizes, generator, device)
        self._optimiser = Adam(self.params, settings.lr)
        self.std = torch.ones((), device=device)

    def error(self, obs: Tensor) -> Tensor:
        """e (B,): mean squared difference of the two networks, not normalised."""
        x = self._normaliser(obs)[:, : self._own]
        return (mlp(self.params, x) - mlp(self._target, x)).square().mean(-1)

    def update(self, prior: Batch, life: Batch, newest: Tensor) -> Metrics:
        """One step of the predictor P on prior and life rows: mean (T(s) - P(s))²; then the running std."""
        error = self.error(torch.cat([prior.next_obs, life.next_obs]))
        loss = error.mean()
        self._optimiser.step(torch.autograd.grad(loss, self.params))
        self.std = running_std(self.std, error.detach(), self._settings.std_decay)
        return {"guidance/loss": loss.detach(), "guidance/std": self.std}

    @torch.no_grad()
    def reward(self, batch: Batch) -> Tensor:
        """(B,) scale · min(e(next_obs) / std, bonus_max) + task_reward · r."""
        bonus = self._settings.scale * (self.error(batch.next_obs) / self.std).clamp(
            0.0, self._settings.bonus_max
        )
        return bonus + self._settings.task_reward * batch.reward

    def state_dict(self) -> State:
        """Target and predictor, the optimiser and the running standard deviation."""
        return nest(rnd=of_tensors(self._tensors()))

    def load_state_dict(self, state: State) -> None:
        """Copy networks, optimiser and standard deviation, in place."""
        set_tensors(self._tensors(), substate(state, "rnd"))

    def _tensors(self) -> list[Tensor]:
        return [*self._target, *self.params, *self._optimiser.tensors(), self.std]


def running_std(std: Tensor, error: Tensor, decay: float) -> Tensor:
    """Moving average of the standard deviation of raw errors (B,), each at least 1e-3."""
    return torch.lerp(error.std().clamp(min=1e-3), std, decay)


def make(
    settings: Settings, prior: Prior, generator: torch.Generator, device: torch.device, **surroundings: Any
) -> Rnd:
    """A target and a predictor; the agent and the row generator are not needed."""
    return Rnd(settings, prior, generator, device)
