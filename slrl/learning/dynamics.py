"""Dynamics: a model of the world, learned from the prior, which predicts the next observation and the reward.

An ensemble of networks (PETS: Chua et al., 2018) predicts the change of the observation and the reward. With
``linear``, each network has a linear path beside its layers, so that additive effects, such as a wind and a
step, extrapolate beyond the prior's range; without it, they are plain networks.
"""

import torch
from torch import Tensor

from slrl.learning.networks import Adam, Normaliser, mlp_params, stack
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.priors import Prior
from slrl.types import State

MEMBERS = 5


class Dynamics:
    """f_k(s, a, z) -> (s' - s, r) for members k, in units of their standard deviation over the prior.

    Shapes: B rows, O observation, A action, Z latent (0 for a model without one), K members.
    """

    def __init__(
        self,
        prior: Prior,
        generator: torch.Generator,
        device: torch.device,
        latent_size: int = 0,
        members: int = MEMBERS,
        hidden: tuple[int, ...] = (128, 128),
        lr: float = 1e-3,
        linear: bool = True,
    ) -> None:
        self.obs_dim, self.members, self.latent_size = prior.obs.shape[1], members, latent_size
        self.normaliser = Normaliser(prior, device)
        change = torch.tensor(prior.next_obs - prior.obs, device=device)
        spread = torch.tensor(prior.obs, device=device).std(0)
        # Entries that never change within episodes get a thousandth of their deviation between episodes.
        scale = change.std(0).clamp(min=1e-6).maximum(1e-3 * spread)
        reward = torch.tensor(prior.reward, device=device)
        self.mean = torch.cat([change.mean(0), reward.mean()[None]])
        self.scale = torch.cat([scale, reward.std().clamp(min=1e-3)[None]])
        inputs = self.obs_dim + prior.action.shape[1] + latent_size
        self.params = mlp_params((inputs, *hidden, self.obs_dim + 1), generator, device, heads=members)
        sizes = (inputs, self.obs_dim + 1)
        self.linear = mlp_params(sizes, generator, device, heads=members) if linear else []
        self._optimiser = Adam([*self.params, *self.linear], lr)

    def inputs(self, obs: Tensor, action: Tensor, latent: Tensor | None = None) -> Tensor:
        """(B, O), (B, A), (B, Z) -> (B, O + A + Z) as the networks take them."""
        parts = [self.normaliser(obs), action] if latent is None else [self.normaliser(obs), action, latent]
        return torch.cat(parts, -1)

    def outputs(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (K, B, O + 1): change and reward, standardised."""
        return stack(self.params, x) + (stack(self.linear, x) if self.linear else 0.0)

    def predict(self, obs: Tensor, action: Tensor, latent: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The next observation (K, B, O) and the reward (K, B) according to each member."""
        out = self.outputs(self.inputs(obs, action, latent)) * self.scale + self.mean
        return obs + out[..., :-1], out[..., -1]

    def errors(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, latent: Tensor | None = None
    ) -> Tensor:
        """(K, B, O + 1): standardised prediction minus the observed change and reward."""
        happened = (torch.cat([next_obs - obs, reward.unsqueeze(-1)], -1) - self.mean) / self.scale
        return self.outputs(self.inputs(obs, action, latent)) - happened

    def loss(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, latent: Tensor | None = None
    ) -> Tensor:
        """Σ_k mean e². All members get the same rows (Lakshminarayanan et al., 2017)."""
        return self.errors(obs, action, reward, next_obs, latent).square().mean((1, 2)).sum()

    def step(self, loss: Tensor, others: list[Tensor], optimiser: Adam | None = None) -> None:
        """One gradient step of the ensemble; ``others`` are stepped by their own ``optimiser``."""
        own = [*self.params, *self.linear]
        gradients = torch.autograd.grad(loss, [*own, *others])
        self._optimiser.step(gradients[: len(own)])
        if optimiser is not None:
            optimiser.step(gradients[len(own) :])

    def _tensors(self) -> list[Tensor]:
        fitted = [self.mean, self.scale, self.normaliser.mean, self.normaliser.scale]
        return [*self.params, *self.linear, *self._optimiser.tensors(), *fitted]

    def state_dict(self) -> State:
        """Weights, optimiser, and the mean and scale (O + 1,) of changes and reward."""
        return nest(dynamics=of_tensors(self._tensors()))

    def load_state_dict(self, state: State) -> None:
        """Copy weights, optimiser and scales, in place."""
        set_tensors(self._tensors(), substate(state, "dynamics"))
