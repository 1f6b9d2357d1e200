"""Adaptation in skill space (SPiRL: Pertsch et al., 2020): actions come from frozen skills, and what is learned is which to take.

A skill is held for H steps. For the inner adapter, ``replay`` with its guidance, a step is a whole skill: from the state in which
it was drawn to the state in which the next one is, rewarded with the sum of its rewards.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from slrl import injection as plugins
from slrl.adapters import Pretrainer, computed
from slrl.errors import BadInput
from slrl.learning.skills import REACH, SkillModel
from slrl.learning.state import fingerprint, nest, part
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, State, Transition


class Skills:
    """Draws a skill where the last one ended, and acts by it until it has been held for H steps or the life is over."""

    def __init__(
        self,
        prior: Prior,
        pretrainer: Pretrainer,
        life_steps: int,
        rng: np.random.Generator,
        generator: torch.Generator,
        device: torch.device,
        skills: dict[str, Any],
        inner: dict[str, Any],
    ) -> None:
        self.model, high = trained(prior, pretrainer, device, skills)
        agent = pretrainer.agent(high)
        name, settings = plugins.split(inner, "[adapter.inner]")
        self.inner: Adapter = plugins.make(
            "slrl.adapters",
            name,
            settings,
            where="[adapter.inner]",
            agent=agent,
            prior=high,
            rng=rng,
            generator=generator,
            life_steps=life_steps // self.model.horizon + 1,
            device=device,
            pretrainer=pretrainer,
        )
        o, z = prior.obs.shape[1], self.model.size
        self._device = device
        self.began, self.skill = np.zeros(o, np.float32), np.zeros(z, np.float32)
        self.held, self.earned = 0, 0.0

    @torch.inference_mode()
    def act(self, obs: F32) -> F32:
        if self.held == 0:
            self.began, self.skill, self.earned = obs.copy(), self.inner.act(obs), 0.0
        row = torch.from_numpy(np.concatenate([obs, self.skill])).to(self._device).unsqueeze(0)
        o = len(obs)
        action: F32 = self.model.decode(row[:, :o], REACH * row[:, o:])[0].cpu().numpy()
        return action

    def observe(self, transition: Transition) -> Metrics:
        self.held += 1
        self.earned += transition.reward
        over = transition.terminated or transition.truncated
        if self.held < self.model.horizon and not over:
            return {}
        self.held = 0
        whole = transition._replace(obs=self.began, action=self.skill, reward=self.earned)
        return self.inner.observe(whole)

    def state_dict(self) -> State:
        own = {
            "began": torch.from_numpy(self.began.copy()),
            "skill": torch.from_numpy(self.skill.copy()),
            "held": torch.tensor(self.held),
            "earned": torch.tensor(self.earned, dtype=torch.float64),
        }
        return nest(inner=self.inner.state_dict(), model=self.model.state_dict(), skills=own)

    def load_state_dict(self, state: State) -> None:
        self.inner.load_state_dict(part(state, "inner"))
        self.model.load_state_dict(part(state, "model"))
        own = part(state, "skills")
        self.began, self.skill = own["began"].numpy().copy(), own["skill"].numpy().copy()
        self.held, self.earned = int(own["held"]), float(own["earned"])


def trained(
    prior: Prior, pretrainer: Pretrainer, device: torch.device, settings: dict[str, Any]
) -> tuple[SkillModel, Prior]:
    """The skills of a prior, learned or loaded, and the prior in skills."""
    settings = {"seed": pretrainer.seeds.skills} | settings
    model = SkillModel(prior, device, **settings)
    longest = int((prior.ends - prior.starts).max()) + 1
    if longest < model.horizon:
        raise BadInput(
            f"prior {prior.name} has no episode of {model.horizon} steps, the length of a skill: its longest has "
            f"{longest}; choose a shorter skills.horizon."
        )
    pretrainer.once(model, "skills", prior.sha256, settings)
    encoded = computed(
        pretrainer, "encoded", model.encoded, prior.sha256, settings, fingerprint(model.weights())
    )
    return model, model.as_prior(encoded)


def check(settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the values, if anything."""
    skills = plugins.complete(SkillModel, settings["skills"], where="[adapter.skills]")
    for key in ("size", "horizon", "steps", "batch_size", "hidden"):
        if skills[key] < 1:
            return f"skills.{key} must be 1 or more, not {skills[key]}"
    return None


make = Skills
