"""A home of their own for the tests, small priors, and the same data in every file layout."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tomli_w
import torch
from gymnasium.spaces import Box

from slrl import files
from slrl.priors import Prior, formats

TINY_ADAPTER = """
schema = 1
summary = "As small as it gets."
[adapter]
name = "replay"
batch_size = 16
warm_up_steps = 5
guidance_batch_size = 16
[adapter.guidance]
name = "q_weighted"
hidden = [8]
[agent]
name = "sac"
hidden = [8]
[pretrain]
steps = 20
batch_size = 16
[pretrain.objective]
name = "iql"
"""


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("home")
    patch.setenv("SLRL_CACHE", str(home / "cache"))
    patch.setenv("MINARI_DATASETS_PATH", str(home / "minari"))
    patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray's name for: nodes on loopback, also on Linux
    torch.set_num_threads(1)
    yield
    patch.undo()


@pytest.fixture
def brief(tmp_path: Path) -> Callable[[str], str]:
    """File of a shipped scenario without its optimum, so that lives may be briefer than that."""

    def without_optimum(name: str) -> str:
        text = (files.folder("scenarios") / f"{name}.toml").read_text(encoding="utf-8")
        path = tmp_path / "brief" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(re.sub("^optimum_steps = .*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
        return str(path)

    return without_optimum


@pytest.fixture
def tiny_adapter(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_ADAPTER)
    return str(path)


def rows_of(lengths: list[int], *, obs_dim: int = 6, action_dim: int = 2, seed: int = 0) -> formats.Rows:
    """Random episodes; every other one ends terminated with reward 1, the others are cut."""
    rng = np.random.default_rng(seed)
    parts: list[tuple[np.ndarray, ...]] = []
    for index, steps in enumerate(lengths):
        obs = rng.normal(size=(steps + 1, obs_dim)).astype(np.float32)
        action = rng.uniform(-1, 1, (steps, action_dim)).astype(np.float32)
        last = np.arange(steps) == steps - 1
        success = index % 2 == 0
        parts.append(
            (
                obs[:-1],
                action,
                (last & success).astype(np.float32),
                obs[1:],
                last & success,
                last & (not success),
                np.full(steps, index, np.int32),
            )
        )
    return formats.Rows("test", *(np.concatenate(column) for column in zip(*parts, strict=True)))


def prior_of(rows: formats.Rows) -> Prior:
    spaces = {
        "observation_space": Box(-np.inf, np.inf, rows.obs.shape[1:]),
        "action_space": Box(-1, 1, rows.action.shape[1:]),
    }
    return Prior(name="test", **spaces, **rows._asdict())


@pytest.fixture
def small_prior() -> Prior:
    return prior_of(rows_of([5, 9, 7, 12]))


def write_minari(path: Path, rows: formats.Rows) -> Path:
    """A Minari dataset's directory, as Minari's own writer lays it out (compared with it in test_priors)."""
    data = path / "data"
    data.mkdir(parents=True)
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for index in np.unique(rows.episode):
            at = rows.episode == index
            group = file.create_group(f"episode_{index}")
            group["observations"] = np.concatenate([rows.obs[at], rows.next_obs[at][-1:]])
            group["actions"], group["rewards"] = rows.action[at], rows.reward[at]
            group["terminations"], group["truncations"] = rows.terminated[at], rows.truncated[at]
    space = {"type": "Box", "dtype": "float32"}
    o, a = rows.obs.shape[1], rows.action.shape[1]
    spaces = {
        "observation_space": json.dumps(space | {"shape": [o], "low": [-1e3] * o, "high": [1e3] * o}),
        "action_space": json.dumps(space | {"shape": [a], "low": [-1.0] * a, "high": [1.0] * a}),
    }
    (data / "metadata.json").write_text(json.dumps({"data_format": "hdf5", **spaces}))
    return path


def write_d4rl(path: Path, rows: formats.Rows, *, next_obs: bool = True, timeouts: bool = True) -> Path:
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"], file["rewards"] = rows.obs, rows.action, rows.reward
        file["terminals"] = rows.terminated
        if next_obs:
            file["next_observations"] = rows.next_obs
        if timeouts:
            file["timeouts"] = rows.truncated
    return path


def write_robomimic(path: Path, rows: formats.Rows) -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for index in np.unique(rows.episode):
            at = rows.episode == index
            demo = data.create_group(f"demo_{index}")
            demo["obs/state"], demo["next_obs/state"] = rows.obs[at], rows.next_obs[at]
            demo["actions"], demo["rewards"] = rows.action[at], rows.reward[at]
            demo["dones"] = (rows.terminated[at] | rows.truncated[at]).astype(np.int64)
    return path


def layouts(folder: Path, rows: formats.Rows) -> dict[str, Path]:
    """The same rows in all file layouts; names and endings say nothing about what is inside."""
    minari = write_minari(folder / "some_directory", rows)
    copied = folder / "copied.dat"
    copied.write_bytes((minari / "data" / "main_data.hdf5").read_bytes())
    return {
        "minari directory": minari,
        "minari file": minari / "data" / "main_data.hdf5",
        "minari file alone": copied,
        "d4rl": write_d4rl(folder / "data.hdf5", rows),
        "robomimic": write_robomimic(folder / "demo.h5", rows),
    }


def write_life(
    runs: Path, adapter: str, seed: int, steps: int, *, outcome: str = "success", **more: Any
) -> Path:
    """A folder as `slrl adapt` leaves it, but for the files that nobody reads here.

    A life that ``crashed`` has an ``error.txt`` and no result, as `slrl eval` leaves it. Without
    ``pretraining``, a seed, its method has none.
    """
    scenario, budget = more.pop("scenario", "windy"), more.pop("life_steps", 1000)
    folder: Path = runs / scenario / adapter / more.pop("folder", f"seed-{seed}")
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {
        "schema": 1,
        "seed": seed,
        "life_steps": budget,
        "prior": {"spec": "calm", "sha256": "ab"},
        "scenario": {"name": scenario, "optimum_steps": 100},
        "adapter": {"name": adapter, "lr": more.pop("lr", 1e-3)},
    }
    if "pretraining" in more:
        settings["adapter"]["pretrain"] = {
            "steps": 5,
            "seed": more.pop("pretraining"),
            "objective": {"seed": 3},
        }
    (folder / "settings.toml").write_text(tomli_w.dumps(settings))
    if outcome == "crashed":
        (folder / "error.txt").write_text("Traceback\n  in step\nRuntimeError: the motor burned out\n")
        return folder
    result = {
        "schema": 1,
        "scenario": scenario,
        "adapter": adapter,
        "seed": seed,
        "outcome": outcome,
        "steps": steps,
        "life_steps": budget,
        "censored": outcome != "success",
        "wall_clock_s": 1.5,
        "steps_per_s": 200,
        "prior": "calm",
        "prior_sha256": "ab",
        "versions": {"mujoco": "3.3.0", "torch": "2.13.0", "slrl": "0.1.0"},
        "git_revision": None,
        "folder": str(folder),
    }
    (folder / "result.json").write_text(json.dumps({**result, **more}))
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `slrl …` in this process: exit code, stdout, stderr."""
    from slrl.cli import main

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run
