"""QWALE (Chen et al., You Only Live Once, 2022): adversarial guidance towards prior states of higher value.

A prior row (s, a) has the weight w = exp((Qn(s, a) - b) / η) in the discriminator's loss. Qn is the value by
the agent as it was at the beginning of the life, scaled to [0, 1] over the prior; b is the same agent's
scaled value of the newest state. Life rows weigh 1.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slrl.learning.guidance import gail
from slrl.learning.guidance.gail import Gail
from slrl.plugins import positive, share
from slrl.priors import Prior
from slrl.types import F32, Agent, Batch, Metrics, Value


@dataclass(frozen=True, kw_only=True)
class Settings(gail.Settings):
    """The ``[adapter.guidance]`` table."""

    weight_temperature: float = 1.0  # η
    baseline: float | None = None  # a constant b; unset, it is the frozen agent's value of the newest state
    baseline_ema: float = 0.0  # weight of the last baseline in the moving average
    clip_baseline: bool = False  # to [0, 1]
    normalise_weights: bool = False  # to a mean of 1 in every batch

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "weight_temperature")
        share(self, "baseline_ema")


class QWeights:
    """The weights of the prior's rows, from critics frozen at the beginning of the life."""

    def __init__(self, settings: Settings, value: Value, prior: Prior, device: torch.device) -> None:
        self._settings, self._value = settings, value
        chunks = [slice(i, i + 8192) for i in range(0, len(prior), 8192)]
        q = torch.cat([value.q(_copy(prior.obs[c], device), _copy(prior.action[c], device)) for c in chunks])
        self._low, self._range = q.min(), (q.max() - q.min()).clamp(min=1e-8)
        self.prior_value = (q - self._low) / self._range  # (N,) Qn in [0, 1]
        self.baseline = torch.full((), torch.nan, device=device)  # until the first update

    def __call__(self, prior: Batch, newest: Tensor) -> tuple[Tensor, Metrics]:
        """Weights (B,) of prior rows; metrics: the baseline b and the mean weight."""
        b = self._where_now(newest)
        weight = q_weight(self.prior_value[prior.row], b, self._settings.weight_temperature)
        if self._settings.normalise_weights:
            weight = weight / weight.mean()
        return weight, {"guidance/baseline": b, "guidance/weight": weight.mean()}

    def _where_now(self, newest: Tensor) -> Tensor:
        if self._settings.baseline is not None:
            return torch.full((), self._settings.baseline, device=newest.device)
        now = (self._value.v(newest.unsqueeze(0))[0] - self._low) / self._range
        if self._settings.clip_baseline:
            now = now.clamp(0.0, 1.0)
        self.baseline.copy_(
            torch.where(
                self.baseline.isnan(), now, torch.lerp(now, self.baseline, self._settings.baseline_ema)
            )
        )
        return self.baseline.clone()

    def tensors(self) -> list[Tensor]:
        """The frozen value, its range over the prior, Qn (N,) and the baseline."""
        return [*self._value.tensors(), self._low, self._range, self.prior_value, self.baseline]


def _copy(rows: F32, device: torch.device) -> Tensor:
    return torch.tensor(rows, device=device)  # a copy: the prior's arrays are read-only


def q_weight(value: Tensor, baseline: Tensor, temperature: float) -> Tensor:
    """exp((Qn - b) / η) (B,), with the largest exponent limited to ±80.

    Far from the prior b can be -24, and exp(24 / 0.25) overflows float32; far above it all weights would be
    0. The same number is subtracted from all exponents, so that proportions stay; it is 0 within the limits.
    """
    exponent = (value - baseline) / temperature
    top = exponent.max()
    return (exponent - (top - top.clamp(-80.0, 80.0))).exp()


def make(settings: Settings, prior: Prior, agent: Agent, device: torch.device, **generators: Any) -> Gail:
    """GAIL with the weights of ``agent``'s critics as they are now, at the beginning of the life."""
    weigh = QWeights(settings, agent.frozen_value(), prior, device)
    return Gail(settings, prior, agent, device=device, weigh=weigh, **generators)
