"""The examples run as they stand, with the adapter made small."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import slrl
from slrl.adapters.planner import prompt
from slrl.adapters.planner.choice import NamedSkill, Question
from slrl.lives import run

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_first_life(
    tiny_adapter: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make, load = slrl.make, run.load_adapter
    monkeypatch.setattr(slrl, "make", lambda scenario: make(scenario, life_steps=50), raising=False)
    monkeypatch.setattr(
        slrl,
        "load_adapter",
        lambda name, *parts, **settings: load(tiny_adapter, *parts, **settings),
        raising=False,
    )
    runpy.run_path(str(EXAMPLES / "first_life.py"))
    assert "timeout after 50 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("x", "y", "skill"),
    [
        (-3.0, 1.5, "down"),
        (0.0, 1.5, "left"),
        (1.5, 1.6, "left"),
        (-3.0, -1.5, "right"),
        (3.0, -1.5, "up"),
        (3.1, 1.0, "up"),
    ],
)
def test_the_planner_with_a_map_goes_round(x: float, y: float, skill: str) -> None:
    """Asked as every planner is."""
    plan = runpy.run_path(str(EXAMPLES / "planner_server.py"))["plan"]
    moves = {"right": (0.5, 0.0014), "left": (-0.4, -1e-05), "up": (0.0, 0.42), "down": (0.0049, -0.47)}
    skills = [
        NamedSkill(name, f"in the demonstrations, within 10 steps: x (m) {dx:+.2g}, y (m) {dy:+.2g}")
        for name, (dx, dy) in moves.items()
    ]
    question = Question(
        lived=0,
        life_steps=100,
        skills=skills,
        durations=(20,),
        history=(),
        failing=frozenset(),
        values=None,
        obs=np.zeros(2, np.float32),
        state=f"x (m) {x:.3g}; y (m) {y:.3g}; worth something",
        entries=("x (m)", "y (m)"),
    )
    answer = plan(prompt.instruction(question, "Go.", 4, pictures=True), prompt.situation(question, ""))
    found, _, _ = prompt.parse_reply({"choices": [{"message": {"content": json.dumps(answer)}}]}, question, 4)
    assert question.skills[found[0].skill].name == skill
