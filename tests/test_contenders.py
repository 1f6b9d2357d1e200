"""`make bench` times these: each contender of ours builds and makes its steps."""

from typing import Any

import numpy as np
import pytest

from slrl.adapters.frames import Frames
from slrl.adapters.levels import Levels
from slrl.learning import extrinsics

from .test_tables import script


def test_an_update_of_a_contender_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders: Any = script("contenders", monkeypatch)
    assert np.isfinite(float(contenders.slrl_update()()["agent/critic_loss"]))
    assert np.isfinite(float(contenders.slrl_discriminator()()["guidance/loss"]))
    assert np.abs(contenders.slrl_act()()).max() <= 1


def test_a_control_step_of_a_contender_reads_its_latent(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders: Any = script("contenders", monkeypatch)
    read = []
    inferred = extrinsics.History.inferred
    monkeypatch.setattr(extrinsics.History, "inferred", lambda self: read.append(1) or inferred(self))
    step = contenders.slrl_rma_step()
    before = len(read)
    for _ in range(10):  # refresh_every
        step()
    assert len(read) == before + 1


def test_a_step_of_a_life_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders: Any = script("contenders", monkeypatch)
    learned = []
    learn = contenders.replay.Replay.learn
    monkeypatch.setattr(
        contenders.replay.Replay, "learn", lambda self: learned.append(learn(self)) or learned[-1]
    )
    step = contenders.slrl_small_life()
    for _ in range(2):
        step()
    assert all("agent/critic_loss" in metrics and "guidance/loss" in metrics for metrics in learned)
    assert len(learned) == 2


@pytest.mark.parametrize("name", ["slrl_levels_step", "slrl_frames_step"])
def test_a_control_step_of_the_default_acts_by_the_level_it_is_named_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mujoco")
    contenders: Any = script("contenders", monkeypatch)
    kind = Levels if name == "slrl_levels_step" else Frames
    acted = []
    act = kind.act
    monkeypatch.setattr(kind, "act", lambda self, obs: acted.append(1) or act(self, obs))
    step = getattr(contenders, name)()
    for _ in range(3):
        step()
    assert len(acted) == 3


def test_planning_finds_ways_in_the_maze(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gymnasium_robotics")
    contenders: Any = script("contenders", monkeypatch)
    plan = contenders.slrl_plan()
    plan()
    assert (plan.__self__.next[:-1] >= 0).mean() > 0.5
