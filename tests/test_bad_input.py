"""Bad input of every kind: one sentence on stderr, exit code 2, no traceback, and nothing written."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from slrl import files
from slrl.errors import BadInput
from slrl.plugins import AdapterPlugin, AgentPlugin, BehaviourPlugin, GuidancePlugin, ShiftPlugin

from .conftest import TINY_ADAPTER, rows_of, write_d4rl, write_minari, write_robomimic

Command = Callable[..., tuple[int, str, str]]
WINDY = ("adapt", "--scenario", "windy_pointmass")
QWALE = (*WINDY, "--adapter", "qwale")


@pytest.fixture
def refused(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that must be refused, and return the sentence."""

    def run(*arguments: object) -> str:
        workplace = tmp_path / "workplace"
        workplace.mkdir(exist_ok=True)
        monkeypatch.chdir(workplace)
        code, out, err = command(*arguments)
        assert code == 2, err
        assert out == ""
        assert err.startswith("slrl: ")
        assert err.rstrip().endswith(".") or err.rstrip().endswith("?")
        assert len(err.strip().splitlines()) == 1
        assert "Traceback" not in err
        assert list(workplace.iterdir()) == []
        return err

    return run


def damaged_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Each kind of damage: the file and what the sentence must say."""
    good = write_d4rl(folder / "good.hdf5", rows_of([20, 20]))
    found: dict[str, tuple[Path, str]] = {}

    def add(name: str, says: str, content: bytes | None = None) -> Path:
        path = folder / f"{name.replace(' ', '_')}.hdf5"
        if content is not None:
            path.write_bytes(content)
        found[name] = (path, says)
        return path

    def d4rl(name: str, says: str, **arrays: object) -> None:
        rows = rows_of([20, 20])
        usual = {
            "observations": rows.obs,
            "actions": rows.action,
            "rewards": rows.reward,
            "terminals": rows.terminated,
            "next_observations": rows.next_obs,
            "timeouts": rows.truncated,
        }
        with h5py.File(add(name, says), "w") as file:
            for key, value in {**usual, **arrays}.items():
                if value is not None:
                    file[key] = value

    add("missing", "there is no file")
    found["directory"] = (folder, "without Minari's data/metadata.json")
    add("empty", "is empty", b"")
    add("text", "is not an HDF5 file", b"observations, actions\n1, 2\n")
    add(
        "lfs pointer",
        "git lfs pull",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n",
    )
    add("truncated", "is damaged: truncated file", good.read_bytes()[:-3000])
    rows = rows_of([20, 20])
    bad_obs, bad_action = rows.obs.copy(), rows.action.copy()
    bad_obs[7, 2], bad_action[3, 1] = np.nan, 1.5
    d4rl("no actions", "not a dataset slrl knows", actions=None)
    d4rl("no rewards", "has no /rewards; it is needed", rewards=None)
    d4rl("different lengths", "rewards 39", rewards=rows.reward[:-1])
    d4rl("nan", "NaN or infinite obs in row 7", observations=bad_obs)
    d4rl("inf", "NaN or infinite reward in row 0", rewards=np.full(40, np.inf, np.float32))
    d4rl("outside", "actions outside the bounds of scenario windy_pointmass: dimension 1", actions=bad_action)
    d4rl(
        "wrong observation size",
        "observations of size 5, but scenario windy_pointmass has size 6",
        observations=rows.obs[:, :5],
        next_observations=rows.next_obs[:, :5],
    )
    d4rl(
        "wrong action size",
        "actions of size 1, but scenario windy_pointmass has size 2",
        actions=rows.action[:, :1],
    )
    d4rl("texts", "must hold numbers", actions=np.array([[b"a", b"b"]] * 40))
    sizes = {
        "observations": 6,
        "actions": 2,
        "next_observations": 6,
        "rewards": 1,
        "terminals": 1,
        "timeouts": 1,
    }
    d4rl("zero rows", "zero rows", **{key: np.zeros((0, size), np.float32) for key, size in sizes.items()})
    with h5py.File(add("external link", "is a link into another file"), "w") as file:
        file["actions"] = rows.action
        file["observations"] = h5py.ExternalLink(str(good), "/observations")
    with h5py.File(add("external storage", "keeps its data in another file"), "w") as file:
        file["actions"] = rows.action
        file.create_dataset(
            "observations", (40, 6), np.float32, external=[(str(folder / "raw.bin"), 0, h5py.h5f.UNLIMITED)]
        )
    with h5py.File(add("virtual", "keeps its data in another file"), "w") as file:
        layout = h5py.VirtualLayout((40, 6), np.float32)
        layout[:] = h5py.VirtualSource(str(good), "observations", (40, 6))
        file.create_virtual_dataset("observations", layout)
        file["actions"] = rows.action
    minari = write_minari(folder / "m", rows_of([4, 4])) / "data" / "main_data.hdf5"
    with h5py.File(minari, "a") as file:
        del file["episode_1/rewards"]
    found["minari without rewards"] = (minari, "has no /episode_1/rewards")
    short = write_minari(folder / "s", rows_of([4, 4])) / "data" / "main_data.hdf5"
    with h5py.File(short, "a") as file:
        del file["episode_0/observations"]
        file["episode_0/observations"] = np.zeros((9, 6), np.float32)
    found["minari of different lengths"] = (short, "4 actions and 9 observations; it needs 5")
    robomimic = write_robomimic(add("robomimic of different lengths", "different lengths"), rows_of([4, 4]))
    with h5py.File(robomimic, "a") as file:
        del file["data/demo_1/actions"]
        file["data/demo_1/actions"] = np.zeros((3, 2))
    with h5py.File(add("raw robosuite", "dataset_states_to_obs.py"), "w") as file:
        file["data/demo_1/states"], file["data/demo_1/actions"] = np.zeros((3, 2)), np.zeros((3, 2))
    with h5py.File(add("empty hdf5", "it holds nothing"), "w"):
        pass
    return found


CASES = """missing, directory, empty, text, lfs pointer, truncated, no actions, no rewards, different lengths,
nan, inf, outside, wrong observation size, wrong action size, texts, zero rows, external link, external
storage, virtual, minari without rewards, minari of different lengths, robomimic of different lengths,
raw robosuite, empty hdf5""".replace("\n", " ").split(", ")


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file(refused: Callable[..., str], tmp_path: Path, case: str) -> None:
    files = damaged_files(tmp_path)
    assert sorted(files) == sorted(CASES)
    path, says = files[case]
    assert says in refused(*WINDY, "--prior", path, "--quiet")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("adapt", "--scenario", "windy_pointmas"),
            "unknown scenario 'windy_pointmas'; did you mean 'windy_pointmass'?",
        ),
        (("adapt", "--scenario", "zzz"), "choose from ant_broken_leg, ant_ice, calm_pointmass,"),
        (("adapt",), "--scenario is needed"),
        ((*WINDY, "--adapter", "qwail"), "unknown adapter 'qwail'; did you mean 'qwale'?"),
        ((*WINDY, "--prior", "pointmas"), "unknown prior 'pointmas'; did you mean 'pointmass'?"),
        ((*WINDY, "--prior", "D4RL/door/human-v2"), "`minari download D4RL/door/human-v2`"),
        ((*WINDY, "--prior", "here/is/nothing.hdf5"), "there is no file"),
        (
            (*QWALE, "--set", "agent.hiden=[8]"),
            "unknown setting in [agent] of adapter 'qwale': 'hiden'; did you mean 'hidden'?",
        ),
        ((*QWALE, "--set", "adapter.guidance.mixap=1"), "did you mean 'mixup'?"),
        (
            (*WINDY, "--adapter", "qwale", "--set", "pretrain.objective.expectil=0.5"),
            "did you mean 'expectile'?",
        ),
        (
            (*WINDY, "--adapter", "qwale", "--set", "agent.hidden=64"),
            "must be a list of which each is a whole number, not 64.",
        ),
        (
            (*QWALE, "--set", "agent.discount=high"),
            "'discount' in [agent] of adapter 'qwale' must be a number, not 'high'.",
        ),
        ((*WINDY, "--set", "agent.name=sacc"), "unknown agent 'sacc'; did you mean 'sac'?"),
        (
            (*WINDY, "--adapter", "qwale", "--set", "agent.precision=float16"),
            "must be one of 'float32', 'bfloat16'",
        ),
        (
            (*QWALE, "--set", "adapter.prior_fraction=2.0"),
            "prior_fraction must be 'proportional' or between 0 and 1",
        ),
        ((*WINDY, "--set", "agent"), "write key=value"),
        ((*WINDY, "--set", "summary.x=1"), "'summary' is a value, not a table"),
        ((*WINDY, "--life-steps", "-5"), "life_steps must be 1 or more"),
        ((*WINDY, "--life-steps", "0"), "life_steps must be 1 or more"),
        ((*WINDY, "--life-steps", "123"), "a budget of 123 steps is too small for windy_pointmass"),
        ((*WINDY, "--life-steps", "many"), "invalid int value: 'many'"),
        ((*WINDY, "--seed", "-1"), "seed 0 or more"),
        ((*WINDY, "--threads", "0"), "--threads must be 1 or more"),
        ((*WINDY, "--device", "tpu"), "unknown device 'tpu'; choose cpu or cuda."),
        ((*WINDY, "--from", "x.toml"), "takes no --scenario"),
        (("adapt", "--from", "x.toml"), "there is no file x.toml"),
        (("adapt", "--frm", "x.toml"), "unrecognized arguments: --frm"),
        (("list", "worlds"), "invalid choice: 'worlds'"),
        (("dance",), "invalid choice: 'dance'"),
        (("prior", "build", "pointmas"), "did you mean 'pointmass'?"),
        (("prior", "show", "nothing.hdf5"), "there is no file"),
        (("pretrain", "--scenario", "windy_pointmass", "--adapter", "rlpd"), "does not pretrain"),
    ],
)
def test_bad_arguments(refused: Callable[..., str], arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(*arguments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("life_steps = 200_000", "life_steps = -1"),
            "'life_steps' in scenario 'mine' must be 1 or more, not -1.",
        ),
        (
            ("life_steps = 200_000", "life_steps = 2.5"),
            "'life_steps' in scenario 'mine' must be a whole number, not 2.5.",
        ),
        (("life_steps = 200_000", 'life_steps = "many"'), "must be a whole number, not 'many'."),
        (("life_steps = 200_000", ""), "needs the setting 'life_steps'"),
        (("life_steps", "life_step"), "did you mean 'life_steps'?"),
        (("schema = 1", "schema = 7"), "has schema 7; this version of slrl reads `schema = 1`."),
        (('name = "wind"', 'name = "wimd"'), "unknown shift 'wimd'; did you mean 'wind'?"),
        (('name = "wind"\n', ""), "needs a 'name'"),
        (("y_units_per_step = [0.8, 0.9]", "y_units_per_step = [0.8]"), "must be a list of 2, each a number"),
        (("y_units_per_step", "y_unit_per_step"), "did you mean 'y_units_per_step'?"),
        (('env = "slrl/Pointmass-v0"', 'env = "slrl/Pointmas-v0"'), "has no environment 'slrl/Pointmas-v0'"),
        (('reward = "sparse"', 'reward = "spars"'), "'reward' in scenario 'mine' must be"),
        (('progress_info = "distance"', 'progress_info = "distanc"'), "no 'distanc'"),
        (("[source]", "[source"), "is not valid TOML"),
    ],
)
def test_a_bad_scenario(
    refused: Callable[..., str], tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = tmp_path / "mine.toml"
    text = (files.folder("scenarios") / "windy_pointmass.toml").read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    tiny = tmp_path / "tiny.toml"
    tiny.write_text(TINY_ADAPTER)
    assert says in refused("adapt", "--scenario", path, "--adapter", tiny, "--quiet", "--life-steps", 200)


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert "is not a folder; choose another --out." in refused(
        *WINDY, "--out", tmp_path / "file" / "runs", "--quiet"
    )


def test_binary_and_directory_instead_of_toml(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    assert "is not a text file" in refused("adapt", "--scenario", tmp_path / "b.toml")
    (tmp_path / "d.toml").mkdir()
    assert "is a directory" in refused("adapt", "--scenario", tmp_path / "d.toml")


def test_settings_of_other_data_are_refused(
    command: Command, refused: Callable[..., str], tiny_adapter: str, tmp_path: Path
) -> None:
    data = write_d4rl(tmp_path / "data.hdf5", rows_of([20, 20]))
    out = tmp_path / "r"
    assert (
        command(
            *WINDY, "--adapter", tiny_adapter, "--prior", data, "--life-steps", 130, "--out", out, "--quiet"
        )[0]
        == 0
    )
    write_d4rl(data, rows_of([20, 20], seed=1))
    (settings,) = out.rglob("settings.toml")
    assert "is not the data of the settings" in refused("adapt", "--from", settings, "--quiet")


def test_an_interrupted_write_leaves_neither_half_a_file_nor_the_old_one_damaged(tmp_path: Path) -> None:
    from slrl.files import atomic_write, write_text

    path = tmp_path / "result.json"
    write_text(path, "old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_settings_reach_code_only_through_their_names() -> None:
    with pytest.raises(BadInput, match="unknown setting"):
        GuidancePlugin.parse({"name": "none", "mixup": True}, "here")
    with pytest.raises(BadInput, match="needs the setting 'guidance'"):
        AdapterPlugin.parse({"name": "replay"}, "here")
    with pytest.raises(BadInput, match="unknown setting"):
        AgentPlugin.parse({"name": "sac", "prior": 1}, "here")  # what the program gives is no setting
    with pytest.raises(BadInput, match="unknown setting"):
        ShiftPlugin.parse({"name": "gravity", "mixup": True}, "here")
    with pytest.raises(BadInput, match="needs the setting 'force_n'"):
        ShiftPlugin.parse({"name": "force", "body": "torso"}, "here")
    with pytest.raises(BadInput, match="unknown setting"):
        BehaviourPlugin.parse({"name": "policy", "rng": 1}, "here")
