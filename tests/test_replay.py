"""Replay step by step, with an agent and a guidance that are scripts: which rows, which rewards, and when."""

from typing import Any

import numpy as np
import pytest
import torch

from slrl.adapters.replay import Replay, Settings
from slrl.learning.buffer import Buffer
from slrl.plugins import GuidancePlugin
from slrl.types import Batch, Metrics, Transition

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")
PRIOR = prior_of(rows_of([40]))  # rows 0 to 39 of the buffer; the life follows from row 40 on


class Agent:
    """Remembers the batches that it was to learn from, and whether its policy was to improve."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.improved: list[bool] = []
        self.sampled: list[bool] = []

    def act(self, obs: np.ndarray, *, sample: bool = True) -> np.ndarray:
        self.sampled.append(sample)
        return np.zeros(2, np.float32)

    def update(self, batch: Batch, *, improve_policy: bool = True) -> Metrics:
        self.batches.append(batch)
        self.improved.append(improve_policy)
        return {}


class Guide:
    """The reward of a row is its number, and a thousand for every update before."""

    def __init__(self) -> None:
        self.seen: list[tuple[Batch, Batch, torch.Tensor]] = []

    def update(self, prior: Batch, life: Batch, newest: torch.Tensor) -> Metrics:
        self.seen.append((prior, life, newest))
        return {}

    def reward(self, batch: Batch) -> torch.Tensor:
        return batch.row.float() + 1000 * len(self.seen)


def replay(**settings: Any) -> tuple[Replay, Any, Any]:
    given = {"batch_size": 16, "guidance_batch_size": 64, "warm_up_steps": 0, **settings}
    made = Settings(guidance=GuidancePlugin.parse({"name": "none"}, "[adapter.guidance]"), **given)
    agent, guide, rng = Agent(), Guide(), np.random.default_rng(0)
    return Replay(made, agent, guide, Buffer(PRIOR, 100, rng, CPU), rng), agent, guide  # type: ignore[arg-type]


def live(adapter: Replay, steps: int, *, terminated: bool = False, truncated: bool = False) -> None:
    """Each step is rewarded with -5 and arrives where all entries are the number of the step."""
    for _ in range(steps):
        arrived = np.full(6, adapter.buffer.lived + 1, np.float32)
        adapter.act(arrived)
        adapter.observe(
            Transition(arrived - 1, np.zeros(2, np.float32), -5.0, arrived, terminated, truncated)
        )
        adapter.learn()


def test_the_agent_learns_from_the_reward_of_the_guidance_as_it_is_by_then() -> None:
    adapter, agent, _ = replay(guidance_updates_per_step=2)
    live(adapter, 3)
    assert len(agent.batches) == 3
    for step, batch in enumerate(agent.batches, 1):
        assert batch.reward.tolist() == (batch.row + 1000 * 2 * step).tolist()


def test_the_guidance_tells_rows_of_the_prior_from_rows_of_the_life_and_knows_where_it_is() -> None:
    adapter, _, guide = replay()
    live(adapter, 5)
    for step, (prior, life, newest) in enumerate(guide.seen, 1):
        assert len(prior.row) == len(life.row) == 64
        assert int(prior.row.max()) < 40
        assert 40 <= int(life.row.min()) <= int(life.row.max()) < 40 + step
        assert newest.tolist() == [step] * 6
    assert guide.seen[-1][1].row.unique().tolist() == [40, 41, 42, 43, 44]


def test_the_agent_waits_for_the_warm_up_and_the_guidance_does_not() -> None:
    adapter, agent, guide = replay(warm_up_steps=4)
    live(adapter, 3)
    assert (len(agent.batches), len(guide.seen)) == (0, 3)
    live(adapter, 2)
    assert (len(agent.batches), len(guide.seen)) == (2, 5)


def test_the_critics_get_their_warm_start_once_before_the_first_update_of_the_policy() -> None:
    adapter, agent, _ = replay(warm_up_steps=3, warm_start_updates=5)
    live(adapter, 2)
    assert agent.improved == []
    live(adapter, 1)
    assert agent.improved == [False] * 5 + [True]
    assert all(batch.reward.tolist() == (batch.row + 3000).tolist() for batch in agent.batches)
    live(adapter, 2)
    assert agent.improved == [False] * 5 + [True] * 3


def test_a_saved_adapter_does_not_repeat_its_warm_start() -> None:
    settings: dict[str, Any] = {"warm_start_updates": 5}
    one, other = replay(**settings), replay(**settings)
    for made, agent, guide in (one, other):
        made.agent, made.guidance = Stateless(agent), Stateless(guide)  # type: ignore[assignment]
    live(one[0], 1)
    other[0].load_state_dict(one[0].state_dict())
    live(other[0], 1)
    assert other[1].improved == [True]


class Stateless:
    """A script as a part of an adapter that is saved."""

    def __init__(self, script: Any) -> None:
        self._script = script

    def __getattr__(self, name: str) -> Any:
        return getattr(self._script, name)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


def bootstraps(adapter: Replay) -> list[float]:
    return adapter.buffer.rows(np.arange(40, 40 + adapter.buffer.lived)).bootstrap.tolist()


def test_every_third_target_of_biased_td_has_no_bootstrap() -> None:
    adapter, _, _ = replay(biased_td_every=3)
    live(adapter, 7)
    assert bootstraps(adapter) == [0, 1, 1, 0, 1, 1, 0]
    adapter, _, _ = replay()
    live(adapter, 4)
    assert bootstraps(adapter) == [1, 1, 1, 1]


def test_an_end_has_no_future_and_a_budget_that_ran_out_has_one() -> None:
    adapter, _, _ = replay()
    live(adapter, 1, truncated=True)
    live(adapter, 1, terminated=True)
    assert bootstraps(adapter) == [1, 0]


@pytest.mark.parametrize(("fraction", "of_prior"), [(0.25, 4), (0.5, 8), (1.0, 16), (0.0, 0)])
def test_a_batch_of_the_agent_has_its_share_of_the_prior(fraction: float, of_prior: int) -> None:
    adapter, agent, _ = replay(prior_fraction=fraction)
    live(adapter, 4)
    assert [int((batch.row < 40).sum()) for batch in agent.batches] == [of_prior] * 4


def test_without_a_share_all_rows_are_alike() -> None:
    adapter, agent, _ = replay(batch_size=4000)
    live(adapter, 10)  # 40 of 50 rows are the prior's
    assert float((agent.batches[-1].row < 40).float().mean()) == pytest.approx(0.8, abs=0.03)


def test_the_policy_improves_once_a_step_on_the_last_of_the_batches() -> None:
    adapter, agent, _ = replay(updates_per_step=3)
    live(adapter, 2)
    assert agent.improved == [False, False, True] * 2


def test_updates_every_so_many_steps() -> None:
    adapter, agent, guide = replay(update_every_steps=3)
    live(adapter, 8)
    assert (len(agent.batches), len(guide.seen)) == (2, 2)


def test_what_a_switch_has_turned_off_stores_its_rows_and_acts_by_its_mode() -> None:
    adapter, agent, guide = replay()
    adapter.learning = False
    live(adapter, 3)
    assert (agent.batches, guide.seen, agent.sampled, adapter.buffer.lived) == ([], [], [False] * 3, 3)
    adapter.learning = True
    live(adapter, 1)
    assert (len(agent.batches), len(guide.seen), agent.sampled[-1]) == (1, 1, True)
