"""Behaviour cloning: the policy imitates the prior's actions. It teaches the critics nothing."""

from dataclasses import dataclass
from typing import Any

import torch

from slrl.learning.agents.sac import Sac
from slrl.types import Batch, Metrics


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[pretrain.objective]`` table: there is nothing to set."""


class BehaviourCloning:
    """L_π = -mean log π(a|s). The critics are not trained."""

    def __init__(self, agent: Sac) -> None:
        self._agent = agent

    def update(self, batch: Batch) -> Metrics:
        """One step of the actor on -mean log π(a|s); the metric ``pretrain/actor_loss``."""
        agent = self._agent
        with agent.autocast():
            loss = -agent.log_prob(agent.normaliser(batch.obs), batch.action).mean()
        agent.actor_optimiser.step(torch.autograd.grad(loss, agent.actor))
        return {"pretrain/actor_loss": loss.detach()}


def make(settings: Settings, agent: Sac, **more: Any) -> BehaviourCloning:
    """Cloning draws nothing and needs no latents."""
    return BehaviourCloning(agent)
