"""Networks as plain lists of tensors: nothing hidden between a loss and its gradient.

``[W1, b1, W2, b2, …]``, with ``gain, shift`` after each hidden layer that has LayerNorm. A stack of K
networks has the same list with a leading axis K, and one batched product per layer evaluates all of them.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from slrl.priors import Prior

SHARP = 0.1  # spread at the prior's successes, as a share of the whole, of an entry that is resolved there
WORTH, FINEST = 0.2, 0.1  # smallest spread of such an entry, and its smallest scale


def mlp_params(
    sizes: Sequence[int],
    generator: torch.Generator,
    device: torch.device,
    *,
    heads: int | None = None,
    layer_norm: bool = False,
) -> list[Tensor]:
    """Xavier-uniform weights and zero biases for ``sizes = (in, hidden, …, out)``; K ``heads`` add an axis.

    Drawn on the generator's device, so that a seed gives the same weights on every device.
    """
    stack = () if heads is None else (heads,)
    row = () if heads is None else (1,)
    params = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bound = (6 / (fan_in + fan_out)) ** 0.5
        draw = torch.rand(*stack, fan_in, fan_out, generator=generator, device=generator.device)
        params += [((2 * draw - 1) * bound).to(device), torch.zeros(*stack, *row, fan_out, device=device)]
        if layer_norm and layer < len(sizes) - 2:
            shape = (*stack, *row, fan_out)
            params += [torch.ones(shape, device=device), torch.zeros(shape, device=device)]
    return [p.requires_grad_() for p in params]


def mlp(params: Sequence[Tensor], x: Tensor, *, layer_norm: bool = False) -> Tensor:
    """One network: (B, in) -> (B, out), ReLU between layers."""
    stride = 4 if layer_norm else 2
    for i in range(0, len(params) - 2, stride):
        x = torch.addmm(params[i + 1], x, params[i])
        x = F.relu(_norm(x, params[i + 2], params[i + 3]) if layer_norm else x)
    return torch.addmm(params[-1], x, params[-2])


def ensemble(params: Sequence[Tensor], x: Tensor, *, layer_norm: bool = False) -> Tensor:
    """K networks with one output each: (B, in) -> (K, B)."""
    stride = 4 if layer_norm else 2
    x = x.expand(params[0].shape[0], *x.shape)
    for i in range(0, len(params) - 2, stride):
        x = torch.baddbmm(params[i + 1], x, params[i])
        x = F.relu(_norm(x, params[i + 2], params[i + 3]) if layer_norm else x)
    # A product with one column is faster as a multiplication and a sum than as a matrix product.
    return (x * params[-2].transpose(1, 2)).sum(-1) + params[-1].squeeze(-1)


def stack(params: Sequence[Tensor], x: Tensor) -> Tensor:
    """K networks with any number of outputs: (B, in), or (K, B, in) for one input each -> (K, B, out)."""
    x = x.expand(params[0].shape[0], *x.shape[-2:])
    for i in range(0, len(params) - 2, 2):
        x = F.relu(torch.baddbmm(params[i + 1], x, params[i]))
    return torch.baddbmm(params[-1], x, params[-2])


def _norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * gain + shift


class Adam:
    """Adam (Kingma & Ba, 2015, algorithm 1) on a fixed list of tensors, as one fused kernel.

    ``torch.optim.Adam(fused=True)`` calls the same kernel; its bookkeeping around it costs more than the
    kernel does for networks as small as ours. A test holds the two equal.
    """

    def __init__(self, params: list[Tensor], lr: float) -> None:
        self._params, self.lr = params, lr
        self._mean = [torch.zeros_like(p, requires_grad=False) for p in params]
        self._square = [torch.zeros_like(p, requires_grad=False) for p in params]
        self._step = torch.zeros((), device=params[0].device)
        self._steps = [self._step] * len(params)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step of all parameters, given their gradients in order."""
        self._step += 1
        torch._fused_adam_(
            self._params,
            list(gradients),
            self._mean,
            self._square,
            [],
            self._steps,
            lr=self.lr,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    @torch.no_grad()
    def step_in_plain_operations(self, gradients: Sequence[Tensor], lr: Tensor) -> None:
        """The same step, up to rounding, in operations that torch.compile can trace; ``lr`` has no axis."""
        self._step += 1
        unbias, unbias_square = 1.0 - 0.9**self._step, 1.0 - 0.999**self._step
        for param, gradient, mean, square in zip(
            self._params, gradients, self._mean, self._square, strict=True
        ):
            mean.lerp_(gradient, 0.1)
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            spread = (square / unbias_square).sqrt() + 1e-8
            param.sub_(lr / unbias * mean / spread)

    @property
    def steps_made(self) -> int:
        """Steps since it began."""
        return int(self._step)

    def with_params(self, params: list[Tensor]) -> "Adam":
        """An optimiser of other parameters of the same shapes, with copies of these moments."""
        other = Adam(params, self.lr)
        for own, given in zip(other.tensors(), self.tensors(), strict=True):
            own.copy_(given)
        return other

    def tensors(self) -> list[Tensor]:
        """First and second moments and the step count: the optimiser's state."""
        return [*self._mean, *self._square, self._step]


class Normaliser:
    """Observations on a common scale: ``asinh((obs - mean) / scale)``, fitted on the prior and then fixed.

    Linear near the prior and logarithmic far from it. A plain ``(obs - mean) / std`` sends an observation a
    hundred standard deviations away into saturation, where every network has the same output and no gradient;
    here it is 5.3. ``min_scale`` bounds the amplification of dimensions that hardly vary in the prior.
    """

    def __init__(self, prior: Prior, device: torch.device, min_scale: float = 0.1) -> None:
        self.mean = torch.as_tensor(prior.obs.mean(0, dtype="float64"), dtype=torch.float32, device=device)
        std = torch.as_tensor(prior.obs.std(0, dtype="float64"), dtype=torch.float32, device=device)
        self.scale = std.clamp(min=min_scale)

    def resolve_arrivals(self, prior: Prior) -> list[int]:
        """Centre on where the prior arrives the entries that are alike there; returns these entries.

        Those whose spread at successes is a tenth of their spread at most, and of a spread worth it, get the
        mean of the arrivals as their centre and twice their spread as their scale. In the wind y has a spread
        of 88 units and the goal one of 2: as shares of the one, the other cannot be told from its middle.
        """
        reached = prior.next_obs[prior.terminated & (prior.reward > 0)]
        if len(reached) < 2:
            return []
        mean, spread = (torch.from_numpy(x).to(self.mean) for x in (reached.mean(0), reached.std(0)))
        sharp = (spread < SHARP * self.scale) & (self.scale > WORTH)
        sharp[len(sharp) - prior.latent_size :] = False  # a latent of the world says nothing of a place
        self.mean = torch.where(sharp, mean, self.mean)
        self.scale = torch.where(sharp, (2 * spread).clamp(min=FINEST), self.scale)
        return torch.nonzero(sharp)[:, 0].tolist()

    def __call__(self, obs: Tensor) -> Tensor:
        """(…, O) -> (…, O), normalised."""
        return torch.asinh((obs - self.mean) / self.scale)
