"""No guidance: the agent learns from the task's reward alone."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from slrl.types import Batch, Metrics, State


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.guidance]`` table: there is nothing to set."""


class NoGuidance:
    """Rewards what the task rewards."""

    def update(self, prior: Batch, life: Batch, newest: Tensor) -> Metrics:
        return {}

    def reward(self, batch: Batch) -> Tensor:
        return batch.reward

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


def make(settings: Settings, **surroundings: Any) -> NoGuidance:
    """The task's reward, whatever there is to learn another one from."""
    return NoGuidance()
