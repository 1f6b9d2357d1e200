"""Networks, their optimiser and the scale of observations, against numbers by hand and against torch.nn."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from slrl.learning.networks import Adam, Normaliser, mlp, mlp_params, stack

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")


def drawn(*sizes: int, seed: int = 0, **more: object) -> list[Tensor]:
    return mlp_params(sizes, torch.Generator().manual_seed(seed), CPU, **more)  # type: ignore[arg-type]


def torch_net(params: list[Tensor], layer_norm: bool) -> torch.nn.Sequential:
    """The same network in torch's own modules."""
    layers: list[torch.nn.Module] = []
    stride = 4 if layer_norm else 2
    for i in range(0, len(params), stride):
        linear = torch.nn.Linear(*params[i].shape)
        linear.weight.data, linear.bias.data = params[i].detach().T.clone(), params[i + 1].detach().clone()
        layers.append(linear)
        if i + 2 >= len(params):
            break
        if layer_norm:
            norm = torch.nn.LayerNorm(params[i].shape[1])
            norm.weight.data, norm.bias.data = params[i + 2].detach(), params[i + 3].detach()
            layers.append(norm)
        layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


def shaken(params: list[Tensor]) -> list[Tensor]:
    """Biases, gains and shifts as they are after some learning: not 0 and 1."""
    generator = torch.Generator().manual_seed(5)
    return [p.detach() + 0.3 * torch.randn(p.shape, generator=generator) for p in params]


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 5, 3)])
def test_a_network_is_that_of_torch_with_the_same_weights(layer_norm: bool, hidden: tuple[int, ...]) -> None:
    params = shaken(drawn(4, *hidden, 2, layer_norm=layer_norm))
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mlp(params, x, layer_norm=layer_norm), torch_net(params, layer_norm)(x))


def test_a_network_by_hand() -> None:
    """Hidden: relu(1 + 1 · 2, 1 · (-2) + 1) = (3, 0); out: 10 · 3 + 100 · 0 - 4 = 26."""
    params = [
        torch.tensor([[2.0, -2.0]]),
        torch.ones(2),
        torch.tensor([[10.0], [100.0]]),
        torch.tensor([-4.0]),
    ]
    assert mlp(params, torch.tensor([[1.0]])).tolist() == [[26.0]]


def test_the_output_of_a_network_is_not_rectified() -> None:
    params = [torch.tensor([[1.0]]), torch.zeros(1)]
    assert mlp(params, torch.tensor([[-3.0], [3.0]]))[:, 0].tolist() == [-3, 3]


@pytest.mark.parametrize("own_inputs", [False, True])
def test_a_stack_has_any_number_of_outputs_and_takes_one_input_for_all_or_one_each(own_inputs: bool) -> None:
    params = shaken(drawn(3, 6, 4, heads=5))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(5, 7, 3, generator=generator) if own_inputs else torch.randn(7, 3, generator=generator)
    found = stack(params, x)
    assert found.shape == (5, 7, 4)
    for k in range(5):
        one = [params[0][k], params[1][k, 0], params[2][k], params[3][k, 0]]
        torch.testing.assert_close(found[k], mlp(one, x[k] if own_inputs else x))


def test_first_weights_fill_the_range_of_xavier_and_biases_are_zero() -> None:
    """sqrt(6 / (30 + 60)) = 0.258; a uniform distribution on ±b has deviation b / sqrt(3)."""
    first, bias, gain, shift, *_ = drawn(30, 60, 1, layer_norm=True)
    bound = math.sqrt(6 / 90)
    assert first.abs().max().item() <= bound
    assert first.max().item() > 0.99 * bound
    assert first.min().item() < -0.99 * bound
    assert first.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert (bias.unique().tolist(), gain.unique().tolist(), shift.unique().tolist()) == ([0], [1], [0])


@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_shapes_of_the_weights(heads: int | None, layer_norm: bool) -> None:
    """LayerNorm stands after each hidden layer and not after the output."""
    lead, row = ([], []) if heads is None else ([heads], [1])
    norm = [[*lead, *row, 8]] * 2 if layer_norm else []
    expected = [[*lead, 4, 8], [*lead, *row, 8], *norm, [*lead, 8, 8], [*lead, *row, 8], *norm]
    expected += [[*lead, 8, 2], [*lead, *row, 2]]
    params = drawn(4, 8, 8, 2, heads=heads, layer_norm=layer_norm)
    assert [list(p.shape) for p in params] == expected
    assert all(p.requires_grad and p.is_leaf for p in params)


def test_weights_depend_on_the_seed_and_differ_between_heads() -> None:
    same, again, other = drawn(4, 4, heads=2), drawn(4, 4, heads=2), drawn(4, 4, heads=2, seed=1)
    assert torch.equal(same[0], again[0])
    assert not torch.equal(same[0], other[0])
    assert not torch.equal(same[0][0], same[0][1])


# --- Adam ---------------------------------------------------------------------------------------------------


def test_the_first_step_of_adam_is_the_learning_rate_against_the_sign_of_the_gradient() -> None:
    params = [torch.tensor([1.0, 1.0, 1.0])]
    Adam(params, 0.1).step([torch.tensor([5.0, -0.01, 0.0])])
    np.testing.assert_allclose(params[0], [0.9, 1.1, 1.0], rtol=1e-6)


def test_two_steps_of_adam_by_hand() -> None:
    """g = 1, then 3: m = 0.1, 0.39; v = 0.001, 0.009999; both divided by 1 - β^t."""
    params = [torch.zeros(1, dtype=torch.float64)]
    optimiser = Adam(params, 0.01)
    optimiser.step([torch.tensor([1.0], dtype=torch.float64)])
    optimiser.step([torch.tensor([3.0], dtype=torch.float64)])
    second = 0.01 * (0.39 / (1 - 0.81)) / (math.sqrt(0.009999 / (1 - 0.998001)) + 1e-8)
    assert params[0].item() == pytest.approx(-0.01 - second, rel=1e-6)
    mean, square, steps = optimiser.tensors()
    assert (mean.item(), square.item(), steps.item()) == (pytest.approx(0.39), pytest.approx(0.009999), 2)


def test_adam_descends_a_real_loss_exactly_as_torch_does() -> None:
    x = torch.randn(32, 3, generator=torch.Generator().manual_seed(4))
    ours, theirs = drawn(3, 8, 1), drawn(3, 8, 1)
    mine, reference = Adam(ours, 3e-3), torch.optim.Adam(theirs, 3e-3, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(50):
        loss = (mlp(ours, x) - x[:, :1].sin()).square().mean()
        mine.step(torch.autograd.grad(loss, ours))
        reference.zero_grad()
        (mlp(theirs, x) - x[:, :1].sin()).square().mean().backward()  # type: ignore[no-untyped-call]
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_tensors_of_adam_are_all_that_it_needs_to_go_on() -> None:
    gradients = [torch.tensor([g, -2 * g]) for g in (1.0, -0.5, 0.25, 3.0)]
    straight = [torch.zeros(2)]
    whole = Adam(straight, 0.1)
    for g in gradients:
        whole.step([g])
    halfway = [torch.zeros(2)]
    first = Adam(halfway, 0.1)
    for g in gradients[:2]:
        first.step([g])
    second = Adam(halfway, 0.1)
    for mine, saved in zip(second.tensors(), first.tensors(), strict=True):
        mine.copy_(saved)
    for g in gradients[2:]:
        second.step([g])
    assert torch.equal(halfway[0], straight[0])


# --- the scale of observations ------------------------------------------------------------------------------


def test_the_normaliser_by_hand() -> None:
    """Observations 0 and 8 have mean 4 and deviation 4: 4 -> 0, 8 -> asinh 1, -8 -> -asinh 3.

    A constant is divided by 0.1.
    """
    rows = rows_of([2], obs_dim=2)
    rows.obs[:] = [[0, 7], [8, 7]]
    normaliser = Normaliser(prior_of(rows), CPU)
    assert (normaliser.mean.tolist(), normaliser.scale.tolist()) == ([4, 7], [4, pytest.approx(0.1)])
    found = normaliser(torch.tensor([[4.0, 7.0], [8.0, 7.1], [-8.0, 6.9]]))
    unit = math.asinh(1)
    np.testing.assert_allclose(found, [[0, 0], [unit, unit], [-math.asinh(3), -unit]], atol=1e-5)


def test_the_least_scale_can_be_chosen() -> None:
    rows = rows_of([2], obs_dim=1)
    rows.obs[:] = [[0], [8]]
    assert Normaliser(prior_of(rows), CPU, min_scale=5.0).scale.tolist() == [5]
    assert Normaliser(prior_of(rows), CPU, min_scale=3.0).scale.tolist() == [4]
