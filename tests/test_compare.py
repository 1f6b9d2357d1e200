"""The comparison: its statistics by hand, and that no life is lived twice or taken for another."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from slrl import adapters, scenarios
from slrl.lives.run import adapt_as
from slrl.lives.settings import LifeSettings

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "compare.py"


@pytest.fixture
def compare() -> Any:
    spec = importlib.util.spec_from_file_location("compare", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compare"] = module
    spec.loader.exec_module(module)
    return module


def row(adapter: str, steps: int, *, censored: bool = False) -> dict[str, Any]:
    return {"adapter": adapter, "steps": steps, "life_steps": 1000, "censored": censored}


def test_the_table_of_distances_by_hand(compare: Any) -> None:
    rows = [{"adapter": "near", "progress": p} for p in ("1.0", "2.0", "6.0")] + [
        {"adapter": "far", "progress": "4.0"}
    ] * 2
    assert compare.distances(rows).splitlines()[2:] == [
        "| `far` | 4.00 ± 0.00 | 4.00 | 4.0, 4.0 |",
        "| `near` | 3.00 ± 1.53 | 2.00 | 1.0, 2.0, 6.0 |",  # standard deviation √7, by √3
    ]


def test_the_table_by_hand(compare: Any) -> None:
    rows = [row("slow", 300), row("slow", 1000, censored=True), row("slow", 500)]
    rows += [row("lost", 1000, censored=True), row("lost", 40), row("quick", 10), row("quick", 30)]
    # slow: median of 300, 500, later is 500, mean (300 + 500 + 1000) / 3; lost: half did not come home, so no median
    assert compare.table(rows).splitlines()[2:] == [
        "| `quick` | 2 of 2 | 20 | 20 | 10, 30 |",
        "| `lost` | 1 of 2 | not reached | 520 | > 1,000, 40 |",
        "| `slow` | 2 of 3 | 500 | 600 | 300, > 1,000, 500 |",
    ]


def test_a_life_is_found_in_its_folder_and_in_the_csv_but_not_for_other_settings(
    compare: Any, tiny_adapter: str, tmp_path: Path
) -> None:
    def settings(seed: int, life_steps: int = 20) -> LifeSettings:
        scenario = scenarios.load("windy_pointmass")
        return LifeSettings(
            scenario=scenario,
            method=adapters.load(tiny_adapter),
            prior="pointmass",
            seed=seed,
            life_steps=life_steps,
        )

    adapt_as(settings(1), out=tmp_path / "runs")
    found = compare.find(tmp_path / "runs", [], settings(1))
    assert (found["steps"], found["censored"], found["seed"]) == (20, True, 1)
    compare.write_csv(tmp_path / "lives.csv", [found])
    known = compare.read_csv(tmp_path / "lives.csv")
    again = compare.find(tmp_path / "elsewhere", known, settings(1))
    assert compare.table([again]) == compare.table([found])
    for other in (settings(2), settings(1, 21)):
        assert compare.find(tmp_path / "elsewhere", known, other) is None
        assert compare.find(tmp_path / "runs", known, other) is None


def test_the_table_goes_between_its_markers(compare: Any, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- table:s -->\nold\n<!-- end -->\nafter\n")
    compare.fill(page, "s", "new")
    assert page.read_text() == "before\n<!-- table:s -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit, match="no place"):
        compare.fill(page, "t", "new")
