"""No adaptation: the pretrained policy acts, and nothing learns. The baseline every adapter must beat."""

from dataclasses import dataclass

from slrl.adapters.setup import Setup
from slrl.learning.agents.sac import Sac
from slrl.types import F32, Metrics, State, Transition


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    sample: bool = False  # whether actions are drawn from the policy, instead of its mode


class Frozen:
    """Acts with the policy's mode, or with draws from it."""

    def __init__(self, settings: Settings, agent: Sac) -> None:
        self.agent, self._sample = agent, settings.sample

    def act(self, obs: F32) -> F32:
        """The policy's action (A,) in [-1, 1] for one observation (O,): its mode, or a draw if ``sample``."""
        return self.agent.act(obs, sample=self._sample)

    def observe(self, transition: Transition) -> Metrics:
        """Nothing is stored; no metrics."""
        return {}

    def learn(self) -> Metrics:
        """Nothing is updated; no metrics."""
        return {}

    def state_dict(self) -> State:
        """The agent's state; a frozen adapter has none of its own."""
        return self.agent.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load the agent's state, in place."""
        self.agent.load_state_dict(state)


def make(settings: Settings, setup: Setup) -> Frozen:
    """The method's agent, as it is."""
    return Frozen(settings, setup.agent())
