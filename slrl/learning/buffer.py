"""The rows an agent learns from: those of the prior, and after them those of the life."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from slrl.priors import Prior
from slrl.types import Batch, State, Transition


class Buffer:
    """One preallocated array, one packed row per transition, sampled with one index operation.

    Rows 0 … N-1 are the prior and never change. Rows of the life follow; when all ``life_rows`` are used, the
    oldest is overwritten.
    """

    def __init__(self, prior: Prior, life_rows: int, rng: np.random.Generator, device: torch.device) -> None:
        self._rng, self._device = rng, device
        self.prior_rows, self.life_rows, self.lived = len(prior), life_rows, 0
        o, a = prior.obs.shape[1], prior.action.shape[1]
        edges = np.cumsum([0, o, a, 1, o, 1, 1]).tolist()
        self._columns = list(pairwise(edges))
        self._width = edges[-1]
        self._rows = np.empty((self.prior_rows + life_rows, self._width), np.float32)
        arrays = (prior.obs, prior.action, prior.reward, prior.next_obs, prior.terminated, ~prior.terminated)
        for (start, stop), values in zip(self._columns, arrays, strict=True):
            self._rows[: self.prior_rows, start:stop] = values.reshape(len(prior), -1)
        self._tensor = torch.from_numpy(self._rows)

    def look_ahead(self, steps: int, prior: Prior, discount: float) -> None:
        """Replace the prior's one-step rewards by ``steps``-step returns, which end with their episode.

        reward = Σ_{i<m} γ^i r_{t+i}, next_obs = s_{t+m} and bootstrap = γ^{m-1} (0 if that terminated), with
        m the smaller of ``steps`` and what is left of the episode. The actions in between are the prior's
        own. A sparse reward propagates faster this way.
        """
        n = self.prior_rows
        here = np.arange(n)
        end = prior.ends[prior.episode]
        last = np.minimum(here + steps - 1, end)
        reward = np.zeros(n, np.float64)
        for i in range(steps):
            inside = here + i <= last
            reward[inside] += discount**i * prior.reward[here[inside] + i]
        _, _, (r, _), (n0, n1), (t, _), (b, _) = self._columns
        rows = self._rows[:n]
        rows[:, r], rows[:, n0:n1], rows[:, t] = reward, prior.next_obs[last], prior.terminated[last]
        rows[:, b] = np.where(prior.terminated[last], 0.0, discount ** (last - here))

    @property
    def bytes_per_row(self) -> int:
        """Memory of one transition."""
        return int(self._rows.itemsize * self._width)

    @property
    def life_size(self) -> int:
        """Rows of the life that can be sampled."""
        return min(self.lived, self.life_rows)

    def append(self, transition: Transition, *, bootstrap: bool) -> None:
        """Add one step of the life; without ``bootstrap`` its TD target stops at ``next_obs``."""
        row = self._rows[self.prior_rows + self.lived % self.life_rows]
        obs, action, reward, next_obs, terminated, _ = transition
        (o0, o1), (a0, a1), (r, _), (n0, n1), (t, _), (b, _) = self._columns
        row[o0:o1], row[a0:a1], row[n0:n1] = obs, action, next_obs
        row[r], row[t], row[b] = reward, terminated, bootstrap
        self.lived += 1

    def sample(self, size: int, prior_fraction: float | None = None) -> Batch:
        """A batch of ``size`` rows, uniform over prior and life.

        With ``prior_fraction`` exactly ``round(size · prior_fraction)`` of them are the prior's.
        """
        if prior_fraction is None or not self.life_size:
            return self.rows(self._rng.integers(self.prior_rows + self.life_size, size=size))
        from_prior = round(size * prior_fraction)
        prior = self._rng.integers(self.prior_rows, size=from_prior)
        life = self.prior_rows + self._rng.integers(self.life_size, size=size - from_prior)
        return self.rows(np.concatenate([prior, life]))

    def rows(self, index: np.ndarray) -> Batch:
        """The transitions at the rows ``index`` (B,)."""
        at = torch.from_numpy(index)
        packed = self._tensor.index_select(0, at).to(self._device)
        obs, action, reward, next_obs, terminated, bootstrap = (
            packed[:, start:stop] for start, stop in self._columns
        )
        return Batch(
            obs, action, reward[:, 0], next_obs, terminated[:, 0], bootstrap[:, 0], at.to(self._device)
        )

    def state_dict(self) -> State:
        """The life's rows and their count; the prior's are not saved."""
        life = self._tensor[self.prior_rows : self.prior_rows + self.life_size]
        return {"life": life.clone(), "lived": torch.tensor(self.lived)}

    def load_state_dict(self, state: State) -> None:
        """Load the rows of a life on the same prior."""
        self.lived = int(state["lived"])
        self._tensor[self.prior_rows : self.prior_rows + self.life_size] = state["life"]

    def newest(self) -> Tensor:
        """(O,) next_obs of the step that was appended last."""
        start, stop = self._columns[3]
        return self._tensor[self.prior_rows + (self.lived - 1) % self.life_rows, start:stop].to(self._device)
