"""Plug-ins of somebody else's package: by entry point, by ``module:Name``, and a sentence where one is wrong.

What it brings stands in ``MODULES`` and ``ENTRY_POINTS``; the tests of each kind of plug-in follow.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import slrl
from slrl import envs, files, plugins, priors, scenarios
from slrl.envs import success
from slrl.envs.rollout import rollout
from slrl.errors import BadInput
from slrl.lives.results import read_metrics
from slrl.lives.settings import LifeSettings
from slrl.plugins import BehaviourPlugin, ShiftPlugin
from slrl.recording import recipes
from slrl.scenarios import World

from .conftest import rows_of

Command = Callable[..., tuple[int, str, str]]

MODULES = {
    "__init__": "",
    "tides": '''
from dataclasses import dataclass

import numpy as np

from slrl import plugins
from slrl.envs.shift import Shift, ShiftSettings
from slrl.envs.shifts import Description


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    height_units: float
    silent: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.positive(self, "height_units")


class Tide(Shift):
    """Lifts the point mass in every step."""

    def __init__(self, settings: Settings, env):
        super().__init__(env, settings.start_step)
        self._height = settings.height_units

    def step(self, action):
        self.begin_due()
        if self.active:
            self.env.unwrapped.position = self.env.unwrapped.position + np.array([0.0, self._height])
        return super().step(action)

    @staticmethod
    def describe(settings: Settings) -> Description:
        return Description(f"a tide of {settings.height_units:g} units", (0.0, settings.height_units))


class Ebb(Tide):
    """The same, without a description of its own."""

    describe = None


no_class = 3


def untyped(settings, env):
    return env
''',
    "walkers": """
from dataclasses import dataclass

import numpy as np

from slrl import plugins


@dataclass(frozen=True)
class Settings:
    speed: float = 1.0

    def __post_init__(self) -> None:
        plugins.share(self, "speed")


class East:
    def __init__(self, settings: Settings, env, rng):
        self._speed = settings.speed

    def reset(self, obs):
        pass

    def act(self, obs):
        return np.array([self._speed, 0.0], np.float32)
""",
    "methods": """
from dataclasses import dataclass, replace

import torch

from slrl.adapters.setup import Plan, Setup
from slrl.learning.cache import Artefact, Table
from slrl.plugins import at_least, positive


@dataclass(frozen=True, kw_only=True)
class CompassSettings:
    strength: float = 1.0

    def __post_init__(self):
        positive(self, "strength")


class Compass:
    \"\"\"Walks to where the prior succeeded on average, which is learned before the life.\"\"\"

    modes = ("searching", "there")

    def __init__(self, settings: CompassSettings, setup: Setup):
        self.strength = settings.strength
        self.goal = setup.get(ends(setup.plan)).tensor.numpy()
        self.agent = setup.agent()
        self.learned = self.observed = 0

    @staticmethod
    def artefacts(settings, plan: Plan):
        return [plan.agent(), ends(plan)]

    def act(self, obs):
        return (self.strength * (self.goal[:2] - obs[:2])).clip(-1, 1).astype("float32")

    def observe(self, transition):
        self.observed += 1
        return {"adapter/mode": float(self.observed > 5)}

    def learn(self):
        self.learned += 1
        return {"adapter/learned": float(self.learned)}

    def state_dict(self):
        return {"counts": torch.tensor([self.observed, self.learned])}

    def load_state_dict(self, state):
        self.observed, self.learned = (int(count) for count in state["counts"])


def ends(plan):
    def build(prior):
        return Table(lambda: torch.tensor(prior.next_obs[prior.terminated]).mean(0), (prior.obs.shape[1],))

    return Artefact(name="ends", build=build, needs=(plan.prior,), steps=1)


@dataclass(frozen=True, kw_only=True)
class NorthSettings:
    price: float = 0.5

    def __post_init__(self):
        at_least(self, 0, "price")


class North:
    \"\"\"Pays for going north.\"\"\"

    def __init__(self, settings: NorthSettings, prior, agent, rng, generator, device):
        self.price = settings.price

    def update(self, prior, life, newest):
        return {"guidance/north": newest[1]}

    def reward(self, batch):
        return batch.reward + self.price * (batch.next_obs[:, 1] - batch.obs[:, 1])

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
""",
    "columns": """
import numpy as np

from slrl.priors.formats import Rows, array


def matches(file):
    return "stranger_table" in file


def read(file, path):
    table = array(file, "stranger_table")
    if "broken" in file:
        raise KeyError("the last column")
    if "list" in file:
        return table.tolist()
    n = len(table) - ("short" in file)
    last = np.arange(n) == n - 1
    obs, action, next_obs = table[:, :6], table[:, 6:8], table[:, 8 + ("narrow" in file) : 14]
    reward, cut, episode = np.zeros(n, np.float32), np.zeros(n, bool), np.zeros(n, np.int32)
    return Rows("?", obs, action, reward, next_obs, last, cut, episode)
""",
}
BROKEN = {
    "half": "from json import nothing_like_this",
    "unwritten": "def f(:",
    "angry": "raise RuntimeError('the robot\\nis off.')",
    "silent": "assert False",
    "misspelt": "import sys\nsys.pathh",
}
ENTRY_POINTS = """
[slrl.shifts]
half = stranger.half:Tide
tide = stranger.tides:Tide
gone = stranger_that_left:Tide
renamed = stranger.tides:Flood

[slrl.behaviours]
east = stranger.walkers:East

[slrl.adapters]
compass = stranger.methods:Compass

[slrl.guidance]
north = stranger.methods:North

[slrl.formats]
table = stranger.columns
"""


@pytest.fixture(autouse=True)
def _stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The distribution ``stranger``, as pip leaves it, in a folder of its own."""
    site = tmp_path / "site"
    for name, text in (MODULES | BROKEN).items():
        path = site / "stranger" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    info = site / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(site))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "stranger"]:
        del sys.modules[name]


# --- shifts ---


@pytest.mark.parametrize("name", ["tide", "stranger.tides:Tide"])
def test_a_shift_of_theirs_acts_and_is_described(name: str) -> None:
    shift = {"name": name, "height_units": 0.5, "start_step": 3}
    world = World(env="slrl/Pointmass-v0", shifts=(shift,))
    walk = rollout(envs.make_world(world), lambda obs: np.zeros(2, np.float32), seed=0, max_steps=6)
    moved = [float(step.transition.next_obs[1] - step.transition.obs[1]) for step in walk]
    assert moved == pytest.approx([0, 0, 0, 0.5, 0.5, 0.5])
    assert envs.describe(world) == [("a tide of 0.5 units", (0.0, 0.5))]


def test_a_shift_without_a_description_is_told_by_its_settings() -> None:
    shift = {"name": "stranger.tides:Ebb", "height_units": 0.5}
    (told,) = envs.describe(World(env="slrl/Pointmass-v0", shifts=(shift,)))
    assert told.text == "stranger.tides:Ebb (start_step = 0, height_units = 0.5, silent = False)"


def test_names_of_theirs_are_known_and_hinted_at() -> None:
    assert "tide" in plugins.names(plugins.SHIFTS)
    with pytest.raises(BadInput, match=r"unknown shift 'tidd'; did you mean 'tide'\?"):
        ShiftPlugin.parse({"name": "tidd"}, "shift 'tidd'")


@pytest.mark.parametrize("name", ["tide", "stranger.tides:Tide"])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "needs the setting 'height_units' (a number)."),
        ({"height_units": "high"}, "'height_units' in shift {name!r} must be a number, not 'high'."),
        ({"height_units": -1.0}, "shift {name!r}: height_units must be more than 0, not -1.0."),
        ({"height_units": 1.0, "start_step": -1}, "start_step must be 0 or more, not -1."),
        ({"height_unit": 1.0}, "'height_unit'; did you mean 'height_units'?"),
    ],
)
def test_wrong_settings_of_theirs_are_one_sentence(
    name: str, settings: dict[str, Any], says: str, command: Command, tmp_path: Path
) -> None:
    path = scenario_with(tmp_path, {"name": name, **settings})
    code, out, err = command("check", path)
    assert (code, out) == (2, "")
    assert says.format(name=name) in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone", "the shift 'gone' needs the module 'stranger_that_left', which Python does not find here."),
        ("nowhere.tides:Tide", "needs the module 'nowhere', which Python does not find here."),
        ("stranger.nothing:Tide", "needs the module 'stranger.nothing', which Python does not find here."),
        ("renamed", "the shift 'renamed': the module 'stranger.tides' has no 'Flood'."),
        ("stranger.tides:Flood", "the module 'stranger.tides' has no 'Flood'."),
        (
            "stranger.tides:no_class",
            "is of the type int, which cannot be called; name a class",
        ),
        ("stranger.tides:untyped", "has no parameter 'settings' whose type is a dataclass"),
    ],
)
def test_what_is_not_there_is_one_sentence(name: str, says: str, command: Command, tmp_path: Path) -> None:
    code, out, err = command("check", scenario_with(tmp_path, {"name": name, "height_units": 1.0}))
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "half",
            "the shift 'half': importing the module 'stranger.half' failed with ImportError: cannot import",
        ),
        (
            "stranger.half:Tide",
            "the module 'stranger.half' failed with ImportError: cannot import name 'nothing_",
        ),
        (
            "stranger.unwritten:Tide",
            "the module 'stranger.unwritten' failed with SyntaxError: invalid syntax",
        ),
        ("stranger.angry:Tide", "'stranger.angry' failed with RuntimeError: the robot is off."),
        ("stranger.silent:Tide", "importing the module 'stranger.silent' failed with AssertionError."),
        ("stranger.misspelt:Tide", "failed with AttributeError: module 'sys' has no attribute 'pathh'"),
        ("stranger.tides:", "the shift 'stranger.tides:' must be named as module:Name."),
        (":Tide", "the shift ':Tide' must be named as module:Name."),
    ],
)
def test_a_module_of_theirs_that_cannot_be_imported_is_one_sentence(
    name: str, says: str, command: Command, tmp_path: Path
) -> None:
    code, out, err = command("check", scenario_with(tmp_path, {"name": name, "height_units": 1.0}))
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_world_or_a_success_test_that_cannot_be_imported_is_one_sentence() -> None:
    with pytest.raises(
        BadInput, match=r"the world 'stranger.angry:Robot': importing .* RuntimeError: the robot is"
    ):
        envs.make_world(World(env="stranger.angry:Robot"))
    with pytest.raises(
        BadInput, match=r"'success_function' is 'stranger.unwritten:f': .* failed with SyntaxError:"
    ):
        success.imported("stranger.unwritten:f", "success_function")


def test_why_their_module_could_not_be_imported_is_kept_for_who_calls_slrl() -> None:
    with pytest.raises(BadInput) as caught:
        plugins.find(plugins.SHIFTS, "stranger.angry:Tide")
    assert isinstance(caught.value.__cause__, RuntimeError)


def scenario_with(folder: Path, shift: dict[str, Any]) -> str:
    """``windy_pointmass`` with another shift, in a file."""
    text = (files.folder("scenarios") / "windy_pointmass.toml").read_text()
    head, _, tail = text.partition("[[target.shifts]]\n")
    rest = tail[tail.index("\n[") :] if "\n[" in tail else ""
    lines = "".join(f"{key} = {value!r}\n" for key, value in shift.items())
    path = folder / "with_theirs.toml"
    path.write_text(f"{head}[[target.shifts]]\n{lines}{rest}")
    assert scenarios.load(str(path)).target.shifts == (shift,)
    return str(path)


# --- behaviours ---

RECIPE = """
schema = 1
summary = "A walk to the east on a tide."
env = "slrl/Pointmass-v0"
rows = 40
episode_steps = 20
seed = 0
licence = "MIT"
[behaviour]
name = "{name}"
speed = {speed}
[randomise]
name = "stranger.tides:Tide"
height_units = [0.1, 0.2]
"""


@pytest.mark.parametrize("name", ["east", "stranger.walkers:East"])
def test_a_behaviour_of_theirs_records_a_prior(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"eastward{len(name)}.toml"
    path.write_text(RECIPE.format(name=name, speed=0.5))
    prior = recipes.build(str(path), quiet=True)
    np.testing.assert_array_equal(prior.action, np.tile(np.float32([0.5, 0.0]), (40, 1)))
    assert prior.env_params is not None
    assert prior.env_params.shape == (40, 1)
    np.testing.assert_allclose((prior.next_obs - prior.obs)[:, 1], prior.env_params[:, 0], atol=1e-5)


def test_wrong_behaviours_of_theirs_are_one_sentence(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "too_fast.toml"
    path.write_text(RECIPE.format(name="east", speed=7.0))
    code, out, err = command("prior", "build", path, "--quiet")
    assert (code, out) == (2, "")
    assert "[behaviour] of prior 'too_fast': speed must be between 0 and 1, not 7.0." in err
    with pytest.raises(BadInput, match=r"the module 'stranger\.walkers' has no 'West'"):
        BehaviourPlugin.parse({"name": "stranger.walkers:West"}, "[optimum]")


# --- adapters and guidance ---


METHOD = """
schema = 1
like = "frozen"
summary = "Somebody else's."
[adapter]
name = "{adapter}"
{settings}
[agent]
hidden = [4]
[pretrain]
steps = 3
"""


def method_with(folder: Path, adapter: str, settings: str = "") -> str:
    path = folder / "theirs.toml"
    path.write_text(METHOD.format(adapter=adapter, settings=settings))
    return str(path)


@pytest.mark.parametrize("name", ["compass", "stranger.methods:Compass"])
def test_an_adapter_of_theirs_lives_and_what_it_learns_before_is_kept(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "cache"))
    path = method_with(tmp_path, name, "strength = 0.5")
    result = slrl.adapt("calm_pointmass", adapter=path, seed=1, life_steps=120, out=tmp_path / "runs")
    assert result.outcome == "success"
    assert result.modes == ("searching", "there")
    (kept,) = (tmp_path / "cache" / "learned").glob("ends-*.safetensors")
    rows = read_metrics(Path(str(result.folder)))
    assert rows[-1]["adapter/learned"] == result.steps  # learn() was called once after each step
    again = slrl.adapt("calm_pointmass", adapter=path, seed=1, life_steps=120, out=tmp_path / "again")
    assert again.steps == result.steps
    assert kept.exists()
    settings = Path(str(result.folder)) / "settings.toml"
    assert LifeSettings.read(settings).method.adapter.settings.strength == 0.5


@pytest.mark.parametrize("name", ["north", "stranger.methods:North"])
def test_a_guidance_of_theirs_rewards(name: str, tmp_path: Path) -> None:
    settings = f"""batch_size = 4
warm_up_steps = 2
guidance_batch_size = 4
[adapter.guidance]
name = "{name}"
price = 2.0"""
    result = slrl.adapt(
        "calm_pointmass", adapter=method_with(tmp_path, "replay", settings), life_steps=100, out=tmp_path
    )
    (row,) = read_metrics(Path(str(result.folder)))
    assert {"guidance/north", "guidance/reward", "agent/critic_loss"} <= row.keys()


@pytest.mark.parametrize(
    ("adapter", "settings", "says"),
    [
        (
            "compass",
            "strength = -1.0",
            "[adapter] of adapter 'theirs': strength must be more than 0, not -1.0.",
        ),
        ("compass", "strengh = 1.0", "did you mean 'strength'?"),
        ("compas", "", "unknown adapter 'compas'; did you mean 'compass'?"),
        ("stranger.methods:Compas", "", "the module 'stranger.methods' has no 'Compas'."),
        ("replay", '[adapter.guidance]\nname = "north"\nprice = -2.0', "price must be 0 or more, not -2.0."),
        (
            "replay",
            '[adapter.guidance]\nname = "nowhere:X"',
            "needs the module 'nowhere', which Python does not find",
        ),
    ],
)
def test_wrong_methods_of_theirs_are_one_sentence(
    adapter: str, settings: str, says: str, command: Command, tmp_path: Path
) -> None:
    path = method_with(tmp_path, adapter, settings)
    code, out, err = command("adapt", "--scenario", "calm_pointmass", "--adapter", path, "--quiet")
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


# --- formats ---


def their_file(path: Path, *marks: str) -> Path:
    rows = rows_of([12])
    with h5py.File(path, "w") as file:
        file["stranger_table"] = np.concatenate([rows.obs, rows.action, rows.next_obs], axis=1)
        for mark in marks:
            file[mark] = 1
    return path


def test_a_format_of_theirs_is_read(tmp_path: Path, command: Command) -> None:
    path = their_file(tmp_path / "theirs.hdf5")
    prior, rows = priors.load(path), rows_of([12])
    assert (prior.format, prior.episodes, len(prior)) == ("table", 1, 12)
    for key in ("obs", "action", "next_obs"):
        np.testing.assert_array_equal(getattr(prior, key), getattr(rows, key))
    code, out, _ = command("prior", "show", path)
    assert code == 0
    assert "format          table" in out


def test_what_another_reader_gave_is_not_kept_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "cache"))
    priors.load(their_file(tmp_path / "theirs.hdf5"))
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("broken", "the format 'table' (stranger.columns) failed with KeyError: 'the last column'."),
        ("short", "the arrays of the format 'table' have different lengths (obs 12,"),
        ("narrow", "the rows of the format 'table' have different sizes (obs 6, next_obs 5);"),
        ("list", "must return slrl.priors.formats.Rows, not list."),
    ],
)
def test_a_format_of_theirs_that_fails_is_one_sentence(
    mark: str, says: str, tmp_path: Path, command: Command
) -> None:
    code, out, err = command("prior", "show", their_file(tmp_path / "theirs.hdf5", mark))
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_that_nobody_reads_names_their_format_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["something"] = 1
    with pytest.raises(BadInput, match=r"or observations and actions \(D4RL\), or what table reads\."):
        priors.load(tmp_path / "other.hdf5")
