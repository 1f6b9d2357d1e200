"""Skills: action sequences as latents z, learned from the prior (closed-loop SPiRL, Pertsch et al., 2020).

An encoder maps H steps to a skill, a decoder maps a skill and a state to an action, and the skills that the
prior takes in a state are the initial policy over skills. z = 2 tanh u is in (-2, 2); policies over skills
are Gaussians over u, for which the divergence is computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from slrl.errors import Unsupported
from slrl.learning.cache import Artefact, Table, computed_on
from slrl.learning.networks import Adam, Normaliser, mlp, mlp_params
from slrl.learning.seeds import with_seed
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.plugins import at_least, positive, seed, table
from slrl.priors import Prior
from slrl.types import Metrics, State

REACH = 2.0  # |z| is at most this


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.skills]`` table."""

    size: int = 10  # of z
    horizon: int = 10  # steps that a skill is held
    steps: int = 8000
    batch_size: int = 128
    lr: float = 1e-3
    # β, of a mean over elements; paper: 5e-4 in the kitchen, 1e-2 in the maze
    divergence_weight: float = 5e-4
    hidden: int = 128
    seed: int | None = None  # that of the pretraining if unset

    def __post_init__(self) -> None:
        at_least(self, 1, "size", "horizon", "steps", "batch_size", "hidden")
        at_least(self, 0, "divergence_weight")
        seed(self)
        positive(self, "lr")


class SkillModel:
    """Encoder and decoder of skills, trained on a prior.

    Shapes: B rows, H steps of a skill, O observation, A action, Z size of a skill.
    """

    def __init__(self, settings: Settings, prior: Prior, device: torch.device) -> None:
        longest = int((prior.ends - prior.starts).max()) + 1
        if longest < settings.horizon:
            raise Unsupported(
                f"prior {prior.name} has no episode of {settings.horizon} steps, the length of a skill: "
                f"its longest has {longest}; choose a shorter skills.horizon."
            )
        self.prior, self.device = prior, device
        self.size, self.horizon, self.steps = settings.size, settings.horizon, settings.steps
        self._batch_size, self._weight = settings.batch_size, settings.divergence_weight
        self._rng = np.random.default_rng(settings.seed or 0)
        self._generator = generator = torch.Generator().manual_seed(settings.seed or 0)
        self.normaliser = Normaliser(prior, device)
        o, a, hidden = prior.obs.shape[1], prior.action.shape[1], settings.hidden
        course = self.horizon * (a + o + 1)  # of each step its action, its observation, and that it is there
        self.encoder = mlp_params((course, hidden, hidden, 2 * self.size), generator, device)
        self.decoder = mlp_params((o + self.size, hidden, hidden, hidden, a), generator, device)
        self._optimiser = Adam(self.weights(), settings.lr)
        self._obs, self._action = (torch.tensor(rows, device=device) for rows in (prior.obs, prior.action))
        left = prior.ends[prior.episode] - np.arange(len(prior)) + 1
        self.length = np.minimum(self.horizon, left)  # (N,) steps left of the episode, at most H

    def courses(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """The H steps from each row: observations (B, H, O), actions (B, H, A), mask (B, H)."""
        ahead = np.arange(self.horizon)
        mask = ahead < self.length[rows][:, None]
        at = torch.from_numpy(np.where(mask, rows[:, None] + ahead, rows[:, None])).to(self.device)
        return self._obs[at], self._action[at], torch.from_numpy(mask).to(self.device)

    def encode(self, obs: Tensor, action: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of u (B, Z), from the steps that the mask (B, H) has."""
        there = mask.unsqueeze(-1).to(obs.dtype)
        x = torch.cat([action * there, self.normaliser(obs) * there, there], -1)
        mean, log_std = mlp(self.encoder, x.flatten(1)).chunk(2, -1)
        return mean, log_std.clamp(-5.0, 2.0)

    def decode(self, obs: Tensor, skill: Tensor) -> Tensor:
        """The action (…, A) of skill z (…, Z) in the observation (…, O)."""
        x = torch.cat([self.normaliser(obs), skill], -1)
        return torch.tanh(mlp(self.decoder, x.flatten(0, -2))).view(*x.shape[:-1], -1)

    def learn(self) -> Iterator[Metrics]:
        """mean ½ (a - â)² + β KL(q(u|course) ‖ N(0, 1)), each a mean over its elements."""
        params = self.weights()
        for _ in range(self.steps):
            obs, action, mask = self.courses(self._rng.integers(len(self.prior), size=self._batch_size))
            mean, log_std = self.encode(obs, action, mask)
            u = mean + log_std.exp() * torch.randn(mean.shape, generator=self._generator).to(self.device)
            skill = (REACH * torch.tanh(u)).unsqueeze(1).expand(-1, self.horizon, -1)
            error = (self.decode(obs, skill) - action).square().mean(-1)
            rebuilt = 0.5 * (error * mask).sum() / mask.sum()
            divergence = 0.5 * (mean.square() + (2 * log_std).exp() - 2 * log_std - 1).mean()
            loss = rebuilt + self._weight * divergence
            self._optimiser.step(torch.autograd.grad(loss, params))
            yield {"pretrain/reconstruction": rebuilt.detach(), "pretrain/divergence": divergence.detach()}

    def chains(self) -> list[np.ndarray]:
        """Rows at which skills begin: H chains per episode, one for each of its first H steps."""
        return [
            np.arange(start + offset, end + 1, self.horizon)
            for start, end in zip(self.prior.starts, self.prior.ends, strict=True)
            for offset in range(min(self.horizon, end + 1 - start))
        ]

    @torch.no_grad()
    def encoded(self) -> Tensor:
        """z / 2 in [-1, 1] (N, Z) of each row of :meth:`chains`: the skill that the prior took there."""
        rows = np.concatenate(self.chains())
        means = [
            self.encode(*self.courses(chunk))[0] for chunk in np.array_split(rows, max(1, len(rows) // 2048))
        ]
        return torch.tanh(torch.cat(means))

    def weights(self) -> list[Tensor]:
        """Weights of encoder and decoder."""
        return [*self.encoder, *self.decoder]

    def as_prior(self, encoded: Tensor) -> Prior:
        """The prior in skills: each row is one skill held for H steps, or until the episode ended.

        Every chain is an episode: each row begins where the one before it ended. Actions are ``encoded`` (N,
        Z), rewards are sums.
        """
        prior, chains = self.prior, self.chains()
        rows = np.concatenate(chains)
        last = rows + self.length[rows] - 1
        total = np.concatenate([[0.0], np.cumsum(prior.reward, dtype=np.float64)])
        ends = np.cumsum([len(chain) for chain in chains]) - 1
        cut = np.zeros(len(rows), bool)
        cut[ends] = True
        return replace(
            prior,
            obs=prior.obs[rows],
            action=encoded.cpu().numpy(),
            next_obs=prior.next_obs[last],
            reward=(total[last + 1] - total[rows]).astype(np.float32),
            terminated=prior.terminated[last],
            truncated=cut & ~prior.terminated[last],
            episode=np.repeat(np.arange(len(chains), dtype=np.int32), [len(chain) for chain in chains]),
            action_space=Box(-1, 1, (self.size,), np.float32),
            env_params=None,
            behaviour=None,
        )

    def _tensors(self) -> list[Tensor]:
        return [*self.weights(), *self._optimiser.tensors()]

    def state_dict(self) -> State:
        """Encoder, decoder and their optimiser."""
        return nest(skills=of_tensors(self._tensors()))

    def load_state_dict(self, state: State) -> None:
        """Copy encoder, decoder and optimiser, in place."""
        set_tensors(self._tensors(), substate(state, "skills"))


def artefact(
    settings: Settings, prior: Artefact[Prior], seed: int, device: torch.device
) -> Artefact[SkillModel]:
    """The skills of a prior; ``seed`` is used if the settings have none."""
    settings = with_seed(settings, seed)
    return Artefact(
        name="skills",
        build=lambda prior: SkillModel(settings, prior, device),
        about=table(settings) | computed_on(device),
        needs=(prior,),
        version=2,  # 1: the encoder was an LSTM
        steps=settings.steps,
        ms_per_step=4.0,
    )


def prior_in_skills(skills: Artefact[SkillModel]) -> Artefact[Prior]:
    """The prior with skills instead of actions; see :meth:`SkillModel.as_prior`."""
    encoded: Artefact[Table] = Artefact(
        name="skills of the prior",
        build=lambda model: Table(model.encoded, (sum(map(len, model.chains())), model.size)),
        needs=(skills,),
        steps=1,
        ms_per_step=500.0,
    )

    def build(model: SkillModel, encoded: Table) -> Prior:
        return model.as_prior(encoded.tensor)

    return Artefact(name="prior", build=build, needs=(skills, encoded), stored=False)
