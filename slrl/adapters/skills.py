"""Adaptation in skill space (SPiRL: Pertsch et al., 2020): frozen skills act, the choice of skill is learned.

A skill is held for H steps. For the inner adapter, such as ``replay`` with its guidance, a step is a whole
skill: from the state in which it was drawn to the state in which the next one is, rewarded with the sum of
its rewards.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from slrl.adapters.setup import Plan, Setup
from slrl.learning import skills
from slrl.learning.cache import Artefact
from slrl.learning.skills import REACH, SkillModel
from slrl.learning.skills import Settings as SkillSettings
from slrl.learning.state import nest, substate
from slrl.plugins import AdapterPlugin
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, State, Transition


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    inner: AdapterPlugin  # what chooses among skills, and learns
    skills: SkillSettings = field(default_factory=SkillSettings)


class Skills:
    """Draws a skill (Z,) every H steps, and decodes it to an action at every step."""

    def __init__(self, model: SkillModel, obs_dim: int, inner: Adapter) -> None:
        self.model, self.inner, self._device = model, inner, model.device
        self.began, self.skill = np.zeros(obs_dim, np.float32), np.zeros(model.size, np.float32)
        self.held, self.earned = 0, 0.0
        self._due = False  # whether a skill ended with the last observed step

    @torch.inference_mode()
    def act(self, obs: F32) -> F32:
        """The decoder's action (A,) for ``obs`` (O,) and the current skill.

        The inner adapter draws a new skill z / 2 in [-1, 1]^Z if the last one has ended.
        """
        if self.held == 0:
            self.began, self.skill, self.earned = obs.copy(), self.inner.act(obs), 0.0
        row = torch.from_numpy(np.concatenate([obs, self.skill])).to(self._device).unsqueeze(0)
        o = len(obs)
        action: F32 = self.model.decode(row[:, :o], REACH * row[:, o:])[0].cpu().numpy()
        return action

    def observe(self, transition: Transition) -> Metrics:
        """Sum the rewards; when the skill ends, pass it to the inner adapter as one transition."""
        self.held += 1
        self.earned += transition.reward
        over = transition.terminated or transition.truncated
        if self.held < self.model.horizon and not over:
            return {}
        self.held = 0
        self._due = True
        return self.inner.observe(transition._replace(obs=self.began, action=self.skill, reward=self.earned))

    def learn(self) -> Metrics:
        """Update the inner adapter after a skill has ended; nothing in between."""
        if not self._due:
            return {}
        self._due = False
        return self.inner.learn()

    def state_dict(self) -> State:
        """Inner adapter, skill model, and the current skill: start (O,), z / 2 (Z,), steps and rewards."""
        own = {
            "began": torch.from_numpy(self.began.copy()),
            "skill": torch.from_numpy(self.skill.copy()),
            "held": torch.tensor(self.held),
            "earned": torch.tensor(self.earned, dtype=torch.float64),
        }
        return nest(inner=self.inner.state_dict(), model=self.model.state_dict(), skills=own)

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.inner.load_state_dict(substate(state, "inner"))
        self.model.load_state_dict(substate(state, "model"))
        own = substate(state, "skills")
        self.began, self.skill = own["began"].numpy().copy(), own["skill"].numpy().copy()
        self.held, self.earned = int(own["held"]), float(own["earned"])


def dependencies(
    settings: SkillSettings, plan: Plan
) -> tuple[Artefact[SkillModel], Artefact[Prior], Artefact[Any]]:
    """The skills, the prior in skills, and the agent that learned to choose among them."""
    model = skills.artefact(settings, plan.prior, plan.seeds.skills, plan.device)
    high = skills.prior_in_skills(model)
    return model, high, plan.agents.artefact(high)


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """Skill model, agent over skills, and what the inner adapter needs."""
    model, high, agent = dependencies(settings.skills, plan)
    return [model, agent, *plan.inner(high, agent).of_adapter(settings.inner)]


def make(settings: Settings, setup: Setup) -> Skills:
    """Assemble from the artefacts. A step of the inner adapter is a whole skill."""
    model, high, agent = dependencies(settings.skills, setup.plan)
    found: SkillModel = setup.get(model)
    inner = setup.inner(settings.inner, high, agent, setup.life_steps // found.horizon + 1)
    return Skills(found, setup.prior.obs.shape[1], inner)
