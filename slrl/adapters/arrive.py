"""The last steps: where the body stands beside where the prior arrived, a learned model brings it there.

For some steps the action is that of many drawn ones after which the model, told of the present world by z,
sees the body nearest to where the prior's successes were. Only entries count that are alike at all successes
(:meth:`slrl.learning.networks.Normaliser.resolve_arrivals`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slrl.adapters.latent import Latent
from slrl.learning.networks import FINEST, Normaliser
from slrl.plugins import at_least, positive
from slrl.priors import Prior
from slrl.types import F32, State

MOVED = 3.0  # spreads at the arrivals: an entry that moves less within ``still_steps`` stands still


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.arrive]`` table."""

    steps: int = 40  # that the model acts for at a time; 0: never
    still_steps: int = 20
    near: float = 0.25  # of an entry's spread in the prior: so far from the arrivals is beside them
    actions: int = 512  # that are drawn at each step

    def __post_init__(self) -> None:
        at_least(self, 0, "steps")
        at_least(self, 1, "still_steps", "actions")
        positive(self, "near")


class Arrive:
    """Watches a latent adapter, and acts by its dynamics where the body stands beside the goal."""

    def __init__(self, settings: Settings, prior: Prior, latent: Latent, rng: np.random.Generator) -> None:
        self._settings, self._latent, self._rng = settings, latent, rng
        reached = prior.next_obs[prior.terminated & (prior.reward > 0)]
        self.entries = Normaliser(prior, torch.device("cpu")).resolve_arrivals(prior)
        self.goal = reached[:, self.entries].mean(0) if len(reached) else np.zeros(0, np.float32)
        spread = reached[:, self.entries].std(0) if len(reached) else np.zeros(0, np.float32)
        self.spread = np.maximum(spread, FINEST / 2)  # arrivals may be all the same
        self._beside = settings.near * prior.obs[:, self.entries].std(0)
        self.left = 0  # steps that the model still acts for
        self._begun, self._pause, self._wait = np.inf, 0, 0  # distance at the beginning; steps until the next
        self._seen: list[F32] = []  # the entries of the last steps

    def act(self, obs: F32) -> F32:
        """The drawn action (A,) after which the model sees obs (O,) nearest to the arrivals."""
        dynamics, size = self._latent.extrinsics.dynamics, self._latent.extrinsics.prior.action.shape[1]
        drawn = self._rng.uniform(-1, 1, (self._settings.actions, size)).astype(np.float32)
        # Bounds are seldom drawn, and against a wind they are what is needed.
        drawn[: len(drawn) // 2] = np.sign(drawn[: len(drawn) // 2])
        device = dynamics.mean.device
        actions = torch.from_numpy(drawn).to(device)
        rows = torch.from_numpy(obs).to(device).expand(len(actions), -1)
        with torch.no_grad():
            then, _ = dynamics.predict(rows, actions, self._latent.z.expand(len(actions), -1))
        best = int(self._distance(then.mean(0)).argmin())
        chosen: F32 = drawn[best]
        return chosen

    def _distance(self, obs: Tensor) -> Tensor:
        """(B, O) -> (B,): squared distance to the mean arrival, in spreads of the arrivals."""
        goal, spread = (torch.from_numpy(x).to(obs) for x in (self.goal, self.spread))
        return ((obs[:, self.entries] - goal) / spread.clamp(min=1e-6)).square().sum(1)

    def observe(self, obs: F32) -> None:
        """Count the steps, or see whether the body stands still beside the arrivals."""
        if not self.entries or not self._settings.steps:
            return
        here = obs[self.entries]
        self._seen = [*self._seen[-self._settings.still_steps :], here]
        away = float((np.abs(here - self.goal) / self.spread).max())
        self._wait = max(0, self._wait - 1)
        if self.left:
            self.left -= 1
            if not self.left and away > self._begun - 1:  # it has brought the body no nearer: others may try
                self._pause = 2 * self._pause or self._settings.steps
                self._wait = self._pause
        if self.left or self._wait or len(self._seen) <= self._settings.still_steps:
            return
        still = (np.ptp(self._seen, 0) < MOVED * self.spread).all()
        if still and (np.abs(here - self.goal) < self._beside).all():
            self.left, self._begun = self._settings.steps, away

    def state_dict(self) -> State:
        """Steps left and to wait, the distance at the beginning, and the entries of the last steps (n, E)."""
        seen = np.reshape(self._seen, (len(self._seen), len(self.entries)))
        return {
            "steps": torch.tensor([self.left, self._pause, self._wait]),
            "begun": torch.tensor(self._begun, dtype=torch.float64),
            "seen": torch.tensor(seen, dtype=torch.float32),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict`; the generator of the draws is the owner's."""
        self.left, self._pause, self._wait = state["steps"].tolist()
        self._begun, self._seen = float(state["begun"]), list(state["seen"].numpy().copy())
