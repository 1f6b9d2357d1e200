"""Values of the prior's skills by implicit Q-learning, and for a policy the skill prior: what the prior takes in each state."""

import torch

from slrl.errors import BadInput
from slrl.learning.agents.anchored import Anchored
from slrl.learning.offline.iql import Iql
from slrl.types import Batch, Metrics


class SkillIql(Iql):
    """IQL whose policy imitates all actions alike (advantage temperature 0): log p(z|s), and no advantage."""

    def __init__(self, agent: Anchored, expectile: float = 0.9) -> None:
        if not isinstance(agent, Anchored):
            raise BadInput(
                "the objective skill_iql needs the agent 'anchored', which is held to the skill prior."
            )
        super().__init__(agent, expectile, advantage_temperature=0.0)
        self._anchored = agent

    def update(self, batch: Batch) -> Metrics:
        metrics = super().update(batch)
        with torch.no_grad():
            self._anchored.anchor_here()
        return metrics


make = SkillIql
