"""Tables of scenarios: each thing that can be wrong in its own sentence, and what is read."""

from pathlib import Path
from typing import Any

import pytest

from slrl import scenarios
from slrl.errors import BadInput
from slrl.scenarios import Plane, World, dotted, parse

LEAST: dict[str, Any] = {
    "summary": "s",
    "source": {"env": "A-v0"},
    "target": {"env": "B-v0"},
    "prior": "pointmass",
    "life_steps": 1,
}
PLANE = {"obs": [0, 1], "x_limits": [0, 1], "y_limits": [-2, 2.5]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "x"}, "scenario 'mine' must not set 'name': the file's name is the name."),
        ({"life_steps": 0}, "'life_steps' in scenario 'mine' must be 1 or more, not 0."),
        ({"life_steps": True}, "'life_steps' in scenario 'mine' must be a whole number, not True."),
        ({"reward": "none"}, "'reward' in scenario 'mine' must be 'sparse' or 'dense', not 'none'."),
        (
            {"success_function": "a:b", "success_obs": 0},
            "scenario 'mine' has 'success_function' and another success test; leave one of them out.",
        ),
        (
            {"success_function": "a:b", "success_below": 0.0},
            "scenario 'mine' has 'success_function' and another success test; leave one of them out.",
        ),
        (
            {"success_obs": -1, "success_above": 1.0},
            "'success_obs' in scenario 'mine' must be 0 or more, not -1.",
        ),
        ({"success_obs": 0}, "'success_obs' in scenario 'mine' needs 'success_above' or 'success_below'."),
        (
            {"source": {"env": "A-v0", "shifts": [{"std": 1}]}},
            "each shift in scenario 'mine' needs a 'name', for example name = \"wind\".",
        ),
        (
            {"target": {"env": "A-v0", "shifts": [{"name": "wind"}, {"name": 3}]}},
            "each shift in scenario 'mine' needs a 'name', for example name = \"wind\".",
        ),
    ],
)
def test_what_is_wrong_with_a_scenario_is_one_sentence(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse({**LEAST, **changes}, name="mine")
    assert str(caught.value) == says


@pytest.mark.parametrize("key", LEAST)
def test_what_a_scenario_needs_is_named(key: str) -> None:
    with pytest.raises(BadInput, match=f"scenario 'mine' needs the setting '{key}'"):
        parse({k: value for k, value in LEAST.items() if k != key}, name="mine")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"plane": {**PLANE, "obs": [0]}}, "'obs'"),
        ({"plane": {**PLANE, "goal": [0, 1, 2]}}, "'goal'"),
        ({"source": {"env": 3}}, "'env'"),
        ({"target": {"env": "A-v0", "shift": []}}, "'shift'"),
        ({"success_above": "high"}, "'success_above'"),
        ({"summary": 3}, "'summary'"),
    ],
)
def test_an_error_in_a_scenario_names_its_key(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(BadInput, match=names) as caught:
        parse({**LEAST, **changes}, name="mine")
    assert "mine" in str(caught.value)


def test_the_least_scenario_and_what_is_taken_for_granted() -> None:
    found = parse(LEAST, name="mine")
    assert (found.name, found.source, found.target) == ("mine", World(env="A-v0"), World(env="B-v0"))
    assert (found.reward, found.success_info, found.plane, found.optimum_steps) == (
        "sparse",
        "success",
        None,
        None,
    )


@pytest.mark.parametrize(
    "test",
    [
        {"success_function": "a:b"},
        {"success_obs": 0, "success_above": 0.0},
        {"success_obs": 3, "success_below": -1.5},
        {"success_info": "x", "success_above": 0.0, "success_below": 1},
        {"reward": "dense"},
    ],
)
def test_every_way_to_say_success_is_let_through(test: dict[str, Any]) -> None:
    found = parse({**LEAST, **test}, name="mine")
    assert {key: getattr(found, key) for key in test} == test


def test_tables_in_a_scenario_become_records_with_numbers() -> None:
    shift = {"name": "wind", "x_units_per_step": [0, 1]}
    target = {"env": "B-v0", "settings": {"k": 1}, "shifts": [shift]}
    found = parse({**LEAST, "plane": PLANE, "target": target}, name="mine")
    assert found.plane == Plane(obs=(0, 1), x_limits=(0.0, 1.0), y_limits=(-2.0, 2.5))
    assert found.target == World(env="B-v0", settings={"k": 1}, shifts=(shift,))


def test_settings_for_adapters_are_dotted() -> None:
    nested = {"agent": {"lr": 1, "inner": {"a": [1]}}, "pretrain.steps": 5, "empty": {}}
    assert list(dotted(nested)) == [("agent.lr", 1), ("agent.inner.a", [1]), ("pretrain.steps", 5)]
    whole = {"pretrain.objective": {"name": "bc"}, "adapter.points": {}}  # nothing of before is kept
    assert list(dotted(whole)) == list(whole.items())
    assert parse({**LEAST, "adapter_settings": {"agent": {"lr": 1}}}, name="m").overrides() == [
        ("agent.lr", 1)
    ]
    assert parse(LEAST, name="m").overrides() == []


@pytest.mark.parametrize("key", ["novelty", "why", "extra", "reward_function"])
def test_what_only_tells_about_a_scenario_is_not_part_of_its_lives(key: str) -> None:
    table = parse({**LEAST, key: "x"}, name="m").life_table()
    assert key not in table
    assert table == parse(LEAST, name="m").life_table()


@pytest.mark.parametrize(
    ("key", "value"), [("life_steps", 2), ("success_below", 0.5), ("prior", "x"), ("optimum_steps", 3)]
)
def test_what_a_life_depends_on_is_part_of_it(key: str, value: object) -> None:
    assert parse({**LEAST, key: value}, name="m").life_table() != parse(LEAST, name="m").life_table()


def test_a_prior_beside_the_users_scenario_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'schema = 1\nsummary = "s"\nlife_steps = 1\nprior = "data.hdf5"\n'
    text += '[source]\nenv = "A"\n[target]\nenv = "B"\n'
    (tmp_path / "mine.toml").write_text(text)
    assert scenarios.load(str(tmp_path / "mine.toml")).prior == "data.hdf5"  # not there: a name
    (tmp_path / "data.hdf5").mkdir()
    assert scenarios.load(str(tmp_path / "mine.toml")).prior == "data.hdf5"  # no file: a name
    (tmp_path / "data.hdf5").rmdir()
    (tmp_path / "data.hdf5").touch()
    monkeypatch.chdir(tmp_path)
    found = scenarios.load("mine.toml")
    assert (found.name, found.prior) == ("mine", str(tmp_path / "data.hdf5"))
