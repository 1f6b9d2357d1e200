"""Soft actor-critic (Haarnoja et al., 2018) with an ensemble of critics.

Random subsets of targets as in REDQ (Chen et al., 2021), layer normalisation as in RLPD (Ball et al., 2023).
"""

import math
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from slrl.errors import BadInput
from slrl.learning.networks import Adam, Normaliser, ensemble, mlp, mlp_params
from slrl.plugins import positive, require
from slrl.priors import Prior
from slrl.types import F32, Batch, Metrics, State

WORTH_COMPILING = 20_000  # updates, from which on compiling pays
MOST_COMPILED = 1_000  # kinds of agents in one process, which torch limits to 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[agent]`` table of an adapter."""

    hidden: tuple[int, ...] = (256, 256)
    critics: int = 2  # K
    # size of the random subset whose minimum is the target (REDQ); all if unset
    target_subset: int | None = None
    actor_subset: Literal["min", "mean"] = "min"  # of the critics, in the policy's loss: SAC min, RLPD mean
    layer_norm: bool = False  # in the critics (RLPD)
    discount: float = 0.99  # γ per step
    polyak: float = 0.005  # τ: how far the targets move towards the critics per update
    actor_lr: float = 3e-4
    critic_lr: float = 3e-4
    temperature_lr: float = 3e-4
    initial_temperature: float = 1.0
    target_entropy: float | Literal["auto"] = "auto"  # nats; "auto": -A, as in the paper
    backup_entropy: bool = True  # whether targets contain the entropy bonus
    reward_scale: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"  # of the matrix products
    # torch.compile the whole update: half a minute once, then kept on disk. "auto": after 20,000 updates,
    # when it pays. Either asks for a C++ compiler before the life. Compiled updates differ from others in the
    # last digits.
    compile: bool | Literal["auto"] = False

    def __post_init__(self) -> None:
        layers = bool(self.hidden) and min(self.hidden) >= 1 and self.critics >= 1
        require(layers, "hidden must list layers of 1 or more units, and critics must be 1 or more")
        subset = self.target_subset
        within = subset is None or 1 <= subset <= self.critics
        require(within, f"target_subset must be between 1 and critics ({self.critics}), not {subset}")
        fractions = 0 <= self.discount < 1 and 0 < self.polyak <= 1
        require(
            fractions, "discount must be at least 0 and less than 1, and polyak more than 0 and at most 1"
        )
        positive(self, "actor_lr", "critic_lr", "temperature_lr", "initial_temperature")


class Sac:
    """A tanh-Gaussian policy π, K critics Q_k with slow targets Q̄_k, and a learned temperature α."""

    def __init__(
        self, settings: Settings, prior: Prior, generator: torch.Generator, device: torch.device
    ) -> None:
        """``prior`` gives shapes and the normaliser's statistics; ``generator`` draws everything random."""
        self.settings, self.prior, self.generator, self.device = settings, prior, generator, device
        self.critics, self.discount = settings.critics, settings.discount
        self.reward_scale = settings.reward_scale
        obs_dim, self.action_dim = prior.obs.shape[1], prior.action.shape[1]
        self.normaliser = Normaliser(prior, device)
        self.actor = mlp_params((obs_dim, *settings.hidden, 2 * self.action_dim), generator, device)
        sizes = (obs_dim + self.action_dim, *settings.hidden, 1)
        self.critic = mlp_params(sizes, generator, device, heads=self.critics, layer_norm=settings.layer_norm)
        self.target = [p.detach().clone() for p in self.critic]
        self.log_temperature = torch.tensor([math.log(settings.initial_temperature)], device=device)
        # Views without gradients, for the actor's loss.
        self._critic_values = [p.detach() for p in self.critic]
        # In a life: the critics' whole loss, of the TD loss and of what else they are to learn.
        self.whole_loss: Callable[[Tensor], Tensor] | None = None
        goal = settings.target_entropy
        self.entropy_goal = -float(self.action_dim) if goal == "auto" else float(goal)
        self.reset_optimisers()
        self._compiled: Callable[..., Metrics] | None = None
        if settings.compile:
            check_compiler()

    def reset_optimisers(self) -> None:
        """New optimisers with zero moments, for a new objective."""
        self.actor_optimiser = Adam(self.actor, self.settings.actor_lr)
        self.critic_optimiser = Adam(self.critic, self.settings.critic_lr)
        self.temperature_optimiser = Adam([self.log_temperature], self.settings.temperature_lr)

    # -- policy ----------------------------------------------------------------------------------------------

    def policy(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation (B, A) before the tanh, from normalised observations."""
        mean, log_std = mlp(self.actor, obs).float().chunk(2, dim=-1)
        return mean, log_std.clamp(-20.0, 2.0)

    def sample(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Action (B, A) and its log-probability (B,), reparameterised: u = μ + σ·noise, a = tanh u."""
        mean, log_std = self.policy(obs)
        u = torch.addcmul(mean, log_std.exp(), noise)
        # log N(u; μ, σ) - log(1 - tanh² u); the latter is 2 (log 2 - u - softplus(-2u)), stable for large u
        terms = 2.0 * (u + F.softplus(-2.0 * u)) - log_std - 0.5 * noise.square()
        return torch.tanh(u), terms.sum(-1) - self.action_dim * (
            0.5 * math.log(2 * math.pi) + 2 * math.log(2)
        )

    def log_prob(self, obs: Tensor, action: Tensor) -> Tensor:
        """log π(a|s) (B,) of given actions; they are clamped to ±0.999, where the density is finite."""
        action = action.clamp(-0.999, 0.999)
        mean, log_std = self.policy(obs)
        z = (torch.atanh(action) - mean) * (-log_std).exp()
        log_normal = -0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)
        return (log_normal - torch.log1p(-action.square())).sum(-1)

    def q(self, params: list[Tensor], obs: Tensor, action: Tensor) -> Tensor:
        """(K, B) of normalised observations and actions."""
        return ensemble(params, torch.cat([obs, action], -1), layer_norm=self.settings.layer_norm).float()

    def mode(self, obs: Tensor) -> Tensor:
        """The most likely action (B, A) in observations (B, O), as the agent gets them from the world."""
        return torch.tanh(self.policy(self.normaliser(obs))[0])

    @torch.inference_mode()
    def act(self, obs: F32, *, sample: bool = True) -> F32:
        """The action (A,) in [-1, 1] for one observation (O,)."""
        x = self.normaliser(torch.tensor(obs, device=self.device).unsqueeze(0))
        mean, log_std = self.policy(x)
        if sample:
            mean = mean + log_std.exp() * self.noise(1)
        action: F32 = torch.tanh(mean)[0].cpu().numpy()
        return action

    def noise(self, size: int) -> Tensor:
        """(size, A) standard normal numbers from the agent's own generator."""
        return torch.randn(size, self.action_dim, generator=self.generator, device=self.generator.device).to(
            self.device
        )

    # -- learning --------------------------------------------------------------------------------------------

    def update(self, batch: Batch, *, improve_policy: bool = True) -> Metrics:
        """One step of critics and targets and, with ``improve_policy``, of the actor and the temperature.

        Only the whole update of plain SAC is compiled: not one of the critics alone, nor one with a
        ``whole_loss``.
        """
        obs, next_obs, size = self.normaliser(batch.obs), self.normaliser(batch.next_obs), len(batch.reward)
        reward = self.reward_scale * batch.reward
        rows = (obs, batch.action, reward, next_obs, batch.bootstrap, self.noise(size), self.heads())
        if improve_policy and self.whole_loss is None and self._compiles():
            assert self._compiled is not None
            rates = (self.critic_optimiser.lr, self.actor_optimiser.lr, self.temperature_optimiser.lr)
            with compiling():
                return self._compiled(self, *rows, self.noise(size), torch.tensor(rates, device=self.device))
        with self.autocast():
            critic_loss, q = self.critic_loss(*rows)
        whole = critic_loss if self.whole_loss is None else self.whole_loss(critic_loss)
        self.critic_optimiser.step(torch.autograd.grad(whole, self.critic))
        self.move_targets()
        metrics: Metrics = {"agent/critic_loss": critic_loss.detach(), "agent/q": q}
        if not improve_policy:
            return metrics
        with self.autocast():
            actor_loss, log_prob = self.actor_loss(obs, self.noise(size))
        self.actor_optimiser.step(torch.autograd.grad(actor_loss, self.actor))
        entropy, temperature = self.step_temperature(log_prob)
        return metrics | {
            "agent/actor_loss": actor_loss.detach(),
            "agent/entropy": entropy,
            "agent/temperature": temperature,
        }

    def _compiles(self) -> bool:
        """Whether this update is made by the compiled function, which is made at the first such one."""
        wanted = self.settings.compile
        if not wanted or (wanted == "auto" and self.critic_optimiser.steps_made < WORTH_COMPILING):
            return False
        if self._compiled is None:
            self._compiled = torch.compile(type(self)._whole_update, dynamic=False, fullgraph=True)
        return True

    def _whole_update(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        bootstrap: Tensor,
        noise: Tensor,
        heads: Tensor | None,
        actor_noise: Tensor,
        rates: Tensor,
    ) -> Metrics:
        """One step of everything, as :meth:`update` makes it, in operations that torch.compile can trace.

        ``rates`` (3,) are the learning rates of critics, actor and temperature. ``_critic_values`` must stay
        out of the graph: with two names of the critics in it, torch 2.13 wrote the optimiser's step count
        into their biases.
        """
        with self.autocast():
            critic_loss, q = self.critic_loss(obs, action, reward, next_obs, bootstrap, noise, heads)
        gradients = torch.autograd.grad(critic_loss, self.critic)
        with torch.no_grad():
            self.critic_optimiser.step_in_plain_operations(gradients, rates[0])
            for slow, value in zip(self.target, self.critic, strict=True):
                slow.lerp_(value, self.settings.polyak)
        with self.autocast():
            actor_loss, log_prob = self.actor_loss(obs, actor_noise, [p.detach() for p in self.critic])
        gradients = torch.autograd.grad(actor_loss, self.actor)
        with torch.no_grad():
            self.actor_optimiser.step_in_plain_operations(gradients, rates[1])
            entropy, temperature, gradient = self._temperature_gradient(log_prob)
            self.temperature_optimiser.step_in_plain_operations([gradient], rates[2])
        return {
            "agent/critic_loss": critic_loss.detach(),
            "agent/q": q,
            "agent/actor_loss": actor_loss.detach(),
            "agent/entropy": entropy,
            "agent/temperature": temperature,
        }

    def critic_loss(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        bootstrap: Tensor,
        noise: Tensor,
        heads: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Σ_k mean (Q_k(s, a) - y)², and the mean Q.

        y = r + γ · bootstrap · (min_{k ∈ heads} Q̄_k(s', a') - α log π(a'|s')), without the last term unless
        ``backup_entropy``. obs and next_obs are normalised (B, O); action and noise are (B, A), reward and
        bootstrap (B,); ``heads`` are indices of critics, or None for all.
        """
        with torch.no_grad():
            next_action, next_log_prob = self.sample(next_obs, noise)
            next_q = self.q(self.target, next_obs, next_action)
            next_v = (next_q if heads is None else next_q[heads]).amin(0)
            if self.settings.backup_entropy:
                next_v = next_v - self.log_temperature.exp() * next_log_prob
            target = reward + self.discount * bootstrap * next_v
        q = self.q(self.critic, obs, action)
        return (q - target).square().mean(1).sum(), q.detach().mean()

    def actor_loss(
        self, obs: Tensor, noise: Tensor, critics: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """mean (α log π(a|s) - Q(s, a)), with a drawn from π(·|s); and log π.

        ``critics`` are their weights without gradients, if other than ``_critic_values``.
        """
        action, log_prob = self.sample(obs, noise)
        q = self.q(self._critic_values if critics is None else critics, obs, action)
        q = q.mean(0) if self.settings.actor_subset == "mean" else q.amin(0)
        return (self.log_temperature.exp() * log_prob - q).mean(), log_prob

    def step_temperature(self, log_prob: Tensor) -> tuple[Tensor, Tensor]:
        """One step of L_α = α (H - H_goal), by log α; returns H = -mean log π (B,), and α before the step."""
        entropy, temperature, gradient = self._temperature_gradient(log_prob)
        self.temperature_optimiser.step([gradient])
        return entropy, temperature

    def _temperature_gradient(self, log_prob: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """H, α, and the gradient of L_α = α (H - H_goal) by log α."""
        entropy, temperature = -log_prob.detach().mean(), self.log_temperature.exp()
        return entropy, temperature, temperature * (entropy - self.entropy_goal)

    def move_targets(self) -> None:
        """Q̄ ← Q̄ + τ (Q - Q̄)."""
        torch._foreach_lerp_(self.target, self._critic_values, self.settings.polyak)

    def heads(self) -> Tensor | None:
        """Indices of the critics for the next target's minimum; None for all."""
        if self.settings.target_subset is None or self.settings.target_subset >= self.critics:
            return None
        return torch.randperm(self.critics, generator=self.generator, device=self.generator.device)[
            : self.settings.target_subset
        ].to(self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """Matrix products in bfloat16 where the settings say so; losses and distributions stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    # -- for the life ----------------------------------------------------------------------------------------

    def frozen_value(self) -> "FrozenValue":
        """A copy of the present critics and policy that later updates do not change."""
        return FrozenValue(self)

    def reseed(self, seed: int) -> None:
        """Start the agent's randomness anew."""
        self.generator.manual_seed(seed)

    def _tensors(self) -> dict[str, list[Tensor]]:
        optimisers = (self.actor_optimiser, self.critic_optimiser, self.temperature_optimiser)
        return {
            "actor": self.actor,
            "critic": self.critic,
            "target": self.target,
            "temperature": [self.log_temperature],
            "normaliser": [self.normaliser.mean, self.normaliser.scale],
            "optimisers": [tensor for optimiser in optimisers for tensor in optimiser.tensors()],
        }

    def state_dict(self) -> State:
        """Networks, optimisers, normaliser and generator: a loaded agent continues exactly."""
        state = {
            f"{name}.{i}": t.detach().clone()
            for name, tensors in self._tensors().items()
            for i, t in enumerate(tensors)
        }
        return state | {"generator": self.generator.get_state()}

    @torch.no_grad()
    def load_state_dict(self, state: State) -> None:
        """Take over a state_dict in place."""
        for name, tensors in self._tensors().items():
            for i, tensor in enumerate(tensors):
                tensor.copy_(state[f"{name}.{i}"])
        self.generator.set_state(state["generator"].cpu())


class FrozenValue:
    """Critics and policy of a moment, by value."""

    def __init__(self, agent: Sac) -> None:
        self._normaliser, self._layer_norm = agent.normaliser, agent.settings.layer_norm
        self._actor, self._critic = (
            [p.detach().clone() for p in params] for params in (agent.actor, agent.critic)
        )

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """(B, O), (B, A) -> (B,): the smallest of the critics' estimates."""
        x = torch.cat([self._normaliser(obs), action], -1)
        return ensemble(self._critic, x, layer_norm=self._layer_norm).amin(0)

    @torch.no_grad()
    def v(self, obs: Tensor) -> Tensor:
        """(B, O) -> (B,): q at the policy's mode."""
        mean, _ = mlp(self._actor, self._normaliser(obs)).chunk(2, dim=-1)
        return self.q(obs, torch.tanh(mean))

    def tensors(self) -> list[Tensor]:
        """Its weights."""
        return [*self._actor, *self._critic]


def compiling() -> AbstractContextManager[None]:
    """While compiled updates are made: gradients may be traced, and many agents compiled in one process."""
    found: AbstractContextManager[None] = torch._dynamo.config.patch(
        trace_autograd_ops=True, recompile_limit=MOST_COMPILED
    )
    return found


def check_compiler() -> None:
    """Raises :class:`BadInput` where torch.compile would find no C++ compiler."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise BadInput(
            f"agent.compile needs a C++ compiler, and there is no {compiler} here; install one (Debian: "
            "apt install g++), name it by CXX, or set agent.compile=false."
        )


def make(settings: Settings, prior: Prior, generator: torch.Generator, device: torch.device) -> Sac:
    """A new agent with random weights."""
    return Sac(settings, prior, generator, device)
