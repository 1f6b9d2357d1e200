"""Random network distillation (Burda et al., 2019): a bonus for states unlike those seen before, added to the task's reward."""

import torch
from torch import Tensor

from slrl.learning.networks import Adam, Normaliser, mlp, mlp_params
from slrl.learning.state import nest, of_tensors, part, set_tensors
from slrl.priors import Prior
from slrl.types import Batch, Metrics, State


class Rnd:
    """Novelty e(s) = mean (T(s) - P(s))², divided by its running standard deviation and clipped."""

    def __init__(
        self,
        prior: Prior,
        generator: torch.Generator,
        device: torch.device,
        hidden: tuple[int, ...] = (64,),
        features: int = 32,
        lr: float = 1e-4,
        scale: float = 1.0,
        bonus_max: float = 1000.0,
        std_decay: float = 0.99,
        task_reward: float = 1.0,
    ) -> None:
        self._normaliser = Normaliser(prior, device)
        self._own = prior.obs.shape[1] - prior.latent_size
        sizes = (self._own, *hidden, features)
        self._target = [p.detach() for p in mlp_params(sizes, generator, device)]
        self.params = mlp_params(sizes, generator, device)
        self._optimiser = Adam(self.params, lr)
        self._scale, self._bonus_max, self._decay, self._task_reward = (
            scale,
            bonus_max,
            std_decay,
            task_reward,
        )
        self.std = torch.ones((), device=device)

    def error(self, obs: Tensor) -> Tensor:
        """e (B,), raw."""
        x = self._normaliser(obs)[:, : self._own]
        return (mlp(self.params, x) - mlp(self._target, x)).square().mean(-1)

    def update(self, prior: Batch, life: Batch, newest: Tensor) -> Metrics:
        error = self.error(torch.cat([prior.next_obs, life.next_obs]))
        loss = error.mean()
        self._optimiser.step(torch.autograd.grad(loss, self.params))
        self.std = running_std(self.std, error.detach(), self._decay)
        return {"guidance/loss": loss.detach(), "guidance/std": self.std}

    @torch.no_grad()
    def reward(self, batch: Batch) -> Tensor:
        bonus = self._scale * (self.error(batch.next_obs) / self.std).clamp(0.0, self._bonus_max)
        return bonus + self._task_reward * batch.reward

    def state_dict(self) -> State:
        return nest(rnd=of_tensors(self._tensors()))

    def load_state_dict(self, state: State) -> None:
        set_tensors(self._tensors(), part(state, "rnd"))

    def _tensors(self) -> list[Tensor]:
        return [*self._target, *self.params, *self._optimiser.tensors(), self.std]


def running_std(std: Tensor, error: Tensor, decay: float) -> Tensor:
    """Moves towards the batch's own standard deviation, at least 1e-3: of the raw errors, not of those already divided."""
    return torch.lerp(error.std().clamp(min=1e-3), std, decay)


make = Rnd
