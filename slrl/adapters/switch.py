"""Which kind of adaptation, when: a latent answers at once, another skill answers a blocked way, weights change last.

The low level (an adapter in action space, as ``rma_qwale``) acts until the monitor's signals say that its life goes wrong in a
way that a latent does not mend; then the high level (``skills``) acts; when that has not helped, the low level's weights learn.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from slrl import adapters
from slrl.adapters import Pretrainer
from slrl.adapters.latent import Latent
from slrl.adapters.monitor import NEVER, SIGNALS, Monitor
from slrl.adapters.replay import Replay
from slrl.errors import BadInput
from slrl.learning.agents.sac import Sac
from slrl.learning.state import fingerprint, nest, part
from slrl.priors import Prior
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


class Switch:
    """Four modes with hysteresis; every change is reported with the signals that caused it.

    * nominal → latent: the residual is raised for ``residual_steps`` steps in a row.
    * latent → nominal: it has been clear for ``clear_steps``.
    * latent → skill: after ``latent_steps``, a stall, or a value that drops where nothing is familiar; after ``unmended_steps``,
      half as many after each time in skills, a residual that no latent has mended, unless values rise as usual.
    * nominal → skill: a stall for ``stall_steps`` in a row, or a stall where nothing is familiar.
    * skill → nominal: values are better than ever before, rise as usual, and all has been familiar for ``settled_steps``; twice
      as long after each relapse.
    * skill → weights: no better value than ever before for ``patience_steps``. Weights learn for the rest of the life.
    """

    def __init__(
        self,
        agent: Sac,
        prior: Prior,
        pretrainer: Pretrainer,
        life_steps: int,
        rng: np.random.Generator,
        device: torch.device,
        low: dict[str, Any],
        high: dict[str, Any],
        monitor: dict[str, Any],
        residual_steps: int = 5,
        clear_steps: int = 20,
        latent_steps: int = 100,
        unmended_steps: int = 100,
        stall_steps: int = 50,
        settled_steps: int = 100,
        hold_steps: int = 10,
        patience_steps: int = 4000,
    ) -> None:
        seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(2)
        self.low = _level(low, pretrainer, pretrainer.seeds.low, prior, life_steps, seeds[0], device)
        self.latent = self.low if isinstance(self.low, Latent) else None
        extrinsics = None if self.latent is None else self.latent.extrinsics
        monitor = {"seed": pretrainer.seeds.monitor} | monitor
        self.monitor = Monitor(prior, agent.frozen_value(), device, latents=extrinsics, **monitor)
        of_latent = None if extrinsics is None else fingerprint([*extrinsics.phi, *extrinsics.mu])
        pretrainer.once(
            self.monitor,
            "monitor",
            prior.sha256,
            monitor,
            fingerprint([*agent.actor, *agent.critic]),
            of_latent,
        )
        self.high: Adapter | None = None
        missing = (
            [f"the signals {', '.join(self.monitor.unsupported())}"] if self.monitor.unsupported() else []
        )
        try:
            self.high = _level(high, pretrainer, pretrainer.seeds.high, prior, life_steps, seeds[1], device)
        except BadInput as error:
            missing.append(f"its high level ({error})")
        learner = self.latent.inner if self.latent is not None else self.low
        self.learner = learner if isinstance(learner, Replay) else None
        if self.learner is not None:
            self.learner.learning = False
        if missing:
            print(f"slrl: the switch does without {'; and without '.join(missing)}", file=sys.stderr)
        self._residual_steps, self._clear_steps, self._latent_steps = (
            residual_steps,
            clear_steps,
            latent_steps,
        )
        self._stall_steps, self._settled_steps, self._hold = stall_steps, settled_steps, hold_steps
        self._unmended_steps, self._patience = unmended_steps, patience_steps
        self.mode, self.since, self.relapses = NOMINAL, 0, -1  # the first time is none
        self.rows = np.zeros(5, np.int64)  # for how many steps in a row each signal has been raised
        self.clear = np.zeros(5, np.int64)  # or has not
        self.best, self.since_best = -np.inf, 0

    def watch(self, view: Callable[[], Image] | None) -> None:
        """Let the levels look that want to."""
        for level in (self.low, self.high):
            if isinstance(level, Watcher):
                level.watch(view)

    def files(self) -> dict[str, str]:
        """What the levels have to keep."""
        found: dict[str, str] = {}
        for name, level in (("low", self.low), ("high", self.high)):
            if isinstance(level, Recorder):
                found |= {f"{name}-{file}": text for file, text in level.files().items()}
        return found

    def act(self, obs: F32) -> F32:
        return self._acting().act(obs)

    def observe(self, transition: Transition) -> Metrics:
        told = None if self.latent is None else self.latent.z  # what the step was taken under
        metrics = dict(self._acting().observe(transition))
        if self.mode == SKILL:
            metrics = {**metrics, **self.low.observe(transition)}  # its history goes on, its weights do not
        signals = self.monitor.update(transition, told)
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

    def next_mode(self, raised: np.ndarray) -> int:
        """The mode after a step whose signals are these."""
        stuck = self.rows[STALL] >= self._stall_steps
        lost = bool(raised[STALL] and raised[UNFAMILIARITY])
        dropping = bool(raised[VALUE_DROP] and raised[UNFAMILIARITY])
        above = SKILL if self.high is not None else WEIGHTS if self.learner is not None else self.mode
        if self.mode == NOMINAL:
            if stuck or lost:
                return above
            return (
                LATENT if self.latent is not None and self.rows[RESIDUAL] >= self._residual_steps else NOMINAL
            )
        if self.mode == LATENT:
            if self.clear[RESIDUAL] >= self._clear_steps:
                return NOMINAL
            patience = self._unmended_steps // 2 ** max(
                self.relapses + 1, 0
            )  # less each time that it has not helped before
            unmended = self.since >= patience and bool(raised[RESIDUAL]) and not self.monitor.gaining()
            worse = self.since >= self._latent_steps and bool(raised[STALL] or dropping)
            return above if worse or unmended else LATENT
        if self.mode == SKILL and self.since % self._hold == 0:
            settled = self._settled_steps * 2 ** max(self.relapses, 0)
            familiar = self.since >= settled and self.clear[UNFAMILIARITY] >= settled
            # Where values lead into a wall they rise again and again: only better than ever before is past it.
            if familiar and self.monitor.gaining() and self.since_best < self._hold:
                return NOMINAL
            if self.since_best >= self._patience and self.learner is not None:
                return WEIGHTS
        return self.mode

    def _enter(self, before: int) -> None:
        self.relapses += self.mode == SKILL
        self.since, self.since_best = 0, self._hold  # not better than ever, but not long ago
        self.rows[:], self.clear[:] = 0, 0
        if self.latent is not None:
            self.latent.every = 1 if self.mode == LATENT else self.latent.usual
        if self.learner is not None:
            self.learner.learning = self.mode == WEIGHTS

    def _remember_best(self) -> None:
        value = self.monitor.track.values[-1]
        self.since_best = 0 if value > self.best else self.since_best + 1
        self.best = max(self.best, value)

    def _acting(self) -> Adapter:
        return self.high if self.mode == SKILL and self.high is not None else self.low

    def state_dict(self) -> State:
        counts = [self.mode, self.since, self.relapses, self.since_best, *self.rows, *self.clear]
        own = {
            "counts": torch.tensor([int(count) for count in counts]),
            "best": torch.tensor(self.best, dtype=torch.float64),
        }
        high = {} if self.high is None else {"high": self.high.state_dict()}
        return nest(low=self.low.state_dict(), monitor=self.monitor.state_dict(), switch=own, **high)

    def load_state_dict(self, state: State) -> None:
        self.low.load_state_dict(part(state, "low"))
        if self.high is not None:
            self.high.load_state_dict(part(state, "high"))
        self.monitor.load_state_dict(part(state, "monitor"))
        own = part(state, "switch")
        counts = own["counts"].numpy().copy()
        self.mode, self.since, self.relapses, self.since_best = (int(count) for count in counts[:4])
        self.rows, self.clear, self.best = counts[4:9], counts[9:], float(own["best"])
        if self.latent is not None:
            self.latent.every = 1 if self.mode == LATENT else self.latent.usual
        if self.learner is not None:
            self.learner.learning = self.mode == WEIGHTS


def _level(
    table: Mapping[str, Any],
    pretrainer: Pretrainer,
    pretraining_seed: int,
    prior: Prior,
    life_steps: int,
    seed: np.random.SeedSequence,
    device: torch.device,
) -> Adapter:
    """The adapter of a whole method, with its own agent and pretraining."""
    method = adapters.parse(
        {key: value for key, value in table.items() if key != "name"}, name=str(table["name"])
    )
    own = pretrainer.of(method.agent, method.pretrain, pretraining_seed)
    return adapters.make(method, own, prior, life_steps=life_steps, seed=seed, device=device)


def check(settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the values, if anything."""
    for key in STEPS:
        if settings[key] < 1:
            return f"{key} must be 1 or more, not {settings[key]}"
    return None


make = Switch
