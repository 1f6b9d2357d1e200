"""QWALE (Chen et al., You Only Live Once, 2022): adversarial guidance towards prior states of higher value.

A prior row (s, a) has the weight w = exp((Qn(s, a) - b) / η) in the discriminator's loss. Qn is the value by
the agent as it was at the beginning of the life, scaled to [0, 1] over the prior; b is the same agent's
scaled value of the newest state. Life rows weigh 1, so that b decides how much the prior counts beside the
life: where the life stands low, prior rows of the same value and above weigh more than its own rows.
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
    # Largest exponent of a row with Qn = 1, in either direction. The paper has no limit, and needs none where
    # b is in [0, 1]; far from the prior b can be -24.
    max_exponent: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "weight_temperature", "max_exponent")
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
        settings = self._settings
        value = self.prior_value[prior.row]
        weight = q_weight(value, b, settings.weight_temperature, settings.max_exponent)
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


def q_weight(value: Tensor, baseline: Tensor, temperature: float, max_exponent: float) -> Tensor:
    """exp((Qn - b) / η) (B,), with b limited so that |1 - b| / η is at most ``max_exponent``.

    All exponents are shifted by the same number, so that weights keep their proportions.
    """
    reach = temperature * max_exponent
    return ((value - baseline.clamp(1.0 - reach, 1.0 + reach)) / temperature).exp()


def make(settings: Settings, prior: Prior, agent: Agent, device: torch.device, **generators: Any) -> Gail:
    """GAIL with the weights of ``agent``'s critics as they are now, at the beginning of the life."""
    weigh = QWeights(settings, agent.frozen_value(), prior, device)
    return Gail(settings, prior, agent, device=device, weigh=weigh, **generators)
