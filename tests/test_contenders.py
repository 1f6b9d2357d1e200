"""`make bench` times these: each contender of ours builds and makes its steps."""

from typing import Any

import pytest

from .test_tables import script


@pytest.mark.parametrize(
    "name", ["slrl_update", "slrl_small_life", "slrl_discriminator", "slrl_act", "slrl_rma_step"]
)
def test_a_contender_makes_its_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contenders: Any = script("contenders", monkeypatch)
    step = getattr(contenders, name)()
    for _ in range(3):
        step()


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
