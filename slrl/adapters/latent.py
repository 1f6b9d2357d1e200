"""Rapid motor adaptation (RMA: Kumar et al., 2021): the policy receives a latent z of recent steps.

No weight changes and no reward is needed: z changes as soon as the history shows other dynamics. The inner
adapter acts on the observation and z: ``frozen`` for RMA itself, ``replay`` to train the weights as well.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from slrl.adapters.setup import Plan, Setup
from slrl.envs.rollout import rollout
from slrl.learning import extrinsics
from slrl.learning.agents.sac import Sac
from slrl.learning.cache import Artefact
from slrl.learning.extrinsics import Extrinsics, History
from slrl.learning.networks import Adam
from slrl.learning.state import nest, substate
from slrl.plugins import AdapterPlugin, at_least, positive, require
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, RandomisedSource, RandomisedWorld, State, Transition


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    inner: AdapterPlugin  # what acts on the observation and z
    extrinsics: extrinsics.Settings
    # fixed, a control: z keeps its value of an empty history for the whole life; nothing is learned otherwise
    latent: Literal["inferred", "fixed"] = "inferred"
    refresh_every: int = 10  # steps between two inferences of z
    fit_latent: int = 0  # gradient steps on z at every refresh, on the error of the dynamics
    fit_lr: float = 0.1
    rollout_episodes: int = 100  # in the randomised source world, where the student acts
    rollout_steps: int = 100
    student_steps: int = 2000
    condition_policy: bool = True  # whether the policy receives z; if not, only the objective uses it

    def __post_init__(self) -> None:
        at_least(self, 1, "refresh_every")
        at_least(self, 0, "fit_latent", "rollout_episodes", "rollout_steps", "student_steps")
        positive(self, "fit_lr")
        if self.latent == "fixed":
            require(self.fit_latent == 0, "fit_latent must be 0 where latent = 'fixed': z is not to change")
            seen = self.condition_policy
            require(
                seen, "latent = 'fixed' is for a policy that receives z; condition_policy = false does not"
            )


class Latent:
    """Keeps the last k steps, infers z from them every few steps, and gives the inner adapter [obs, z].

    With ``latent = "fixed"``, a control, z keeps its value of before the first step.
    """

    def __init__(self, settings: Settings, latents: Extrinsics, inner: Adapter) -> None:
        self._settings, self.extrinsics, self.inner = settings, latents, inner
        self.every = self.usual = settings.refresh_every
        self.history = History(latents)
        self.z = self.history.inferred()

    def act(self, obs: F32) -> F32:
        """The inner adapter's action (A,) for [obs, z]; obs is (O,)."""
        return self.inner.act(self._with_z(obs))

    def observe(self, transition: Transition) -> Metrics:
        """Append the step to the history, infer z where it is due, and pass [obs, z] to the inner adapter.

        ``obs`` carries the z that the step was taken with, ``next_obs`` the present one. Metrics at each
        refresh: the norm of z and of its change.
        """
        before = self._with_z(transition.obs)
        self.history.append(transition)
        metrics: Metrics = {}
        if self.history.due(self.every):
            old = self.z
            if self._settings.latent == "inferred":
                self.z = self.history.inferred()
            if self._settings.fit_latent:
                self.z = self.fitted(self.z)
            metrics = {"adapter/latent_norm": self.z.norm(), "adapter/latent_change": (self.z - old).norm()}
        after = self._with_z(transition.next_obs)
        return {**metrics, **self.inner.observe(transition._replace(obs=before, next_obs=after))}

    def learn(self) -> Metrics:
        """The inner adapter's weights; z is inferred, not learned."""
        return self.inner.learn()

    def fitted(self, start: Tensor) -> Tensor:
        """z (Z,) from ``start`` by ``fit_latent`` gradient steps on the dynamics' recent error.

        For changes that φ was not trained on.
        """
        obs, action, reward, next_obs = self.history.steps()
        z = start.clone().requires_grad_()
        optimiser = Adam([z], self._settings.fit_lr)
        for _ in range(self._settings.fit_latent):
            loss = self.extrinsics.dynamics.loss(obs, action, reward, next_obs, z.expand(len(obs), -1))
            optimiser.step(torch.autograd.grad(loss, [z]))
        return z.detach()

    def _with_z(self, obs: F32) -> F32:
        return np.concatenate([obs, self.z.cpu().numpy()]) if self._settings.condition_policy else obs

    def state_dict(self) -> State:
        """The inner adapter, the latents' networks, the history (k, 2 O + A + 1), steps lived, and z (Z,)."""
        own = {**self.history.state_dict(), "z": self.z.clone()}
        return nest(inner=self.inner.state_dict(), extrinsics=self.extrinsics.state_dict(), latent=own)

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.inner.load_state_dict(substate(state, "inner"))
        self.extrinsics.load_state_dict(substate(state, "extrinsics"))
        own = substate(state, "latent")
        self.history.load_state_dict(own)
        self.z = own["z"].clone()


class Student:
    """Phase 2 in the source world: the policy acts with φ's z, and φ learns from the outcome (DAgger)."""

    def __init__(
        self, settings: Settings, latents: Extrinsics, agent: Sac, source: RandomisedSource, seed: int
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self.latents, self._agent, self._source = latents.with_own_phi(self._rng), agent, source
        self._episodes, self._episode_steps = settings.rollout_episodes, settings.rollout_steps
        self._every = settings.refresh_every
        self.steps = settings.student_steps

    def learn(self) -> Iterator[Metrics]:
        """Roll out the policy first, then train φ on those episodes and the prior in equal parts."""
        extrinsics, prior = self.latents, self.latents.prior
        world = self._source.open()
        episodes = [self._episode(world) for _ in range(self._episodes)]
        world.close()
        lengths = [len(episode[1]) for episode in episodes]
        first = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
        obs, action, next_obs = (np.concatenate([episode[i] for episode in episodes]) for i in (0, 1, 2))
        windows = extrinsics.windows_of(obs, action, next_obs, first)
        drawn = np.repeat(np.stack([episode[3] for episode in episodes]), lengths, axis=0)
        params = torch.tensor(drawn, device=extrinsics.device)
        half = extrinsics.batch_size // 2
        for _ in range(self.steps):
            lived, known = extrinsics.draw(len(first), half), extrinsics.draw(len(prior), half)
            yield extrinsics.imitate(
                [(windows, lived, params[lived]), (extrinsics.windows, known, extrinsics.params[known])]
            )

    def _episode(self, world: RandomisedWorld) -> tuple[F32, F32, F32, F32]:
        """One episode with inferred z: obs (T, O), action (T, A), next_obs (T, O), parameters (E,).

        z is inferred every ``refresh_every`` steps, as in a life; the actions have Gaussian noise of standard
        deviation 0.1.
        """
        history, drawn = History(self.latents), world.draw()
        assert drawn.params is not None
        z, rows = np.zeros(self.latents.size, np.float32), list[Transition]()

        def act(obs: F32) -> F32:
            nonlocal z
            if history.due(self._every):
                z = history.inferred().cpu().numpy()
            noise = 0.1 * self._rng.standard_normal(self._agent.action_dim)
            action = self._agent.act(np.concatenate([obs, z]), sample=False) + noise
            clipped: F32 = np.clip(action, -1, 1).astype(np.float32)
            return clipped

        steps = min(self._episode_steps, world.episode_steps)
        for step in rollout(drawn.env, act, seed=drawn.seed, max_steps=steps):
            rows.append(step.transition)
            history.append(step.transition)
        obs, action, next_obs = (
            np.stack(columns) for columns in zip(*((r.obs, r.action, r.next_obs) for r in rows), strict=True)
        )
        return obs, action, next_obs, drawn.params

    def state_dict(self) -> State:
        """The latents, with the φ that the student trained."""
        return self.latents.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load the latents, in place."""
        self.latents.load_state_dict(state)


class Dependencies(NamedTuple):
    """The artefacts that a latent adapter is assembled from."""

    latents: Artefact[Extrinsics]
    seen: Artefact[Prior]  # the prior as the policy sees it
    agent: Artefact[Any]
    student: Artefact[Student] | None  # None where the source world cannot be randomised


def dependencies(settings: Settings, plan: Plan) -> Dependencies:
    """The latents, the agent conditioned on them, and the student that acts with them."""
    latents = extrinsics.artefact(settings.extrinsics, plan.prior, plan.seeds.latents, plan.device)
    seen = plan.prior
    if settings.condition_policy:
        seen = extrinsics.conditioned(plan.prior, extrinsics.prior_latents(latents))
    agent = plan.agents.artefact(seen, latents)
    acts = settings.condition_policy and settings.student_steps > 0 and settings.rollout_episodes > 0
    source = plan.world if acts and extrinsics.knows_params(settings.extrinsics, plan.root) else None
    if source is None:
        return Dependencies(latents, seen, agent, None)
    seed, world = plan.seeds.student, source
    student: Artefact[Student] = Artefact(
        name="student",
        build=lambda latents, agent: Student(settings, latents, agent.agent, world, seed),
        about={
            "episodes": settings.rollout_episodes,
            "episode_steps": settings.rollout_steps,
            "refresh_every": settings.refresh_every,
            "steps": settings.student_steps,
            "seed": seed,
            "world": source.about,
        },
        needs=(latents, agent),
        version=4,  # 3: φ did not read the newest two of fifty steps
        steps=settings.student_steps,
        ms_per_step=5.0,
    )
    return Dependencies(latents, seen, agent, student)


def learned_latents(found: Any) -> Extrinsics:
    """The latents of a student, or the latents themselves where there is no student."""
    return found.latents if isinstance(found, Student) else found


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """Latents, agent, what the inner adapter needs, and the student if there is one."""
    needed = dependencies(settings, plan)
    inside = plan.inner(needed.seen, needed.agent).of_adapter(settings.inner)
    return [needed.latents, needed.agent, *inside, *([needed.student] if needed.student else [])]


def make(settings: Settings, setup: Setup) -> Latent:
    """Assemble from the artefacts; the student's latents replace those of phase 1.

    Without physical parameters in the prior it says that this is not RMA, unless the settings say so already.
    """
    needed = dependencies(settings, setup.plan)
    latents = learned_latents(setup.get(needed.student or needed.latents))
    if settings.condition_policy and settings.extrinsics.source == "auto" and not latents.privileged:
        unsaid = f"prior {setup.plan.root.name} did not record its physical parameters (env_params)"
        print(f"slrl: {unsaid}: z is a latent from history, not RMA", file=sys.stderr)
    inner = setup.inner(settings.inner, needed.seen, needed.agent)
    return Latent(settings, latents, inner)
