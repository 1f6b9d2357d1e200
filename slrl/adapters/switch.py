"""Switching between kinds of adaptation: a latent first, then other skills, and weights last.

The low level (an adapter in action space, such as ``rma_qwale``) acts until the monitor's signals show a
failure that a latent does not correct; then the high level (``skills``) acts; if that does not help, the low
level's weights are trained.
"""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from slrl.adapters import latent, monitor, skills
from slrl.adapters.latent import Latent
from slrl.adapters.method import Method
from slrl.adapters.monitor import NEVER, SIGNALS, Monitor
from slrl.adapters.monitor import Settings as MonitorSettings
from slrl.adapters.replay import Replay
from slrl.adapters.setup import Plan, Setup
from slrl.errors import Unsupported
from slrl.learning import extrinsics
from slrl.learning.cache import Artefact
from slrl.learning.seeds import with_seed
from slrl.learning.state import nest, substate
from slrl.plugins import at_least, require
from slrl.types import F32, Adapter, Image, Metrics, Recorder, State, Transition, Watcher

NOMINAL, LATENT, SKILL, WEIGHTS = range(4)
MODES = ("nominal", "latent", "skill", "weights")
STEPS = (
    "residual_steps",
    "clear_steps",
    "latent_steps",
    "unmended_steps",
    "stall_steps",
    "settled_steps",
    "hold_steps",
    "patience_steps",
)
STALL, VALUE_DROP, UNFAMILIARITY, RESIDUAL, DISAGREEMENT = range(5)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    low: Method  # acts in the modes nominal, latent and weights
    high: Method  # acts in the mode skill
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    residual_steps: int = 5
    clear_steps: int = 20
    latent_steps: int = 100
    unmended_steps: int = 100
    stall_steps: int = 50
    settled_steps: int = 100
    hold_steps: int = 10
    patience_steps: int = 4000

    def __post_init__(self) -> None:
        at_least(self, 1, *STEPS)
        high = self.high.adapter.settings
        if isinstance(
            high, skills.Settings
        ):  # else a mode would end, or begin anew, in the middle of a skill
            horizon = high.skills.horizon
            require(
                self.hold_steps % horizon == 0,
                f"hold_steps must be a multiple of the high level's skills.horizon ({horizon}), for modes "
                f"change between skills, not {self.hold_steps}",
            )


class Switch:
    """Four modes with hysteresis; every change is reported with the signals that caused it.

    * nominal → latent: the residual is raised for ``residual_steps`` steps in a row.
    * latent → nominal: it has been clear for ``clear_steps``.
    * latent → skill: after ``latent_steps``, a stall, or a value that drops where nothing is familiar; after
      ``unmended_steps``, half as many after each time in skills, a residual that no latent has mended, unless
      values rise as usual.
    * nominal → skill: a stall for ``stall_steps`` in a row, or a stall where nothing is familiar.
    * skill → nominal: values are better than ever before, rise as usual, and all has been familiar for
      ``settled_steps``; twice as long after each relapse.
    * skill → weights: no better value than ever before for ``patience_steps``. Weights learn for the rest of
      the life.
    """

    modes = MODES

    def __init__(self, settings: Settings, low: Adapter, high: Adapter | None, watched: Monitor) -> None:
        self._settings, self.low, self.high, self.monitor = settings, low, high, watched
        self.latent = low if isinstance(low, Latent) else None
        learner = self.latent.inner if self.latent is not None else low
        self.learner = learner if isinstance(learner, Replay) else None
        if self.learner is not None:
            self.learner.learning = False
        self.mode, self.since, self.relapses = NOMINAL, 0, -1  # the first mode "skill" is no relapse
        self.rows = np.zeros(5, np.int64)  # (5,) for how many steps in a row each signal has been raised
        self.clear = np.zeros(5, np.int64)  # (5,) or not raised
        self.best, self.since_best = -np.inf, 0
        self._observed: list[Adapter] = []  # the levels that observed the last step

    def watch(self, view: Callable[[], Image] | None) -> None:
        """Give the camera to the levels that look at pictures."""
        for level in (self.low, self.high):
            if isinstance(level, Watcher):
                level.watch(view)

    def files(self) -> dict[str, str]:
        """The files that the levels keep, with the level's name in front."""
        found: dict[str, str] = {}
        for name, level in (("low", self.low), ("high", self.high)):
            if isinstance(level, Recorder):
                found |= {f"{name}-{file}": text for file, text in level.files().items()}
        return found

    def act(self, obs: F32) -> F32:
        """The action (A,) of the level that acts in the present mode."""
        return self._acting().act(obs)

    def observe(self, transition: Transition) -> Metrics:
        """Pass the step to the acting level, update the monitor, and change the mode if its signals say so.

        In the mode ``skill`` the low level observes too, to keep its history. Metrics: ``adapter/mode``, each
        signal relative to its threshold, and at a change ``adapter/changed``, the raised signals as a bit
        mask.
        """
        acting = self._acting()
        metrics = dict(acting.observe(transition))
        self._observed = [acting]
        if self.mode == SKILL:
            metrics = {
                **metrics,
                **self.low.observe(transition),
            }  # its history continues; its weights are fixed
            self._observed.append(self.low)
        signals = self.monitor.update(transition)
        raised = self.monitor.raised(signals)
        self.rows, self.clear = np.where(raised, self.rows + 1, 0), np.where(raised, 0, self.clear + 1)
        self.since += 1
        self._remember_best()
        before, self.mode = self.mode, self.next_mode(raised)
        if self.mode != before:
            self._enter(before)
        limits = self.monitor.thresholds.numpy()
        shown = {
            f"adapter/{name}": value / limit if limit > 0 else value - limit
            for name, value, limit in zip(SIGNALS, signals, limits, strict=True)
            if np.isfinite(value) and limit < NEVER
        }
        metrics |= {"adapter/mode": float(self.mode), **shown}
        if self.mode != before:
            metrics["adapter/changed"] = float(sum(2**i for i in np.flatnonzero(raised)))
        return metrics

    def learn(self) -> Metrics:
        """Update the levels that observed the last step."""
        metrics: Metrics = {}
        for level in self._observed:
            metrics = {**metrics, **level.learn()}
        return metrics

    def next_mode(self, raised: np.ndarray) -> int:
        """The mode that follows from the raised signals (5,) and the counters; the class lists the rules."""
        stuck = self.rows[STALL] >= self._settings.stall_steps
        lost = bool(raised[STALL] and raised[UNFAMILIARITY])
        dropping = bool(raised[VALUE_DROP] and raised[UNFAMILIARITY])
        above = SKILL if self.high is not None else WEIGHTS if self.learner is not None else self.mode
        if self.mode == NOMINAL:
            if stuck or lost:
                return above
            return (
                LATENT
                if self.latent is not None and self.rows[RESIDUAL] >= self._settings.residual_steps
                else NOMINAL
            )
        if self.mode == LATENT:
            if self.clear[RESIDUAL] >= self._settings.clear_steps:
                return NOMINAL
            # halved after each time in skills
            patience = self._settings.unmended_steps // 2 ** max(self.relapses + 1, 0)
            unmended = self.since >= patience and bool(raised[RESIDUAL]) and not self.monitor.gaining()
            worse = self.since >= self._settings.latent_steps and bool(raised[STALL] or dropping)
            return above if worse or unmended else LATENT
        if self.mode == SKILL and self.since % self._settings.hold_steps == 0:
            settled = self._settings.settled_steps * 2 ** max(self.relapses, 0)
            familiar = self.since >= settled and self.clear[UNFAMILIARITY] >= settled
            # In front of a wall values rise repeatedly; only a new best value shows that it is passed.
            if familiar and self.monitor.gaining() and self.since_best < self._settings.hold_steps:
                return NOMINAL
            if self.since_best >= self._settings.patience_steps and self.learner is not None:
                return WEIGHTS
        return self.mode

    def _enter(self, before: int) -> None:
        self.relapses += self.mode == SKILL
        self.since, self.since_best = (
            0,
            self._settings.hold_steps,
        )  # as if the best value were ``hold_steps`` old
        self.rows[:], self.clear[:] = 0, 0
        self._read_latents()
        if self.learner is not None:
            self.learner.learning = self.mode == WEIGHTS

    def _read_latents(self) -> None:
        """Set how often the low level's latent and the monitor's are read, which is at the same steps."""
        for reads in (self.latent, self.monitor):
            if reads is not None:
                reads.every = 1 if self.mode == LATENT else reads.usual

    def _remember_best(self) -> None:
        value = self.monitor.track.values[-1]
        self.since_best = 0 if value > self.best else self.since_best + 1
        self.best = max(self.best, value)

    def _acting(self) -> Adapter:
        return self.high if self.mode == SKILL and self.high is not None else self.low

    def state_dict(self) -> State:
        """Both levels, the monitor, and the switch: mode, counters, steps per signal (2 × 5), best value."""
        counts = [self.mode, self.since, self.relapses, self.since_best, *self.rows, *self.clear]
        own = {
            "counts": torch.tensor([int(count) for count in counts]),
            "best": torch.tensor(self.best, dtype=torch.float64),
        }
        high = {} if self.high is None else {"high": self.high.state_dict()}
        return nest(low=self.low.state_dict(), monitor=self.monitor.state_dict(), switch=own, **high)

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.low.load_state_dict(substate(state, "low"))
        if self.high is not None:
            self.high.load_state_dict(substate(state, "high"))
        self.monitor.load_state_dict(substate(state, "monitor"))
        own = substate(state, "switch")
        counts = own["counts"].numpy().copy()
        self.mode, self.since, self.relapses, self.since_best = (int(count) for count in counts[:4])
        self.rows, self.clear, self.best = counts[4:9], counts[9:], float(own["best"])
        self._read_latents()
        if self.learner is not None:
            self.learner.learning = self.mode == WEIGHTS


def monitored(settings: Settings, plan: Plan) -> Artefact[Monitor]:
    """The monitor of the method's own agent, which learns without the episodes that are held out.

    Where the low level has a latent, the monitor has one of its own, learned without them too. It has the
    same settings but for its steps: it predicts steps to tell them from others, and no policy acts by it.
    """
    watch, low = with_seed(settings.monitor, plan.seeds.monitor), settings.low.adapter.settings
    training = monitor.training_artefact(watch, plan.prior)
    agent = plan.agents.artefact(training)
    if not isinstance(low, latent.Settings):
        return monitor.artefact(watch, plan.prior, agent)
    own = replace(low.extrinsics, steps=watch.latent_steps)
    latents = extrinsics.artefact(own, training, plan.seeds.monitor, plan.device)
    return monitor.artefact(watch, plan.prior, agent, latents, low.refresh_every)


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The monitor, with the agent and the latents that it watches by, and what the levels need."""
    low, high = settings.low, settings.high
    found = plan.level(low, plan.seeds.low).of_adapter(low.adapter)
    with contextlib.suppress(Unsupported):  # not possible with this prior: the switch works without it
        found += plan.level(high, plan.seeds.high).of_adapter(high.adapter)
    return [*found, monitored(settings, plan)]


def make(settings: Settings, setup: Setup) -> Switch:
    """Assemble from the artefacts; without the high level, and with a warning, where it is not possible."""
    sequences = np.random.SeedSequence(int(setup.rng.integers(2**63))).spawn(2)
    seeds = setup.plan.seeds
    low = setup.level(settings.low, seeds.low, sequences[0])
    watched: Monitor = setup.get(monitored(settings, setup.plan))
    missing = []
    if off := watched.unsupported():
        missing.append(f"the signals {', '.join(off)} ({watched.why_unsupported()})")
    high: Adapter | None = None
    try:
        high = setup.level(settings.high, seeds.high, sequences[1])
    except Unsupported as error:
        missing.append(f"its high level ({error})")
    if missing:
        print(f"slrl: the switch does without {'; and without '.join(missing)}", file=sys.stderr)
    return Switch(settings, low, high, watched)
