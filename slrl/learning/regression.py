"""Policies by supervised regression: small ensembles that are trained together on what the prior did.

No value is bootstrapped, so nothing can diverge, and another seed gives nearly the same policy. A member is
an MLP with a linear path beside it; the linear path extrapolates where the layers do not. The ensemble acts
with the mean of its members (Chua et al., 2018, use such ensembles for dynamics).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slrl.learning.networks import Adam, mlp_params, stack
from slrl.learning.state import of_tensors, set_tensors
from slrl.plugins import at_least, layers, positive
from slrl.types import F32, Metrics, State

SMALLEST_SCALE = 1e-3  # of an input; one that varies less in the data is ignored
LAST_LR = 0.02  # of the first, at the end of the cosine schedule


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an ensemble is trained: the ``[adapter.regression]`` table."""

    members: int = 3
    hidden: tuple[int, ...] = (128, 128)
    steps: int = 4000
    batch_size: int = 256  # of each member
    lr: float = 2e-3  # falls along half a cosine

    def __post_init__(self) -> None:
        at_least(self, 1, "members", "steps", "batch_size")
        positive(self, "lr")
        layers(self, "hidden")


class Regression:
    """K members that map inputs x (D,) to actions y (A,) in [-1, 1], by least squares."""

    def __init__(self, settings: Settings, x: F32, y: F32, seed: int, device: torch.device) -> None:
        """``x`` is (N, D) and ``y`` (N, A); each member draws its own rows of them."""
        self.settings, self.steps = settings, settings.steps
        self._x, self._y, self._device = x, y, device
        self._seed = seed
        generator = torch.Generator().manual_seed(seed)
        std = x.std(0)
        self._mean = torch.from_numpy(x.mean(0, dtype=np.float64).astype(np.float32)).to(device)
        self._scale = torch.from_numpy(np.maximum(std, SMALLEST_SCALE)).to(device)
        self._seen = torch.from_numpy((std > SMALLEST_SCALE).astype(np.float32)).to(device)
        sizes = (x.shape[1], *settings.hidden, y.shape[1])
        heads = settings.members
        self._layers = mlp_params(sizes, generator, device, heads=heads)
        self._linear = mlp_params((x.shape[1], y.shape[1]), generator, device, heads=heads)

    def predict(self, x: Tensor) -> Tensor:
        """(B, D), or (K, B, D) for rows of each member -> (K, B, A)."""
        x = torch.asinh((x - self._mean) / self._scale) * self._seen
        return torch.tanh(stack(self._layers, x) + stack(self._linear, x))

    @torch.inference_mode()
    def act(self, x: F32) -> F32:
        """The mean (A,) of the members' actions for one input (D,)."""
        rows = torch.from_numpy(np.asarray(x, np.float32)).to(self._device).unsqueeze(0)
        action: F32 = self.predict(rows).mean(0)[0].cpu().numpy()
        return action

    def learn(self) -> Iterator[Metrics]:
        """Gradient steps on the mean squared error, of all members at once."""
        settings, rng = self.settings, np.random.default_rng(self._seed)
        x, y = torch.from_numpy(self._x).to(self._device), torch.from_numpy(self._y).to(self._device)
        params = [*self._layers, *self._linear]
        optimiser = Adam(params, settings.lr)
        shape = settings.members, settings.batch_size
        for step in range(settings.steps):
            fall = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            optimiser.lr = settings.lr * max(fall, LAST_LR)
            rows = torch.from_numpy(rng.integers(len(x), size=shape)).to(self._device)
            loss = (self.predict(x[rows]) - y[rows]).square().mean((1, 2)).sum()
            optimiser.step(torch.autograd.grad(loss, params))
            yield {"pretrain/regression_loss": loss.detach() / settings.members}

    def state_dict(self) -> State:
        """Weights of all members, and the scale of the inputs."""
        return of_tensors(self._tensors())

    def load_state_dict(self, state: State) -> None:
        """Load what :meth:`state_dict` gave, in place."""
        set_tensors(self._tensors(), state)

    def _tensors(self) -> list[Tensor]:
        return [*self._layers, *self._linear, self._mean, self._scale, self._seen]
