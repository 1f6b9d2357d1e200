"""No adaptation: the pretrained policy acts, and nothing learns. The baseline every adapter must beat."""

from slrl.learning.agents.sac import Sac
from slrl.types import F32, Metrics, State, Transition


class Frozen:
    """Acts with the policy's mode, or with draws from it."""

    def __init__(self, agent: Sac, sample: bool = False) -> None:
        self.agent, self._sample = agent, sample

    def act(self, obs: F32) -> F32:
        return self.agent.act(obs, sample=self._sample)

    def observe(self, transition: Transition) -> Metrics:
        return {}

    def state_dict(self) -> State:
        return self.agent.state_dict()

    def load_state_dict(self, state: State) -> None:
        self.agent.load_state_dict(state)


make = Frozen
