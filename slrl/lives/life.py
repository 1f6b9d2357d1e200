"""One life: act, step, observe, until success, failure or the end of the budget."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from slrl.envs import OneLife
from slrl.envs.camera import View
from slrl.errors import BadInput
from slrl.learning import seeds
from slrl.types import F32, Adapter, Image, Transition, Watcher

Outcome = Literal["success", "failure", "timeout", "interrupted"]
LOG_EVERY_STEPS = 100


@dataclass(frozen=True, eq=False)
class Life:
    """What happened: T steps. Actions are as the adapter gave them, in [-1, 1]."""

    outcome: Outcome
    obs: F32  # (T + 1, O)
    action: F32  # (T, A)
    reward: F32  # (T,) of the environment
    progress: F32  # (T,) the scenario's progress_info after each step; NaN without one
    metrics: list[dict[str, float]] = field(
        repr=False
    )  # every 100 steps, at every change of mode and at the end
    wall_clock_s: float

    @property
    def steps(self) -> int:
        """Environment steps lived."""
        return len(self.action)

    @property
    def final_progress(self) -> float | None:
        """``progress`` after the last step, as short as float32 allows; None without a step or a finite value."""
        last = self.progress[-1:]
        return float(str(last[0])) if np.isfinite(last).all() and len(last) else None


def live(
    env: OneLife, adapter: Adapter, seed: int, *, quiet: bool = True, view: Callable[[], Image] | None = None
) -> Life:
    """Let ``adapter`` live in ``env`` once.

    ``seed`` is the life's: the world's own is derived from it. Ctrl-C ends the life as ``interrupted``, and what was lived
    until then is returned. An adapter that looks at the world does so through ``view``, or else as the world draws itself.
    """
    if isinstance(adapter, Watcher):
        adapter.watch(view or (View(env) if env.render_mode == "rgb_array" else None))
    outcome: Outcome = "interrupted"
    steps: list[tuple[F32, float, F32, float]] = []  # action, reward, next_obs, progress
    rows: list[dict[str, float]] = []
    first, info = env.reset(seed=seeds.seed_of(seeds.of_life(seed).world) % 2**31)
    obs, began = first, time.perf_counter()
    with tqdm(total=env.life_steps, desc="life", unit="step", disable=quiet, mininterval=0.5) as bar:
        try:
            while outcome == "interrupted":
                action = adapter.act(obs)
                if not np.isfinite(action).all():
                    raise BadInput(
                        f"the action became {action} after {len(steps)} steps: learning diverged; choose smaller learning rates."
                    )
                next_obs, reward, terminated, truncated, info = env.step(action)
                transition = Transition(obs, action, float(reward), next_obs, terminated, truncated)
                steps.append((action, transition.reward, next_obs, info["progress"]))
                obs = next_obs
                metrics = adapter.observe(transition)
                if terminated or truncated:
                    outcome = "timeout" if truncated else "success" if info["success"] else "failure"
                told = "adapter/changed" in metrics  # a change of mode has a row of its own
                if len(steps) % LOG_EVERY_STEPS == 0 or told or outcome != "interrupted":
                    rate = len(steps) / (time.perf_counter() - began)
                    row = {
                        "life/step": float(len(steps)),
                        "life/reward": transition.reward,
                        "life/progress": steps[-1][3],
                    }
                    rows.append(
                        row
                        | {key: float(value) for key, value in metrics.items()}
                        | {"time/steps_per_s": rate}
                    )
                    _show(bar, rows[-1], len(steps))
        except KeyboardInterrupt:
            pass  # the outcome says so
    actions, rewards, arrived, progress = zip(*steps, strict=True) if steps else ((), (), (), ())
    return Life(
        outcome=outcome,
        obs=np.stack([first, *arrived]).astype(np.float32),
        action=np.array(actions, np.float32).reshape(len(steps), *env.action_space.shape or ()),
        reward=np.array(rewards, np.float32),
        progress=np.array(progress, np.float32),
        metrics=rows,
        wall_clock_s=time.perf_counter() - began,
    )


def _show(bar: "tqdm[Any]", row: dict[str, float], steps: int) -> None:
    bar.update(steps - bar.n)
    shown = {} if np.isnan(row["life/progress"]) else {"progress": row["life/progress"]}
    if "guidance/reward" in row:
        shown["guidance"] = row["guidance/reward"]
    bar.set_postfix({key: f"{value:.3g}" for key, value in shown.items()}, refresh=False)
