"""No guidance: the agent learns from the task's reward alone."""

from torch import Tensor

from slrl.types import Batch, Metrics, State


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


make = NoGuidance
