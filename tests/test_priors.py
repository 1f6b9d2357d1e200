"""Priors: every layout gives the same rows, and the traps of each are known."""

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from slrl import priors
from slrl.errors import BadInput
from slrl.priors import formats
from slrl.recording import recipes

from .conftest import layouts, prior_of, rows_of, write_d4rl, write_minari, write_robomimic

ROWS = ("obs", "action", "reward", "next_obs", "terminated", "truncated", "episode")
EARL = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.parametrize(
    "lengths", [[6, 3, 11, 8], [1], [1] * 300, [4000]], ids=["episodes", "one row", "many short", "one long"]
)
def test_every_layout_gives_the_same_prior(tmp_path: Path, lengths: list[int]) -> None:
    rows = rows_of(lengths)
    for layout, path in layouts(tmp_path, rows).items():
        prior = priors.load(path)
        for key in ROWS:
            np.testing.assert_array_equal(getattr(prior, key), getattr(rows, key), err_msg=f"{layout}: {key}")
        assert prior.sha256 == priors.content_hash(rows), layout
        assert prior.episodes == len(lengths)
        assert prior.successes() == (len(lengths) + 1) // 2


def test_the_second_load_comes_from_the_cache_and_a_damaged_cache_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "cache"))
    path = write_robomimic(tmp_path / "data.hdf5", rows_of([5, 6]))
    first = priors.load(path)
    (cached,) = (tmp_path / "cache" / "priors").iterdir()
    monkeypatch.setattr(formats, "read", None)  # whoever reads the HDF5 file now fails
    assert priors.load(path).sha256 == first.sha256
    monkeypatch.undo()
    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "cache"))
    cached.write_bytes(cached.read_bytes()[:-7])
    assert priors.load(path).sha256 == first.sha256
    flipped = bytearray(cached.read_bytes())
    flipped[-9] ^= 1
    cached.write_bytes(flipped)
    np.testing.assert_array_equal(priors.load(path).obs, first.obs)


def test_arrays_cannot_be_written(tmp_path: Path) -> None:
    prior = priors.load(write_d4rl(tmp_path / "d", rows_of([5])))
    with pytest.raises(ValueError, match="read-only"):
        prior.obs[0] = 0


def test_minari_without_a_last_observation_loses_one_action_per_episode_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.hdf5"
    with h5py.File(path, "w") as file:
        for index in range(2):
            group = file.create_group(f"episode_{index}")
            group["observations"], group["actions"] = np.arange(12.0).reshape(4, 3), np.zeros((4, 2))
            group["rewards"], group["terminations"], group["truncations"] = (
                np.zeros(4),
                np.zeros(4, bool),
                [False] * 3 + [True],
            )
    prior = priors.load(path)
    assert len(prior) == 6
    assert prior.truncated.tolist() == [False, False, True] * 2
    assert "2 episodes have no observation after their last action" in prior.notes[0]


def test_minari_episodes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    rows = rows_of([2] * 12)
    prior = priors.load(write_minari(tmp_path / "m", rows))
    np.testing.assert_array_equal(prior.obs, rows.obs)  # as strings, episode_10 comes before episode_2


def test_d4rl_without_next_observations_drops_the_row_at_a_cut(tmp_path: Path) -> None:
    rows = rows_of([4, 3, 5])  # terminated, cut, terminated
    prior = priors.load(write_d4rl(tmp_path / "d", rows, next_obs=False))
    keep = np.array([True] * 4 + [True, True, False] + [True] * 5)
    np.testing.assert_array_equal(prior.obs, rows.obs[keep])
    np.testing.assert_array_equal(prior.episode, rows.episode[keep])
    alive = ~prior.terminated
    np.testing.assert_array_equal(prior.next_obs[alive], rows.next_obs[keep][alive])
    assert prior.truncated.tolist() == [False] * 5 + [True] + [False] * 5
    assert not (prior.truncated & prior.terminated).any()


def test_d4rl_without_timeouts_finds_the_cuts(tmp_path: Path) -> None:
    rows = rows_of([4, 3, 5, 6])
    prior = priors.load(write_d4rl(tmp_path / "d", rows, timeouts=False))
    np.testing.assert_array_equal(prior.episode, rows.episode)
    np.testing.assert_array_equal(prior.truncated, rows.truncated)


def test_d4rl_flags_of_shape_n_1_and_float(tmp_path: Path) -> None:
    rows, path = rows_of([4, 3]), tmp_path / "d"
    write_d4rl(path, rows)
    with h5py.File(path, "a") as file:
        del file["terminals"], file["rewards"]
        file["terminals"], file["rewards"] = rows.terminated.astype(np.float32)[:, None], rows.reward[:, None]
    np.testing.assert_array_equal(priors.load(path).terminated, rows.terminated)


def test_robomimic_done_without_reward_is_a_cut_and_keys_are_sorted(tmp_path: Path) -> None:
    path = tmp_path / "r.hdf5"
    with h5py.File(path, "w") as file:
        for index, reward in ((10, 0.0), (9, 1.0)):
            demo = file.create_group(f"data/demo_{index}")
            demo["obs/b"], demo["obs/a"] = np.full((3, 1), 2.0), np.full((3, 2), 1.0)
            demo["actions"], demo["rewards"], demo["dones"] = np.zeros((3, 2)), [0, 0, reward], [0, 0, 1]
            demo["next_obs/b"], demo["next_obs/a"] = np.full((3, 1), 2.0), np.full((3, 2), 1.0)
    prior = priors.load(path)
    assert prior.obs[0].tolist() == [1, 1, 2]
    assert prior.terminated.tolist() == [False, False, True] + [False] * 3  # demo_9 first, the successful one
    assert prior.truncated.tolist() == [False] * 5 + [True]
    assert prior.notes == ("observation = a, b",)


def test_returns_to_go_by_hand() -> None:
    rows = rows_of([3, 2])._replace(reward=np.array([0, 0, 1, 2, 4], np.float32))
    # γ = 0.5: 0 + 0.5 (0 + 0.5 · 1) = 0.25, 0.5, 1 | 2 + 0.5 · 4 = 4, 4
    assert prior_of(rows).returns_to_go(0.5).tolist() == [0.25, 0.5, 1.0, 4.0, 4.0]


def test_a_million_rows_of_half_cheetah_size_load_fast_and_small(tmp_path: Path) -> None:
    n, rng = 1_000_000, np.random.default_rng(0)
    path = tmp_path / "big.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = rng.standard_normal((n, 17), np.float32)
        file["next_observations"] = rng.standard_normal((n, 17), np.float32)
        file["actions"] = rng.uniform(-1, 1, (n, 6)).astype(np.float32)
        file["rewards"], file["terminals"] = np.zeros(n, np.float32), np.zeros(n, bool)
        file["timeouts"] = np.arange(n) % 1000 == 999
    raw_bytes = n * (17 + 17 + 6 + 1) * 4 + 2 * n

    def read_raw() -> dict[str, np.ndarray]:
        with h5py.File(path, "r") as file:
            return {key: file[key][()] for key in file}

    def seconds(function: Callable[[], object]) -> float:
        """CPU time of all threads, which other programs on the machine do not change."""
        began = time.process_time()
        function()
        return time.process_time() - began

    raw, ours = zip(*[(seconds(read_raw), seconds(lambda: priors.load(path))) for _ in range(7)], strict=True)
    tracemalloc.start()
    priors.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(ours) < 3.0 * min(raw), (ours, raw)
    assert peak < 2.5 * raw_bytes


def test_recipe_is_built_once_and_read_by_minari() -> None:
    import minari

    prior = recipes.load_prior("pointmass")
    assert (len(prior), prior.obs.shape[1], prior.action.shape[1]) == (50_000, 6, 2)
    assert prior.sha256 == recipes.load_prior("pointmass").sha256 == priors.load("slrl/pointmass-v0").sha256
    dataset = minari.load_dataset("slrl/pointmass-v0")
    assert dataset.total_steps == 50_000
    assert dataset.recover_environment().spec.id == "slrl/Pointmass-v0"
    np.testing.assert_array_equal(dataset[0].observations[:-1], prior.obs[prior.episode == 0])
    # a way back exists in it: some success began far away, and the walls were visited
    assert prior.successes() > 50
    assert prior.obs[:, 1].max() > 190
    assert prior.obs[:, 1].min() < -190


def test_a_rebuilt_recipe_has_the_same_content() -> None:
    first = recipes.load_prior("pointmass_breezy")
    again = recipes.build("pointmass_breezy", rebuild=True, quiet=True)
    assert first.sha256 == again.sha256
    assert first.env_params is not None
    assert first.env_params.shape == (50_000, 2)
    assert np.abs(first.env_params).max() <= 0.5
    # the wind is real: displacement = action + wind, wherever no wall was touched
    free = (np.abs(first.next_obs[:, :2]) < [99.9, 199.9]).all(1)
    drift = (first.next_obs - first.obs)[free, :2] - first.action[free]
    np.testing.assert_allclose(drift, first.env_params[free], atol=1e-4)


def test_the_reward_of_prior_rows_is_for_arriving() -> None:
    prior = recipes.load_prior("pointmass")
    home = np.hypot(prior.next_obs[:, 0] - 100, prior.next_obs[:, 1]) <= 2
    np.testing.assert_array_equal(prior.reward, home.astype(np.float32))
    np.testing.assert_array_equal(prior.terminated, home)


def test_another_version_of_a_recipe_is_not_taken_for_this_one(tmp_path: Path) -> None:
    text = (
        (Path(__file__).parents[1] / "priors" / "pointmass.toml")
        .read_text()
        .replace("rows = 50_000", "rows = 200")
    )
    recipe = tmp_path / "mine.toml"
    recipe.write_text(text)
    assert len(recipes.load_prior(recipe)) == 200
    recipe.write_text(text.replace("seed = 0", "seed = 1"))
    with pytest.raises(BadInput, match="--rebuild"):
        recipes.load_prior(recipe)
    assert len(recipes.build(str(recipe), rebuild=True, quiet=True)) == 200
    assert not list((priors.minari_root() / "slrl").glob("building-*"))


def test_a_failed_build_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import minari

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setattr(minari, "create_dataset_from_buffers", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        recipes.build("pointmass", quiet=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(not EARL.is_dir(), reason="the shared demonstrations are not on this machine")
@pytest.mark.parametrize("name", ["forward", "reverse"])
def test_real_demonstrations_that_nobody_here_made(name: str) -> None:
    prior = priors.load(EARL / f"earl_tabletop_{name}.hdf5")
    assert (prior.obs.shape[1], prior.action.shape[1]) == (12, 3)
    assert prior.episodes == prior.successes() == 12


def test_several_priors_become_one_that_knows_its_parts(tmp_path: Path) -> None:
    paths = [write_d4rl(tmp_path / name, rows_of([4, 3], seed=seed)) for seed, name in enumerate("abc")]
    single = recipes.load_prior(paths[0])
    assert (single.parts, recipes.load_prior([paths[0]]).sha256) == ((), single.sha256)
    joined = recipes.load_prior(tuple(paths))
    assert joined.parts == tuple(map(str, paths))
    assert joined.name == " + ".join(joined.parts)
    assert (joined.episodes, len(joined)) == (6, 21)
    assert joined.behaviour is not None
    assert joined.behaviour.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert priors.join([priors.join([single, single]), joined]).parts == (2 * (single.name,) + joined.parts)
    assert recipes.load_prior(joined.name).sha256 == joined.sha256  # as settings files of slrl 0.1 say it
    with pytest.raises(BadInput, match="no prior is named"):
        recipes.load_prior(())
    with pytest.raises(BadInput, match="unknown prior 'pointmas'"):
        recipes.load_prior(("pointmas", "pointmass"))


def test_a_file_may_have_a_plus_in_its_name(tmp_path: Path) -> None:
    path = write_d4rl(tmp_path / "forward + back.hdf5", rows_of([4]))
    assert recipes.load_prior(path).parts == ()


def test_minari_metadata_gives_the_spaces(tmp_path: Path) -> None:
    path = write_minari(tmp_path / "m", rows_of([5]))
    assert priors.load(path).observation_space.high[0] == 1000
    about = path / "data" / "metadata.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"data_format": "arrow"}))
    with pytest.raises(BadInput, match="stored as arrow"):
        priors.load(path)


def test_somebody_elses_file_in_the_cache_of_rows_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import save_file

    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "cache"))
    path = write_minari(tmp_path / "set", rows_of([5, 4]))
    first = priors.load(path)
    (kept,) = (tmp_path / "cache" / "priors").iterdir()
    for header in (None, {"format": "minari"}, {"format": "minari", "notes": "[", "sha256": ""}):
        save_file({"weights": torch.zeros(3)}, kept, header)
        assert priors.load(path).sha256 == first.sha256
