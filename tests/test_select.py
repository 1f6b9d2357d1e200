"""The choice among behaviours: classifying critics, hysteresis, margin, abstention; joined priors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import slrl
from slrl import priors
from slrl.adapters.select import Behaviours, Select
from slrl.learning import joint_critics
from slrl.learning.agents.sac import Sac, Settings
from slrl.learning.buffer import Buffer
from slrl.learning.joint_critics import JointCritics, behaviours
from slrl.plugins import AdapterPlugin
from slrl.priors import Prior, join
from slrl.types import Transition

from .conftest import prior_of, rows_of, write_d4rl, write_minari

CPU = torch.device("cpu")


def at(x: float, seed: int, episodes: int = 20) -> Prior:
    """Ten-step episodes around (x, 0, …), without any reward."""
    rows = rows_of([10] * episodes, seed=seed)
    shift = np.array([x, 0, 0, 0, 0, 0], np.float32)
    never = np.zeros(len(rows.reward), bool)
    return prior_of(
        rows._replace(
            obs=rows.obs + shift, next_obs=rows.next_obs + shift, reward=0 * rows.reward, terminated=never
        )
    )


def agent(prior: Prior, seed: int) -> Sac:
    settings = Settings(hidden=(16,), critic_lr=3e-3)
    return Sac(settings, prior, torch.Generator().manual_seed(seed), CPU)


def test_the_classification_loss_raises_the_value_of_the_behaviour_whose_state_it_is() -> None:
    parts = [at(-3.0, 1), at(3.0, 2, episodes=5)]
    settings = joint_critics.Settings(classification_weight=0.5, regularisation_steps=400, batch_size=64)
    found = JointCritics(settings, 0, parts, [agent(prior, i) for i, prior in enumerate(parts)])
    own = [torch.tensor(prior.obs) for prior in parts]

    def leads() -> list[float]:
        values = [found.values(obs).detach() for obs in own]
        return [float((values[0][0] - values[0][1]).mean()), float((values[1][1] - values[1][0]).mean())]

    before = leads()
    policies = [[p.clone() for p in one.actor] for one in found.agents]
    for _ in found.learn():
        pass
    after = leads()
    assert after[0] > before[0] + 0.3
    assert after[1] > before[1] + 0.3
    assert min(after) > 0
    for old, one in zip(policies, found.agents, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(old, one.actor, strict=True))


def constant(one: Sac, value: float) -> Sac:
    """Every critic of it says ``value``, whatever it is asked."""
    with torch.no_grad():
        for params in (one.critic, one.target):
            for p in params:
                p.zero_()
            params[-1].fill_(value)
    return one


def test_the_classification_goes_on_in_the_life_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """V_0 = 1 and V_1 = 0 everywhere, β = 0.25: half of the rows are 0's, with p_0 = σ(1) = 0.731.

    L_CE = ½ (-log 0.731) + ½ (-log 0.269) = 0.8133, and L = 0.75 · 2 + 0.25 · 0.8133 of a TD loss of 2. The
    target is r = 1 (γ = 0), so the TD loss and its gradient are zero. That of L_CE by V_0 is ½ (p_0 - 1) +
    ½ p_0 = 0.2311; V_0 is the mean of two critics, so each one's bias gets 0.25 · 0.2311 / 2.
    """
    parts = [at(-3.0, 1), at(3.0, 2, episodes=5)]
    agents = [
        constant(
            Sac(Settings(hidden=(16,), discount=0.0), prior, torch.Generator().manual_seed(i), CPU), 1.0 - i
        )
        for i, prior in enumerate(parts)
    ]
    settings = joint_critics.Settings(classification_weight=0.25, batch_size=64)
    found = JointCritics(settings, 0, parts, agents)
    before = [p.clone() for p in agents[1].critic]
    Behaviours(found, 0.05, [], np.random.default_rng(0))
    assert found.whole_loss(torch.tensor(2.0)).item() == pytest.approx(0.75 * 2 + 0.25 * 0.8133, abs=1e-4)
    gradients: list[Any] = []
    monkeypatch.setattr(agents[0].critic_optimiser, "step", gradients.extend)
    batch = Buffer(parts[0], 0, np.random.default_rng(0), CPU).rows(np.arange(8))
    agents[0].update(batch._replace(reward=torch.ones(8)))
    assert gradients[-1].flatten().tolist() == pytest.approx([0.25 * 0.2311 / 2] * 2, abs=1e-5)
    assert all(torch.equal(p, q) for p, q in zip(before, agents[1].critic, strict=True))  # it does not learn


def test_without_a_weight_nothing_is_classified_in_the_life() -> None:
    parts = [at(-3.0, 1), at(3.0, 2)]
    found = JointCritics(
        joint_critics.Settings(classification_weight=0.0), 0, parts, [agent(prior, 0) for prior in parts]
    )
    found.go_on_in_life(np.random.default_rng(0))
    assert [one.whole_loss for one in found.agents] == [None, None]


@pytest.mark.parametrize("where", [-3.0, 3.0])
def test_the_choice_follows_the_states_however_much_the_acting_behaviour_earns(where: float) -> None:
    """Behaviour 0 learns 2,000 times from rewards that grow, in its own states or in the other one's.

    In the other's states its critics end 60 spreads above their median, and would choose it everywhere, also
    if they were standardised anew by what they now say of its own states: there it has not earned so much.
    """
    parts = [at(-3.0, 1), at(3.0, 2)]
    settings = joint_critics.Settings(classification_weight=0.5, regularisation_steps=400, batch_size=64)
    joint = JointCritics(settings, 0, parts, [agent(prior, i) for i, prior in enumerate(parts)])
    for _ in joint.learn():
        pass
    who = Behaviours(joint, 0.05, [], np.random.default_rng(0))
    own = [at(x, 11).obs[::10] for x in (-3.0, 3.0)]

    def chosen() -> list[list[int]]:
        return [[int(who.values(obs)[0].argmax()) for obs in states] for states in own]

    def right(middle: torch.Tensor, spread: torch.Tensor) -> list[float]:
        """The share of each one's states in which it would be chosen by the critics as they are now."""
        values = [joint.values(torch.tensor(states)).detach() for states in own]
        best = [((v - middle[:, None]) / spread[:, None]).argmax(0) for v in values]
        return [float((index == i).float().mean()) for i, index in enumerate(best)]

    before, at_first = chosen(), right(who.middle, who.spread)
    assert at_first == [1.0, 1.0]
    learner, life = joint.agents[0], at(where, 5, episodes=200)
    buffer = Buffer(parts[0], 2000, np.random.default_rng(0), CPU)
    for t in range(2000):
        step = Transition(life.obs[t], life.action[t], t / 400, life.next_obs[t], False, False)
        buffer.append(step, bootstrap=True)
        learner.update(buffer.sample(32, 0.5))
    drift = (joint.values(torch.tensor(own[1]))[0].detach().mean() - who.middle[0]) / who.spread[0]
    learned, anew = right(who.middle, who.spread), right(*joint.on_own_rows(0.05)[:2])
    if where > 0:  # it would act everywhere, and for ever
        assert drift > 30
        assert learned == anew == [1.0, 0.0]
    else:
        assert learned[1] < 0.9
    assert chosen() == before == [[0] * 20, [1] * 20]


class Fixed:
    """Values that the test dictates."""

    def __init__(self) -> None:
        self.now = [0.0, 0.0]

    def values(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.now).unsqueeze(1)


class Still:
    def act(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(2, np.float32)

    def observe(self, transition: Any) -> dict[str, float]:
        return {}


def choosing(**settings: float) -> tuple[Any, Fixed]:
    who: Any = object.__new__(Behaviours)
    who.frozen, who.inner, who._device = Fixed(), [Still(), Still()], CPU
    who.middle, who.spread, who.lowest = torch.zeros(2), torch.ones(2), torch.full((2,), -5.0)
    table = {"name": "select", "inner": {"name": "frozen"}, "hold_steps": 3, **settings}
    return Select(AdapterPlugin.parse(table, "[adapter]").settings, who), who.frozen


def live(select: Any, steps: int) -> list[int]:
    acted = []
    for _ in range(steps):
        select.act(np.zeros(6, np.float32))
        acted.append(select.present)
        select.observe(None)
    return acted


def test_the_better_one_takes_over_when_the_present_one_had_its_time() -> None:
    select, values = choosing()
    values.now = [1.0, 0.0]
    assert live(select, 2) == [0, 0]
    values.now = [0.0, 1.0]
    assert live(select, 3) == [0, 1, 1]
    assert select.changes == 1


def test_values_that_are_nearly_equal_change_nothing() -> None:
    """Shares of 0.525 and 0.475: the lead of 0.05 is below the margin, so there is no random switching."""
    select, values = choosing()
    values.now = [1.0, 0.0]
    live(select, 1)
    for _ in range(10):
        values.now = [0.0, 0.1]
        assert set(live(select, 5)) == {0}
    values.now = [0.0, 0.3]  # leads by 0.149
    assert live(select, 4)[-1] == 1


def test_where_no_behaviour_is_good_enough_each_gets_its_turn() -> None:
    """Where all values are below their lowest quantile they are ignored: no skill is good enough."""
    select, values = choosing()
    values.now = [-6.0, -9.0]
    acted = live(select, 12)
    assert acted == [0, 0, 0, 1, 1, 1] * 2
    assert select.abstains
    values.now = [-4.0, -9.0]  # one of them knows where it is
    assert live(select, 6)[-1] == 0
    assert not select.abstains


def test_one_with_larger_values_everywhere_is_not_favoured() -> None:
    """Behaviour 1 earns a thousand times as much; standardised it is below its median, and 0 above."""
    select, values = choosing()
    who = select.behaviours
    who.middle, who.spread, who.lowest = (
        torch.tensor([1.0, 1000.0]),
        torch.tensor([1.0, 1000.0]),
        torch.full((2,), -1e9),
    )
    values.now = [2.0, 500.0]
    assert live(select, 1) == [0]


def test_priors_that_are_joined_keep_their_rows_and_are_behaviours() -> None:
    one, two = replace(at(-3.0, 1), name="one"), replace(at(3.0, 2, episodes=5), name="two")
    both = join([one, two])
    assert both.name == "one + two"
    assert both.behaviour is not None
    assert np.bincount(both.behaviour).tolist() == [200, 50]
    assert both.episodes == 25
    for original, part in zip((one, two), behaviours(both), strict=True):
        np.testing.assert_array_equal(part.obs, original.obs)
        np.testing.assert_array_equal(part.episode, original.episode)
    assert np.unique(join([both, one]).behaviour).tolist() == [0, 1, 2]
    assert behaviours(one) == [one]
    with pytest.raises(slrl.BadInput, match="observations of sizes 6 and 3"):
        join([one, prior_of(rows_of([5], obs_dim=3))])


def test_a_behaviour_column_is_read_from_every_layout(tmp_path: Path) -> None:
    import h5py

    rows = rows_of([5, 4, 6])
    minari, d4rl = write_minari(tmp_path / "minari", rows), write_d4rl(tmp_path / "flat.hdf5", rows)
    who = np.array([7, 2, 7])[rows.episode]
    with h5py.File(minari / "data" / "main_data.hdf5", "a") as file:
        for episode, label in enumerate((7, 2, 7)):
            group = file[f"episode_{episode}"]
            group["infos/behaviour"] = np.full(len(group["observations"]), label)
    with h5py.File(d4rl, "a") as file:
        file["infos/behaviour"] = who
    loaded = [priors.load(path) for path in (minari, d4rl)]
    for prior in loaded:
        np.testing.assert_array_equal(prior.behaviour, who)
        assert [len(part) for part in behaviours(prior)] == [4, 11]
    assert (
        loaded[0].sha256 == loaded[1].sha256 != priors.load(write_d4rl(tmp_path / "plain.hdf5", rows)).sha256
    )
    with h5py.File(d4rl, "a") as file:
        file["infos/behaviour"][1] = 9
    with pytest.raises(slrl.BadInput, match="the behaviour changes within an episode, at row 1"):
        priors.load(d4rl)


def test_a_single_behaviour_is_refused_in_one_sentence(small_prior: Prior) -> None:
    with pytest.raises(slrl.BadInput, match="only one behaviour to choose from"):
        slrl.load_adapter("roam", small_prior, slrl.load_scenario("windy_pointmass"))
