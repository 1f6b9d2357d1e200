"""Rows of the store by hand: what is taken for a life, what is damaged, how rows are grouped and printed."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrl.errors import BadInput
from slrl.evaluation import store, verdict
from slrl.evaluation.store import Row, Scan

from .conftest import write_life


def row(adapter: str = "a", seed: int = 0, **more: Any) -> Row:
    usual: dict[str, Any] = {
        "scenario": "w",
        "outcome": "success",
        "steps": 40,
        "life_steps": 100,
        "wall_clock_s": 1.0,
        "steps_per_s": 40.0,
        "prior": "p",
        "prior_sha256": "x",
        "settings_sha256": "same",
        "replaced": False,
        "mujoco": "3.3.0",
        "torch": "2",
        "instructions": "AVX2",
        "slrl": "0",
        "git_revision": "",
        "folder": f"w/{adapter}/seed-{seed}",
    }
    return Row(adapter=adapter, seed=seed, **{"world": "target", "progress": None, **usual, **more})


def grouped(*rows: Row) -> tuple[dict[tuple[str, str], list[int]], list[str]]:
    groups, left_out = store.comparable(Scan(list(rows), []))
    return {key: [one.seed for one in kept] for key, kept in groups.items()}, left_out


# --- what is there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "a_life", "replaced"),
    [("seed-3", True, False), ("seed-3.1", True, True), ("seed-3.x", False, False), ("seed-", False, False)],
)
def test_a_life_is_known_by_the_name_of_its_folder(
    tmp_path: Path, folder: str, a_life: bool, replaced: bool
) -> None:
    write_life(tmp_path, "a", 3, 5, folder=folder)
    assert [one.replaced for one in store.scan(tmp_path).rows] == [replaced] * a_life


def test_lives_are_in_the_order_of_their_folders_and_not_looked_for_in_each_other(tmp_path: Path) -> None:
    for seed in (10, 9, 2):
        write_life(tmp_path, "b", seed, 5)
    folder = write_life(tmp_path, "a", 1, 5)
    write_life(folder, "inner", 7, 5)
    found = store.scan(tmp_path)
    assert [one.folder for one in found.rows] == [
        f"windy/{at}" for at in ("a/seed-1", "b/seed-10", "b/seed-2", "b/seed-9")
    ]
    assert found.problems == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": True}, "'seed' is True."),
        ({"seed": 1.0}, "'seed' is 1.0."),
        ({"wall_clock_s": None}, "'wall_clock_s' is None."),
        ({"prior": 3}, "'prior' is 3."),
        ({"steps": -1}, "-1 steps of 1000."),
        ({"steps": 1001}, "1001 steps of 1000."),
        ({"outcome": "Success"}, "'outcome' is 'Success'."),
        ({"schema": None}, "has schema None, and this slrl reads 1."),
    ],
)
def test_a_damaged_result_is_a_sentence_with_its_folder(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    folder = write_life(tmp_path, "a", 0, 5)
    told = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**told, **change}))
    found = store.scan(tmp_path)
    assert found.rows == []
    (problem,) = found.problems
    assert problem.startswith("windy/a/seed-0: its result.json ")
    assert problem.endswith(says)


@pytest.mark.parametrize("steps", [0, 1000])
def test_a_life_may_have_no_step_and_all_of_them(tmp_path: Path, steps: int) -> None:
    write_life(tmp_path, "a", 0, steps, outcome="interrupted", versions=None)
    (found,) = store.scan(tmp_path).rows
    assert (found.steps, found.mujoco, found.instructions, found.git_revision) == (
        steps,
        "not installed",
        "unknown",
        "",
    )
    assert type(found.steps_per_s) is float


def test_other_versions_and_processors_are_said_but_not_where_nothing_is_known(tmp_path: Path) -> None:
    versions = [
        {"mujoco": "3.3.0", "instructions": "AVX2"},
        {"mujoco": "not installed", "instructions": "unknown"},
        {"mujoco": "3.4.0", "instructions": "AVX512"},
    ]
    for seed, told in enumerate(versions):
        write_life(tmp_path / str(seed < 2), "a", seed, 5, versions=told)
    assert store.scan(tmp_path / "True").problems == []
    problems = store.scan(tmp_path).problems
    assert [problem.split(":")[0] for problem in problems] == [
        "lives were lived with MuJoCo 3.3.0 and 3.4.0",
        "lives were lived on processors with AVX2 and AVX512",
    ]


def test_settings_are_alike_if_only_the_seed_at_their_top_differs() -> None:
    text = b"schema = 1\nseed = 3\nx = 1\n\n[adapter]\nseed = 5\n"
    alike = store._of_settings(text)
    assert store._of_settings(text.replace(b"seed = 3", b"seed = 44")) == alike
    assert store._of_settings(text.replace(b"seed = 5", b"seed = 6")) != alike
    assert store._of_settings(text.replace(b"x = 1", b"x = 2")) != alike
    one, two = (store._of_settings(text.replace(b"x = 1", b"seeds = %d" % n)) for n in (1, 2))
    assert one != two
    assert store._of_settings(text.replace(b"[adapter]", b"[agent]")) != alike


# --- groups -------------------------------------------------------------------------------------------------


def test_rows_are_grouped_by_scenario_and_adapter_in_the_order_of_their_seeds() -> None:
    rows = [row(seed=3), row("b", 1), row(seed=1), row(seed=2, scenario="v"), row(seed=10)]
    rows.append(row(seed=7, replaced=True))  # another life took its place
    groups, left_out = grouped(*rows)
    assert groups == {("w", "a"): [1, 3, 10], ("w", "b"): [1], ("v", "a"): [2]}
    assert left_out == []


def test_of_other_settings_those_of_most_stay_and_of_equally_many_the_last() -> None:
    groups, left_out = grouped(
        row(seed=0),
        row(seed=1),
        row(seed=2, settings_sha256="new"),
        row("b", 0),
        row("b", 1, settings_sha256="new"),
    )
    assert groups == {("w", "a"): [0, 1], ("w", "b"): [1]}
    assert left_out == [f"1 lives of {name} in w have other settings and are left out." for name in "ab"]


def test_a_seed_that_is_there_twice_counts_once_and_is_said() -> None:
    groups, left_out = grouped(row(seed=1), row(seed=0), row(seed=1, folder="x"), row(seed=1, folder="y"))
    assert groups == {("w", "a"): [0, 1]}
    assert left_out == ["2 lives of a in w repeat a seed in another folder and are left out."]


def test_the_budget_of_a_scenario_is_that_of_most_lives_in_it_and_of_no_other_scenario() -> None:
    short = {"life_steps": 50, "settings_sha256": "short"}
    groups, left_out = grouped(
        row("a", 0, **short), row("b", 0), row("b", 1), row("a", 0, scenario="v", **short)
    )
    assert groups == {("w", "b"): [0, 1], ("v", "a"): [0]}
    assert left_out == ["a in w has a budget of 50 and not 100, and is left out."]


@pytest.mark.parametrize(
    ("outcome", "time", "success", "known"),
    [
        ("success", 40, True, True),
        ("failure", 100, False, True),
        ("timeout", 100, False, True),
        ("interrupted", 40, False, False),
        ("diverged", 100, False, True),
        ("crashed", 100, False, True),
    ],
)
def test_what_a_life_says_to_the_statistics(outcome: str, time: float, success: bool, known: bool) -> None:
    lives = store.lives_of([row(outcome=outcome)], None)
    assert (lives.time.tolist(), lives.success.tolist(), lives.known.tolist()) == ([time], [success], [known])
    assert (lives.budget, lives.optimum) == (100, 0)
    assert store.lives_of([row()], 7.0).optimum == 7


# --- tables -------------------------------------------------------------------------------------------------


def test_rows_are_selected_and_sorted_as_sql_has_it() -> None:
    rows = [
        row(seed=seed, steps=10 * seed, outcome="success" if seed % 2 else "timeout") for seed in range(5)
    ]
    base = store.index(Scan(rows, ["a problem"]))
    found = store.select(
        base, where="steps >= 10 and outcome = 'success' or seed = 4", sort="steps desc", columns=("seed",)
    )
    assert found == [(4,), (3,), (1,)]
    assert store.select(base, where=" ", sort=" ", columns=("seed", "steps"))[1] == (1, 10)
    assert len(store.select(base)[0]) == len(store.COLUMNS)
    assert base.execute("SELECT sentence FROM problems").fetchall() == [("a problem",)]
    with pytest.raises(BadInput, match="SQLite does not understand"):
        store.select(base, sort="seed; DROP TABLE lives")


def test_a_table_has_numbers_to_the_right_and_words_to_the_left() -> None:
    long = {"steps": 1234, "life_steps": 5000, "steps_per_s": 99.6, "progress": 2.5}
    rows = [row("long name", 1, pretraining=7, **long), row("b", 22, pretraining=None)]
    printed = store.printed(store.select(store.index(Scan(rows, []))), "table").splitlines()
    assert printed == [
        "scenario  adapter    seed  pretraining  outcome  steps  life_steps  progress  steps_per_s  prior  "
        "folder",
        "w         long name     1            7  success  1,234       5,000       2.5          100  p      "
        "w/long name/seed-1",
        "w         b            22               success     40         100                     40  p      "
        "w/b/seed-22",
        "2 lives: 2 success; 2 of 2 succeeded",
    ]


def test_csv_and_json_have_all_columns_of_all_rows() -> None:
    rows = store.select(store.index(Scan([row("a,b", 3, steps_per_s=0.5)], [])))
    for found in (
        json.loads(store.printed(rows, "json")),
        list(csv.DictReader(io.StringIO(store.printed(rows, "csv")))),
    ):
        assert [(one["adapter"], str(one["seed"]), str(one["steps_per_s"])) for one in found] == [
            ("a,b", "3", "0.5")
        ]
        assert list(found[0]) == list(store.COLUMNS)


def test_an_index_is_written_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = store.index(Scan([row()], []))
    monkeypatch.setattr("os.access", lambda *_: False)
    store.write_index(tmp_path, base)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    store.write_index(tmp_path, base)
    assert [path.name for path in tmp_path.iterdir()] == ["index.sqlite"]


# --- standings ----------------------------------------------------------------------------------------------


def test_standings_by_hand(tmp_path: Path) -> None:
    """Two of three known lives succeeded, after 200 and 400 steps; one was cut short after 300.

    S = 3/4 from 200, 3/8 from 400 (of two at risk): 200 + 200 · 3/4 + 600 · 3/8 = 575.
    """
    for seed, (steps, outcome) in enumerate(
        [(200, "success"), (300, "interrupted"), (400, "success"), (900, "failure")]
    ):
        write_life(tmp_path, "a", seed, steps, outcome=outcome)
    write_life(tmp_path, "b", 0, 1000, outcome="timeout")
    (a, b), left_out = verdict.standings(tmp_path, store.scan(tmp_path), np.random.default_rng(0))
    assert left_out == []
    assert (a.adapter, a.scenario, a.seeds, a.succeeded, a.known) == (
        "a",
        "windy",
        [(n, None) for n in range(4)],
        2,
        3,
    )
    assert (a.rate.estimate, a.mean.estimate, a.lives.optimum) == (
        pytest.approx(2 / 3),
        pytest.approx(575),
        100,
    )
    assert a.median is not None
    assert a.median.estimate == 400
    assert (b.succeeded, b.known, b.median) == (0, 1, None)
    lines = verdict.summary(tmp_path).splitlines()
    assert lines[0].split("  ")[0] == "scenario"
    assert lines[1].split()[:7] == ["windy", "a", "2", "of", "3", "400", "575"]
    assert lines[2].split() == ["windy", "b", "0", "of", "1", "not", "reached", "1,000", "–"]


def test_lives_with_an_optimum_that_nobody_knows(tmp_path: Path) -> None:
    folder = write_life(tmp_path, "a", 0, 5)
    (found,) = store.scan(tmp_path).rows
    assert store.optimum_of(tmp_path, found) == 100
    (folder / "settings.toml").write_text("schema = 1\n")
    assert store.optimum_of(tmp_path, found) is None
