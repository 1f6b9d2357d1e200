"""No guidance: the agent learns from the task's reward alone."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from slrl.types import Batch, Metrics, State


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.guidance]`` table: there is nothing to set."""


class NoGuidance:
    """The task's reward, unchanged."""

    def update(self, prior: Batch, life: Batch, newest: Tensor) -> Metrics:
        """Nothing is learned; no metrics."""
        return {}

    def reward(self, batch: Batch) -> Tensor:
        """(B,) the environment's reward of each row."""
        return batch.reward

    def state_dict(self) -> State:
        """Empty: there is no state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Accepts the empty state."""
        pass


def make(settings: Settings, **surroundings: Any) -> NoGuidance:
    """Ignores prior, agent and generators."""
    return NoGuidance()
