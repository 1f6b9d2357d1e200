"""One seed per life: everything random in it descends from that seed, and nothing from a global generator."""

from typing import NamedTuple

import numpy as np


class LifeSeeds(NamedTuple):
    """The independent parts of a life's randomness (``SeedSequence.spawn``)."""

    world: np.random.SeedSequence
    agent: np.random.SeedSequence
    adapter: np.random.SeedSequence


def of_life(seed: int) -> LifeSeeds:
    """The parts of the life with this seed."""
    return LifeSeeds(*np.random.SeedSequence(seed).spawn(3))


def seed_of(sequence: np.random.SeedSequence) -> int:
    """A seed for those who take an integer of 63 bits."""
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
