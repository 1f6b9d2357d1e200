"""SAC that resolves where the prior arrived: observations are centred on the goal, and finely scaled there.

The scale of the whole prior hides the last steps: half a unit beside a goal is a two-hundredth of a standard
deviation. Entries that are alike at all of the prior's successes are normalised by their spread there
(:meth:`slrl.learning.networks.Normaliser.resolve_arrivals`). Far inputs become large by it, so the critics
need LayerNorm; without it their values diverge.
"""

from dataclasses import dataclass

import torch

from slrl.learning.agents import sac
from slrl.learning.agents.sac import Sac
from slrl.priors import Prior


@dataclass(frozen=True, kw_only=True)
class Settings(sac.Settings):
    """The ``[agent]`` table: that of ``sac``, with LayerNorm in the critics."""

    layer_norm: bool = True  # without it critics may diverge with this scale of the inputs


def make(settings: Settings, prior: Prior, generator: torch.Generator, device: torch.device) -> Sac:
    """An agent whose networks are drawn from ``generator``, for the observations of ``prior``."""
    agent = Sac(settings, prior, generator, device)
    agent.normaliser.resolve_arrivals(prior)
    return agent
