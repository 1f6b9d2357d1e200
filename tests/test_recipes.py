"""Recipes that learn, recipes that are shipped built, and what becomes of wrong ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slrl import files, priors
from slrl.errors import BadInput
from slrl.recording import recipes

Command = Callable[..., tuple[int, str, str]]
MEGABYTE = 1e6
SHIPPED = [name for name in files.names("priors") if recipes.shipped(name)]

PENDULUM = """
schema = 1
summary = "Swinging up, from nothing."
env = "Pendulum-v1"
rows = {rows}
episode_steps = 200
seed = 0
licence = "MIT"
training_steps = {training}
replay_rows = {replay}
significant_bits = 14
{randomise}
[behaviour]
name = "sac_replay"
warm_up_steps = {warm_up}
batch_size = 64
[behaviour.sac]
hidden = [64, 64]
actor_lr = 1e-3
critic_lr = 1e-3
temperature_lr = 1e-3
initial_temperature = 0.2
polyak = 0.02
"""


def recipe(folder: Path, name: str = "swing", **changes: object) -> str:
    settings = {"rows": 300, "training": 400, "replay": 200, "warm_up": 100, "randomise": ""} | changes
    path = folder / f"{name}.toml"
    path.write_text(PENDULUM.format(**settings))
    return str(path)


def test_sac_replay_learns_the_task_while_it_is_recorded(tmp_path: Path) -> None:
    prior = recipes.build(
        recipe(tmp_path, "learns", rows=4_000, training=6_000, replay=2_000, warm_up=400), quiet=True
    )
    returns, steps = prior.returns(), np.bincount(prior.episode)
    whole = returns[steps == 200]
    assert whole[:3].mean() < -900  # it begins by hanging and flailing
    assert np.median(whole[-8:]) > -400  # the finished policy swings up and holds
    assert np.abs(prior.action).max() > 1.5  # in the world's own unit, up to 2 N m


def test_replay_rows_are_whole_episodes_spread_over_the_training(tmp_path: Path) -> None:
    prior = recipes.build(
        recipe(tmp_path, "spread", rows=800, training=2_000, replay=600, warm_up=100), quiet=True
    )
    assert len(prior) == 800
    # Three of ten episodes of training, one after it.
    assert np.bincount(prior.episode).tolist() == [200, 200, 200, 200]
    low = np.abs(prior.obs.view(np.uint32) & ((1 << 10) - 1))
    assert not low.any()  # 14 significant bits of 24


def test_the_same_recipe_gives_the_same_rows_again_and_through_a_shipped_file(tmp_path: Path) -> None:
    name = recipe(
        tmp_path, "again", randomise="[[randomise]]\nname = 'action_noise'\nstd_action_units = [0.1, 0.3]\n"
    )
    first = recipes.build(name, quiet=True, out=tmp_path / "again.hdf5")
    assert first.env_params is not None
    assert 0.1 <= first.env_params.min() < first.env_params.max() <= 0.3
    assert recipes.shipped(name) == tmp_path / "again.hdf5"
    data = priors.minari_root() / "slrl" / "again-v0"
    assert recipes.build(name, rebuild=True, quiet=True).sha256 == first.sha256  # trained again
    import shutil

    shutil.rmtree(data)
    unpacked = recipes.load_prior(name, quiet=True)  # from the file beside the recipe
    assert unpacked.sha256 == first.sha256
    assert data.is_dir()
    assert priors.load(tmp_path / "again.hdf5").sha256 == first.sha256
    path = Path(name)
    # What is built is of an older version now, and the file beside the recipe is what counts.
    path.write_text(path.read_text().replace("episode_steps = 200", "episode_steps = 150"))
    assert recipes.load_prior(name, quiet=True).sha256 == first.sha256


def test_rounding_keeps_so_many_bits_and_rounds_to_nearest() -> None:
    x = np.array([1.0, -1.0, 1 + 2**-5, 1 + 2**-4, 0.0, 3.1415927, 1e-20], np.float32)
    np.testing.assert_array_equal(recipes.rounded(x[:3], 4), np.array([1.0, -1.0, 1.0], np.float32))
    assert recipes.rounded(x, 4)[3] == np.float32(1.125)  # half-way between 1 and 1.125: away from zero
    np.testing.assert_allclose(recipes.rounded(x, 12), x, rtol=2**-12)
    np.testing.assert_array_equal(recipes.rounded(x, 24), x)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_prior_is_the_one_that_its_recipe_names(name: str) -> None:
    file = recipes.shipped(name)
    assert file is not None
    made, _ = recipes.read(name)
    prior = priors.load(file)
    assert prior.sha256 == made.sha256
    assert len(prior) == made.rows
    assert file.stat().st_size <= 4 * MEGABYTE
    assert (prior.env_params is not None) == (made.randomise is not None)


def test_all_shipped_priors_together_are_small() -> None:
    files = [recipes.shipped(name) for name in SHIPPED]
    assert len(files) == 4
    assert sum(file.stat().st_size for file in files if file) <= 25 * MEGABYTE


def test_what_takes_long_is_shipped_and_everything_has_its_hash_and_licence() -> None:
    for name in files.names("priors"):
        made, _ = recipes.read(name)
        assert (made.training_steps > 10_000) == (recipes.shipped(name) is not None), name
        assert made.sha256 is not None, name
        assert len(made.sha256) == 64
        assert made.licence


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in files.names("priors") if name not in SHIPPED])
def test_a_recipe_gives_the_hash_that_it_names(name: str) -> None:
    """On the machine of its authors; elsewhere the last digits of a simulation can differ."""
    if name in ("kitchen", "kitchen_kettle", "maze"):
        pytest.importorskip("gymnasium_robotics")
    if name in ("door", "peg"):
        pytest.importorskip("metaworld")
    assert recipes.build(name, rebuild=True, quiet=True).sha256 == recipes.read(name)[0].sha256


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"replay": 500}, "'replay_rows' .* must be from 0 to the smaller"),
        ({"randomise": "[[randomise]]\nname = 'gusts'\n"}, "unknown shift 'gusts'"),
        (
            {"randomise": "[[randomise]]\nname = 'mass'\nbody = 'pole'\ntimes = [1.0, 2.0]\n"},
            "needs a MuJoCo world",
        ),
    ],
)
def test_wrong_recipes_are_refused_in_a_sentence(
    changes: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=says):
        recipes.build(recipe(tmp_path, "wrong", **changes), quiet=True)


def test_a_behaviour_that_does_not_learn_cannot_be_trained(tmp_path: Path) -> None:
    text = (
        (files.folder("priors") / "pointmass.toml")
        .read_text()
        .replace("seed = 0", "seed = 0\ntraining_steps = 100")
    )
    path = tmp_path / "lazy.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match="'waypoints' of prior 'lazy' does not learn"):
        recipes.build(str(path), quiet=True)


def test_build_from_the_command_line_unpacks_what_is_shipped(command: Command) -> None:
    pytest.importorskip("mujoco")
    code, out, _ = command("prior", "build", "walker", "--quiet")
    assert code == 0
    assert f"60,000 rows in 201 episodes, SHA-256 {recipes.read('walker')[0].sha256}" in out
    code, _, err = command("prior", "build", "walker")
    assert code == 2
    assert "--rebuild" in err


def test_a_place_that_cannot_be_written_is_refused_before_the_recording(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out, says in ((tmp_path / "file" / "x.hdf5", "cannot make the folder"), (tmp_path, "is a directory")):
        code, printed, err = command("prior", "build", recipe(tmp_path, "unwritable"), "--out", out)
        assert (code, printed) == (2, "")
        assert says in err
    assert not (priors.minari_root() / "slrl" / "unwritable-v0").exists()
