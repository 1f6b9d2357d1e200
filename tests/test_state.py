"""Flat states, and the seeds that everything random descends from."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
import torch

from slrl.learning import seeds, state


def test_a_nested_state_is_taken_apart_again() -> None:
    a, b = {"w": torch.ones(2), "rng.x": torch.zeros(1)}, {"w": torch.tensor(3.0)}
    whole = state.nest(agent=a, guidance=b, agent2=b)
    assert sorted(whole) == ["agent.rng.x", "agent.w", "agent2.w", "guidance.w"]
    assert state.substate(whole, "agent") == a  # the same tensors, and none of agent2
    assert state.substate(whole, "guidance") == b
    assert state.substate(whole, "nobody") == {}
    outer = state.nest(adapter=whole)
    assert state.substate(state.substate(outer, "adapter"), "agent") == a


@pytest.mark.parametrize("text", ["a", "no ASCII: γ → ∞", "line\nline\0end "])
def test_a_text_is_kept_as_its_bytes(text: str) -> None:
    kept = state.of_text(text)
    assert kept.dtype == torch.uint8
    assert bytes(kept.tolist()) == text.encode()
    assert state.text_of(kept) == text


def test_a_generator_goes_on_from_where_another_stood() -> None:
    one, other = np.random.default_rng(3), np.random.default_rng(4)
    one.normal(size=7)
    saved = state.of_rng(one)
    expected = one.normal(size=5).tolist()
    assert other.normal(size=5).tolist() != expected
    state.set_rng(other, saved)
    assert other.normal(size=5).tolist() == expected
    state.set_rng(other, saved)  # reading does not use it up
    assert other.normal(size=5).tolist() == expected


def test_a_list_of_tensors_is_copied_and_written_in_place() -> None:
    own = [torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(3.0)]
    saved = state.of_tensors(own)
    state.set_tensors(own, {"0": torch.tensor([7.0, 8.0]), "1": torch.tensor(9.0)})
    assert (own[0].tolist(), own[1].item()) == ([7, 8], 9)
    assert own[0].requires_grad
    assert (saved["0"].tolist(), saved["1"].item()) == ([1, 2], 3)  # a copy: it did not change with them
    assert not saved["0"].requires_grad
    state.set_tensors(own, saved)
    assert own[0].tolist() == [1, 2]


def test_a_fingerprint_is_of_values_and_their_order() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0])
    expected = hashlib.sha256(np.array([1, 2, 3], "<f4").tobytes()).hexdigest()
    assert state.fingerprint([a, b]) == expected
    assert state.fingerprint([a.clone().requires_grad_(), b]) == expected
    assert state.fingerprint([b, a]) != expected
    assert state.fingerprint([a, torch.tensor([3.0001])]) != expected


# --- seeds --------------------------------------------------------------------------------------------------


def test_the_parts_of_a_life_have_independent_streams() -> None:
    drawn = [np.random.default_rng(part).normal(size=4000) for part in seeds.of_life(5)]
    assert len(drawn) == 3
    for one, other in combinations(drawn, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.07  # 4.4 standard deviations of 1 / sqrt(4000)


def test_the_same_life_has_the_same_streams_and_another_one_others() -> None:
    same, again, other = (tuple(map(seeds.seed_of, seeds.of_life(seed))) for seed in (5, 5, 6))
    assert same == again
    assert len({*same, *other}) == 6


def test_the_parts_of_a_life_are_numpys_children_of_its_seed() -> None:
    world, agent, adapter = seeds.of_life(11)
    assert [part.spawn_key for part in (world, agent, adapter)] == [(0,), (1,), (2,)]
    assert {part.entropy for part in (world, agent, adapter)} == {11}


def test_a_pretraining_has_thirteen_different_seeds() -> None:
    assert len(set(seeds.of_pretraining(0))) == len(seeds.of_pretraining(0)) == 13


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_pretrainings_of_the_same_seed_agree_and_those_of_others_share_nothing(seed: int) -> None:
    assert seeds.of_pretraining(seed) == seeds.of_pretraining(seed)
    assert not set(seeds.of_pretraining(seed)) & set(seeds.of_pretraining(seed + 1))


def test_a_seed_is_the_upper_63_bits_of_what_numpy_draws() -> None:
    for entropy in range(20):
        sequence = np.random.SeedSequence(entropy)
        word = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        assert seeds.seed_of(sequence) == word // 2
        torch.Generator().manual_seed(seeds.seed_of(sequence))  # torch takes no more than 63 bits
