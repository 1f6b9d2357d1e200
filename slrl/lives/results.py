"""The result of a life, and the folder that holds it."""

import csv
import io
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tomli_w
import torch

from slrl.errors import BadInput
from slrl.files import atomic_write, installed, made_folder, write_text
from slrl.lives.life import Life, Outcome
from slrl.lives.settings import LifeSettings, WorldName
from slrl.lives.trace import draw
from slrl.priors import Prior

SCHEMA = 1
ERROR = "error.txt"  # in the folder of a life that crashed, beside its settings; there is no result


@dataclass(frozen=True, kw_only=True)
class Result:
    """One life in numbers, with everything that they depend on."""

    schema: int = SCHEMA
    scenario: str
    world: WorldName = "target"
    adapter: str
    seed: int
    outcome: Outcome
    reason: str = ""  # why it diverged, in a sentence
    progress: float | None = None  # the scenario's progress_info at the end; None without one
    steps: int  # steps-to-completion if the outcome is success; else the steps until the life ended
    life_steps: int  # the budget
    censored: bool  # without success: the steps-to-completion is larger than ``steps``
    wall_clock_s: float
    steps_per_s: float
    prior: str
    prior_sha256: str
    versions: dict[str, str]
    git_revision: str | None
    modes: tuple[str, ...] = ()  # names of the modes in the metric adapter/mode
    folder: str | None = None

    @classmethod
    def of(cls, life: Life, settings: LifeSettings, prior: Prior, folder: Path | None) -> "Result":
        """Summarise a life."""
        return cls(
            scenario=settings.scenario.name,
            adapter=settings.method.name,
            seed=settings.seed,
            world=settings.world,
            outcome=life.outcome,
            reason=life.reason,
            progress=life.final_progress,
            steps=life.steps,
            life_steps=settings.life_steps,
            censored=life.outcome != "success",
            wall_clock_s=round(life.wall_clock_s, 3),
            steps_per_s=round(life.steps / max(life.wall_clock_s, 1e-9), 1),
            prior=prior.name,
            prior_sha256=prior.sha256,
            versions=versions(),
            git_revision=git_revision(),
            modes=life.modes,
            folder=None if folder is None else str(folder),
        )

    def json(self) -> str:
        """The result as one line of JSON."""
        return json.dumps(asdict(self))


def versions() -> dict[str, str]:
    """Versions of Python, the packages that affect a life, and the processor's instructions.

    MuJoCo's trajectories differ between its versions. Libraries choose their code by the instructions: what
    is learned may differ in its last digits.
    """
    found = {
        "python": platform.python_version(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    for package in (
        "slrl",
        "torch",
        "numpy",
        "gymnasium",
        "minari",
        "mujoco",
        "gymnasium-robotics",
        "metaworld",
    ):
        found[package] = installed(package) or "not installed"
    return found


def git_revision() -> str | None:
    """The checkout's commit, with ``+`` if files were changed; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None  # no git on this machine, or a checkout without a commit
    return head + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()


def check_folder(out: Path) -> None:
    """Refuse an output folder that is not writable, before any work. Nothing is created.

    Raises:
        BadInput: if the nearest existing parent is a file or not writable.
    """
    nearest = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "not a folder" if nearest.is_file() else "not writable"
        raise BadInput(f"cannot write runs into {out}: {nearest} is {what}; choose another --out.")


def free_folder(
    folder: Path, settings: dict[str, Any], more: Mapping[str, str] = MappingProxyType({})
) -> Path:
    """The folder ``…/seed-N``, free to be written; a different life there moves to ``seed-N.1``.

    A life is different if its settings are, or its adapter's files (``more``), because a planner may have
    answered differently. A life without a result is overwritten.
    """
    made_folder(folder.parent)
    wanted = {"settings.toml": tomli_w.dumps(settings), **more}
    if (folder / "result.json").is_file() and not all(
        (folder / name).is_file() and (folder / name).read_text(encoding="utf-8") == text
        for name, text in wanted.items()
    ):
        number = next(n for n in range(1, 10**6) if not folder.with_name(f"{folder.name}.{n}").exists())
        folder.rename(folder.with_name(f"{folder.name}.{number}"))
    return made_folder(folder)


def keep(
    settings: LifeSettings,
    life: Life,
    prior: Prior,
    out: Path | None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Summarise a life, and write all its files under ``out`` atomically; write nothing if ``out`` is None.

    ``result.json`` is written last and marks the folder as complete. ``more`` are the adapter's own files:
    names and texts.
    """
    if out is None:
        return Result.of(life, settings, prior, None)
    table, scenario, adapter = settings.table(prior.sha256), settings.scenario, settings.method.name
    folder = free_folder(out / scenario.name / settings.place, table, more)
    result = Result.of(life, settings, prior, folder)
    write_text(folder / "settings.toml", tomli_w.dumps(table))
    write_text(folder / "metrics.csv", _csv(life.metrics))
    for name, text in more.items():
        write_text(folder / name, text)
    with atomic_write(folder / "life.npz") as temporary:
        np.savez_compressed(
            temporary, obs=life.obs, action=life.action, reward=life.reward, progress=life.progress
        )
    with atomic_write(folder / "trace.png") as temporary:
        draw(temporary, life, f"{adapter} · seed {settings.seed}", scenario, prior)
    write_text(folder / "result.json", json.dumps(asdict(result), indent=1) + "\n")
    return result


def mode_names(folder: Path, count: int) -> tuple[str, ...]:
    """Mode names from a life's ``result.json``; "mode 0", … where it has fewer than ``count``.

    Raises:
        OSError, ValueError: if the file is missing or damaged.
    """
    found = json.loads((folder / "result.json").read_text(encoding="utf-8")).get("modes", [])
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    return tuple(names) if len(names) >= count else tuple(f"mode {i}" for i in range(count))


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of a life's ``metrics.csv``, each without its empty cells.

    Raises:
        OSError, ValueError: if it is missing or damaged.
    """
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        try:
            rows = [
                {key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)
            ]
        # More cells than columns, or bytes that are not text.
        except (TypeError, AttributeError, csv.Error) as error:
            raise ValueError(f"metrics.csv is damaged: {error}") from None
    if any("life/step" not in row for row in rows):
        raise ValueError("metrics.csv is damaged: a row has no life/step")
    return rows


def _csv(rows: list[dict[str, float]]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
