"""The worked example of docs/adding.md, as it stands there: a package of one's own with an adapter."""

import csv
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import slrl
from slrl import adapters, plugins
from slrl.errors import BadInput
from slrl.lives.run import load_adapter
from slrl.types import Adapter

PAGE = Path(__file__).parents[1] / "docs" / "adding.md"
SMALL = (("pretrain.steps", 20), ("agent.hidden", [8]))
WIND = (0.2**2 + 0.85**2) ** 0.5  # of windy_pointmass, in the mean


def blocks() -> list[str]:
    """The code of the section, in order: the module, its TOML, the entry point."""
    section = PAGE.read_text(encoding="utf-8").partition("## An adapter in a package of your own")[2]
    return re.findall(r"```(?:python|toml)\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)


@pytest.fixture(autouse=True)
def _my_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The distribution of the page, as pip leaves it, with its module and its entry point."""
    module, _, project = blocks()
    (tmp_path / "my_robot").mkdir()
    (tmp_path / "my_robot" / "__init__.py").touch()
    (tmp_path / "my_robot" / "lean.py").write_text(module, encoding="utf-8")
    info = tmp_path / "my_robot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_robot\nVersion: 1.0\n")
    group, line = re.fullmatch(
        r'\[project\.entry-points\."([\w.]+)"\]\n(\w+ = "[\w.:]+")\n', project
    ).groups()  # type: ignore[union-attr]
    (info / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_robot"]:
        del sys.modules[name]


def method(folder: Path, name: str) -> str:
    """The TOML of the page, with the adapter by this name."""
    path = folder / "lean.toml"
    text = blocks()[1]
    assert 'name = "my_robot.lean:Lean"' in text
    path.write_text(text.replace("my_robot.lean:Lean", name), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["my_robot.lean:Lean", "lean"])
def test_the_example_lives_and_measures_the_wind(
    name: str, tmp_path: Path, brief: Callable[[str], str]
) -> None:
    result = slrl.adapt(
        brief("windy_pointmass"),
        adapter=method(tmp_path, name),
        life_steps=50,
        overrides=SMALL,
        out=tmp_path / "runs",
    )
    assert (result.outcome, result.steps, result.adapter) == ("timeout", 50, "lean")
    with (Path(result.folder) / "metrics.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["adapter/push"]) == pytest.approx(WIND, abs=0.05)


def test_its_state_is_all_that_the_life_has_changed(tmp_path: Path) -> None:
    scenario = slrl.load_scenario("windy_pointmass")
    prior = slrl.load_prior(scenario.prior)
    found = adapters.load(method(tmp_path, "lean"), SMALL)
    lived, loaded = (load_adapter(found, prior, scenario) for _ in range(2))
    life = slrl.live(slrl.make(scenario, life_steps=10), lived, seed=0)
    state = lived.state_dict()
    assert torch.is_tensor(state["push"])
    assert float(state["push"].norm()) > 0.3
    assert not same_action(lived, loaded, life.obs[-1])
    loaded.load_state_dict(state)
    assert same_action(lived, loaded, life.obs[-1])


def same_action(one: Adapter, other: Adapter, obs: object) -> bool:
    return bool((one.act(obs) == other.act(obs)).all())  # type: ignore[arg-type]


def test_its_settings_are_checked_and_its_name_is_hinted_at(tmp_path: Path) -> None:
    assert "lean" in plugins.names(plugins.ADAPTERS)
    with pytest.raises(BadInput, match="rate must be between 0 and 1, not 2"):
        adapters.load(method(tmp_path, "lean"), [("adapter.rate", 2.0)])
    with pytest.raises(BadInput, match="did you mean 'lean'"):
        adapters.load(method(tmp_path, "leen"))


def test_the_method_of_the_page_is_like_qwale_but_for_what_it_says(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## A method from existing parts")[2]
    path = tmp_path / "my_method.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    mine, qwale = adapters.load(str(path)).table(), adapters.load("qwale").table()
    assert mine["adapter"] == {**qwale["adapter"], "batch_size": 64, "prior_fraction": 0.5}
    assert (mine["agent"], mine["pretrain"]) == (qwale["agent"], qwale["pretrain"])
