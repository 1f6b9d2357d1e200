"""Signals that a life differs from the prior, each with a threshold calibrated on the prior's trajectories.

Larger signals mean a larger difference. Part of the prior's episodes is held out of everything that a signal
is computed with: the value, the latents, the dynamics and the known states are those of the other episodes
alone. A threshold is the split-conformal quantile of the held-out trajectories' maxima. A trajectory
exchangeable with them raises a signal with probability at most α, whatever the distribution (Vovk et al.,
2005; Angelopoulos & Bates, 2023).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrl.learning.cache import Artefact
from slrl.learning.dynamics import Dynamics
from slrl.learning.extrinsics import Extrinsics, History
from slrl.learning.state import nest, of_tensors, set_tensors, substate
from slrl.plugins import at_least, require, seed, share, table
from slrl.priors import Prior, part
from slrl.types import F32, Metrics, State, Transition, Value

SIGNALS = ("stall", "value_drop", "unfamiliarity", "residual", "disagreement")
NEIGHBOURS, KNOWN_STATES = 5, 2000
WARM_UP = 20  # steps
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
    steps: int = 3000  # of the dynamics
    latent_steps: int = 1000  # of either phase of the monitor's own latents
    linear: bool = True  # whether the dynamics have a linear path beside their layers
    seed: int | None = None  # that of the pretraining if unset

    def __post_init__(self) -> None:
        share(self, "false_alarms", "held_out", "smoothing")
        at_least(self, 1, "steps", "latent_steps")
        at_least(self, 2, "window")
        seed(self)
        require(self.held_out < 1, f"held_out must be less than 1, not {self.held_out}")


class Reader(NamedTuple):
    """How z is read for the monitor's model of the world."""

    latents: Extrinsics  # of the episodes that are not held out
    every: int  # steps between two inferences of z


def held_out(settings: Settings, prior: Prior) -> NDArray[np.int64]:
    """The numbers of the episodes that calibrate the thresholds, and that nothing else is learned from."""
    order = np.random.default_rng(settings.seed or 0).permutation(prior.episodes)
    return np.sort(order[: min(round(settings.held_out * prior.episodes), prior.episodes - 1)])


def training_part(settings: Settings, prior: Prior) -> Prior:
    """The prior without the episodes that are held out."""
    kept = part(prior, ~np.isin(prior.episode, held_out(settings, prior)))
    return replace(kept, name=f"{prior.name}, without what is held out")


class Monitor:
    """Learns from the prior's episodes that are not held out, as the value V and the latents have done.

    With a ``reader`` the model of the world receives z: the true one of each row in training, the one
    inferred from earlier steps in held-out trajectories and in the life. In the first ``WARM_UP`` steps, when
    z is not informed yet, there are no residual and disagreement signals. The reader is the monitor's own:
    what the low level reads z with has learned from all episodes.
    """

    def __init__(
        self,
        settings: Settings,
        prior: Prior,
        value: Value,
        device: torch.device,
        reader: Reader | None = None,
    ) -> None:
        seed = settings.seed or 0
        self._prior, self._value, self._device, self.steps = prior, value, device, settings.steps
        self.window, self._keep, self._alpha = settings.window, settings.smoothing, settings.false_alarms
        self.held_out, self._training = held_out(settings, prior), training_part(settings, prior)
        self._rng = np.random.default_rng(seed)
        self._latents = None if reader is None else reader.latents
        self.dynamics = Dynamics(
            self._training,
            torch.Generator().manual_seed(seed),
            device,
            latent_size=0 if self._latents is None else self._latents.size,
            members=3,
            hidden=(64, 64),
            linear=settings.linear,
        )
        self.usual = self.every = 1 if reader is None else reader.every
        self._history = None if self._latents is None else History(self._latents)
        self.z = None if self._history is None else self._history.inferred()  # (Z,)
        obs = self._training.obs
        known = self._rng.choice(len(obs), min(KNOWN_STATES, len(obs)), replace=False)
        self.scale = obs.std(0).clip(min=0.1).astype(np.float32)
        self.middle = obs.mean(0, dtype=np.float64).astype(np.float32)
        self.known = (obs[np.sort(known)] - self.middle) / self.scale
        self._known_squares = (self.known**2).sum(1)
        self.thresholds = torch.full((len(SIGNALS),), NEVER, dtype=torch.float64)
        # Gain of V over W / 2 steps of held-out trajectories: 20 % quantile, at least a tenth of V's std.
        self.usual_gain = torch.zeros((), dtype=torch.float64)
        self.track = Track()

    # -- watching --------------------------------------------------------------------------------------------

    def update(self, transition: Transition) -> NDArray[np.float64]:
        """The signals (5,) after one more step; -inf where undefined. z is read every ``every`` steps."""
        rows = [
            np.asarray(x, np.float32)[None] for x in (transition.obs, transition.action, transition.next_obs)
        ]
        z = None if self.z is None else self.z.unsqueeze(0)  # as it was at the time of the step
        raw = self.raw(rows[0], rows[1], rows[2], np.array([transition.reward], np.float32), z)[0]
        if self._history is not None:
            self._history.append(transition)
            if self._history.due(self.every):
                self.z = self._history.inferred()
        return self._follow(self.track, raw)

    def of_episodes(self, prior: Prior, episodes: Sequence[int]) -> Iterator[NDArray[np.float64]]:
        """The signals (T, 5) of each of these episodes of a recording, as a life would have had them."""
        windows = None
        if self._latents is not None:
            first = prior.starts[prior.episode]
            windows = self._latents.windows_of(prior.obs, prior.action, prior.next_obs, first)
        for episode in episodes:
            at = np.arange(prior.starts[episode], prior.ends[episode] + 1)
            steps = np.arange(len(at))
            read = torch.from_numpy(at[steps - steps % self.usual]).to(self._device)
            with torch.no_grad():
                z = None if self._latents is None else self._latents.before(read, windows)
            track = Track()
            raw = self.raw(prior.obs[at], prior.action[at], prior.next_obs[at], prior.reward[at], z)
            yield np.stack([self._follow(track, row) for row in raw])

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
        prior = self._training
        true = None if self._latents is None else self._latents.latents()
        for step in range(1, self.steps + 1):
            at = self._rng.integers(len(prior), size=256)
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
        prior, half = self._prior, self.window // 2
        largest = [signals.max(0) for signals in self.of_episodes(prior, self.held_out.tolist())]
        gains, seen = list[float](), list[float]()
        for episode in self.held_out:
            at = np.arange(prior.starts[episode], prior.ends[episode] + 1)
            values = self._values(prior.next_obs[at])
            smooth = self._smoothed(values)
            seen += values.tolist()
            gains += (smooth[half:] - smooth[:-half]).tolist()
        self.thresholds = torch.from_numpy(
            np.array([threshold(column, self._alpha) for column in np.reshape(largest, (-1, len(SIGNALS))).T])
        )
        # In a prior without a direction V falls half of the time; standing still must not count as a gain.
        usual = max(float(np.quantile(gains, 0.2)), 0.1 * float(np.std(seen))) if gains else NEVER
        self.usual_gain = torch.tensor(usual, dtype=torch.float64)

    @torch.no_grad()
    def _values(self, obs: F32) -> NDArray[np.float64]:
        """(B,) V of obs (B, O)."""
        values = self._value.v(torch.from_numpy(obs).to(self._device))
        return values.cpu().numpy().astype(np.float64)

    def _smoothed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = values.copy()
        for i in range(1, len(found)):
            found[i] = self._keep * found[i - 1] + (1 - self._keep) * found[i]
        return found

    def unsupported(self) -> list[str]:
        """Signals that the prior's trajectories cannot calibrate: too few of them, or too short ones."""
        return [name for name, limit in zip(SIGNALS, self.thresholds.tolist(), strict=True) if limit >= NEVER]

    def why_unsupported(self) -> str:
        """A clause on why these signals are off."""
        count, needed = len(self.held_out), math.ceil(1 / self._alpha - 1 - 1e-9) if self._alpha else math.inf
        if count < needed:
            return f"a threshold takes {needed} held-out episodes, and there are {count}"
        lengths = (self._prior.ends - self._prior.starts + 1)[self.held_out]
        return (
            f"too few of the {count} held-out episodes show them: the longest has {lengths.max()} steps, and "
            f"{SIGNALS[0]} and {SIGNALS[1]} take more than window = {self.window}"
        )

    def state_dict(self) -> State:
        """The dynamics, latents, the value's weights, thresholds (5,), usual gain, and the trajectory so far.

        The trajectory is its moving averages (4,), the last W + 1 values and the number of steps; with a
        reader also the steps that z (Z,) is inferred from, and z.
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
        parts = {
            "model": self.dynamics.state_dict(),
            "monitor": own,
            "value": of_tensors(self._value.tensors()),
        }
        if self._latents is not None and self._history is not None and self.z is not None:
            parts["reading"] = {**self._history.state_dict(), "z": self.z.clone()}
            parts["latents"] = self._latents.state_dict()
        return nest(**parts)

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of a monitor with the same settings and prior."""
        self.dynamics.load_state_dict(substate(state, "model"))
        set_tensors(self._value.tensors(), substate(state, "value"))
        own = substate(state, "monitor")
        self.thresholds, self.usual_gain = own["thresholds"].clone(), own["usual_gain"].clone()
        smooth = own["smooth"].numpy().copy()
        self.track = Track(smooth if len(smooth) else None, own["values"].tolist(), int(own["steps"]))
        if self._latents is not None and self._history is not None:
            self._latents.load_state_dict(substate(state, "latents"))
            self._history.load_state_dict(substate(state, "reading"))
            self.z = substate(state, "reading")["z"].clone()


def threshold(largest: Sequence[float] | NDArray[np.float64], alpha: float) -> float:
    """The split-conformal quantile: the ⌈(n + 1)(1 - α)⌉-th smallest of n values, ``NEVER`` if there is none.

    With fewer than 1 / α - 1 trajectories (19 for α = 0.05) no finite threshold has the guarantee.
    """
    values = np.sort(np.asarray(largest, np.float64))
    rank = math.ceil((len(values) + 1) * (1 - alpha) - 1e-9)
    if rank > len(values) or not np.isfinite(values[rank - 1]):
        return NEVER
    return float(values[rank - 1])


def training_artefact(settings: Settings, prior: Artefact[Prior]) -> Artefact[Prior]:
    """The prior without what ``settings``, which name a seed, hold out: all else is learned from that."""
    return Artefact(
        name="prior",
        build=lambda prior: training_part(settings, prior),
        about={"without": settings.held_out, "seed": settings.seed},
        needs=(prior,),
        stored=False,
    )


def artefact(
    settings: Settings,
    prior: Artefact[Prior],
    agent: Artefact[Any],
    latents: Artefact[Extrinsics] | None = None,
    every: int = 1,
) -> Artefact[Monitor]:
    """The monitor of a value, with or without latents that are read every so many steps.

    ``prior`` is the whole one; agent and latents are learned from :func:`training_artefact` of the same
    settings.
    """

    def build(prior: Prior, agent: Any, *latents: Extrinsics) -> Monitor:
        reader = Reader(latents[0], every) if latents else None
        return Monitor(settings, prior, agent.agent.frozen_value(), agent.agent.device, reader)

    return Artefact(
        name="monitor",
        build=build,
        about={key: value for key, value in table(settings).items() if key != "latent_steps"}
        | {"every": every},
        needs=(prior, agent) if latents is None else (prior, agent, latents),
        version=3,  # 2: value and latents had learned from the episodes that set the thresholds
        steps=settings.steps,
        ms_per_step=2.0,
    )
