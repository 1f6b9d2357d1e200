"""One life: act, step, observe, until success, failure, divergence or the end of the budget."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from slrl.envs import OneLife
from slrl.envs.camera import View
from slrl.envs.rollout import Step, rollout
from slrl.learning import seeds
from slrl.types import F32, Adapter, Image, Metrics, Modal, Transition, Watcher

Outcome = Literal["success", "failure", "timeout", "interrupted", "diverged"]
LOG_EVERY_STEPS = 100


@dataclass(frozen=True, eq=False)
class Life:
    """The record of a life of T steps. Actions are as the adapter gave them, in [-1, 1]."""

    outcome: Outcome
    obs: F32  # (T + 1, O)
    action: F32  # (T, A)
    reward: F32  # (T,) of the environment
    progress: F32  # (T,) the scenario's progress_info after each step; NaN without one
    # every 100 steps, at every change of mode and at the end
    metrics: list[dict[str, float]] = field(repr=False)
    wall_clock_s: float
    # names of the modes that the metric adapter/mode counts, of an adapter with several
    modes: tuple[str, ...] = ()
    reason: str = ""  # why it diverged, in a sentence; empty unless it did

    @property
    def steps(self) -> int:
        """Environment steps lived."""
        return len(self.action)

    @property
    def final_progress(self) -> float | None:
        """``progress`` after the last step, rounded to float32; None if there is no finite value."""
        last = self.progress[-1:]
        return float(str(last[0])) if np.isfinite(last).all() and len(last) else None


class _DivergedError(Exception):
    """An action is not finite, and no world can be stepped with it; the message says which and why."""


def live(
    env: OneLife, adapter: Adapter, seed: int, *, quiet: bool = True, view: Callable[[], Image] | None = None
) -> Life:
    """Let ``adapter`` live in ``env`` once.

    ``seed`` is the life's; the world's seed is derived from it. Ctrl-C ends the life as ``interrupted``, and
    the steps so far are returned; the outcome of a life that had already ended stays. An action that is not
    finite ends it as ``diverged``, with the steps before that action. ``view`` draws pictures for an adapter
    that looks at them; by default the world's own rendering.
    """
    if isinstance(adapter, Watcher):
        adapter.watch(view or (View(env) if env.render_mode == "rgb_array" else None))
    outcome: Outcome = "interrupted"
    reason = ""
    steps: list[Transition] = []
    progress: list[float] = []
    rows: list[dict[str, float]] = []
    metrics: Metrics = {}

    def act(obs: F32) -> F32:
        action = adapter.act(obs)
        if not np.isfinite(action).all():
            raise _DivergedError(
                f"the action became {action} after {len(steps)} steps: learning diverged; "
                "choose smaller learning rates."
            )
        return action

    life, began = rollout(env, act, seed=seeds.of_world(seed)), time.perf_counter()

    def log() -> None:
        """A row of metrics as they are now."""
        about = {
            "life/step": float(len(steps)),
            "life/reward": steps[-1].reward,
            "life/progress": progress[-1],
        }
        rate = {"time/steps_per_s": len(steps) / (time.perf_counter() - began)}
        rows.append(about | {key: float(value) for key, value in metrics.items()} | rate)

    with tqdm(total=env.life_steps, desc="life", unit="step", disable=quiet, mininterval=0.5) as bar:
        try:
            for step in life:
                steps.append(step.transition)
                progress.append(step.info["progress"])
                outcome = _outcome(step)
                metrics = {}  # reset first, in case this step is interrupted
                metrics = {**adapter.observe(step.transition), **adapter.learn()}
                changed = "adapter/changed" in metrics  # a change of mode has a row of its own
                if len(steps) % LOG_EVERY_STEPS == 0 or changed or step.over:
                    log()
                    _show(bar, rows[-1], len(steps))
        except KeyboardInterrupt:
            pass  # the outcome says so
        except _DivergedError as error:
            outcome, reason = "diverged", str(error)
    if steps and (not rows or rows[-1]["life/step"] != len(steps)):
        log()
    obs, action, reward = _arrays(life.first_obs, steps, env.action_space.shape or ())
    return Life(
        outcome=outcome,
        obs=obs,
        action=action,
        reward=reward,
        progress=np.array(progress, np.float32),
        metrics=rows,
        wall_clock_s=time.perf_counter() - began,
        modes=adapter.modes if isinstance(adapter, Modal) else (),
        reason=reason,
    )


def _arrays(first_obs: F32, steps: list[Transition], action_shape: tuple[int, ...]) -> tuple[F32, F32, F32]:
    """Observations (T + 1, O), actions (T, A) and rewards (T,) of a life."""
    obs = np.stack([first_obs, *(step.next_obs for step in steps)]).astype(np.float32)
    action = np.array([step.action for step in steps], np.float32).reshape(len(steps), *action_shape)
    return obs, action, np.array([step.reward for step in steps], np.float32)


def _outcome(step: Step) -> Outcome:
    """The outcome after this step; ``interrupted`` while the life continues."""
    if not step.over:
        return "interrupted"
    return "timeout" if step.transition.truncated else "success" if step.info["success"] else "failure"


def _show(bar: "tqdm[Any]", row: dict[str, float], steps: int) -> None:
    bar.update(steps - bar.n)
    shown = {} if np.isnan(row["life/progress"]) else {"progress": row["life/progress"]}
    if "guidance/reward" in row:
        shown["guidance"] = row["guidance/reward"]
    bar.set_postfix({key: f"{value:.3g}" for key, value in shown.items()}, refresh=False)
