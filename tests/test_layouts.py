"""The layouts of recorded data by hand, row by row, and each damage of each layout in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from slrl import priors
from slrl.errors import BadInput
from slrl.priors import formats

Write = Callable[..., Path]
FLAT = {
    "observations": [[0.0], [1.0], [2.0], [3.0]],
    "actions": [[0.1], [0.2], [0.3], [0.4]],
    "rewards": [0.0, 5.0, 0.0, 0.0],
    "terminals": [0, 1, 0, 0],
}
EPISODE = {
    "observations": [[0.0], [1.0], [2.0]],
    "actions": [[0.1], [0.2]],
    "rewards": [0.0, 5.0],
    "terminations": [0, 1],
    "truncations": [0, 0],
}
DEMO = {
    "obs": [[0.0], [1.0]],
    "next_obs": [[1.0], [2.0]],
    "actions": [[0.1], [0.2]],
    "rewards": [0.0, 5.0],
    "dones": [0, 1],
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of arrays by their paths; None leaves one out."""

    def file(arrays: dict[str, Any]) -> Path:
        path = tmp_path / "data.hdf5"
        with h5py.File(path, "w") as out:
            for key, value in arrays.items():
                if value is not None:
                    out[key] = np.asarray(value)
        return path

    return file


def under(group: str, arrays: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {f"{group}/{key}": value for key, value in {**arrays, **changes}.items()}


def told(rows: formats.Rows) -> dict[str, Any]:
    keys = ("terminated", "truncated", "episode")
    return {"next_obs": rows.next_obs[:, 0].tolist()} | {key: getattr(rows, key).tolist() for key in keys}


# --- D4RL ---------------------------------------------------------------------------------------------------


def test_d4rl_a_timeout_on_a_terminal_row_is_a_termination(write: Write) -> None:
    more = {"timeouts": [0, 1, 1, 0], "next_observations": [[1.0], [1.5], [2.5], [3.5]]}
    rows = formats.read(write({**FLAT, **more}))
    assert told(rows) == {
        "next_obs": [1, 1.5, 2.5, 3.5],
        "terminated": [False, True, False, False],
        "truncated": [False, False, True, True],  # the last row of the file is cut too
        "episode": [0, 0, 1, 2],
    }
    assert rows.notes == ()


def test_d4rl_with_nothing_but_terminals_is_one_episode_per_terminal(write: Write) -> None:
    """The last row has no successor; the row before it becomes the cut."""
    rows = formats.read(write(FLAT))
    assert told(rows) == {
        "next_obs": [1, 1, 3],  # of a terminal row never looked at: its own
        "terminated": [False, True, False],
        "truncated": [False, False, True],
        "episode": [0, 0, 1],
    }
    assert [note.split(":")[0] for note in rows.notes] == [
        "no timeouts and no next_observations",
        "no next_observations",
    ]
    assert "1 rows at cuts have no successor" in rows.notes[1]


def test_d4rl_an_episode_of_one_cut_row_disappears_and_its_number_too(write: Write) -> None:
    more = {"timeouts": [0, 0, 1, 1], "infos/env_params": [[1.0], [2.0], [3.0], [4.0]]}
    rows = formats.read(write({**FLAT, **more, "terminals": [0, 0, 0, 0], "infos/behaviour": [6, 6, 6, 7]}))
    assert told(rows) == {
        "next_obs": [1, 2],
        "terminated": [False, False],
        "truncated": [False, True],
        "episode": [0, 0],
    }
    assert rows.env_params is not None
    assert rows.behaviour is not None
    assert (rows.env_params.tolist(), rows.behaviour.tolist()) == ([[1], [2]], [6, 6])


def test_d4rl_a_terminal_row_before_a_dropped_one_is_not_cut(write: Write) -> None:
    rows = formats.read(write({**FLAT, "timeouts": [0, 0, 1, 1]}))
    assert told(rows) == {
        "next_obs": [1, 1],
        "terminated": [False, True],
        "truncated": [False, False],
        "episode": [0, 0],
    }


def test_d4rl_cuts_are_where_the_next_row_is_another_state(write: Write) -> None:
    rows = formats.read(write({**FLAT, "next_observations": [[1.0], [9.0], [8.0], [4.0]]}))
    assert rows.truncated.tolist() == [False, False, True, True]  # row 1 ends terminated
    assert rows.episode.tolist() == [0, 0, 1, 2]
    assert "was taken to be cut" in rows.notes[0]


def test_observations_of_any_shape_and_kind_become_rows_of_numbers(write: Write) -> None:
    parts = {"b": [[1], [2], [3], [4]], "a": np.arange(16).reshape(4, 2, 2), "c": [5, 6, 7, 8]}
    arrays = {**FLAT, "observations": None, **under("observations", parts)}
    rows = formats.read(write({**arrays, "timeouts": [0, 0, 0, 1]}))
    assert rows.obs.dtype == np.float32
    assert rows.obs.tolist() == [[0, 1, 2, 3, 1, 5], [4, 5, 6, 7, 2, 6], [8, 9, 10, 11, 3, 7]]


# --- Minari -------------------------------------------------------------------------------------------------


def test_minari_an_episode_that_just_stops_was_cut(write: Write) -> None:
    arrays = under("episode_0", EPISODE) | under("episode_1", EPISODE, terminations=[0, 0])
    rows = formats.read(write(arrays | under("episode_2", EPISODE, terminations=[0, 0], truncations=[0, 1])))
    assert told(rows) == {
        "next_obs": [1, 2] * 3,
        "terminated": [False, True] + [False] * 4,
        "truncated": [False, False, False, True, False, True],
        "episode": [0, 0, 1, 1, 2, 2],
    }


def test_minari_infos_have_one_row_more_or_as_many_as_there_are_actions(write: Write) -> None:
    """Of infos stored for observations, that of the last one is not of a transition."""
    first = under("episode_0", EPISODE) | {"episode_0/infos/env_params": [[1.0], [2.0], [3.0]]}
    second = under("episode_1", EPISODE) | {"episode_1/infos/env_params": [[4.0], [5.0]]}
    found = formats.read(write(first | second)).env_params
    assert found is not None
    assert found.tolist() == [[1], [2], [4], [5]]


# --- robomimic ----------------------------------------------------------------------------------------------


def test_robomimic_without_next_obs_loses_the_last_row_of_each_demo(write: Write) -> None:
    arrays = under("data/demo_1", DEMO, next_obs=None) | under("data/demo_2", DEMO)
    rows = formats.read(write(arrays))
    assert told(rows) == {
        "next_obs": [1, 1, 2],
        "terminated": [False, False, True],
        "truncated": [True, False, False],
        "episode": [0, 1, 1],
    }
    np.testing.assert_allclose(rows.action[:, 0], [0.1, 0.1, 0.2])
    assert (rows.obs[:, 0].tolist(), rows.reward.tolist()) == ([0, 0, 1], [0, 0, 5])
    assert rows.notes == ("no next_obs in 1 demos: their last row has no successor and was left out",)


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({"rewards": [0, 0]}, [False, False]),
        ({"dones": None}, [False, False]),
        ({"dones": [1, 1], "rewards": [1, 1]}, [True, True]),
        ({"rewards": [0, -1]}, [False, False]),
    ],
)
def test_robomimic_only_a_paid_done_is_a_termination(
    write: Write, changes: dict[str, Any], ended: list[bool]
) -> None:
    rows = formats.read(write(under("data/demo_0", DEMO, **changes)))
    assert rows.terminated.tolist() == ended
    assert rows.truncated.tolist() == [False, not ended[-1]]


def test_robomimic_names_of_demos_may_lack_the_underscore_and_are_sorted_as_numbers(write: Write) -> None:
    arrays: dict[str, Any] = {}
    for number in (10, 9, 2):
        arrays |= under(f"data/demo{number}", DEMO, obs=[[number], [number]])
        arrays[f"data/demo{number}/behaviour"] = [number, number]
    rows = formats.read(write(arrays))
    assert rows.obs[:, 0].tolist() == [2, 2, 9, 9, 10, 10]
    assert rows.behaviour is not None
    assert rows.behaviour.tolist() == [2, 2, 9, 9, 10, 10]
    assert rows.env_params is None


def test_robomimic_parameters_and_behaviours_are_those_of_the_rows_that_are_kept(write: Write) -> None:
    arrays = under("data/demo_1", DEMO, next_obs=None, env_params=[[1.0, 2.0], [3.0, 4.0]], behaviour=[7, 7])
    arrays |= under("data/demo_2", DEMO, env_params=[[5.0, 6.0], [7.0, 8.0]], behaviour=[[8], [8]])
    rows = formats.read(write(arrays))
    assert rows.env_params is not None
    assert rows.behaviour is not None
    assert rows.env_params.tolist() == [[1, 2], [5, 6], [7, 8]]
    assert rows.behaviour.tolist() == [7, 8, 8]


# --- episodes without a transition ---


def cut(arrays: dict[str, Any], steps: int) -> dict[str, Any]:
    """An episode's first steps; of its observations there are as many more as before."""
    return {key: np.array(value)[: len(value) - 2 + steps] for key, value in arrays.items()}


@pytest.mark.parametrize("empty", [(1,), (0,), (2,), (0, 1, 3)])
@pytest.mark.parametrize(
    ("name", "arrays", "word"), [("episode", EPISODE, "episodes"), ("data/demo", DEMO, "demos")]
)
def test_an_episode_without_a_transition_leaves_no_gap_in_the_numbers(
    write: Write, name: str, arrays: dict[str, Any], word: str, empty: tuple[int, ...]
) -> None:
    lengths = [0 if number in empty else 1 + number % 2 for number in range(4)]
    path = write(
        {k: v for i, n in enumerate(lengths) for k, v in under(f"{name}_{i}", cut(arrays, n)).items()}
    )
    prior = priors.load(path)
    kept = [n for n in lengths if n]
    assert prior.episode.tolist() == np.repeat(np.arange(len(kept)), kept).tolist()
    assert prior.episodes == len(kept) == len(prior.ends)
    assert prior.ends[prior.episode].max() == len(prior) - 1
    assert prior.notes == (f"{len(empty)} {word} have no transition and were left out",)


def test_an_episode_with_nothing_in_it_has_lost_no_last_row(write: Write) -> None:
    nothing = {key: np.zeros((0, 1)) for key in EPISODE}
    rows = formats.read(write(under("episode_0", nothing) | under("episode_1", EPISODE)))
    assert rows.notes == ("1 episodes have no transition and were left out",)
    nothing = {key: np.zeros((0, 1)) for key in DEMO if key != "next_obs"}
    rows = formats.read(write(under("data/demo_0", nothing) | under("data/demo_1", DEMO)))
    assert rows.notes == ("1 demos have no transition and were left out",)


# --- damages ------------------------------------------------------------------------------------------------

TWO_EPISODES = under("episode_0", EPISODE) | under("episode_1", EPISODE)
TWO_DEMOS = under("data/demo_0", DEMO) | under("data/demo_1", DEMO)
DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "d4rl no terminals": ({**FLAT, "terminals": None}, "has no /terminals; it is needed."),
    "d4rl timeouts of another length": ({**FLAT, "timeouts": [0, 1]}, "terminals 4, timeouts 2)"),
    "d4rl infos of another length": ({**FLAT, "infos/env_params": [[1.0]]}, "infos/env_params 1)"),
    "d4rl nothing has a successor": (
        {**FLAT, "terminals": [0] * 4, "timeouts": [1] * 4},
        "has no row with a successor; it needs next_observations or longer episodes.",
    ),
    "d4rl a group instead of rewards": (
        {**FLAT, "rewards": None, "rewards/a": [1.0]},
        "/rewards must be an array",
    ),
    "minari no observations": (
        {**TWO_EPISODES, "episode_1/observations": None},
        "has no /episode_1/observations; it is needed.",
    ),
    "minari flags of another length": (
        {**TWO_EPISODES, "episode_1/truncations": [0]},
        "of episode_1 have different lengths (actions 2, rewards 2, terminations 2, truncations 1)",
    ),
    "minari no steps": (
        under("episode_0", {key: np.zeros((0, 1)) for key in EPISODE}, observations=[[1.0]]),
        "holds no transitions.",
    ),
    "minari another size": (
        {**TWO_EPISODES, "episode_1/observations": [[1.0, 2.0]] * 3},
        "obs has not the same size in all episodes.",
    ),
    "minari another size of actions": (
        {**TWO_EPISODES, "episode_1/actions": [[1.0, 2.0]] * 2},
        "action has not the same size in all episodes.",
    ),
    "minari only some with infos": (
        {**TWO_EPISODES, "episode_1/infos/behaviour": [1, 1]},
        "some episodes have infos/behaviour and some have not; all or none must.",
    ),
    "minari words": (
        {**TWO_EPISODES, "episode_0/rewards": np.array([b"a", b"b"])},
        "must hold numbers, not |S1.",
    ),
    "robomimic no actions": (
        {**TWO_DEMOS, "data/demo_0/actions": None},
        "has no /data/demo_0/actions; it is needed.",
    ),
    "robomimic no rewards": (
        {**TWO_DEMOS, "data/demo_1/rewards": None},
        "has no /data/demo_1/rewards; it is needed.",
    ),
    "robomimic other next_obs": (
        {**TWO_DEMOS, "data/demo_0/next_obs": [[1.0]]},
        "the arrays of data/demo_0 have different lengths (obs 2, next_obs 1); each row needs all of them.",
    ),
    "robomimic another size": (
        {**TWO_DEMOS, "data/demo_1/obs": [[1.0, 2.0]] * 2, "data/demo_1/next_obs": [[1.0, 2.0]] * 2},
        "obs has not the same size in all demos.",
    ),
    "robomimic one row without a successor": (
        under("data/demo_0", {key: value[:1] for key, value in DEMO.items()}, next_obs=None),
        "holds no transitions.",
    ),
    "minari an array instead of an episode": (
        {**TWO_EPISODES, "episode_2": [1.0]},
        ": /episode_2 must be a group, not an array.",
    ),
    "minari an array instead of infos": (
        {**TWO_EPISODES, "episode_0/infos": [1.0]},
        ": /episode_0/infos must be a group, not an array.",
    ),
    "minari observations of other lengths": (
        {
            **TWO_EPISODES,
            "episode_1/observations": None,
            "episode_1/observations/path": [[1.0]] * 3,
            "episode_1/observations/where": [[1.0]] * 2,
        },
        ": the arrays of /episode_1/observations have different lengths (path 3, where 2)",
    ),
    "d4rl observations of other lengths": (
        {**FLAT, "observations": None, "observations/a": [[1.0]] * 4, "observations/b": [1.0]},
        ": the arrays of /observations have different lengths (a 4, b 1)",
    ),
    "robomimic an array instead of a demo": (
        {**TWO_DEMOS, "data/demo_2": [1.0]},
        ": /data/demo_2 must be a group, not an array.",
    ),
    "robomimic observations of other lengths": (
        {
            **TWO_DEMOS,
            "data/demo_0/obs": None,
            "data/demo_0/obs/a": [1.0] * 2,
            "data/demo_0/obs/b": [1.0] * 3,
        },
        ": the arrays of /data/demo_0/obs have different lengths (a 2, b 3)",
    ),
    "d4rl wider next_observations": (
        {**FLAT, "next_observations": [[1.0, 2.0]] * 4, "timeouts": [0, 0, 0, 1]},
        ": the rows of the file have different sizes (observations 1, next_observations 2); they must be",
    ),
    "d4rl wider next_observations, no timeouts": (
        {**FLAT, "observations": [[1.0, 2.0]] * 4, "next_observations": [[1.0, 2.0, 3.0]] * 4},
        "(observations 2, next_observations 3)",
    ),
    "robomimic wider next_obs": (
        {**TWO_DEMOS, "data/demo_0/next_obs": [[1.0, 2.0]] * 2, "data/demo_1/next_obs": [[1.0, 2.0]] * 2},
        ": the rows of data/demo_0 have different sizes (obs 1, next_obs 2); they must be alike.",
    ),
    "robomimic only some with env_params": (
        {**TWO_DEMOS, "data/demo_1/env_params": [[1.0]] * 2},
        ": some demos have env_params and some have not; all or none must.",
    ),
    "robomimic only some with behaviour": (
        {**TWO_DEMOS, "data/demo_0/behaviour": [1, 1]},
        ": some demos have behaviour and some have not; all or none must.",
    ),
    "robomimic env_params of another length": (
        {**TWO_DEMOS, "data/demo_0/env_params": [[1.0]], "data/demo_1/env_params": [[1.0]] * 2},
        "of data/demo_0 have different lengths (obs 2, actions 2, rewards 2, dones 2, env_params 1)",
    ),
    "robomimic env_params of another size": (
        {**TWO_DEMOS, "data/demo_0/env_params": [[1.0]] * 2, "data/demo_1/env_params": [[1.0, 2.0]] * 2},
        ": env_params has not the same size in all demos.",
    ),
    "nothing known": ({"a": [1], "b": [2]}, "it holds a, b. It should hold episode_0, … (Minari)"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_each_layout_is_one_sentence(write: Write, damage: str) -> None:
    arrays, says = DAMAGES[damage]
    path = write(arrays)
    with pytest.raises(BadInput) as caught:
        formats.read(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_group_of_observations_with_nothing_in_it_is_said(write: Write) -> None:
    path = write({**FLAT, "observations": None})
    with h5py.File(path, "a") as file:
        file.create_group("observations")
    with pytest.raises(BadInput, match="/observations is empty"):
        formats.read(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"{", "is damaged"), (b"\xff\xfe", "is damaged"), (b"[1]", "it should hold a JSON object")],
)
def test_damaged_metadata_of_minari_is_one_sentence(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metadata.json").write_bytes(text)
    with pytest.raises(BadInput, match=says):
        priors.load(tmp_path)


BOX = json.dumps({"type": "Box", "dtype": "float32", "shape": [1], "low": [-3.0], "high": [3.0]})


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({}, "is damaged: it has no 'observation_space', which Minari writes as a text."),
        ({"observation_space": BOX}, "is damaged: it has no 'action_space', which Minari writes as a text."),
        ({"observation_space": [1], "action_space": BOX}, "it has no 'observation_space', which"),
        ({"observation_space": BOX, "action_space": "{"}, "Minari cannot read its 'action_space' (JSON"),
        ({"observation_space": "{}", "action_space": BOX}, "Minari cannot read its 'observation_space' ("),
    ],
)
def test_metadata_of_minari_without_its_spaces_is_one_sentence(
    write: Write, about: dict[str, Any], says: str
) -> None:
    path = write(under("episode_0", EPISODE))
    (path.parent / "metadata.json").write_text(json.dumps(about))
    with pytest.raises(BadInput) as caught:
        priors.load(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path.parent / "metadata.json"))
    assert len(str(caught.value).splitlines()) == 1


def test_a_space_that_is_no_box_is_refused_and_one_of_another_size_is_replaced(
    tmp_path: Path, write: Write
) -> None:
    path = write(under("episode_0", EPISODE))
    box = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-3.0], "high": [3.0]}
    wide = {**box, "shape": [2], "low": [-3.0] * 2, "high": [3.0] * 2}

    def about(obs: dict[str, Any]) -> None:
        spaces = {"observation_space": json.dumps(obs), "action_space": json.dumps(box)}
        (tmp_path / "metadata.json").write_text(json.dumps({"data_format": "hdf5", **spaces}))

    about(box)
    prior = priors.load(path)
    assert (prior.observation_space.high.tolist(), prior.action_space.low.tolist()) == ([3], [-3])
    about(wide)
    assert priors.load(path).observation_space.high.tolist() == [np.inf]
    about({"type": "Discrete", "dtype": "int64", "n": 3, "start": 0})
    with pytest.raises(BadInput, match=r"has the space Discrete\(3\); slrl needs numbers in a Box"):
        priors.load(path)


def test_without_metadata_the_bounds_of_actions_hold_what_was_seen_and_at_least_one(write: Write) -> None:
    arrays = {**FLAT, "actions": [[0.5, -3.0], [0.1, 0.0], [0.2, 0.5], [0.0, 0.0]], "timeouts": [0, 0, 0, 1]}
    space = priors.load(write(arrays)).action_space
    assert (space.low.tolist(), space.high.tolist()) == ([-1, -3], [1, 1])
