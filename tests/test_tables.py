"""Tables of a suite by hand, which rows of a CSV count, false alarms by hand, and the page on scenarios."""

import csv
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import slrl
from slrl import adapters, scenarios
from slrl.adapters.monitor import SIGNALS
from slrl.evaluation import suites
from slrl.evaluation.report import report
from slrl.lives.run import adapt_as
from slrl.lives.settings import LifeSettings

from .conftest import write_life
from .test_adapters import hurried

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
REFERENCE = Path(__file__).parents[1] / "eval" / "reference"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of benchmarks/, which is no package."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    return script("tables", monkeypatch)


def row(adapter: str, steps: int, *, censored: bool = False, seed: int = 0) -> dict[str, Any]:
    about = {"scenario": "windy", "adapter": adapter, "seed": seed}
    return {**about, "steps": steps, "life_steps": 1000, "censored": censored}


def test_a_table_has_the_rows_of_its_scenario_by_seed(tables: Any) -> None:
    rows = [row("a", 3, seed=12), row("a", 1, seed=10), row("a", 2, seed=11), row("b", 9, seed=10)]
    rows.append({**row("a", 7, seed=10), "scenario": "calm"})
    wanted = tables.Table("windy", name="some")
    assert (wanted.marker, tables.Table("windy").marker) == ("some", "windy")
    assert wanted.text(rows).splitlines()[2:] == [
        "| `a` | 3 of 3 | 2 | 2 | 1, 2, 3 |",
        "| `b` | 1 of 1 | 9 | 9 | 9 |",
    ]


def test_the_table_by_hand(tables: Any) -> None:
    rows = [row("slow", 300), row("slow", 1000, censored=True), row("slow", 500)]
    rows += [row("lost", 1000, censored=True), row("lost", 40), row("quick", 10), row("quick", 30)]
    # slow: median of 300, 500, later: 500; mean (300 + 500 + 1000) / 3. lost: half succeeded, so no median
    assert tables.table(rows).splitlines() == [
        "| adapter | succeeded | median steps | restricted mean steps | steps of each life |",
        "|---|---|---|---|---|",
        "| `quick` | 2 of 2 | 20 | 20 | 10, 30 |",
        "| `lost` | 1 of 2 | not reached | 520 | > 1,000, 40 |",
        "| `slow` | 2 of 3 | 500 | 600 | 300, > 1,000, 500 |",
    ]


def settings(adapter: str, seed: int, **more: Any) -> LifeSettings:
    about = {"life_steps": 20, **more}
    return LifeSettings(
        scenario=replace(scenarios.load("windy_pointmass"), optimum_steps=None),
        method=adapters.load(adapter),
        prior="pointmass",
        seed=seed,
        **about,
    )


def test_a_life_counts_from_its_folder_or_from_the_csv_but_not_with_other_settings(
    tables: Any, tiny_adapter: str, tmp_path: Path
) -> None:
    life = settings(tiny_adapter, 1)
    result, _ = adapt_as(life, out=tmp_path / "runs")
    (found,) = tables.rows_of([life], tmp_path / "runs", [])
    assert (found["steps"], found["censored"], found["seed"], found["world"]) == (20, True, 1, "target")
    assert result.progress is not None
    assert (found["progress"], found["mujoco"]) == (f"{result.progress:.3f}", result.versions["mujoco"])
    tables.write_csv(tmp_path / "lives.csv", [found])
    known = tables.read_csv(tmp_path / "lives.csv")
    (again,) = tables.rows_of([life], tmp_path / "elsewhere", known)
    assert tables.table([again]) == tables.table([found])
    for other in (settings(tiny_adapter, 2), settings(tiny_adapter, 1, life_steps=21)):
        assert tables.rows_of([other], tmp_path / "elsewhere", known) == []
        assert tables.rows_of([other], tmp_path / "runs", known) == []


def test_a_life_that_crashed_or_diverged_counts_as_its_whole_budget_and_is_named(
    tables: Any, tiny_adapter: str, tmp_path: Path
) -> None:
    """40 and three times 1,000 steps: 760 in the mean."""
    life = settings(tiny_adapter, 1)
    adapt_as(life, out=tmp_path)
    folder = tmp_path / "windy_pointmass" / "tiny" / "seed-1"
    (folder / "result.json").unlink()
    (folder / "error.txt").write_text("RuntimeError: the motor burned out\n")
    (found,) = tables.rows_of([life], tmp_path, [])
    assert (found["outcome"], found["steps"], found["life_steps"], found["censored"]) == (
        "crashed",
        0,
        20,
        True,
    )
    assert tables.rows_of([settings(tiny_adapter, 1, life_steps=21)], tmp_path, []) == []
    tables.write_csv(tmp_path / "lives.csv", [found])
    assert tables.read_csv(tmp_path / "lives.csv")[0]["outcome"] == "crashed"
    rows = [row("a", 40)] + [
        {**row("a", 7, censored=True), "outcome": outcome} for outcome in ("timeout", "diverged", "crashed")
    ]
    each = "40, > 1,000, > 1,000 (diverged), > 1,000 (crashed)"
    assert tables.table(rows).splitlines()[2:] == [f"| `a` | 1 of 4 | not reached | 760 | {each} |"]


def test_the_pretraining_of_a_life_is_in_the_csv_and_that_of_old_ones_is_0(
    tables: Any, tiny_adapter: str, tmp_path: Path
) -> None:
    path = tmp_path / "lives.csv"
    path.write_text("scenario,adapter,seed\nwindy_pointmass,tiny,1\n")
    (old,) = tables.read_csv(path)
    assert old["pretraining"] == 0
    life = settings(tiny_adapter, 2)
    other = replace(life, method=adapters.load(tiny_adapter, [("pretrain.seed", 4)]))
    adapt_as(other, out=tmp_path)
    (found,) = tables.rows_of([other], tmp_path, [])
    assert found["pretraining"] == 4
    assert tables.rows_of([life], tmp_path, []) == []
    tables.write_csv(path, [old, found])
    assert path.read_text().splitlines()[0] == "scenario,adapter,seed,pretraining"
    assert [known["pretraining"] for known in tables.read_csv(path)] == [0, 4]
    tables.write_csv(path, [{**found, "pretraining": None}])
    assert tables.read_csv(path)[0]["pretraining"] is None


def test_damaged_and_interrupted_lives_do_not_count(tables: Any, tiny_adapter: str, tmp_path: Path) -> None:
    life = settings(tiny_adapter, 1)
    adapt_as(life, out=tmp_path)
    path = tmp_path / "windy_pointmass" / "tiny" / "seed-1" / "result.json"
    whole = path.read_text()
    assert len(tables.rows_of([life], tmp_path, [])) == 1
    for damaged in ("{", "{}", whole.replace('"timeout"', '"interrupted"')):
        path.write_text(damaged)
        assert tables.rows_of([life], tmp_path, []) == []


def test_a_life_in_the_source_is_another_one(tables: Any, tiny_adapter: str, tmp_path: Path) -> None:
    target, source = settings(tiny_adapter, 1), settings(tiny_adapter, 1, world="source")
    for life in (target, source):
        adapt_as(life, out=tmp_path)
    rows = tables.rows_of([target, source], tmp_path, [])
    assert [found["world"] for found in rows] == ["target", "source"]
    assert rows[0]["settings_sha256"] != rows[1]["settings_sha256"]
    assert [found["world"] for found in tables.rows_of([source], tmp_path / "none", rows)] == ["source"]


def test_a_csv_keeps_its_columns_and_its_order(tables: Any, tiny_adapter: str, tmp_path: Path) -> None:
    """Also one that has no column for the settings' hash, as the gallery's: its rows count as they are."""
    path = tmp_path / "some.csv"
    text = "adapter,seed,scenario,steps,torch,prior_sha256\n"
    text += "tiny,2,windy_pointmass,7,old,ab\ntiny,1,windy_pointmass,8,old,ab\n"
    path.write_text(text)
    adapt_as(settings(tiny_adapter, 1), out=tmp_path / "runs")
    lives = [settings(tiny_adapter, seed) for seed in (1, 2, 3)]
    rows = tables.rows_of(lives, tmp_path / "runs", tables.read_csv(path))
    tables.write_csv(path, rows)
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == text.partition("\n")[0].split(",")
    assert [line[:4] for line in lines[1:]] == [
        ["tiny", "2", "windy_pointmass", "7"],
        ["tiny", "1", "windy_pointmass", "20"],
    ]


def test_the_references_that_ship_hold_lives_of_their_suites(tables: Any) -> None:
    for name, record in tables.RECORDS.items():
        lives = suites.load(name).lives
        wanted = {
            (life.scenario.name, life.world, life.method.name, str(life.seed), str(life.pretraining))
            for life in lives
        }
        known = {tables.identity(row) for row in tables.read_csv(REFERENCE / record.csv)}
        if name == "gallery":  # lives of before each had a pretraining of its own
            known, wanted = ({who[:4] for who in either} for either in (known, wanted))
        assert known == wanted
        if record.document:
            text = (REFERENCE.parents[1] / record.document).read_text(encoding="utf-8")
            assert all(f"<!-- table:{one.marker} -->\n| " in text for one in record.tables)


def test_nothing_is_written_of_a_suite_that_is_not_all_there(
    tables: Any,
    tiny_adapter: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite = tmp_path / "some.toml"
    suite.write_text(
        'schema = 1\nsummary = "S."\n[[lives]]\nscenarios = ["windy_pointmass"]\nseeds = [1, 2]\n'
        f'adapters = ["{tiny_adapter}"]\nlife_steps = 130\n'
    )
    page = tmp_path / "page.md"
    page.write_text("<!-- table:windy_pointmass -->\nold\n<!-- end -->\n")
    record = tables.Record("some.csv", str(page), (tables.Table("windy_pointmass"),))
    monkeypatch.setattr(tables, "RECORDS", {str(suite): record})
    adapt_as(suites.load(str(suite)).lives[0], out=tmp_path / "runs")
    words = ["tables.py", str(suite), "--runs", str(tmp_path / "runs"), "--reference", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(slrl.BadInput, match="1 lives are missing, or have other settings; `slrl eval"):
        tables.main()
    assert not (tmp_path / "some.csv").exists()
    assert "old" in page.read_text()
    monkeypatch.setattr(sys, "argv", [*words, "--partial"])
    tables.main()
    assert "1 of 2 lives of suite" in capsys.readouterr().out
    assert len(tables.read_csv(tmp_path / "some.csv")) == 1
    assert "| `tiny` | 0 of 1 | not reached | 130 | > 130 |" in page.read_text()
    monkeypatch.setattr(sys, "argv", ["tables.py", "galery"])
    monkeypatch.setattr(tables, "RECORDS", {"gallery": record})
    with pytest.raises(slrl.BadInput, match="did you mean 'gallery'"):
        tables.main()


def test_the_default_beside_frozen_by_hand(tables: Any) -> None:
    """Frozen needs 100 and its budget of 400; the default 120 and 180, with two turns in 300 steps."""

    def row(adapter: str, steps: int, turns: int, censored: bool = False) -> Any:
        about = {"scenario": "maze", "adapter": adapter, "steps": steps, "life_steps": 400}
        return {**about, "censored": censored, "turns": str(turns)}

    rows = [row("frozen", 100, 0), row("frozen", 400, 0, True), row("levels", 120, 0), row("levels", 180, 2)]
    assert tables.beside_frozen(rows).splitlines()[2] == (
        "| `maze` | 1 of 2, 250 | 2 of 2, 150 | 0.60 | 66.7 (2 in 300) |"
    )
    assert len(tables.beside_frozen(rows[:2]).splitlines()) == 2  # one of the two is missing
    del rows[2]["turns"]  # a CSV of before there was this column
    rows[3]["turns"] = ""  # a life that crashed
    assert tables.beside_frozen(rows).endswith("| 0.0 (0 in 300) |")


def test_turns_of_a_life_by_hand(tables: Any, tmp_path: Path) -> None:
    """Mode 1 is the way back. That of the last step was the success: it never acted."""
    folder = write_life(tmp_path, "levels", 0, 30, modes=["forth", "back"])
    rows = "life/step,adapter/changed,adapter/mode\n10,1,1\n20,1,0\n25,,0\n30,1,1\n"
    (folder / "metrics.csv").write_text(rows)
    assert tables._turns(folder) == 1


def test_the_table_goes_between_its_markers(tables: Any, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- table:s -->\nold\n<!-- end -->\nafter\n")
    tables.fill(page, "s", "new")
    assert page.read_text() == "before\n<!-- table:s -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(slrl.BadInput, match="no place"):
        tables.fill(page, "t", "new")


def test_false_alarms_of_each_signal_by_hand(
    monkeypatch: pytest.MonkeyPatch, tables: Any, tmp_path: Path
) -> None:
    """Lives of 6 and 4 steps on a prior whose longest episode has 4; the stall is off.

    value_drop: raised on steps 1 and 2, then on 6: two alarms, one in the first four steps; in the other life
    on step 4: three alarms, two trajectories of two. unfamiliarity: on step 6 of the longer life alone: an
    alarm, but in no trajectory like the prior's.
    """
    found = script("false_alarms", monkeypatch)
    long, short = np.zeros((6, 5), bool), np.zeros((4, 5), bool)
    long[[0, 1, 5], 1] = short[3, 1] = long[5, 2] = True
    lives = [found.Watched(raised, 4, ("stall",)) for raised in (long, short)]
    rows = found.figures("calm", lives)
    stall, drop, unfamiliar, residual, _ = rows
    assert (stall["lives"], stall.get("raised")) == (0, None)
    assert (drop["raised"], drop["alarms"], drop["per_10000_steps"]) == (2, 3, "3000.00")
    assert (unfamiliar["raised"], unfamiliar["alarms"], unfamiliar["per_10000_steps"]) == (0, 1, "1000.00")
    assert (residual["low"], residual["high"]) == ("0.0000", "0.8419")  # none of two: 1 - sqrt(0.025)
    assert found.table(rows).splitlines()[2] == (
        "| `calm` | 2, 10 | off | 2 (15.8–100.0 %), 3000.0 | 0 (0.0–84.2 %), 1000.0 | 0 (0.0–84.2 %), 0.0 | "
        "0 (0.0–84.2 %), 0.0 |"
    )
    found.write_csv(tmp_path / "a.csv", rows)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[1] == "calm,stall,0,10,4,,,,,"
    assert lines[2] == "calm,value_drop,2,10,4,2,0.1581,1.0000,3,3000.00"


def test_false_alarms_are_read_from_lives_of_the_switch_in_a_source(
    monkeypatch: pytest.MonkeyPatch,
    brief: Callable[[str], str],
    tables: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, page = script("false_alarms", monkeypatch), tmp_path / "page.md"
    page.write_text("<!-- table:false_alarms -->\n<!-- end -->\n")
    runs, record = tmp_path / "runs", tmp_path / "false_alarms.csv"
    words = ["false_alarms.py", str(runs), "--csv", str(record), "--readme", str(page)]
    monkeypatch.setattr(sys, "argv", words)
    runs.mkdir()
    with pytest.raises(slrl.BadInput, match="has no lives of switch in a source; `slrl eval false_alarms"):
        found.main()
    scenario = slrl.load_scenario(brief("gusty_pointmass"))
    method = hurried("switch", [("adapter.monitor.false_alarms", 0.5)])
    for seed in (0, 1):
        settings = LifeSettings(
            scenario=scenario,
            method=method,
            prior=("pointmass_breezy",),
            seed=seed,
            life_steps=40,
            world="source",
        )
        adapt_as(settings, out=runs)
    found.main()
    rows = list(csv.DictReader(record.open()))
    assert [row["signal"] for row in rows] == list(SIGNALS)
    assert {row["steps"] for row in rows} == {"80"}
    assert [row["lives"] for row in rows] == ["2"] * 5
    assert "| `gusty_pointmass` | 2, 80 | 0 (0.0–84.2 %), 0.0 |" in page.read_text()
    assert capsys.readouterr().out.strip() in page.read_text()


def test_the_page_on_scenarios_is_that_of_its_lives(monkeypatch: pytest.MonkeyPatch, tables: Any) -> None:
    gallery = script("gallery", monkeypatch)
    rows, solved = (tables.read_csv(REFERENCE / f"{name}.csv") for name in ("gallery", "solved"))
    monkeypatch.setattr(gallery, "STILLS", BENCHMARKS.parent / "docs" / "scenarios")
    page = (BENCHMARKS.parent / "docs" / "scenarios.md").read_text(encoding="utf-8")
    assert page == gallery.page(rows, solved)
    few = [known for known in rows if known["scenario"] == "windy_pointmass"]
    two = [
        {
            "scenario": "windy_pointmass",
            "adapter": "levels",
            "steps": 120,
            "life_steps": 200,
            "censored": False,
            "outcome": "success",
        },
        {
            "scenario": "windy_pointmass",
            "adapter": "levels",
            "steps": 200,
            "life_steps": 200,
            "censored": True,
            "outcome": "timeout",
        },
    ]
    lines = gallery.table(few, two).splitlines()
    assert lines[-1].endswith("| 19 of 20 within 10,000 | 0 of 20 within 10,000 | 1 of 2, 160 steps |")
    assert lines[2].endswith("| not lived | not lived | not run |")
    lost = [{**known, "outcome": "crashed"} for known in few]
    assert gallery.table(lost, []).splitlines()[-1].endswith("| 0 of 20 | 0 of 20 | not run |")


def test_a_life_that_was_cut_before_its_budget_is_told(monkeypatch: pytest.MonkeyPatch, tables: Any) -> None:
    """The budget of windy_pointmass is 200,000 steps."""
    gallery = script("gallery", monkeypatch)

    def lived(scenario: str, steps: int, life_steps: int, outcome: str, adapter: str = "qwale") -> Any:
        about = {"scenario": scenario, "world": "target", "adapter": adapter, "steps_per_s": "99.6"}
        return {**about, "steps": steps, "life_steps": life_steps, "outcome": outcome}

    cut = lived("windy_pointmass", 10_000, 10_000, "timeout", "frozen")
    home = lived("windy_pointmass", 300, 10_000, "success", "frozen")
    whole = lived("windy_pointmass", 200_000, 200_000, "timeout", "frozen")
    for cells, lives in (("1 of 2 within 10,000", [cut, home]), ("1 of 2", [home, whole])):
        assert gallery.successes(lives, "windy_pointmass", "target") == cells


def test_a_table_says_what_must_be_known_of_an_adapter(
    tables: Any, tiny_adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tables.shown("qwale") == "`qwale`"
    assert tables.shown("somebody") == "`somebody`"
    assert tables.shown("rma_fixed") == "`rma_fixed` (control: z fixed)"
    assert tables.shown("vlm_pc") == "`vlm_pc` (nobody to ask)"
    assert tables.shown("rlpd") == "`rlpd` (4 critics, 1 update a step; paper: 10 and 20)"
    assert "| `vlm_pc` (nobody to ask) | 1 of 1 |" in tables.table([row("vlm_pc", 3)])
    load = adapters.load
    monkeypatch.setattr(
        adapters,
        "load",
        lambda name: load(
            name,
            {
                "vlm_pc": [("planner.url", "http://127.0.0.1:1/v1")],
                "rlpd": [("agent.critics", 10), ("adapter.updates_per_step", 20)],
            }[name],
        ),
    )
    assert tables.shown("vlm_pc") == "`vlm_pc`"
    assert tables.shown("rlpd") == "`rlpd` (10 critics, 20 updates a step; paper: 10 and 20)"


def test_the_matrix_from_a_csv_is_that_of_the_report(tables: Any, tmp_path: Path) -> None:
    """With a scenario that one adapter has not lived in, and one that is marked as the fastest."""
    for seed in range(6):
        write_life(tmp_path, "quick", seed, 110 + seed)
        write_life(tmp_path, "slow", seed, 800 + seed)
        write_life(tmp_path, "slow", seed, 700 + 20 * seed, scenario="calm")
        write_life(tmp_path, "never", seed, 1000, outcome="timeout")
    text, _ = report(tmp_path, form="csv")
    matrix, _ = report(tmp_path, form="md")
    rows = list(csv.DictReader(text.splitlines()))
    assert tables.figures(rows) == matrix.partition("\n\n")[0]
    assert "**6 of 6" in matrix
    assert "| calm | 1,000 | 100 |  | 6 of 6" in matrix


def test_the_page_is_written_without_living_or_drawing_anything(
    monkeypatch: pytest.MonkeyPatch, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = script("gallery", monkeypatch)
    words = ["gallery.py", "--no-stills", "--page", str(tmp_path / "page.md"), "--reference"]
    monkeypatch.setattr(sys, "argv", [*words, str(tmp_path)])
    with pytest.raises(slrl.BadInput, match=r"has no gallery\.csv; benchmarks/tables\.py gallery writes it"):
        gallery.main()
    assert not (tmp_path / "page.md").exists()
    monkeypatch.setattr(sys, "argv", [*words, str(REFERENCE)])
    gallery.main()
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert page.startswith("# The scenarios\n")
    assert "seeds\n1000 to 1019, after one pretraining, cut after the scenario's budget or 10,000" in page
    assert capsys.readouterr().out.strip() in page
    assert list(tmp_path.iterdir()) == [tmp_path / "page.md"]
