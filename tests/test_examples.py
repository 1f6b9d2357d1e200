"""The examples run as they stand, with the adapter made small."""

import runpy
from pathlib import Path

import pytest

import slrl
from slrl import run

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tiny_adapter: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make, load = slrl.make, run.load_adapter
    monkeypatch.setattr(slrl, "make", lambda scenario: make(scenario, life_steps=50), raising=False)
    monkeypatch.setattr(
        slrl, "load_adapter", lambda name, *parts, **settings: load(tiny_adapter, *parts, **settings), raising=False
    )
    runpy.run_path(str(path))
    assert "timeout after 50 steps" in capsys.readouterr().out
