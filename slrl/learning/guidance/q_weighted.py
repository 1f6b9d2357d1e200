"""QWALE (Chen et al., You Only Live Once, 2022): adversarial guidance towards those prior states that are worth more.

The prior row (s, a) weighs ``w = exp((Qn(s, a) - b) / η)`` in the discriminator's loss, where Qn is the value that the
agent of the life's beginning gives it, scaled to [0, 1] over the whole prior, and b the same agent's value of where
the body is now. Life rows weigh 1.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from slrl.learning.guidance.gail import Gail
from slrl.priors import Prior
from slrl.types import F32, Agent, Batch, Metrics, Value


class QWeights:
    """The weights of the prior rows, from critics that were frozen at the beginning of the life."""

    def __init__(
        self,
        value: Value,
        prior: Prior,
        device: torch.device,
        temperature: float,
        baseline: float | None,
        baseline_ema: float,
        clip_baseline: bool,
        normalise: bool,
    ) -> None:
        self._value, self._temperature, self._fixed = value, temperature, baseline
        self._ema, self._clip, self._normalise = baseline_ema, clip_baseline, normalise
        chunks = [slice(i, i + 8192) for i in range(0, len(prior), 8192)]
        q = torch.cat([value.q(_copy(prior.obs[c], device), _copy(prior.action[c], device)) for c in chunks])
        self._low, self._range = q.min(), (q.max() - q.min()).clamp(min=1e-8)
        self.prior_value = (q - self._low) / self._range  # (N,) Qn in [0, 1]
        self.baseline = torch.full((), torch.nan, device=device)  # until the first update

    def __call__(self, prior: Batch, newest: Tensor) -> tuple[Tensor, Metrics]:
        b = self._where_now(newest)
        weight = q_weight(self.prior_value[prior.row], b, self._temperature)
        if self._normalise:
            weight = weight / weight.mean()
        return weight, {"guidance/baseline": b, "guidance/weight": weight.mean()}

    def _where_now(self, newest: Tensor) -> Tensor:
        if self._fixed is not None:
            return torch.full((), self._fixed, device=newest.device)
        now = (self._value.v(newest.unsqueeze(0))[0] - self._low) / self._range
        if self._clip:
            now = now.clamp(0.0, 1.0)
        self.baseline.copy_(
            torch.where(self.baseline.isnan(), now, torch.lerp(now, self.baseline, self._ema))
        )
        return self.baseline.clone()

    def tensors(self) -> list[Tensor]:
        return [*self._value.tensors(), self._low, self._range, self.prior_value, self.baseline]


def _copy(rows: F32, device: torch.device) -> Tensor:
    return torch.tensor(rows, device=device)  # a copy: the prior's arrays are read-only


def q_weight(value: Tensor, baseline: Tensor, temperature: float) -> Tensor:
    """exp((Qn - b) / η), with the largest exponent held within ±80.

    A life far from its prior can have a value b of minus twenty-four, and exp(24 / 0.25) is infinite in float32; far above it
    all weights would be zero. What is subtracted is the same for all rows: their proportions stay. Within the bounds it is 0.
    """
    exponent = (value - baseline) / temperature
    top = exponent.max()
    return (exponent - (top - top.clamp(-80.0, 80.0))).exp()


def make(
    prior: Prior,
    agent: Agent,
    rng: np.random.Generator,
    generator: torch.Generator,
    device: torch.device,
    on: Literal["state", "state_action"] = "state",
    hidden: tuple[int, ...] = (128,),
    lr: float = 3e-4,
    mixup: float = 1.0,
    reward_max: float = 23.03,
    scale: float = 1.0,
    offset: float = 0.0,
    task_reward: float = 0.0,
    half_life_updates: int = 0,
    absorbing: bool = False,
    weight_temperature: float = 1.0,
    baseline: float | None = None,
    baseline_ema: float = 0.0,
    clip_baseline: bool = False,
    normalise_weights: bool = False,
) -> Gail:
    """GAIL with the weights of ``agent``'s critics as they are now, at the beginning of the life."""
    value = agent.frozen_value()
    weigh = QWeights(
        value, prior, device, weight_temperature, baseline, baseline_ema, clip_baseline, normalise_weights
    )
    return Gail(
        prior=prior,
        agent=agent,
        rng=rng,
        generator=generator,
        device=device,
        weigh=weigh,
        on=on,
        hidden=hidden,
        lr=lr,
        mixup=mixup,
        reward_max=reward_max,
        scale=scale,
        offset=offset,
        task_reward=task_reward,
        half_life_updates=half_life_updates,
        absorbing=absorbing,
    )
