"""Seeds: one per life and one per pretraining; no randomness comes from a global generator."""

from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class LifeSeeds(NamedTuple):
    """The independent parts of a life's randomness (``SeedSequence.spawn``)."""

    world: np.random.SeedSequence
    agent: np.random.SeedSequence
    adapter: np.random.SeedSequence


def of_life(seed: int) -> LifeSeeds:
    """The independent streams of the life with this seed."""
    return LifeSeeds(*np.random.SeedSequence(seed).spawn(3))


def of_world(seed: int) -> int:
    """The 31-bit seed with which the world of this life is reset."""
    return seed_of(of_life(seed).world) % 2**31


class PretrainingSeeds(NamedTuple):
    """The seeds of a method's parts besides its agent, which uses the pretraining seed itself."""

    latents: int
    student: int
    skills: int
    monitor: int
    joint_critics: int
    model: int
    planner: int
    low: int
    high: int
    frames: int
    modes: int
    graph: int
    repertoire: int


def of_pretraining(seed: int) -> PretrainingSeeds:
    """One stream for each part of a method, by ``SeedSequence.spawn``."""
    return PretrainingSeeds(*map(seed_of, np.random.SeedSequence(seed).spawn(len(PretrainingSeeds._fields))))


def with_seed(settings: T, seed: int) -> T:
    """Settings (a dataclass with a field ``seed``) that use ``seed`` where they name none."""
    unset: Any = settings
    made: T = replace(unset, seed=seed) if unset.seed is None else settings
    return made


def seed_of(sequence: np.random.SeedSequence) -> int:
    """The sequence as a 63-bit integer seed."""
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
