"""What a scenario must show, by lives: counts by hand, and `slrl check --lives` in a world of three steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tomli_w

from slrl.evaluation import suites
from slrl.lives import novelty
from slrl.lives.novelty import Count

Command = Callable[..., tuple[int, str, str]]

WORLD = '''
import gymnasium as gym
import numpy as np


class Lottery(gym.Env):
    """Whatever is done, a share of all lives succeeds at the third step."""

    def __init__(self, share: float) -> None:
        self.observation_space = gym.spaces.Box(-10, 10, (2,))
        self.action_space = gym.spaces.Box(-1, 1, (1,))
        self._share = share

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._lucky, self._t = self.np_random.random() < self._share, 0
        return self._obs(), {}

    def step(self, action):
        self._t += 1
        return self._obs(), 0.0, False, False, {"success": bool(self._lucky and self._t == 3)}

    def _obs(self):
        return np.array([self._t, self._share], np.float32)
'''


@pytest.fixture
def lottery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], Path]:
    """The file of a scenario in which so many lives succeed in the source, and so many in the target."""
    (tmp_path / "lottery.py").write_text(WORLD)
    monkeypatch.syspath_prepend(tmp_path)
    with h5py.File(tmp_path / "rows.hdf5", "w") as file:
        file["observations"] = np.tile(np.array([[0, 1], [1, 1], [2, 1]], np.float32), (30, 1))
        file["next_observations"] = file["observations"][:] + np.array([1, 0], np.float32)
        file["actions"] = np.random.default_rng(0).uniform(-1, 1, (90, 1)).astype(np.float32)
        file["terminals"] = np.arange(90) % 3 == 2
        file["rewards"], file["timeouts"] = (np.arange(90) % 3 == 2).astype(np.float32), np.zeros(90, bool)

    def scenario(source: float, target: float) -> Path:
        worlds = {
            name: {"env": "lottery:Lottery", "settings": {"share": share}}
            for name, share in (("source", source), ("target", target))
        }
        path = tmp_path / "lottery.toml"
        about = {"schema": 1, "summary": "S.", "prior": str(tmp_path / "rows.hdf5"), "life_steps": 8}
        path.write_text(tomli_w.dumps({**about, **worlds, "adapter_settings": {"pretrain": {"steps": 2}}}))
        return path

    return scenario


@pytest.mark.parametrize(
    ("lives", "least", "most"), [(20, 17, 1), (1, 1, 0), (5, 5, 0), (10, 9, 0), (19, 17, 0), (40, 34, 2)]
)
def test_seventeen_and_one_of_twenty_and_as_strict_for_other_numbers(
    lives: int, least: int, most: int
) -> None:
    def outcomes(world: Any, *succeeded: int) -> list[str]:
        return [Count(count, lives).verdict(world, 100).outcome for count in succeeded]

    assert (Count(0, lives).least, Count(0, lives).most) == (least, most)
    assert outcomes("source", lives, least, least - 1) == ["ok", "ok", "broken"]
    assert outcomes("target", 0, most, most + 1) == ["ok", "ok", "broken"]


def test_the_sentence_has_the_counts() -> None:
    assert Count(3, 20).verdict("target", 500) == (
        "frozen in the target",
        "broken",
        "3 of 20 lives of 500 steps at most succeeded, and at most 1 must: the shift does not hinder the "
        "policy of the prior.",
    )
    assert Count(17, 20).verdict("source", 500).sentence == (
        "17 of 20 lives of 500 steps at most succeeded; at least 17 must."
    )


def test_lives_are_asked_for_and_counted_in_both_worlds(
    lottery: Callable[[float, float], Path], command: Command
) -> None:
    path = lottery(1.0, 0.0)
    code, out, _ = command("check", path)
    assert code == 0
    assert "frozen" not in out
    code, out, err = command("check", path, "--lives", "3")
    assert code == 0
    assert [line.split(maxsplit=1) for line in out.splitlines()[-2:]] == [
        ["ok", "frozen in the source  3 of 3 lives of 8 steps at most succeeded; at least 3 must."],
        ["ok", "frozen in the target  0 of 3 lives of 8 steps at most succeeded; at most 0 must."],
    ]
    assert "frozen in the target: " in err, "progress is shown"
    assert command("check", path, "--lives", "1", "--quiet")[2] == ""


def test_a_scenario_that_shows_nothing_is_broken_and_a_control_has_a_source_only(
    lottery: Callable[[float, float], Path], command: Command
) -> None:
    path = lottery(0.0, 0.9999)
    code, out, err = command("check", path, "--lives", "2", "--quiet")
    assert code == 2
    assert "broken   frozen in the source  0 of 2" in out
    assert "broken   frozen in the target  2 of 2" in out
    assert err.strip() == f"slrl: {path} does not hold 2 of its contracts; what is broken stands above."
    code, out, _ = command("check", lottery(1.0, 1.0), "--lives", "2", "--quiet")
    assert code == 0
    assert "ok       frozen in the source  2 of 2" in out
    assert "skipped  frozen in the target  Source and target are the same world" in out


def test_nothing_is_lived_in_a_scenario_that_is_broken_and_no_lives_are_refused(
    lottery: Callable[[float, float], Path], command: Command
) -> None:
    path = lottery(1.0, 0.0)
    path.write_text(path.read_text() + '[optimum]\nname = "random"\n')
    path.write_text("optimum_steps = 2\n" + path.read_text())
    code, out, _ = command("check", path, "--lives", "2")
    assert code == 2
    assert out.count("skipped  frozen in the") == 2
    code, out, err = command("check", path, "--lives", "0")
    assert (code, out) == (2, "")
    assert "--lives must be 1 or more, not 0" in err


def test_the_lives_are_those_of_the_gallery() -> None:
    lives = [life for life in suites.load("gallery").lives if life.method.name == "frozen"]
    assert {life.seed for life in lives} == set(range(novelty.FIRST_SEED, novelty.FIRST_SEED + novelty.OF))
    assert max(life.life_steps for life in lives) == novelty.LONGEST
