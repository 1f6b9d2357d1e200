"""Off-policy adaptation: learn from the rows of prior and life together, rewarded by guidance."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from slrl.adapters.setup import Setup
from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.learning.state import nest, of_rng, set_rng, substate
from slrl.plugins import GuidancePlugin, at_least, require
from slrl.types import F32, Guidance, Metrics, State, Transition


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    guidance: GuidancePlugin
    batch_size: int = 256
    prior_fraction: Literal["proportional"] | float = "proportional"  # of a batch; or uniform over all rows
    updates_per_step: int = 1
    update_every_steps: int = 1
    warm_up_steps: int = 1000  # steps of the life before the agent learns
    # Updates of the critics alone, all of them before the policy's first: the life's rewards are not those of
    # the pretraining, and a policy that follows critics of other rewards forgets what it knew (WSRL).
    warm_start_updates: int = 0
    biased_td_every: int = 0  # every so many steps a TD target has no bootstrap; 0: never
    guidance_batch_size: int = 256  # rows of prior and of life each
    guidance_updates_per_step: int = 1
    buffer_life_rows: int = 1_000_000  # the oldest are overwritten beyond that

    def __post_init__(self) -> None:
        at_least(self, 1, "batch_size", "guidance_batch_size", "update_every_steps", "buffer_life_rows")
        at_least(self, 0, "updates_per_step", "guidance_updates_per_step", "biased_td_every")
        at_least(self, 0, "warm_up_steps", "warm_start_updates")
        fraction = self.prior_fraction
        fine = fraction == "proportional" or 0 <= float(fraction) <= 1
        require(fine, f"prior_fraction must be 'proportional' or between 0 and 1, not {fraction}")


class Replay:
    """Each step: store a row, update the guidance, then the agent with rewards of the present guidance."""

    def __init__(
        self, settings: Settings, agent: Sac, guidance: Guidance, buffer: Buffer, rng: np.random.Generator
    ) -> None:
        self._settings, self.agent, self.guidance = settings, agent, guidance
        self.buffer, self._rng = buffer, rng
        fraction = settings.prior_fraction
        self._prior_fraction = None if fraction == "proportional" else float(fraction)
        # While a switch has it off, the policy's mode acts, and the buffer is still filled.
        self.learning = True
        self._warm = settings.warm_start_updates == 0  # whether critics have had their warm start
        self._due = False  # whether ``learn`` has work after the last observed step

    def act(self, obs: F32) -> F32:
        """An action (A,) drawn from the policy; its mode while ``learning`` is off."""
        return self.agent.act(obs, sample=self.learning)

    def observe(self, transition: Transition) -> Metrics:
        """Append the step to the buffer; no metrics. Every ``biased_td_every``-th row has no bootstrap."""
        buffer, every = self.buffer, self._settings.biased_td_every
        cut = every > 0 and buffer.lived % every == 0
        buffer.append(transition, bootstrap=not (transition.terminated or cut))
        self._due = self.learning and buffer.lived % self._settings.update_every_steps == 0
        return {}

    def learn(self) -> Metrics:
        """Update the guidance, then the agent.

        Nothing happens while ``learning`` is off, between ``update_every_steps``, and to the agent before
        ``warm_up_steps``. The first time, the critics get their warm start. The policy is updated once, on
        the last batch, as in RLPD.
        """
        if not self._due:
            return {}
        self._due = False
        settings, buffer, metrics = self._settings, self.buffer, Metrics()
        size = settings.guidance_batch_size
        for _ in range(settings.guidance_updates_per_step):
            prior, life = buffer.sample(size, 1.0), buffer.sample(size, 0.0)
            metrics |= self.guidance.update(prior, life, buffer.newest())
        if buffer.lived >= settings.warm_up_steps:
            if not self._warm:
                self._warm = True
                for _ in range(settings.warm_start_updates):
                    self._update_agent(improve_policy=False)
            updates = settings.updates_per_step
            for update in range(1, updates + 1):  # the policy once per step, on the last batch, as in RLPD
                metrics |= self._update_agent(improve_policy=update == updates)
        return metrics

    def _update_agent(self, *, improve_policy: bool) -> Metrics:
        """One update on a batch of prior and life, with the guidance's rewards."""
        batch = self.buffer.sample(self._settings.batch_size, self._prior_fraction)
        reward = self.guidance.reward(batch)
        metrics = self.agent.update(batch._replace(reward=reward), improve_policy=improve_policy)
        return metrics | {"guidance/reward": reward.mean()}

    def state_dict(self) -> State:
        """Agent, guidance, the life's rows, the generator of rows, and whether the warm start is over."""
        return nest(
            agent=self.agent.state_dict(),
            guidance=self.guidance.state_dict(),
            buffer=self.buffer.state_dict(),
            rows=of_rng(self._rng),
        ) | {"warm": torch.tensor(self._warm)}

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of an adapter with the same settings and prior."""
        for name, owner in (("agent", self.agent), ("guidance", self.guidance), ("buffer", self.buffer)):
            owner.load_state_dict(substate(state, name))
        set_rng(self._rng, substate(state, "rows"))
        self._warm = bool(state["warm"])


def make(settings: Settings, setup: Setup) -> Replay:
    """The method's agent with a new guidance, and a buffer with the prior's rows and none of the life."""
    agent, prior = setup.agent(), setup.prior
    rows = min(setup.life_steps, settings.buffer_life_rows)
    buffer = Buffer(prior, rows, setup.rng, setup.device)
    guidance = settings.guidance.make(
        prior=prior, agent=agent, rng=setup.rng, generator=setup.generator, device=setup.device
    )
    return Replay(settings, agent, guidance, buffer, setup.rng)
