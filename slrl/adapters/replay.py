"""Off-policy adaptation: learn from prior and life together, rewarded by guidance."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from slrl import injection as plugins
from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.learning.state import nest, of_rng, part, set_rng
from slrl.priors import Prior
from slrl.types import F32, Guidance, Metrics, State, Transition


class Replay:
    """After every step: one row more, then the guidance learns, then the agent, with rewards from the present guidance."""

    def __init__(
        self,
        agent: Sac,
        prior: Prior,
        life_steps: int,
        rng: np.random.Generator,
        generator: torch.Generator,
        device: torch.device,
        guidance: dict[str, Any],
        batch_size: int = 256,
        prior_fraction: Literal["proportional"] | float = "proportional",
        updates_per_step: int = 1,
        update_every_steps: int = 1,
        warm_up_steps: int = 1000,
        biased_td_every: int = 0,
        guidance_batch_size: int = 256,
        guidance_updates_per_step: int = 1,
        buffer_life_rows: int = 1_000_000,
    ) -> None:
        self.agent, self._rng = agent, rng
        self.buffer = Buffer(prior, min(life_steps, buffer_life_rows), rng, device)
        name, settings = plugins.split(guidance, "[guidance]")
        self.guidance: Guidance = plugins.make(
            "slrl.learning.guidance",
            name,
            settings,
            where="[guidance]",
            prior=prior,
            agent=agent,
            rng=rng,
            generator=generator,
            device=device,
        )
        self._prior_fraction = None if prior_fraction == "proportional" else float(prior_fraction)
        self._batch_size, self._guidance_batch_size = batch_size, guidance_batch_size
        self._updates, self._every, self._warm_up = updates_per_step, update_every_steps, warm_up_steps
        self._biased_td_every, self._guidance_updates = biased_td_every, guidance_updates_per_step

        self.learning = (
            True  # a switch turns it off: then the policy's mode acts, and the buffer goes on filling
        )

    def act(self, obs: F32) -> F32:
        return self.agent.act(obs, sample=self.learning)

    def observe(self, transition: Transition) -> Metrics:
        buffer = self.buffer
        cut = self._biased_td_every > 0 and buffer.lived % self._biased_td_every == 0
        buffer.append(transition, bootstrap=not (transition.terminated or cut))
        if buffer.lived % self._every or not self.learning:
            return {}
        metrics: Metrics = {}
        for _ in range(self._guidance_updates):
            prior, life = (
                buffer.sample(self._guidance_batch_size, 1.0),
                buffer.sample(self._guidance_batch_size, 0.0),
            )
            metrics |= self.guidance.update(prior, life, buffer.newest())
        if buffer.lived >= self._warm_up:
            for update in range(
                1, self._updates + 1
            ):  # the policy once per step, on the last batch, as in RLPD
                batch = buffer.sample(self._batch_size, self._prior_fraction)
                reward = self.guidance.reward(batch)
                metrics |= self.agent.update(
                    batch._replace(reward=reward), improve_policy=update == self._updates
                )
                metrics["guidance/reward"] = reward.mean()
        return metrics

    def state_dict(self) -> State:
        return nest(
            agent=self.agent.state_dict(),
            guidance=self.guidance.state_dict(),
            buffer=self.buffer.state_dict(),
            rows=of_rng(self._rng),
        )

    def load_state_dict(self, state: State) -> None:
        for name, owner in (("agent", self.agent), ("guidance", self.guidance), ("buffer", self.buffer)):
            owner.load_state_dict(part(state, name))
        set_rng(self._rng, part(state, "rows"))


def check(settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the values, if anything."""
    fraction = settings["prior_fraction"]
    for key in ("batch_size", "guidance_batch_size", "update_every_steps", "buffer_life_rows"):
        if settings[key] < 1:
            return f"{key} must be 1 or more, not {settings[key]}"
    for key in ("updates_per_step", "guidance_updates_per_step", "warm_up_steps", "biased_td_every"):
        if settings[key] < 0:
            return f"{key} must be 0 or more, not {settings[key]}"
    if fraction != "proportional" and not 0 <= fraction <= 1:
        return f"prior_fraction must be 'proportional' or between 0 and 1, not {fraction}"
    return None


make = Replay
