"""One life by `adapt`: the same seed gives the same life for every kind of prior, and all files exist."""

import csv
import importlib
import json
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl import adapters, envs, files
from slrl.lives.life import live
from slrl.lives.run import adapt_as
from slrl.lives.settings import LifeSettings
from slrl.recording import contracts, recipes
from slrl.types import Transition

from .conftest import layouts

EXAMPLES = Path(__file__).parents[1] / "examples"
Command = Callable[..., tuple[int, str, str]]
FILES = {"settings.toml", "result.json", "metrics.csv", "life.npz", "trace.png"}


def lived(folder: str | Path) -> dict[str, Any]:
    with np.load(Path(folder) / "life.npz") as life:
        return {key: life[key] for key in life.files}


def same(one: str | Path, other: str | Path) -> bool:
    a, b = lived(one), lived(other)
    return all(
        np.array_equal(a[key], b[key], equal_nan=True) for key in ("obs", "action", "reward", "progress")
    )


def test_same_seed_same_life_in_every_layout_and_again_from_its_settings(
    command: Command, tiny_adapter: str, tmp_path: Path
) -> None:
    prior = recipes.load_prior("pointmass")
    from slrl.priors.formats import Rows

    rows = Rows("copy", *(getattr(prior, key) for key in Rows._fields[1:8]))
    ways = {"own": None, "recipe": "pointmass", "minari id": "slrl/pointmass-v0", **layouts(tmp_path, rows)}
    common = [
        "adapt",
        "--scenario",
        "windy_pointmass",
        "--life-steps",
        "130",
        "--quiet",
        "--json",
        "--adapter",
        tiny_adapter,
    ]
    folders = {}
    for way, spec in ways.items():
        out = tmp_path / "runs" / way.replace(" ", "-")
        code, printed, _ = command(
            *common, "--seed", 5, "--out", out, *(() if spec is None else ("--prior", spec))
        )
        assert code == 0, way
        assert len(printed.splitlines()) == 1
        result = json.loads(printed)
        assert (result["outcome"], result["steps"], result["censored"]) == ("timeout", 130, True)
        assert result["prior_sha256"] == prior.sha256
        folders[way] = result["folder"]
    for way, folder in folders.items():
        assert same(folders["own"], folder), way

    code, printed, _ = command(
        "adapt",
        "--from",
        Path(folders["d4rl"]) / "settings.toml",
        "--out",
        tmp_path / "again",
        "--json",
        "--quiet",
    )
    assert code == 0
    assert same(folders["own"], json.loads(printed)["folder"])
    code, printed, _ = command(*common, "--seed", 6, "--out", tmp_path / "other")
    assert not same(folders["own"], json.loads(printed)["folder"])


def test_a_life_leaves_its_files_and_they_say_the_same(
    command: Command, tiny_adapter: str, tmp_path: Path
) -> None:
    code, printed, err = command(
        "adapt",
        "--scenario",
        "windy_pointmass",
        "--adapter",
        tiny_adapter,
        "--life-steps",
        250,
        "--out",
        tmp_path / "r",
        "--quiet",
    )
    assert (code, err) == (0, "")
    assert "timeout: not finished after 250 of 250 steps" in printed
    folder = tmp_path / "r" / "windy_pointmass" / "tiny" / "seed-0"
    assert {path.name for path in folder.iterdir()} == FILES
    result = json.loads((folder / "result.json").read_text())
    needed = "scenario adapter seed outcome steps life_steps censored wall_clock_s steps_per_s "
    needed += "prior_sha256 versions git_revision"
    assert set(needed.split()) <= result.keys()
    assert {"mujoco", "torch", "numpy", "gymnasium", "python", "slrl"} <= result["versions"].keys()
    life = lived(folder)
    assert life["obs"].shape == (251, 6)
    assert life["action"].shape == (250, 2)
    np.testing.assert_allclose(life["progress"], np.hypot(*(life["obs"][1:, :2] - [100, 0]).T), rtol=1e-4)
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [float(row["life/step"]) for row in rows] == [100, 200, 250]
    documented = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
    assert [key for key in rows[-1] if f"`{key}`" not in documented] == []
    from PIL import Image

    image = np.asarray(Image.open(folder / "trace.png").convert("RGB"))
    assert image.shape[0] > 500
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100


def test_another_life_with_the_same_name_is_kept_and_the_same_life_is_replaced(
    command: Command, tiny_adapter: str, tmp_path: Path
) -> None:
    def run(*more: object) -> None:
        assert (
            command(
                "adapt",
                "--scenario",
                "calm_pointmass",
                "--adapter",
                tiny_adapter,
                "--out",
                tmp_path / "r",
                "--quiet",
                *more,
            )[0]
            == 0
        )

    run("--life-steps", 100)
    run("--life-steps", 100)
    folder = tmp_path / "r" / "calm_pointmass" / "tiny"
    assert [path.name for path in folder.iterdir()] == ["seed-0"]
    run("--life-steps", 102)
    assert sorted(path.name for path in folder.iterdir()) == ["seed-0", "seed-0.1"]
    assert json.loads((folder / "seed-0.1" / "result.json").read_text())["life_steps"] == 100
    assert json.loads((folder / "seed-0" / "result.json").read_text())["life_steps"] == 102


class Interrupted:
    """Acts 7 times, then the user presses Ctrl-C."""

    def __init__(self) -> None:
        self.steps = 0

    def act(self, obs: Any) -> Any:
        self.steps += 1
        if self.steps > 7:
            raise KeyboardInterrupt
        return np.zeros(2, np.float32)

    def observe(self, transition: Transition) -> dict[str, float]:
        return {}

    def learn(self) -> dict[str, float]:
        return {}


def test_ctrl_c_ends_a_life_as_interrupted(
    monkeypatch: pytest.MonkeyPatch, tiny_adapter: str, tmp_path: Path
) -> None:
    life = live(envs.make(slrl.load_scenario("windy_pointmass")), Interrupted(), 0)  # type: ignore[arg-type]
    assert (life.outcome, life.steps, life.obs.shape) == ("interrupted", 7, (8, 6))
    scenario = slrl.load_scenario("windy_pointmass")
    monkeypatch.setattr("slrl.lives.run.assemble", lambda *_, **__: Interrupted())
    settings = LifeSettings(
        scenario=scenario, method=adapters.load(tiny_adapter), prior=("pointmass",), seed=0, life_steps=200
    )
    result, _ = adapt_as(settings, out=tmp_path)
    assert (result.outcome, result.steps, result.censored) == ("interrupted", 7, True)
    assert {path.name for path in Path(str(result.folder)).iterdir()} == FILES


class Diverged:
    """Acts so many times, then is no number any more."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def act(self, obs: Any) -> Any:
        self.steps -= 1
        return np.full(2, np.nan if self.steps < 0 else 0.0, np.float32)

    def observe(self, transition: Transition) -> dict[str, float]:
        return {}

    def learn(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize("steps", [0, 7])
def test_a_life_that_diverges_is_kept_whole_and_the_command_says_what_to_do(
    steps: int, command: Command, monkeypatch: pytest.MonkeyPatch, tiny_adapter: str, tmp_path: Path
) -> None:
    """It is a life without success, as a timeout is: exit code 0, and nothing on stderr."""
    monkeypatch.setattr("slrl.lives.run.assemble", lambda *_, **__: Diverged(steps))
    words = ("adapt", "--scenario", "windy_pointmass", "--adapter", tiny_adapter, "--quiet")
    code, printed, err = command(*words, "--life-steps", 200, "--out", tmp_path)
    assert (code, err) == (0, "")
    reason = (
        f"the action became [nan nan] after {steps} steps: learning diverged; choose smaller learning rates."
    )
    assert printed.splitlines()[0].startswith(f"diverged after {steps} of 200 steps")
    assert printed.splitlines()[1] == reason
    (path,) = tmp_path.rglob("result.json")
    result = json.loads(path.read_text())
    assert {file.name for file in path.parent.iterdir()} == FILES
    assert (result["outcome"], result["reason"], result["steps"]) == ("diverged", reason, steps)
    assert result["censored"]
    assert lived(path.parent)["obs"].shape == (steps + 1, 6)


def test_a_polite_kill_of_the_real_process_writes_everything(tiny_adapter: str, tmp_path: Path) -> None:
    recipes.load_prior("pointmass")
    command = [
        sys.executable,
        "-m",
        "slrl",
        "adapt",
        "--scenario",
        "windy_pointmass",
        "--adapter",
        tiny_adapter,
        "--out",
        str(tmp_path / "r"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = ""
    assert process.stderr is not None
    while "life:" not in seen and process.poll() is None:
        seen += process.stderr.read(1)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "interrupted after" in out
    (result,) = (tmp_path / "r").rglob("result.json")
    assert json.loads(result.read_text())["outcome"] == "interrupted"
    assert {path.name for path in result.parent.iterdir()} == FILES


def global_generators() -> tuple[Any, Any]:
    """Where NumPy's and torch's global generators stand."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].tolist(), torch.get_rng_state().tolist()


def test_the_library_does_in_five_lines_what_the_command_does(
    command: Command, tiny_adapter: str, tmp_path: Path
) -> None:
    np.random.seed(1)  # noqa: NPY002 (the global generators must not be touched)
    torch.manual_seed(1)
    before = global_generators()
    scenario = slrl.load_scenario("windy_pointmass")
    prior = slrl.load_prior(scenario.prior)
    adapter = slrl.load_adapter(tiny_adapter, prior, scenario, seed=2, life_steps=130)
    life = slrl.live(slrl.make(scenario, life_steps=130), adapter, seed=2)
    after = global_generators()
    assert before == after
    result = slrl.adapt("windy_pointmass", adapter=tiny_adapter, seed=2, life_steps=130, out=tmp_path)
    np.testing.assert_array_equal(life.obs, lived(str(result.folder))["obs"])
    assert (life.outcome, life.steps) == (result.outcome, result.steps)
    assert slrl.adapt("windy_pointmass", adapter=tiny_adapter, life_steps=130, out=None).folder is None


def test_a_step_near_the_end_of_a_long_life_costs_what_a_step_at_its_beginning_costs(
    small_prior: Any,
) -> None:
    from slrl.learning.buffer import Buffer

    buffer = Buffer(small_prior, 1_000_000, np.random.default_rng(0), torch.device("cpu"))
    step = Transition(small_prior.obs[0], small_prior.action[0], 0.0, small_prior.obs[1], False, False)

    def seconds(at: int) -> float:
        buffer.lived = at
        began = time.perf_counter()
        for _ in range(300):
            buffer.append(step, bootstrap=True)
            buffer.sample(128)
        return time.perf_counter() - began

    seconds(10_000)
    ratios = [seconds(999_000) / seconds(10_000) for _ in range(9)]
    assert sorted(ratios)[4] < 1.5  # memory is colder at the end; `make bench` measures the whole step


def test_help_is_quick_and_needs_no_torch() -> None:
    code = """
import sys
from slrl.cli import main
sys.argv = ["slrl", "--help"]
try:
    main()
except SystemExit:
    assert "torch" not in sys.modules
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU seconds: the machine may be busy
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_lists_doctor_show_and_pretrain(command: Command, tiny_adapter: str) -> None:
    for kind in ("scenarios", "adapters", "priors"):
        code, out, _ = command("list", kind)
        assert code == 0
        lines = out.splitlines()[kind == "scenarios" :]  # that table has a head
        more = files.variants(kind) if kind == "scenarios" else []
        assert [line.split()[0] for line in lines] == [*files.names(kind), *more]  # type: ignore[arg-type]
    code, out, _ = command("doctor")
    assert code == 0
    assert "torch" in out
    code, out, _ = command("prior", "show", "pointmass", "--scenario", "windy_pointmass")
    assert code == 0
    assert "50,000 transitions" in out
    assert "fit             yes" in out
    code, out, _ = command("pretrain", "--scenario", "calm_pointmass", "--adapter", tiny_adapter, "--quiet")
    assert code == 0
    assert "pretrained" in out


def test_doctor_knows_the_bad_combinations() -> None:
    from slrl.cli.doctor import known_problems

    assert known_problems({"mujoco": "3.11.0"}, bf16=True) == []
    assert "FrankaKitchen" in known_problems({"mujoco": "3.12.0"}, bf16=True)[0]
    assert "FrankaKitchen" in known_problems({"mujoco": "4.0.0"}, bf16=True)[0]
    assert "bfloat16" in known_problems({"mujoco": "not installed"}, bf16=False)[0]


@pytest.mark.slow
def test_the_pretrained_policy_succeeds_in_calm_air_and_fails_in_the_wind() -> None:
    calm = [slrl.adapt("calm_pointmass", adapter="frozen", seed=seed, out=None) for seed in range(100)]
    assert sum(result.outcome == "success" for result in calm) >= 95
    windy = [
        slrl.adapt("windy_pointmass", adapter="frozen", seed=seed, life_steps=5000, out=None)
        for seed in range(10)
    ]
    assert all(result.outcome == "timeout" for result in windy)


@pytest.mark.slow
def test_qwale_succeeds_before_the_reference_did() -> None:
    lives = [
        slrl.adapt("windy_pointmass", adapter="qwale", seed=seed, life_steps=28_890, out=None)
        for seed in (20, 21, 22)
    ]
    assert all(result.outcome == "success" for result in lives), [result.steps for result in lives]


COUNTING = """
from collections import Counter
from drawer import Drawer
COUNTS = Counter()
class Counted(Drawer):
    def __init__(self, friction_n: float = 1.0) -> None:
        super().__init__(friction_n)
        self.target = friction_n > 1
        COUNTS["opened"] += self.target
    def reset(self, **settings):
        COUNTS["reset"] += self.target
        return super().reset(**settings)
    def step(self, action):
        COUNTS["stepped"] += self.target
        return super().step(action)
"""


def test_how_often_a_robot_is_moved_is_as_its_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_adapter: str
) -> None:
    """The table of docs/your_robot.md, "When the robot is real"."""
    shutil.copytree(EXAMPLES / "my_robot", tmp_path / "robot")
    monkeypatch.chdir(tmp_path / "robot")
    monkeypatch.syspath_prepend(tmp_path / "robot")
    Path("counted.py").write_text(COUNTING)
    scenario = Path("stuck_drawer.toml").read_text().replace("drawer:Drawer", "counted:Counted")
    Path("counted.toml").write_text(scenario)
    runpy.run_path("record.py", run_name="__main__")
    counts: Any = importlib.import_module("counted").COUNTS

    def lived(steps: int) -> dict[str, int]:
        counts.clear()
        assert slrl.adapt("counted.toml", adapter=tiny_adapter, life_steps=steps, out=None).steps == steps
        return dict(counts)

    assert lived(7) == {"opened": 2, "reset": 2, "stepped": 1 + 7}
    assert lived(7) == {"opened": 1, "reset": 1, "stepped": 7}
    counts.clear()
    assert [verdict for verdict in contracts.check("counted.toml") if verdict.outcome == "broken"] == []
    assert counts == {"opened": 7, "reset": 6, "stepped": 2601}
    for name in ("counted", "drawer"):
        sys.modules.pop(name, None)
