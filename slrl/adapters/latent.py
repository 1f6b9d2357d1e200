"""Rapid motor adaptation (RMA: Kumar et al., 2021): the policy is told a latent z, which is read from the last steps of the life.

No weight changes and no reward is needed: z answers a change of dynamics as soon as the history shows it. What acts on the
observation and z is another adapter, the inner one: ``frozen`` for RMA itself, ``replay`` to let the weights learn meanwhile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slrl import injection as plugins
from slrl.adapters import Pretrainer, computed
from slrl.errors import BadInput
from slrl.learning.agents.sac import Sac
from slrl.learning.extrinsics import Extrinsics
from slrl.learning.networks import Adam
from slrl.learning.state import fingerprint, nest, part
from slrl.priors import Prior
from slrl.types import F32, Adapter, Metrics, RandomisedWorld, State, Transition


class Latent:
    """Keeps the last k steps, refreshes z from them every so many steps, and lets the inner adapter see [obs, z]."""

    def __init__(
        self,
        prior: Prior,
        pretrainer: Pretrainer,
        life_steps: int,
        rng: np.random.Generator,
        generator: torch.Generator,
        device: torch.device,
        inner: dict[str, Any],
        extrinsics: dict[str, Any],
        refresh_every: int = 10,
        fit_latent: int = 0,
        fit_lr: float = 0.1,
        rollout_episodes: int = 100,
        rollout_steps: int = 100,
        student_steps: int = 2000,
        told: bool = True,
    ) -> None:
        if extrinsics.get("source") == "env_params" and prior.env_params is None:
            raise BadInput(
                f"prior {prior.name} did not record its physical parameters (env_params), which source = 'env_params' needs; "
                "take source = 'history'."
            )
        extrinsics = {"seed": pretrainer.seeds.latents} | extrinsics
        self.extrinsics = Extrinsics(prior, device, **extrinsics)
        on: list[object] = [prior.sha256, extrinsics]
        pretrainer.once(self.extrinsics, "extrinsics", *on)
        seen = prior
        if told:
            weights = fingerprint([*self.extrinsics.phi, *self.extrinsics.mu, *self.extrinsics.mu_linear])
            latents = computed(pretrainer, "latents", self.extrinsics.latents, *on, weights)
            seen = conditioned(prior, latents.cpu().numpy())
        agent = pretrainer.agent(seen, *on, latents=self.extrinsics)
        world = (
            pretrainer.world()
            if self.extrinsics.privileged and told and student_steps and rollout_episodes
            else None
        )
        if world is not None:
            seed = pretrainer.seeds.student
            student = Student(
                self.extrinsics, agent, world, rollout_episodes, rollout_steps, student_steps, seed
            )
            pretrainer.once(student, "student", *on, fingerprint(agent.actor), student.about)
            world.close()
        name, settings = plugins.split(inner, "[adapter.inner]")
        self.inner: Adapter = plugins.make(
            "slrl.adapters",
            name,
            settings,
            where="[adapter.inner]",
            agent=agent,
            prior=seen,
            life_steps=life_steps,
            rng=rng,
            generator=generator,
            device=device,
            pretrainer=pretrainer,
        )
        self._device, self._told = device, told
        self.every = self.usual = refresh_every  # steps between two readings of z
        self._fit_steps, self._fit_lr = fit_latent, fit_lr
        o, a, k = prior.obs.shape[1], prior.action.shape[1], self.extrinsics.history
        self.recent = torch.zeros(
            k, 2 * o + a + 1, device=device
        )  # obs, action, reward, next_obs; newest last
        self._edges = [o, a, 1, o]
        self.lived = torch.zeros((), dtype=torch.int64)
        self.z = self.inferred()

    def act(self, obs: F32) -> F32:
        return self.inner.act(self._with_z(obs))

    def observe(self, transition: Transition) -> Metrics:
        before = self._with_z(transition.obs)
        self.recent = self.recent.roll(-1, 0)
        row = np.concatenate([transition.obs, transition.action, [transition.reward], transition.next_obs])
        self.recent[-1] = torch.from_numpy(row.astype(np.float32))
        self.lived += 1
        metrics: Metrics = {}
        if int(self.lived) % self.every == 0:
            old, self.z = self.z, self.inferred()
            if self._fit_steps:
                self.z = self.fitted(self.z)
            metrics = {"adapter/latent_norm": self.z.norm(), "adapter/latent_change": (self.z - old).norm()}
        after = self._with_z(transition.next_obs)
        return {**metrics, **self.inner.observe(transition._replace(obs=before, next_obs=after))}

    @torch.no_grad()
    def inferred(self) -> Tensor:
        """z (Z,) that φ reads from the life so far."""
        obs, action, _, next_obs = torch.split(self.recent, self._edges, -1)
        k = len(self.recent)
        there = torch.arange(k, 0, -1, device=self._device) <= min(int(self.lived), self.extrinsics.shown)
        features = self.extrinsics.features(obs, action, next_obs)
        return self.extrinsics.infer(features.unsqueeze(0), there.unsqueeze(0))[0]

    def fitted(self, start: Tensor) -> Tensor:
        """z (Z,) from ``start`` some steps down the error of the dynamics on the recent steps, for what φ has never met."""
        lived = min(int(self.lived), self.extrinsics.shown)
        obs, action, reward, next_obs = torch.split(self.recent[-lived:], self._edges, -1)
        z = start.clone().requires_grad_()
        optimiser = Adam([z], self._fit_lr)
        for _ in range(self._fit_steps):
            loss = self.extrinsics.dynamics.loss(obs, action, reward[:, 0], next_obs, z.expand(lived, -1))
            optimiser.step(torch.autograd.grad(loss, [z]))
        return z.detach()

    def _with_z(self, obs: F32) -> F32:
        return np.concatenate([obs, self.z.cpu().numpy()]) if self._told else obs

    def state_dict(self) -> State:
        own = {"recent": self.recent.clone(), "lived": self.lived.clone(), "z": self.z.clone()}
        return nest(inner=self.inner.state_dict(), extrinsics=self.extrinsics.state_dict(), latent=own)

    def load_state_dict(self, state: State) -> None:
        self.inner.load_state_dict(part(state, "inner"))
        self.extrinsics.load_state_dict(part(state, "extrinsics"))
        own = part(state, "latent")
        self.recent, self.lived, self.z = own["recent"].clone(), own["lived"].clone(), own["z"].clone()


class Student:
    """Phase 2 in the source world: the policy acts on what φ says, and φ learns from where that leads (DAgger)."""

    def __init__(
        self,
        extrinsics: Extrinsics,
        agent: Sac,
        world: RandomisedWorld,
        episodes: int,
        episode_steps: int,
        steps: int,
        seed: int,
    ) -> None:
        self._extrinsics, self._agent, self._world = extrinsics, agent, world
        self._episodes, self._episode_steps, self.steps = (
            episodes,
            min(episode_steps, world.episode_steps),
            steps,
        )
        self.about, self._rng = (episodes, episode_steps, steps, seed), np.random.default_rng(seed)

    def learn(self) -> Iterator[Metrics]:
        """Act first, then learn from those episodes and the prior in equal parts."""
        extrinsics, prior = self._extrinsics, self._extrinsics.prior
        extrinsics.rng = self._rng  # the same whether phase 1 was learned now or loaded
        episodes = [self._episode() for _ in range(self._episodes)]
        number = np.repeat(np.arange(len(episodes)), [len(episode[1]) for episode in episodes])
        obs, action, next_obs = (np.concatenate([episode[i] for episode in episodes]) for i in (0, 1, 2))
        windows = extrinsics.windows_of(obs, action, next_obs, number)
        params = torch.tensor(
            np.stack([episode[3] for episode in episodes])[number], device=extrinsics.device
        )
        half = extrinsics.batch_size // 2
        for _ in range(self.steps):
            lived, known = extrinsics.draw(len(number), half), extrinsics.draw(len(prior), half)
            yield extrinsics.imitate(
                [(windows, lived, params[lived]), (extrinsics.windows, known, extrinsics.params[known])]
            )

    def _episode(self) -> tuple[F32, F32, F32, F32]:
        """Observations, actions and next observations of an episode that the student acted in, and its parameters."""
        extrinsics, obs_dim = self._extrinsics, self._extrinsics.dynamics.obs_dim
        obs, params = self._world.reset()
        rows: list[F32] = []
        features = torch.zeros(
            extrinsics.history, 2 * obs_dim + self._agent.action_dim, device=extrinsics.device
        )
        there = torch.zeros(extrinsics.history, dtype=torch.bool, device=extrinsics.device)
        z = np.zeros(extrinsics.size, np.float32)
        over = False
        while len(rows) < self._episode_steps and not over:
            if len(rows) % 5 == 0:
                with torch.no_grad():
                    z = extrinsics.infer(features.unsqueeze(0), there.unsqueeze(0))[0].cpu().numpy()
            shake = 0.1 * self._rng.standard_normal(self._agent.action_dim)
            action = np.clip(self._agent.act(np.concatenate([obs, z]), sample=False) + shake, -1, 1).astype(
                np.float32
            )
            next_obs, over = self._world.step(action)
            rows.append(np.concatenate([obs, action, next_obs]))
            step = torch.from_numpy(rows[-1]).to(extrinsics.device)
            new = extrinsics.features(step[:obs_dim], step[obs_dim:-obs_dim], step[-obs_dim:])
            features, there = (
                torch.cat([features[1:], new.unsqueeze(0)]),
                torch.cat([there[1:], torch.ones_like(there[:1])]),
            )
            there[: -extrinsics.shown] = False
            obs = next_obs
        lived = np.stack(rows)
        return lived[:, :obs_dim], lived[:, obs_dim:-obs_dim], lived[:, -obs_dim:], params

    def state_dict(self) -> State:
        return self._extrinsics.state_dict()

    def load_state_dict(self, state: State) -> None:
        self._extrinsics.load_state_dict(state)


def conditioned(prior: Prior, latents: F32) -> Prior:
    """The prior as an agent sees it that is told the latent (N, Z) of each row."""
    obs, next_obs = (np.concatenate([values, latents], 1) for values in (prior.obs, prior.next_obs))
    return replace(prior, obs=obs, next_obs=next_obs, latent_size=latents.shape[1])


def check(settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the values, if anything."""
    extrinsics = plugins.complete(Extrinsics, settings["extrinsics"], where="[adapter.extrinsics]")
    if settings["refresh_every"] < 1:
        return f"refresh_every must be 1 or more, not {settings['refresh_every']}"
    for key in ("fit_latent", "rollout_episodes", "rollout_steps", "student_steps"):
        if settings[key] < 0:
            return f"{key} must be 0 or more, not {settings[key]}"
    if extrinsics["history"] < 10:
        return f"extrinsics.history must be 10 steps or more, not {extrinsics['history']}"
    if min(extrinsics["size"], extrinsics["steps"], extrinsics["batch_size"]) < 1:
        return "size, steps and batch_size of extrinsics must be 1 or more"
    return None


make = Latent
