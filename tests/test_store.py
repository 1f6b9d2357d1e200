"""Folders of lives: what is read, what is said of the rest, the index, and the verdict on adapters."""

import csv
import io
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import slrl
from slrl.evaluation import store, verdict
from slrl.evaluation.report import report
from slrl.evaluation.report.evidence import collect
from slrl.evaluation.stats import Interval, Lives

from .conftest import write_life

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Ten lives of each of three adapters; "slow" takes twice as long as "quick", "lost" succeeds in two."""
    folder = tmp_path / "runs"
    rng = np.random.default_rng(0)
    for seed in range(10):
        steps = int(rng.integers(120, 300))
        write_life(folder, "quick", seed, steps)
        write_life(folder, "slow", seed, 2 * steps)
        write_life(
            folder, "lost", seed, 900 if seed < 2 else 1000, outcome="success" if seed < 2 else "timeout"
        )
    return folder


def test_lives_are_found_and_listed(runs: Path, command: Command) -> None:
    found = store.scan(runs)
    assert len(found.rows) == 30
    assert found.problems == []
    code, out, err = command(
        "results", runs, "--where", "adapter = 'quick' and steps < 200", "--sort", "steps desc"
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == list(store.SHOWN)
    steps = [int(line.split()[4]) for line in lines[1:-1]]  # an empty cell before it: there is no pretraining
    assert steps == sorted(
        (row.steps for row in found.rows if row.adapter == "quick" and row.steps < 200), reverse=True
    )
    assert lines[-1] == f"{len(steps)} lives: {len(steps)} success; {len(steps)} of {len(steps)} succeeded"


def test_formats_hold_everything(runs: Path, command: Command) -> None:
    _, out, _ = command("results", runs, "--format", "json")
    tables = json.loads(out)
    assert len(tables) == 30
    assert set(tables[0]) == set(store.COLUMNS)
    _, out, _ = command("results", runs, "--format", "csv")
    assert out.splitlines()[0] == ",".join(store.COLUMNS)
    assert len(out.splitlines()) == 31
    with sqlite3.connect(runs / store.INDEX) as base:
        assert base.execute("SELECT count(*) FROM lives WHERE outcome = 'timeout'").fetchone() == (8,)


def test_what_cannot_be_read_is_said_and_the_rest_is_there(runs: Path, command: Command) -> None:
    damaged = {
        "quick": ("{", "is no JSON"),
        "slow": ("[]", "is no table"),
        "lost": ('{"schema": 2}', "has schema 2"),
    }
    for adapter, (text, _) in damaged.items():
        (runs / "windy" / adapter / "seed-3" / "result.json").write_text(text)
    (runs / "windy" / "quick" / "seed-4" / "result.json").unlink()
    (runs / "windy" / "quick" / "seed-5" / "settings.toml").unlink()
    (runs / "windy" / "quick" / "seed-6" / "result.json").unlink()
    (runs / "windy" / "quick" / "seed-6" / "error.txt").write_text("Traceback\n}\n")
    write_life(runs, "odd", 0, 5000)
    write_life(runs, "odd", 1, 5, outcome="glory")
    write_life(runs, "odd", 2, 5, steps_per_s="fast")
    write_life(runs, "new", 0, 5, versions={"mujoco": "3.9.0"})
    code, out, err = command("results", runs)
    assert code == 0
    assert out.splitlines()[-1] == "26 lives: 18 success, 7 timeout, 1 crashed; 18 of 26 succeeded"
    assert err.count("\n") == 10
    others = (
        "seed-4 has no result.json: the life is under way",
        "quick/seed-6 crashed and counts as a failure: }",  # the last line of its error.txt
        "its settings.toml is missing",
        "5000 steps of 1000",
        "'outcome' is 'glory'",
        "'steps_per_s' is 'fast'",
        "MuJoCo 3.3.0 and 3.9.0",
    )
    for says in (*(says for _, says in damaged.values()), *others):
        assert says in err
    with sqlite3.connect(runs / store.INDEX) as base:
        assert base.execute("SELECT count(*) FROM problems").fetchone() == (10,)


def test_an_empty_folder_is_no_error_and_none_is(tmp_path: Path, command: Command) -> None:
    assert command("results", tmp_path)[:2] == (
        0,
        f"{'  '.join(store.SHOWN)}\n0 lives\n",
    )
    code, out, err = command("results", tmp_path / "nowhere")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "there is no folder" in err


@pytest.mark.parametrize("wrong", ["nonsense = 3", "steps <", "1); DROP TABLE lives; --", "(SELECT"])
def test_a_wrong_condition_is_one_sentence(wrong: str, runs: Path, command: Command) -> None:
    code, out, err = command("results", runs, "--where", wrong)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "columns are scenario, world, adapter, seed" in err


def test_ten_thousand_lives_are_indexed_in_ten_seconds(tmp_path: Path) -> None:
    """A tenth of them in a tenth of the time."""
    for seed in range(1000):
        write_life(tmp_path, "quick", seed, 500)
    began = time.perf_counter()
    store.write_index(tmp_path, store.index(store.scan(tmp_path)))
    assert time.perf_counter() - began < 1.0


def test_only_lives_that_may_be_compared_are(runs: Path) -> None:
    write_life(runs, "quick", 11, 5, lr=0.1)  # other settings
    write_life(runs, "quick", 3, 5, folder="seed-3.1")  # another life took its place
    write_life(runs, "brief", 0, 5, life_steps=50)  # another budget
    groups, left_out = store.comparable(store.scan(runs))
    assert {key: len(rows) for key, rows in groups.items()} == {
        ("windy", name): 10 for name in ("lost", "quick", "slow")
    }
    assert left_out == [
        "1 lives of quick in windy have other settings and are left out.",
        "brief in windy has a budget of 50 and not 1,000, and is left out.",
    ]


def test_rows_are_sorted_by_seed_and_second_lives_with_a_seed_are_left_out(tmp_path: Path) -> None:
    for seed in (10, 2):
        write_life(tmp_path, "any", seed, 5)
    write_life(tmp_path, "any", 2, 7, folder="../../second/any/seed-2")
    (rows,), left_out = (found := store.comparable(store.scan(tmp_path)))[0].values(), found[1]
    assert [row.seed for row in rows] == [2, 10]  # their folders are sorted as text: seed-10, seed-2
    assert left_out == ["1 lives of any in windy repeat a seed in another folder and are left out."]


def test_of_settings_that_are_equally_frequent_the_last_count(tmp_path: Path) -> None:
    for seed in range(4):
        write_life(tmp_path, "any", seed, 5, lr=0.1 if seed < 2 else 0.2)
    groups, left_out = store.comparable(store.scan(tmp_path))
    assert [row.seed for row in groups["windy", "any"]] == [2, 3]
    assert left_out == ["2 lives of any in windy have other settings and are left out."]


def test_versions_that_differ_are_reported_and_unknown_ones_are_not(tmp_path: Path) -> None:
    versions: list[dict[str, str]] = [
        {"mujoco": "3.3.0", "instructions": "AVX2"},
        {"mujoco": "not installed"},
    ]
    for seed, installed in enumerate(versions):
        write_life(tmp_path, "any", seed, 5, versions=installed)
    assert store.scan(tmp_path).problems == []
    write_life(tmp_path, "any", 2, 5, versions={"instructions": "AVX512"})
    assert store.scan(tmp_path).problems == [
        "lives were lived on processors with AVX2 and AVX512: what is learned may differ in its last digits."
    ]


def test_a_folder_within_a_life_is_no_life_and_steps_are_not_negative(tmp_path: Path) -> None:
    folder = write_life(tmp_path, "any", 0, 5)
    shutil.copytree(folder, folder / "seed-1")
    assert [row.seed for row in store.scan(tmp_path).rows] == [0]
    write_life(tmp_path, "any", 2, -1)
    assert store.scan(tmp_path).problems == [
        "windy/any/seed-2: its result.json is damaged: -1 steps of 1000."
    ]


def test_how_a_life_ended_says_what_is_known_of_it(tmp_path: Path) -> None:
    """A life that failed cannot succeed any more; one that was interrupted might have."""
    for seed, outcome in enumerate(("success", "failure", "timeout", "interrupted")):
        write_life(tmp_path, "any", seed, 1000 if outcome == "timeout" else 40, outcome=outcome)
    rows = store.scan(tmp_path).rows
    lives = store.lives_of(rows, store.optimum_of(tmp_path, rows[0]))
    assert lives.time.tolist() == [40, 1000, 1000, 40]
    assert lives.success.tolist() == [True, False, False, False]
    assert lives.known.tolist() == [True, True, True, False]
    assert (lives.budget, lives.optimum) == (1000, 100)


def test_metrics_go_to_tensorboard(
    runs: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    for seed, text in (
        (0, "life/step,life/reward\n100,0.5\n200,\n"),
        (1, "life/step,life/reward\nsoon,much\n"),
    ):
        (runs / "windy" / "quick" / f"seed-{seed}" / "metrics.csv").write_text(text)
    arguments = (
        "results",
        runs,
        "--where",
        "adapter = 'quick' and seed < 3",
        "--tensorboard",
        tmp_path / "events",
    )
    code, out, err = command(*arguments)
    assert (code, out.splitlines()[-1]) == (0, "3 lives: 3 success; 3 of 3 succeeded")
    assert err.count("has no metrics.csv that can be read") == 2
    (file,) = (tmp_path / "events" / "windy" / "quick" / "seed-0").iterdir()
    data, events = file.read_bytes(), []
    while data:  # length (8), its checksum (4), the event, its checksum (4)
        size = int.from_bytes(data[:8], "little")
        events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    scalars = [
        (event.step, value.tag, value.simple_value) for event in events for value in event.summary.value
    ]
    assert scalars == [(100, "life/reward", 0.5)]
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    code, _, err = command(*arguments)
    assert code == 2
    assert "slrl[tensorboard]" in err


def test_lives_in_the_source_are_listed_and_never_compared(tmp_path: Path, command: Command) -> None:
    """Three lives in the source, three times as fast: no table, verdict or report counts them."""
    for seed in range(6):
        write_life(tmp_path / "runs", "one", seed, 300)
        write_life(tmp_path / "runs", "two", seed, 400)
        write_life(tmp_path / "plain", "one", seed, 300)
        write_life(tmp_path / "plain", "two", seed, 400)
    for seed in range(3):
        write_life(
            tmp_path / "runs", "one", seed, 100, folder=f"../one-source/seed-{seed}", world="source", lr=7
        )
    found = store.scan(tmp_path / "runs")
    assert len(found.rows) == 15
    assert len(store.in_target(found)) == 12
    groups, left_out = store.comparable(found)
    assert {key: len(rows) for key, rows in groups.items()} == {("windy", "one"): 6, ("windy", "two"): 6}
    assert left_out == ["3 lives took place in the source world and are left out."]
    _, out, _ = command("results", tmp_path / "runs", "--where", "world = 'source'")
    assert out.splitlines()[-1] == "3 lives: 3 success; 3 of 3 succeeded"
    assert "windy/one-source/seed-0" in out
    both = [list(verdict.compare(tmp_path / name)) for name in ("runs", "plain")]
    assert both[0] == [*both[1], f"Note: {left_out[0]}"]
    assert verdict.summary(tmp_path / "runs") == f"{verdict.summary(tmp_path / 'plain')}\nNote: {left_out[0]}"
    for form in ("csv", "md"):
        text, problems = report(tmp_path / "runs", form=form)
        assert text.replace(f"* Note: {left_out[0]}\n", "") == report(tmp_path / "plain", form=form)[0]
        assert problems == left_out
    page, _ = report(tmp_path / "runs", form="html", animations=False)
    assert page.count('<tr class="life"') == 12


def test_results_of_before_there_was_a_world_or_a_progress_are_read(tmp_path: Path, command: Command) -> None:
    write_life(tmp_path, "old", 0, 5)
    write_life(tmp_path, "new", 0, 5, world="source", progress=12.34567)
    write_life(tmp_path, "new", 1, 5, progress=3)
    found = store.scan(tmp_path)
    assert [(row.world, row.progress) for row in found.rows] == [
        ("source", 12.34567),
        ("target", 3.0),
        ("target", None),
    ]
    _, out, _ = command("results", tmp_path, "--sort", "progress desc")
    assert [line.split()[at] for line, at in zip(out.splitlines(), (7, 6, 6), strict=False)] == [
        "progress",
        "12.35",
        "3",
    ]  # the column before it, of pretrainings, is empty
    with sqlite3.connect(tmp_path / store.INDEX) as base:
        assert base.execute("SELECT count(*) FROM lives WHERE progress IS NULL").fetchone() == (1,)
    write_life(tmp_path, "odd", 0, 5, world="moon")
    write_life(tmp_path, "odd", 1, 5, progress="far")
    assert [problem.partition("damaged: ")[2] for problem in store.scan(tmp_path).problems] == [
        "'world' is 'moon'.",
        "'progress' is 'far'.",
    ]


# --- lives that diverged or crashed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("diverged", "crashed", "named"), [(4, 0, "4 diverged"), (2, 2, "2 diverged, 2 crashed")]
)
def test_one_success_and_four_that_diverged_or_crashed_are_one_of_five_everywhere(
    diverged: int, crashed: int, named: str, tmp_path: Path, command: Command
) -> None:
    """They count as their whole budget: (300 + 4 · 1000) / 5 = 860 steps. Each is named with its sentence."""
    runs, reason = tmp_path / "runs", "the action became [nan] after 3 steps: learning diverged."
    write_life(runs, "bad", 0, 300)
    folders = [
        str(write_life(runs, "bad", seed, 3, outcome="diverged", reason=reason).relative_to(runs))
        for seed in range(1, 1 + diverged)
    ]
    folders += [
        str(write_life(runs, "bad", seed, 0, outcome="crashed").relative_to(runs))
        for seed in range(1 + diverged, 5)
    ]
    for seed in range(5):
        write_life(runs, "good", seed, 200 + seed)
    sentences = [
        f"{folder} diverged and counts as a failure: {reason}"
        if i < diverged
        else f"{folder} crashed and counts as a failure: RuntimeError: the motor burned out"
        for i, folder in enumerate(folders)
    ]
    found = store.scan(runs)
    assert found.problems == sentences
    lives = store.lives_of([row for row in found.rows if row.adapter == "bad"], None)
    assert lives.time.tolist() == [300, 1000, 1000, 1000, 1000]
    assert lives.success.tolist() == [True, False, False, False, False]
    assert lives.known.all()

    _, out, err = command("results", runs, "--where", "adapter = 'bad'")
    assert out.splitlines()[-1] == f"5 lives: 1 success, {named}; 1 of 5 succeeded"
    assert [line.removeprefix("slrl: ") for line in err.splitlines()] == sentences
    _, out, _ = command("compare", runs)
    assert "bad in windy: 1 of 5 succeeded (20 %, 95 % interval: 1 to 72 %); median not reached" in out
    assert "restricted mean of 1,000 steps: 860 steps (95 % interval: " in out
    assert f" to 1,000); {named}.\n" in out
    assert "a chance of 0 %" in out
    assert all(f"Note: {sentence}\n" in out for sentence in sentences)
    assert f"1 of 5 ({named})" in verdict.summary(runs)
    page, problems = report(runs, form="html", animations=False)
    assert "<b>1 of 5</b>" in page
    assert f"<small>{named}</small>" in page
    assert f"1 of 5 <small>({named})</small>" in page
    assert problems[: len(sentences)] == sentences
    assert not [problem for problem in problems if "crash" in problem and "cannot be drawn" in problem]
    assert all(f"<li>{sentence}</li>" in page for sentence in sentences)
    assert page.count('data-outcome="diverged"') == 2 * diverged
    assert ("seed 4: diverged after 3 steps</summary>" in page) == (crashed == 0)
    assert ("seed 4: crashed</summary>" in page) == (crashed > 0)
    markdown, _ = report(runs, form="md")
    assert f"1 of 5 ({named}), 860 (" in markdown
    (row,) = [
        row for row in csv.DictReader(io.StringIO(report(runs, form="csv")[0])) if row["adapter"] == "bad"
    ]
    kept = [row[key] for key in ("lives", "came_home", "success_rate", "restricted_mean_steps")]
    assert kept == ["5", "1", "0.2", "860"]
    assert [row["diverged"], row["crashed"]] == [str(diverged), str(crashed)]


def test_what_crashed_and_cannot_be_told_from_its_settings_is_said(tmp_path: Path) -> None:
    for seed, text in enumerate(("nothing", 'schema = 1\nseed = 1\n[scenario]\nname = "windy"\n')):
        folder = write_life(tmp_path, "a", seed, 0, outcome="crashed")
        (folder / "settings.toml").write_text(text)
    (write_life(tmp_path, "a", 2, 0, outcome="crashed") / "settings.toml").unlink()
    write_life(tmp_path, "a", 3, 0, outcome="crashed", folder="seed-3.1")  # replaced: it does not count
    found = store.scan(tmp_path)
    assert [row.outcome for row in found.rows] == ["crashed"]
    assert [problem.split("(")[0] for problem in found.problems] == [
        "windy/a/seed-0: the life crashed, and its settings.toml or error.txt is damaged ",
        "windy/a/seed-1: the life crashed, and its settings.toml or error.txt is damaged ",
        "windy/a/seed-2: its settings.toml is missing.",
    ]
    write_life(tmp_path, "b", 0, 5, outcome="crashed but fine", steps_per_s=1.0)
    assert store.scan(tmp_path).problems[-1].endswith("'outcome' is 'crashed but fine'.")


# --- pretrainings -------------------------------------------------------------------------------------------


def test_the_pretraining_of_a_life_is_read_from_its_settings(tmp_path: Path, command: Command) -> None:
    """Lives that differ in nothing but the seeds of life and pretraining may be compared."""
    for seed, of in ((0, 3), (1, 3), (2, 5)):
        write_life(tmp_path, "a", seed, 5, pretraining=of)
    write_life(tmp_path, "none", 0, 5)
    write_life(tmp_path, "none", 1, 5)
    groups, left_out = store.comparable(store.scan(tmp_path))
    assert left_out == []
    assert [row.pretraining for row in groups["windy", "a"]] == [3, 3, 5]
    assert [row.pretraining for row in groups["windy", "none"]] == [None, None]
    assert store.lives_of(groups["windy", "a"], None).clusters.tolist() == [0, 0, 1]
    assert store.lives_of(groups["windy", "none"], None).pretrainings == 2
    _, out, _ = command("results", tmp_path, "--format", "csv", "--where", "pretraining = 5")
    assert [row["seed"] for row in csv.DictReader(io.StringIO(out))] == ["2"]


@pytest.mark.parametrize(
    ("adapter", "seed"),
    [
        ('[adapter]\nname = "x"\n', None),
        ('[adapter]\nname = "x"\n[adapter.pretrain]\nsteps = 3\nseed = 12\n', 12),
        (
            '[adapter]\nname = "x"\n[adapter.pretrain]\nsteps = 3\n[adapter.pretrain.objective]\nseed = 12\n',
            0,
        ),
        ('[adapter]\nname = "x"\n[adapter.adapter.low.pretrain]\nseed = 4\n', 0),
        ("", 0),
    ],
)
def test_which_pretraining_a_settings_file_names(adapter: str, seed: int | None) -> None:
    assert store.pretraining_of(f"schema = 1\nseed = 7\n\n{adapter}".encode()) == seed


def many_pretrainings(runs: Path, scenario: str, one: list[int], two: list[int]) -> Path:
    """Ten lives of "quick" and of "slow", which takes twice as long, of these pretrainings in turn."""
    rng = np.random.default_rng(0)
    for seed in range(10):
        steps = int(rng.integers(120, 300))
        write_life(runs, "quick", seed, steps, scenario=scenario, pretraining=one[seed % len(one)])
        write_life(runs, "slow", seed, 500 + steps, scenario=scenario, pretraining=two[seed % len(two)])
    return runs


def test_a_mark_takes_three_pretrainings_of_each_and_says_so_where_it_would_stand(
    tmp_path: Path, command: Command
) -> None:
    own = list(range(10))
    for name, one, two, marked in (
        ("own", own, own, True),
        ("single", [0], own, False),
        ("both", [0], [0], False),
        ("other", own, [0], False),
    ):
        runs = many_pretrainings(tmp_path / name, "windy", one, two)
        _, out, _ = command("compare", runs)
        warned = "  But one pretraining stands behind this, and it may be the luck of what was learned then."
        assert "  quick was faster than slow, by" in out
        assert (warned in out) == (not marked), name
        text = report(runs, form="md")[0]
        assert ("**10 of 10" in text) == marked
        held = "quick was faster than the other, but one pretraining stands behind this: no mark."
        # Against pretrainings of its own, a single one is a single part: the test shows nothing at all.
        assert (held in text) == (name == "both")
        page = report(runs, form="html", animations=False)[0]
        assert (page.count('class="cell best"') == 1) == marked
        assert ("faster, but one pretraining stands behind this: no ★</small>" in page) == (name == "both")
        rows = list(csv.DictReader(io.StringIO(report(runs, form="csv")[0])))
        assert [row["fastest"] for row in rows] == [str(int(marked)), "0"]
        assert [row["pretrainings"] for row in rows] == [str(len(one)), str(len(two))]
    assert "do not cover the spread over pretrainings" in command("compare", tmp_path / "both")[1]
    assert "do not cover the spread" not in command("compare", tmp_path / "own")[1]


def test_two_pretrainings_are_too_few_for_a_mark_and_a_method_without_is_exempt() -> None:
    def met(one: list[int] | None, two: list[int] | None) -> verdict.Contest:
        pair = tuple(
            Lives(
                np.arange(1.0, 11) + shift, np.ones(10, bool), 100.0, 0.0, of if of is None else np.array(of)
            )
            for shift, of in ((0, one), (20, two))
        )
        about = ("a", "b", ("s",), (pair,), 0.001, 0.001)
        return verdict.Contest(*about, Interval(-20, -22, -18), Interval(1, 1, 1))  # type: ignore[arg-type]

    two, three, own = [0] * 5 + [1] * 5, [0] * 4 + [1] * 3 + [2] * 3, list(range(10))
    for one, other, count in (
        (two, two, 2),
        (three, three, 3),
        (None, None, 10),
        (None, three, 3),
        (None, [0] * 10, 1),
        (own, two, 2),
    ):
        contest = met(one, other)
        assert contest.pretrainings == count
        assert verdict.ahead_of(contest) == "a"
        assert verdict.faster_of(contest) == ("a" if count >= 3 else None)
    said = "\n".join(verdict.verdict(met(two, two)))
    assert "  But 2 pretrainings stand behind this, and" in said
    assert "  With 2 pretrainings in a scenario the intervals are unreliable." in said
    assert "stand" not in "\n".join(verdict.verdict(met(three, own)))


def test_marks_are_adjusted_for_all_scenarios_of_a_report(tmp_path: Path) -> None:
    """Of five against five, complete separation is 2 of 252 relabellings, p = 0.0079.

    In six scenarios with two adapters each that is 0.048 after Holm: a mark. In seven it is 0.056: none.
    """
    for scenarios in (6, 7):
        for number in range(scenarios):
            for seed in range(5):
                for adapter, steps in (("quick", 200 + seed), ("slow", 500 + seed)):
                    write_life(tmp_path / str(scenarios), adapter, seed, steps, scenario=f"s{number}")
        found = collect(tmp_path / str(scenarios))
        p = scenarios * 2 / 252
        assert [chapter.contests[0].adjusted for chapter in found.chapters] == pytest.approx([p] * scenarios)
        assert {chapter.fastest for chapter in found.chapters} == {"quick" if scenarios == 6 else None}
        assert {chapter.withheld for chapter in found.chapters} == {None}


def test_one_life_of_each_has_no_interval_anywhere(tmp_path: Path, command: Command) -> None:
    write_life(tmp_path, "one", 0, 300)
    write_life(tmp_path, "two", 0, 400)
    _, out, _ = command("compare", tmp_path)
    assert (
        "one in windy: 1 of 1 succeeded (100 %); median 300 steps; restricted mean of 1,000 steps: 300" in out
    )
    assert (
        "  No difference is shown: the restricted means differ by 100 steps; one pair has no interval." in out
    )
    assert "with a chance of 100 %, ties counting half." in out
    assert "interval:" not in out
    assert verdict.summary(tmp_path).splitlines()[1].split()[-3:] == ["300", "300", "–"]
    assert "| 1 of 1, 300 | 1 of 1, 400 |" in report(tmp_path, form="md")[0]
    row = next(csv.DictReader(io.StringIO(report(tmp_path, form="csv")[0])))
    bounds = [row[f"{key}_{end}"] for key in ("success_rate", "median_steps") for end in ("low", "high")]
    assert [*bounds, row["restricted_mean_steps_low"]] == [""] * 5
    page, _ = report(tmp_path, form="html", animations=False)
    assert '<td class="n">–</td>' in page
    assert "nan" not in page.partition("<main")[2].partition("<script>")[0].lower()


# --- verdicts -----------------------------------------------------------------------------------------------


def test_a_clear_case_is_called_clear(runs: Path, command: Command) -> None:
    code, out, err = command("compare", runs, "--adapters", "slow,quick")
    assert (code, err) == (0, "")
    assert "quick in windy: 10 of 10 succeeded (100 %, 95 % interval: 69 to 100 %)" in out
    assert "  quick was faster than slow, by" in out
    assert "When" not in out
    assert "they differ (log-rank test: p" in out
    assert out == command("compare", runs, "--adapters", "slow,quick")[1]


def test_an_unclear_case_is_called_unclear_and_names_the_seeds_it_takes(
    tmp_path: Path, command: Command
) -> None:
    rng = np.random.default_rng(1)
    for seed in range(12):
        write_life(tmp_path, "one", seed, int(rng.integers(100, 900)))
        write_life(tmp_path, "two", seed, int(rng.integers(120, 920)))
    _, out, _ = command("compare", tmp_path)
    assert "No difference is shown: the restricted means differ by" in out
    assert "are not shown to differ" in out
    assert "seeds show one (power 80 %)" in out
    assert "was faster" not in out


def test_contests_are_adjusted_for_their_number(runs: Path) -> None:
    lives = {
        ("windy", name): Lives(np.arange(1.0, 9) + shift, np.ones(8, bool), 1000.0)
        for name, shift in (("a", 0), ("b", 3), ("c", 9))
    }
    seeds: dict[tuple[str, str], list[store.Seeds]] = {key: [(i, 0) for i in range(8)] for key in lives}
    found = verdict.contests(lives, seeds, ("a", "b", "c"), np.random.default_rng(0))
    assert [(contest.one, contest.two) for contest in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found[1].adjusted == pytest.approx(3 * found[1].p_value)
    assert all(contest.adjusted >= contest.p_value for contest in found)


def test_seeds_are_paired_and_the_others_left_aside(runs: Path) -> None:
    lives = {
        ("w", "a"): Lives(np.array([1.0, 2, 3]), np.ones(3, bool), 10.0),
        ("w", "b"): Lives(np.array([5.0, 2, 1]), np.ones(3, bool), 10.0),
    }
    seeds = {("w", "a"): [(1, 0), (2, 0), (3, 0)], ("w", "b"): [(9, 0), (3, 0), (1, 0)]}
    (contest,) = verdict.contests(lives, seeds, ("a", "b"), np.random.default_rng(0))
    one, two = contest.pairs[0]
    assert one.time.tolist() == [1, 3]
    assert two.time.tolist() == [1, 2]
    assert (
        "\n".join(verdict.verdict(contest)).count("With 2 pairs in a scenario the intervals are unreliable")
        == 1
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--adapters", "quick,slo"), "unknown adapter 'slo'; did you mean 'slow'?"),
        (("--scenarios", "wind"), "unknown scenario 'wind'; did you mean 'windy'?"),
        (("--adapters", "quick"), "a comparison takes two adapters"),
        (("--seed", "-1"), "--seed must be 0 or more"),
    ],
)
def test_wrong_comparisons(arguments: tuple[str, ...], says: str, runs: Path, command: Command) -> None:
    code, _, err = command("compare", runs, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err


def test_adapters_that_never_met_are_not_compared(runs: Path) -> None:
    write_life(runs, "elsewhere", 0, 5, scenario="calm")
    with pytest.raises(slrl.BadInput, match="have no scenario and seed in common"):
        list(verdict.compare(runs, ["quick", "elsewhere"]))


def contest(
    gap: tuple[float, float, float],
    adjusted: float,
    *,
    pairs: tuple[int, ...] = (6,),
    names: str = "ab",
    p: float | None = None,
) -> verdict.Contest:
    """Two adapters with ``pairs[i]`` pairs of lives in scenario i, and these figures."""
    lives = [Lives(np.arange(1.0, n + 1), np.ones(n, bool), 100.0) for n in pairs]
    scenarios = tuple(f"s{i}" for i in range(len(pairs)))
    both = tuple((one, one) for one in lives)
    p_value = adjusted if p is None else p
    about = (names[0], names[1], scenarios, both, p_value, adjusted)
    return verdict.Contest(*about, Interval(*gap), Interval(0.9, 0.8, 1.0))


def test_who_is_faster_takes_both_tests_and_five_pairs() -> None:
    assert verdict.faster_of(contest((-5, -9, -1), 0.01)) == "a"
    assert verdict.faster_of(contest((5, 1, 9), 0.01)) == "b"
    assert verdict.faster_of(contest((-5, -9, 1), 0.01)) is None
    assert verdict.faster_of(contest((-5, -9, -1), 0.05)) is None
    assert verdict.faster_of(contest((-5, -9, -1), 0.06, p=0.01)) is None  # not after Holm's adjustment
    assert verdict.faster_of(contest((-5, -9, -1), 0.01, pairs=(5,))) == "a"
    assert verdict.faster_of(contest((-5, -9, -1), 0.01, pairs=(4,))) is None
    assert verdict.faster_of(contest((-5, -9, -1), 0.01, pairs=(9, 4))) is None


def test_the_fastest_is_faster_than_each_of_the_others() -> None:
    clear, unclear = (-5, -9, -1), (-5, -9, 1)
    a_b, a_c, b_c = (contest(clear, 0.01, names=names) for names in ("ab", "ac", "bc"))
    assert verdict.fastest("abc", [a_b, a_c, b_c]) == "a"
    assert verdict.fastest("abc", [a_b, b_c]) is None  # a and c have no seed in common
    assert verdict.fastest("abc", [a_b, contest(unclear, 0.01, names="ac"), b_c]) is None
    assert verdict.fastest("a", []) is None
    assert verdict.unbeaten("abc", [a_b, a_c, b_c]) == ["a"]
    assert verdict.unbeaten("abc", [contest(unclear, 0.01, names="ab"), b_c]) == ["a", "b"]
    assert verdict.unbeaten("ab", [contest((5, 1, 9), 0.01)]) == ["b"]


def test_sentences_of_a_verdict() -> None:
    def said(*arguments: object, **more: object) -> str:
        return "\n".join(verdict.verdict(contest(*arguments, **more)))  # type: ignore[arg-type]

    clear = said((-1234.5, -2000.4, -99.6), 0.0004)
    assert clear.startswith("a and b in s0, 6 pairs of lives with the same seeds:\n")
    assert (
        "  a was faster than b, by 1,234 steps in the restricted mean "
        "(95 % interval of the difference: -2,000 to -100).\n" in clear
    )
    assert (
        "  A life of a is faster than one of b with a chance of 90 % (95 % interval: 80 to 100 %), "
        "ties counting half.\n" in clear
    )
    assert clear.endswith("  In when they succeed they differ (log-rank test: p < 0.001).")
    assert "b was faster than a, by 5 steps" in said((5, 1, 9), 0.01)
    assert "(log-rank test: p = 0.004, p = 0.012 after Holm's adjustment)." in said((5, 1, 9), 0.012, p=0.004)
    assert "they are not shown to differ (log-rank test: p = 0.050)" in said((5, -1, 9), 0.05)
    several = said((-0.25, -0.5, -0.125), 0.01, pairs=(6, 7))
    assert "a and b in 2 scenarios, 13 pairs of lives" in several
    assert "by 0.25 of the range from optimum to budget in the restricted mean" in several
    assert "(log-rank test, stratified by scenario: p = 0.010)" in several
    disagree = "Interval and test disagree: they measure different things; quote both or neither."
    assert disagree not in clear + several
    assert disagree in said((5, 1, 9), 0.06)
    assert disagree in said((5, -1, 9), 0.01)
    few = "With 4 pairs in a scenario the intervals are unreliable."
    assert few in said((5, 1, 9), 0.01, pairs=(9, 4))
    assert few not in said((5, 1, 9), 0.01, pairs=(5,))
    assert "No difference at all: every pair of lives took equally long." in said((0, 0, 0), 1.0)
    assert "No difference at all" not in said((3, 3, 3), 1.0)


def test_seeds_are_only_asked_for_where_more_than_there_are_would_show_a_difference() -> None:
    """Differences of 1 in each of six pairs: two pairs would do. Of -30, 10, -30, 10: 42 (see test_stats)."""

    def pair(one: list[float], two: list[float]) -> verdict.Contest:
        lives = [Lives(np.array(time), np.ones(len(time), bool), 100.0) for time in (one, two)]
        whole = Interval(-10, -30, 10)
        return verdict.Contest("a", "b", ("s",), ((lives[0], lives[1]),), 0.5, 0.5, whole, whole)

    assert "about 42 seeds show one (power 80 %)" in "\n".join(verdict.verdict(pair([10, 50] * 2, [40] * 4)))
    assert "seeds show one" not in "\n".join(verdict.verdict(pair([2, 3, 4], [1, 2, 3])))


def test_figures_of_one_adapter_in_a_sentence() -> None:
    def said(time: list[float], success: list[bool]) -> str:
        return verdict.figures(Lives(np.array(time), np.array(success), 100.0), np.random.default_rng(0))

    assert said([3, 4], [False, False]) == "all 2 lives were interrupted, so nothing is known."
    text = said([40, 40, 40, 7], [True, True, True, False])
    assert text.startswith(
        "3 of 3 succeeded (100 %, 95 % interval: 29 to 100 %); median 40 steps (95 % interval: from 40)"
    )
    assert text.endswith(": 40 steps (95 % interval: 40 to 100); 1 were interrupted.")
    assert "; median not reached; " in said([40, 100, 100], [True, False, False])
