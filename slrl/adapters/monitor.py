"""Signals that a life differs from the prior, each with a threshold calibrated on the prior's trajectories.

Larger signals mean a larger difference. Part of the prior's episodes is held out: the models are trained on
the others, and a threshold is the split-conformal quantile of the held-out trajectories' maxima. A trajectory
exchangeable with them raises a signal with probability at most α, whatever the distribution (Vovk et al.,
2005; Angelopoulos & Bates, 2023).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrl.adapters.latent import learned_latents
from slrl.learning.cache import Artefact
from slrl.learning.dynamics import Dynamics
from slrl.learning.extrinsics import Extrinsics
from slrl.learning.seeds import with_seed
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.plugins import at_least, require, seed, share, table
from slrl.priors import Prior
from slrl.types import F32, Metrics, State, Transition, Value

SIGNALS = ("stall", "value_drop", "unfamiliarity", "residual", "disagreement")
NEIGHBOURS, KNOWN_STATES = 5, 2000
WARM_UP, REFRESH = 20, 10  # steps
LARGEST = 25.0  # residuals are clipped at 5 standard deviations: one outlier must not dominate the average
NEVER = 1e300  # a threshold that nothing reaches, where none has the guarantee


@dataclass
class Track:
    """One trajectory under observation: moving averages, and the smoothed values of the last W + 1 steps."""

    smooth: NDArray[np.float64] | None = None  # of value, distance, residual, disagreement
    values: list[float] = field(default_factory=list)  # moving average of V, the last W + 1
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.monitor]`` table of a switch."""

    false_alarms: float = 0.05  # α: probability per signal and trajectory like the prior's
    held_out: float = 0.4  # share of the prior's episodes that calibrate the thresholds
    window: int = 200  # W: steps, of the stall
    smoothing: float = 0.95  # of the moving averages
    steps: int = 3000
    seed: int | None = None  # that of the pretraining if unset

    def __post_init__(self) -> None:
        share(self, "false_alarms", "held_out", "smoothing")
        at_least(self, 1, "steps")
        at_least(self, 2, "window")
        seed(self)
        require(self.held_out < 1, f"held_out must be less than 1, not {self.held_out}")


class Monitor:
    """Trained on a prior and on the value V of an agent that was pretrained on it.

    With ``latents`` the model of the world receives z: the true one of each row in training, the one inferred
    from earlier steps in held-out trajectories and in the life. In the first ``WARM_UP`` steps, when z is not
    informed yet, there are no residual and disagreement signals.
    """

    def __init__(
        self,
        settings: Settings,
        prior: Prior,
        value: Value,
        device: torch.device,
        latents: Extrinsics | None = None,
    ) -> None:
        seed = settings.seed or 0
        self._prior, self._value, self._device, self.steps = prior, value, device, settings.steps
        self.window, self._keep, self._alpha = settings.window, settings.smoothing, settings.false_alarms
        self._rng = np.random.default_rng(seed)
        self.dynamics = Dynamics(
            prior,
            torch.Generator().manual_seed(seed),
            device,
            latent_size=0 if latents is None else latents.size,
            members=3,
            hidden=(64, 64),
        )
        self._latents = latents
        order = self._rng.permutation(prior.episodes)
        self.held_out = np.sort(order[: round(settings.held_out * prior.episodes)])
        self._learned_from = np.flatnonzero(~np.isin(prior.episode, self.held_out))
        known = self._rng.choice(
            self._learned_from, min(KNOWN_STATES, len(self._learned_from)), replace=False
        )
        self.scale = prior.obs.std(0).clip(min=0.1).astype(np.float32)
        self.middle = prior.obs.mean(0, dtype=np.float64).astype(np.float32)
        self.known = (prior.obs[np.sort(known)] - self.middle) / self.scale
        self._known_squares = (self.known**2).sum(1)
        self.thresholds = torch.full((len(SIGNALS),), NEVER, dtype=torch.float64)
        # Gain of V over W / 2 steps of held-out trajectories: 20 % quantile, at least a tenth of V's std.
        self.usual_gain = torch.zeros((), dtype=torch.float64)
        self.track = Track()

    # -- watching --------------------------------------------------------------------------------------------

    def update(self, transition: Transition, latent: Tensor | None = None) -> NDArray[np.float64]:
        """The signals (5,) after one more step, taken with ``latent`` (Z,); -inf where undefined."""
        rows = [
            np.asarray(x, np.float32)[None] for x in (transition.obs, transition.action, transition.next_obs)
        ]
        z = None if latent is None else latent.unsqueeze(0)
        raw = self.raw(rows[0], rows[1], rows[2], np.array([transition.reward], np.float32), z)[0]
        return self._follow(self.track, raw)

    def raised(self, signals: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(5,) which signals exceed their thresholds."""
        return signals > self.thresholds.numpy()

    def gaining(self) -> bool:
        """Whether V rose over the last W / 2 steps by at least ``usual_gain``."""
        values, half = self.track.values, self.window // 2
        return len(values) > half and values[-1] - values[-1 - half] > float(self.usual_gain)

    @torch.no_grad()
    def raw(
        self, obs: F32, action: F32, next_obs: F32, reward: F32, latent: Tensor | None = None
    ) -> NDArray[np.float64]:
        """(B, 4): V of next_obs, its distance to known states, residual and disagreement of the model.

        obs and next_obs are (B, O), action (B, A), reward (B,), latent (B, Z).
        """
        o, a, n, r = (
            torch.from_numpy(np.ascontiguousarray(x)).to(self._device)
            for x in (obs, action, next_obs, reward)
        )
        errors = self.dynamics.errors(o, a, r, n, latent)[..., :-1]
        residual, disagreement = errors.mean(0).square().mean(-1), errors.std(0, unbiased=False).mean(-1)
        columns = [
            self._value.v(n),
            torch.from_numpy(self.distance(next_obs)),
            residual.clamp(max=LARGEST),
            disagreement,
        ]
        return np.stack([column.cpu().numpy() for column in columns], 1).astype(np.float64)

    def distance(self, obs: F32) -> F32:
        """(B,) mean distance to the nearest ``NEIGHBOURS`` states of the prior, in standard deviations."""
        x = (obs - self.middle) / self.scale
        squares = (x**2).sum(1)[:, None] + self._known_squares - 2 * x @ self.known.T
        nearest = np.partition(squares, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        result: F32 = np.sqrt(nearest.clip(min=0)).mean(1)
        return result

    def _follow(self, track: Track, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        track.smooth = raw if track.smooth is None else self._keep * track.smooth + (1 - self._keep) * raw
        track.steps += 1
        early = self._latents is not None and track.steps <= WARM_UP
        if early:  # errors from before z was informed do not enter the average
            track.smooth[2:] = raw[2:]
        value, distance, residual, disagreement = track.smooth
        track.values.append(float(value))
        stall, falling = -math.inf, False
        if len(track.values) > self.window:
            gain = track.values[-1] - track.values[-1 - self.window]
            stall, falling = -gain, gain < 0
            del track.values[0]
        model = (-math.inf, -math.inf) if early else (residual, disagreement)
        return np.array([stall, -value if falling else -math.inf, distance, *model])

    # -- learning --------------------------------------------------------------------------------------------

    def learn(self) -> Iterator[Metrics]:
        """Train the dynamics on the episodes that are not held out; calibrate on the others at the end."""
        prior = self._prior
        true = None if self._latents is None else self._latents.latents()
        for step in range(1, self.steps + 1):
            at = self._rng.choice(self._learned_from, 256)
            rows = (prior.obs[at], prior.action[at], prior.reward[at], prior.next_obs[at])
            obs, action, reward, next_obs = (torch.from_numpy(values).to(self._device) for values in rows)
            z = None if true is None else true[torch.from_numpy(at)]
            loss = self.dynamics.loss(obs, action, reward, next_obs, z)
            self.dynamics.step(loss, [])
            if step == self.steps:
                self.calibrate()
            yield {"pretrain/dynamics_loss": loss.detach()}

    def calibrate(self) -> None:
        """Set the thresholds from each held-out trajectory's maxima, and ``usual_gain`` from its gains."""
        largest, gains, seen = [], [], []
        for episode in self.held_out:
            at = np.arange(self._prior.starts[episode], self._prior.ends[episode] + 1)
            prior, track = self._prior, Track()
            raw = self.raw(
                prior.obs[at], prior.action[at], prior.next_obs[at], prior.reward[at], self._inferred(at)
            )
            signals = np.stack([self._follow(track, row) for row in raw])
            largest.append(signals.max(0))
            smooth, half = self._smoothed(raw[:, 0]), self.window // 2
            seen += raw[:, 0].tolist()
            gains += (smooth[half:] - smooth[:-half]).tolist()
        self.thresholds = torch.from_numpy(
            np.array([threshold(column, self._alpha) for column in np.array(largest).T])
        )
        # In a prior without a direction V falls half of the time; standing still must not count as a gain.
        usual = max(float(np.quantile(gains, 0.2)), 0.1 * float(np.std(seen))) if gains else NEVER
        self.usual_gain = torch.tensor(usual, dtype=torch.float64)

    @torch.no_grad()
    def _inferred(self, rows: NDArray[np.int64]) -> Tensor | None:
        """z (B, Z) inferred for an episode's rows from earlier steps, every ``REFRESH`` steps."""
        if self._latents is None:
            return None
        steps = np.arange(len(rows))
        read = torch.from_numpy(rows[steps - steps % REFRESH]).to(self._device)
        return self._latents.before(read)

    def _smoothed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = values.copy()
        for i in range(1, len(found)):
            found[i] = self._keep * found[i - 1] + (1 - self._keep) * found[i]
        return found

    def unsupported(self) -> list[str]:
        """Signals that the prior's trajectories cannot calibrate: too few of them, or too short ones."""
        return [name for name, limit in zip(SIGNALS, self.thresholds.tolist(), strict=True) if limit >= NEVER]

    def state_dict(self) -> State:
        """The dynamics, the value's weights, the thresholds (5,), the usual gain, and the trajectory so far.

        The trajectory is its moving averages (4,), the last W + 1 values and the number of steps.
        """
        track = self.track
        smooth = np.zeros(0) if track.smooth is None else track.smooth
        own = {
            "thresholds": self.thresholds.clone(),
            "usual_gain": self.usual_gain.clone(),
            "smooth": torch.from_numpy(smooth.copy()),
            "values": torch.tensor(track.values, dtype=torch.float64),
            "steps": torch.tensor(track.steps),
        }
        return nest(model=self.dynamics.state_dict(), monitor=own, value=of_tensors(self._value.tensors()))

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of a monitor with the same settings and prior."""
        self.dynamics.load_state_dict(substate(state, "model"))
        set_tensors(self._value.tensors(), substate(state, "value"))
        own = substate(state, "monitor")
        self.thresholds, self.usual_gain = own["thresholds"].clone(), own["usual_gain"].clone()
        smooth = own["smooth"].numpy().copy()
        self.track = Track(smooth if len(smooth) else None, own["values"].tolist(), int(own["steps"]))


def threshold(largest: Sequence[float] | NDArray[np.float64], alpha: float) -> float:
    """The split-conformal quantile: the ⌈(n + 1)(1 - α)⌉-th smallest of n values, ``NEVER`` if there is none.

    With fewer than 1 / α - 1 trajectories (19 for α = 0.05) no finite threshold has the guarantee.
    """
    values = np.sort(np.asarray(largest, np.float64))
    rank = math.ceil((len(values) + 1) * (1 - alpha) - 1e-9)
    if rank > len(values) or not np.isfinite(values[rank - 1]):
        return NEVER
    return float(values[rank - 1])


def artefact(
    settings: Settings, seed: int, prior: Artefact[Prior], agent: Artefact[Any], latents: Artefact[Any] | None
) -> Artefact[Monitor]:
    """The monitor of an agent's value; its model receives the latents, where there are any."""
    settings = with_seed(settings, seed)

    def build(prior: Prior, agent: Any, *latents: Any) -> Monitor:
        device = agent.agent.device
        known = learned_latents(latents[0]) if latents else None
        return Monitor(settings, prior, agent.agent.frozen_value(), device, known)

    return Artefact(
        name="monitor",
        build=build,
        about=table(settings),
        needs=(prior, agent) if latents is None else (prior, agent, latents),
        version=2,
        steps=settings.steps,
        ms_per_step=2.0,
        processor=latents is not None,
    )
