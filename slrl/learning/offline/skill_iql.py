"""IQL for the values of the prior's skills; its policy is the skill prior p(z|s)."""

from dataclasses import dataclass
from typing import Any

import torch

from slrl.errors import BadInput
from slrl.learning.agents.anchored import Anchored
from slrl.learning.offline import iql
from slrl.learning.offline.iql import Iql
from slrl.plugins import require
from slrl.types import Batch, Metrics


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[pretrain.objective]`` table."""

    expectile: float = 0.9  # ξ

    def __post_init__(self) -> None:
        require(0 < self.expectile < 1, f"expectile must be between 0 and 1, not {self.expectile}")


class SkillIql(Iql):
    """IQL with the advantage temperature 0: the policy maximises log p(z|s) over all rows alike."""

    def __init__(self, settings: Settings, agent: Anchored) -> None:
        if not isinstance(agent, Anchored):
            raise BadInput(
                "the objective skill_iql needs the agent 'anchored', which is held to the skill prior."
            )
        super().__init__(iql.Settings(expectile=settings.expectile, advantage_temperature=0.0), agent)
        self._anchored = agent

    def update(self, batch: Batch) -> Metrics:
        """One step of IQL; then the anchor is set to the policy, which is the skill prior."""
        metrics = super().update(batch)
        with torch.no_grad():
            self._anchored.anchor_here()
        return metrics


def make(settings: Settings, agent: Anchored, **more: Any) -> SkillIql:
    """It draws nothing and needs no latents."""
    return SkillIql(settings, agent)
