"""Ensembles of policies by regression: they learn, members differ, their mean acts, states come back."""

import numpy as np
import pytest
import torch

from slrl.errors import BadInput
from slrl.learning.regression import Regression, Settings
from slrl.plugins import bind

CPU = torch.device("cpu")


def data(rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    return x, np.tanh(np.column_stack([x[:, 0] - x[:, 1], 0.5 * x[:, 2]])).astype(np.float32)


def made(steps: int, seed: int = 0, members: int = 3) -> Regression:
    settings = Settings(members=members, hidden=(32,), steps=steps, batch_size=64)
    found = Regression(settings, *data(), seed, CPU)
    for _ in found.learn():
        pass
    return found


def error(regression: Regression) -> float:
    x, y = data()
    return float(
        np.mean([(regression.act(row) - wanted) ** 2 for row, wanted in zip(x[:100], y, strict=False)])
    )


def test_it_learns() -> None:
    assert error(made(1)) > 0.1
    assert error(made(300)) < 0.01


def test_the_mean_of_the_members_acts_and_they_are_not_alike() -> None:
    regression = made(50)
    x = data()[0][:1]
    each = regression.predict(torch.from_numpy(x))[:, 0].detach().numpy()
    assert np.ptp(each, 0).min() > 1e-4
    assert regression.act(x[0]) == pytest.approx(each.mean(0), abs=1e-6)


def test_a_seed_gives_the_same_policy_and_another_seed_another() -> None:
    x = data()[0][0]
    one, again, other = (made(20, seed).act(x) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_its_state_comes_back_with_the_scale_of_the_inputs() -> None:
    x, y = data()
    one, two = made(20), Regression(Settings(hidden=(32,), steps=20, batch_size=64), 5 * x, y, 3, CPU)
    two.load_state_dict(one.state_dict())
    assert np.array_equal(one.act(x[0]), two.act(x[0]))


def test_an_input_that_does_not_vary_is_ignored() -> None:
    x, y = data()
    x[:, 1] = 0.25
    regression = Regression(Settings(hidden=(8,), steps=1), x, y, 0, CPU)
    one, two = x[0].copy(), x[0].copy()
    two[1] = 100.0
    assert np.array_equal(regression.act(one), regression.act(two))


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    regression, seen = Regression(Settings(hidden=(8,), steps=4, lr=1.0), *data(), 0, CPU), []
    from slrl.learning import regression as module

    class Watched(module.Adam):
        def step(self, gradients: object) -> None:
            seen.append(self.lr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Adam", Watched)
        for _ in regression.learn():
            pass
    assert seen == pytest.approx([1, 0.5 * (1 + np.sqrt(0.5)), 0.5, 0.5 * (1 - np.sqrt(0.5))])


@pytest.mark.parametrize("wrong", [{"members": 0}, {"lr": 0.0}, {"steps": 0}])
def test_wrong_settings_are_one_sentence(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        bind(Settings, wrong, where="[adapter.regression]")
