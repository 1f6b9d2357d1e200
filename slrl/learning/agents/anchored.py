"""Soft actor-critic regularised towards a given policy, the anchor (SPiRL: Pertsch et al., 2020).

The cost of an action is KL(π(·|s) ‖ p(·|s)) instead of log π, with the anchor p, which is also the initial
policy. Both are Gaussians squashed by the same tanh, so the divergence of the Gaussians is exact. The
temperature keeps it at ``target_divergence``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from slrl.learning.agents import sac
from slrl.learning.agents.sac import Sac
from slrl.learning.networks import mlp
from slrl.plugins import require
from slrl.priors import Prior

LARGEST = 100.0  # nats, as in the paper's code; a narrow anchor would give thousands


@dataclass(frozen=True, kw_only=True)
class Settings(sac.Settings):
    """The ``[agent]`` table of an adapter."""

    target_divergence: float = 1.0  # nats

    def __post_init__(self) -> None:
        super().__post_init__()
        goal = self.target_divergence
        require(goal > 0, f"target_divergence must be more than 0 nats, not {goal}")


class Anchored(Sac):
    """SAC with an anchor: N(0, 1) at first, and the policy as it was at :meth:`anchor_here` after that."""

    def __init__(
        self, settings: Settings, prior: Prior, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(settings, prior, generator, device)
        self.entropy_goal = -settings.target_divergence
        self.anchor = [p.detach().clone() for p in self.actor]
        self.anchor[-2].zero_(), self.anchor[-1].zero_()

    @torch.no_grad()
    def anchor_here(self) -> None:
        """Copy the policy's weights into the anchor."""
        for held, param in zip(self.anchor, self.actor, strict=True):
            held.copy_(param)

    def sample(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Reparameterised actions (B, A), and the policy's divergence from the anchor (B,) in nats."""
        mean, log_std = self.policy(obs)
        with torch.no_grad():
            anchor_mean, anchor_log_std = mlp(self.anchor, obs).float().chunk(2, dim=-1)
            anchor_log_std = anchor_log_std.clamp(-20.0, 2.0)
        action = torch.tanh(torch.addcmul(mean, log_std.exp(), noise))
        return action, divergence(mean, log_std, anchor_mean, anchor_log_std).clamp(max=LARGEST)

    def _tensors(self) -> dict[str, list[Tensor]]:
        return {**super()._tensors(), "anchor": self.anchor}


def divergence(mean: Tensor, log_std: Tensor, other_mean: Tensor, other_log_std: Tensor) -> Tensor:
    """KL(N(μ, σ) ‖ N(μ', σ')) (B,) = Σ log σ'/σ + (σ² + (μ - μ')²) / 2σ'² - 1/2."""
    ratio = (2 * (log_std - other_log_std)).exp()
    distance = ((mean - other_mean) * (-other_log_std).exp()).square()
    return (other_log_std - log_std + 0.5 * (ratio + distance) - 0.5).sum(-1)


def make(settings: Settings, prior: Prior, generator: torch.Generator, device: torch.device) -> Anchored:
    """A new agent with random weights, held to N(0, 1)."""
    return Anchored(settings, prior, generator, device)
