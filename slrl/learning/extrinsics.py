"""Extrinsics: what differs between worlds, as a latent z from recent steps (RMA: Kumar et al., 2021).

μ maps physical parameters to z, the dynamics f(s, a, z) determine what z must contain, and φ infers z from
the last k steps. On a prior with recorded parameters μ and f are trained first, then φ to predict μ's output.
Without parameters φ and f are trained together: z is what of the past helps to predict the next step.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slrl.errors import Unsupported
from slrl.learning.cache import Artefact, Table, computed_on
from slrl.learning.dynamics import Dynamics
from slrl.learning.networks import Adam, mlp, mlp_params
from slrl.learning.seeds import with_seed
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.plugins import at_least, layers, positive, require, seed, table
from slrl.priors import Prior
from slrl.types import F32, Metrics, State, Transition

KERNELS = ((8, 4), (5, 1), (5, 1))  # size and stride of φ's convolutions: 48 steps become 11, 7, 3
SHORTEST = 40  # steps that they need; shorter histories are padded with masked steps before
POOLED = 3  # length of the convolutions' output, for a history of any length
EMBEDDED = 32


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Features of N consecutive steps, from which histories of k steps are cut."""

    features: Tensor  # (N, F)
    first: Tensor  # (N,) int64 first row of the row's episode

    def read(self, rows: Tensor, length: int, longest: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The ``length`` steps before each row, newest last (B, length, F), and their mask (B, length).

        The mask is False before the episode's first step, and for all but the newest ``longest`` (B,) steps.
        """
        ago = torch.arange(length, 0, -1, device=rows.device)
        index = rows.unsqueeze(1) - ago
        mask = index >= self.first[rows].unsqueeze(1)
        if longest is not None:
            mask &= ago <= longest.unsqueeze(1)
        return self.features[index.clamp(min=0)], mask


class History:
    """The last k steps of a life, from which φ infers z; steps that were not lived yet are masked."""

    def __init__(self, latents: "Extrinsics") -> None:
        self._latents, o, a = latents, latents.prior.obs.shape[1], latents.prior.action.shape[1]
        self._edges = [o, a, 1, o]
        # (k, 2 O + A + 1): obs, action, reward, next_obs; newest last
        self.recent = torch.zeros(latents.history, 2 * o + a + 1, device=latents.device)
        self.lived = torch.zeros((), dtype=torch.int64)

    def append(self, transition: Transition) -> None:
        """One more step, without z behind its observations."""
        row = np.concatenate([transition.obs, transition.action, [transition.reward], transition.next_obs])
        self.recent = self.recent.roll(-1, 0)
        self.recent[-1] = torch.from_numpy(row.astype(np.float32))
        self.lived += 1

    def due(self, every: int) -> bool:
        """Whether z is to be inferred anew after the last step, as it is every so many steps."""
        return int(self.lived) % every == 0

    @torch.no_grad()
    def inferred(self) -> Tensor:
        """z (Z,) from the last steps."""
        obs, action, _, next_obs = torch.split(self.recent, self._edges, -1)
        k = len(self.recent)
        mask = torch.arange(k, 0, -1, device=self.recent.device) <= self._seen()
        features = self._latents.features(obs, action, next_obs)
        return self._latents.infer(features.unsqueeze(0), mask.unsqueeze(0))[0]

    def steps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Those steps as rows: obs (k, O), action (k, A), reward (k,), next_obs (k, O); fewer at first."""
        obs, action, reward, next_obs = torch.split(self.recent[-self._seen() :], self._edges, -1)
        return obs, action, reward[:, 0], next_obs

    def _seen(self) -> int:
        return min(int(self.lived), self._latents.shown)

    def state_dict(self) -> State:
        """The steps (k, 2 O + A + 1) and how many have been lived."""
        return {"recent": self.recent.clone(), "lived": self.lived.clone()}

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of a history of the same length."""
        self.recent, self.lived = state["recent"].clone(), state["lived"].clone()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.extrinsics]`` table."""

    size: int = 8  # of z
    history: int = 50  # steps
    source: Literal["auto", "env_params", "history"] = (
        "auto"  # what z is encoded from in training: parameters by μ, or history by φ
    )
    steps: int = 6000  # gradient steps of either phase
    batch_size: int = 256
    lr: float = 1e-3
    hidden: tuple[int, ...] = (128, 128)  # of the dynamics
    linear: bool = True  # whether dynamics and μ have a linear path beside their layers
    shrink: float = 1e-3  # weight of |z|²
    seed: int | None = None  # that of the pretraining if unset

    def __post_init__(self) -> None:
        require(self.history >= 10, f"history must be 10 steps or more, not {self.history}")
        at_least(self, 1, "size", "steps", "batch_size")
        layers(self, "hidden")
        at_least(self, 0, "shrink")
        seed(self)
        positive(self, "lr")


class Extrinsics:
    """μ, f and φ, learned from the prior.

    Shapes: B rows, k steps of history, F features of a step, E physical parameters, Z latent.
    """

    def __init__(self, settings: Settings, prior: Prior, device: torch.device) -> None:
        if settings.source == "env_params" and prior.env_params is None:
            raise Unsupported(
                f"prior {prior.name} did not record its physical parameters (env_params), "
                "which source = 'env_params' needs; take source = 'history'."
            )
        self.prior, self.device, self.size = prior, device, settings.size
        self.history = max(settings.history, SHORTEST)
        self.shown, self.batch_size, self._shrink = settings.history, settings.batch_size, settings.shrink
        self.generator = torch.Generator().manual_seed(settings.seed or 0)
        self.rng = np.random.default_rng(settings.seed or 0)
        self.privileged = knows_params(settings, prior)
        self.phase_steps = (settings.steps, settings.steps) if self.privileged else (2 * settings.steps, 0)
        self.steps = sum(self.phase_steps)
        self.dynamics = Dynamics(
            prior,
            self.generator,
            device,
            self.size,
            members=2,
            hidden=settings.hidden,
            lr=settings.lr,
            linear=settings.linear,
        )
        features = 2 * prior.obs.shape[1] + prior.action.shape[1]
        self.phi = self._phi(features)
        self._phi_optimiser = Adam(self.phi, settings.lr)
        params = prior.env_params if self.privileged else None
        self.params = torch.tensor(np.zeros((1, 1), np.float32) if params is None else params, device=device)
        self.params_mean = self.params.mean(0)
        self.params_scale = self.params.std(0, unbiased=False).clamp(min=1e-6)
        self.mu = mlp_params((self.params.shape[1], 64, self.size), self.generator, device)
        # A linear path beside the layers, to extrapolate additive effects, as in the dynamics.
        sizes = (self.params.shape[1], self.size)
        self.mu_linear = mlp_params(sizes, self.generator, device) if settings.linear else []
        self._mu_optimiser = Adam([*self.mu, *self.mu_linear], settings.lr)
        rows = (prior.obs, prior.action, prior.reward, prior.next_obs)
        self._rows = tuple(torch.tensor(values, device=device) for values in rows)
        self.windows = self.windows_of(prior.obs, prior.action, prior.next_obs, prior.starts[prior.episode])

    def with_own_phi(self, rng: np.random.Generator) -> "Extrinsics":
        """A shallow copy with its own φ and optimiser, which can be trained further with ``rng``."""
        other = copy(self)
        other.phi = [p.detach().clone().requires_grad_() for p in self.phi]
        other._phi_optimiser = self._phi_optimiser.with_params(other.phi)
        other.rng = rng
        return other

    def _phi(self, features: int) -> list[Tensor]:
        """Weights of φ: the embedding of a step, three convolutions over time, and the output layer."""
        embedding = mlp_params((features, EMBEDDED), self.generator, self.device)
        convolutions = []
        for kernel, _ in KERNELS:
            convolutions += mlp_params((kernel * EMBEDDED, EMBEDDED), self.generator, self.device)
        return [
            *embedding,
            *convolutions,
            *mlp_params((POOLED * EMBEDDED, self.size), self.generator, self.device),
        ]

    # -- reading ---------------------------------------------------------------------------------------------

    def features(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """(…, F) of a step: normalised observation, action, and the standardised, clipped change."""
        change = (next_obs - obs - self.dynamics.mean[:-1]) / self.dynamics.scale[:-1]
        return torch.cat([self.dynamics.normaliser(obs), action, change.clamp(-10.0, 10.0)], -1)

    def windows_of(self, obs: F32, action: F32, next_obs: F32, first: NDArray[np.int64]) -> Windows:
        """N steps in a row as :class:`Windows`; ``first`` (N,) is the first row of each one's episode."""
        rows = [torch.tensor(values, device=self.device) for values in (obs, action, next_obs)]
        return Windows(features=self.features(*rows), first=torch.tensor(first, device=self.device))

    def embed(self, features: Tensor, mask: Tensor) -> Tensor:
        """(B, k, F), mask (B, k) -> (B, k, 32): steps embedded one by one, masked ones zero."""
        embedded = F.relu(torch.addmm(self.phi[1], features.flatten(0, 1), self.phi[0]))
        return embedded.view(*mask.shape, EMBEDDED) * mask.unsqueeze(-1)

    def infer(self, features: Tensor, mask: Tensor) -> Tensor:
        """φ: (B, k, F), mask (B, k) -> z (B, Z).

        The newest step is always read. Where the strides do not come out even, up to three of the oldest are
        not: of 50 steps the newest 48.
        """
        x = self.embed(features, mask)
        for i, (kernel, stride) in enumerate(KERNELS):
            x = F.relu(convolved(x, self.phi[2 + 2 * i], self.phi[3 + 2 * i], kernel, stride))
        if x.shape[1] != POOLED:
            x = F.adaptive_avg_pool1d(x.transpose(1, 2), POOLED).transpose(1, 2)
        return torch.addmm(self.phi[-1], x.flatten(1), self.phi[-2])

    def encode(self, params: Tensor) -> Tensor:
        """μ: (B, E) -> z (B, Z)."""
        x = (params - self.params_mean) / self.params_scale
        return mlp(self.mu, x) + (mlp(self.mu_linear, x) if self.mu_linear else 0.0)

    @torch.no_grad()
    def latents(self) -> Tensor:
        """(N, Z) of the prior's rows: μ of their parameters, or φ of the steps before them."""
        chunks = torch.split(torch.arange(len(self.prior), device=self.device), 4096)
        if self.privileged:
            return torch.cat([self.encode(self.params[rows]) for rows in chunks])
        return torch.cat([self.before(rows) for rows in chunks])

    def before(self, rows: Tensor, windows: Windows | None = None) -> Tensor:
        """φ of the last k steps before rows (B,) of the prior, or of other ``windows`` -> z (B, Z)."""
        windows = windows or self.windows
        return self.infer(*windows.read(rows, self.history, torch.full_like(rows, self.shown)))

    @torch.no_grad()
    def unexplained(self) -> float:
        """The dynamics' error as a share of a step's variance, over the observation's changing entries."""
        at = torch.linspace(0, len(self.prior) - 1, min(len(self.prior), 4096), device=self.device).long()
        obs, action, reward, next_obs = (values[at] for values in self._rows)
        error = self.dynamics.errors(obs, action, reward, next_obs, self.latents()[at]).mean(0)[:, :-1]
        changes = (next_obs - obs).std(0) > 1e-6
        return float(error.square().mean(0)[changes].mean())

    # -- learning --------------------------------------------------------------------------------------------

    def learn(self) -> Iterator[Metrics]:
        """Phase 1: train μ and f, or φ and f without parameters. Phase 2: train φ to predict μ."""
        first, second = self.phase_steps
        encoder, optimiser = self.phi, self._phi_optimiser
        if self.privileged:
            encoder, optimiser = [*self.mu, *self.mu_linear], self._mu_optimiser
        for _ in range(first):
            rows = self.draw(len(self.prior))
            if self.privileged:
                z = self.encode(self.params[rows])
            else:
                z = self.infer(*self._shown(self.windows, rows))
            obs, action, reward, next_obs = (values[rows] for values in self._rows)
            loss = self.dynamics.loss(obs, action, reward, next_obs, z)
            self.dynamics.step(loss + self._shrink * z.square().mean(), encoder, optimiser)
            yield {"pretrain/dynamics_loss": loss.detach()}
        for _ in range(second):
            rows = self.draw(len(self.prior))
            yield self.imitate([(self.windows, rows, self.params[rows])])

    def imitate(self, parts: list[tuple[Windows, Tensor, Tensor]]) -> Metrics:
        """One step of φ towards μ, on (windows, rows, parameters (B, E)) of each source."""
        with torch.no_grad():
            goal = torch.cat([self.encode(params) for _, _, params in parts])
        found = torch.cat([self.infer(*self._shown(windows, rows)) for windows, rows, _ in parts])
        loss = (found - goal).square().mean()
        self._phi_optimiser.step(torch.autograd.grad(loss, self.phi))
        return {"pretrain/latent_loss": loss.detach()}

    def draw(self, among: int, size: int | None = None) -> Tensor:
        """(size,) uniform row numbers below ``among``; ``batch_size`` of them if ``size`` is None."""
        return torch.from_numpy(self.rng.integers(among, size=size or self.batch_size)).to(self.device)

    def _shown(self, windows: Windows, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Histories before ``rows``; every other one has a random length, as at the beginning of a life."""
        lengths = self.rng.integers(self.shown + 1, size=len(rows))
        lengths[::2] = self.shown
        return windows.read(rows, self.history, torch.from_numpy(lengths).to(self.device))

    def _tensors(self) -> list[Tensor]:
        optimisers = [*self._phi_optimiser.tensors(), *self._mu_optimiser.tensors()]
        return [*self.phi, *self.mu, *self.mu_linear, *optimisers, self.params_mean, self.params_scale]

    def state_dict(self) -> State:
        """The dynamics, φ, μ, their optimisers, and the parameters' mean and scale (E,)."""
        return nest(model=self.dynamics.state_dict(), extrinsics=of_tensors(self._tensors()))

    def load_state_dict(self, state: State) -> None:
        """Copy networks, optimisers and scales, in place."""
        self.dynamics.load_state_dict(substate(state, "model"))
        set_tensors(self._tensors(), substate(state, "extrinsics"))


def convolved(x: Tensor, weight: Tensor, bias: Tensor, kernel: int, stride: int) -> Tensor:
    """A convolution over time as one matrix product: (B, T, C) -> (B, windows, D).

    Windows of ``kernel`` steps begin every ``stride`` steps, which must divide the kernel; the last one ends
    with the newest step. weight (kernel · C, D) has the oldest step's rows first; bias (D,). torch's own
    convolution rounds by the processor's instructions, and takes 1.6 times as long with its gradient.
    """
    assert kernel % stride == 0
    batch, _, width = x.shape
    x = x[:, (x.shape[1] - kernel) % stride :]
    blocks = x.reshape(batch, x.shape[1] // stride, stride * width)
    parts = kernel // stride
    count = blocks.shape[1] - parts + 1
    windows = torch.cat([blocks[:, i : i + count] for i in range(parts)], -1)
    return torch.addmm(bias, windows.flatten(0, 1), weight).view(batch, count, weight.shape[1])


def knows_params(settings: Settings, prior: Prior) -> bool:
    """Whether z is learned from recorded physical parameters."""
    return prior.env_params is not None if settings.source == "auto" else settings.source == "env_params"


def artefact(
    settings: Settings, prior: Artefact[Prior], seed: int, device: torch.device
) -> Artefact[Extrinsics]:
    """The latents of a prior; ``seed`` is used if the settings have none."""
    settings = with_seed(settings, seed)
    return Artefact(
        name="latents",
        build=lambda prior: Extrinsics(settings, prior, device),
        about=table(settings) | computed_on(device),
        needs=(prior,),
        version=4,  # 3: φ was made of torch's convolutions; 2: it did not read the newest two of fifty steps
        steps=2 * settings.steps,
        ms_per_step=3.0,
    )


def prior_latents(latents: Artefact[Extrinsics]) -> Artefact[Table]:
    """The latent of each row of the prior (N, Z)."""
    return Artefact(
        name="latents of the prior",
        build=lambda found: Table(found.latents, (len(found.prior), found.size)),
        needs=(latents,),
        steps=1,
        ms_per_step=500.0,
    )


def conditioned(prior: Artefact[Prior], latents: Artefact[Table]) -> Artefact[Prior]:
    """The prior with the latent of each row behind its observations, for agents conditioned on z."""

    def build(prior: Prior, latents: Table) -> Prior:
        return with_latents(prior, latents.tensor.cpu().numpy())

    return Artefact(name="prior", build=build, needs=(prior, latents), stored=False)


def with_latents(prior: Prior, latents: F32) -> Prior:
    """The prior with latents (N, Z) appended to its observations."""
    obs, next_obs = (np.concatenate([values, latents], 1) for values in (prior.obs, prior.next_obs))
    return replace(prior, obs=obs, next_obs=next_obs, latent_size=latents.shape[1])
