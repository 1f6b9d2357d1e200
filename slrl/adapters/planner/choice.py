"""Choosing the next of several named skills: the question, and the choice without a language model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slrl.types import F32


@dataclass(frozen=True)
class NamedSkill:
    """A skill as a planner sees it."""

    name: str
    about: str  # its effect, as in the prior


@dataclass(frozen=True)
class Step:
    """One step of a plan."""

    skill: int  # index into the skills
    steps: int  # environment steps that it is held for


@dataclass(frozen=True)
class Attempt:
    """A skill that was carried out, and its progress."""

    began: int  # environment steps lived before it
    skill: int
    steps: int
    # gain of the pretrained value, in its standard deviations over the prior, plus the rewards
    progress: float
    moved: tuple[float, ...]  # change of each named entry of the observation
    # whether the planner judged afterwards that it brought the robot nearer
    judged: bool | None = None


@dataclass(frozen=True)
class Question:
    """What a planner knows when it has to choose."""

    lived: int  # environment steps
    life_steps: int  # the budget
    skills: Sequence[NamedSkill]
    durations: Sequence[int]  # steps for which a skill may be held, ascending
    history: Sequence[Attempt]  # the newest last
    failing: frozenset[int]  # skills without progress twice
    # (K,) standardised pretrained values of the skills; None where the state is unknown
    values: F32 | None
    obs: F32  # (O,)
    state: str  # the same in words
    entries: Sequence[str]  # the named entries that each Attempt's ``moved`` belongs to

    @property
    def usual(self) -> int:
        """The middle one of the durations."""
        return self.durations[len(self.durations) // 2]


def failing(history: Sequence[Attempt], least: float) -> frozenset[int]:
    """Skills with progress below ``least`` twice since any skill last reached it.

    After progress elsewhere a skill that failed may work again.
    """
    failures: dict[int, int] = {}
    for item in history:
        if item.progress >= least:
            failures.clear()
        else:
            failures[item.skill] = failures.get(item.skill, 0) + 1
    return frozenset(skill for skill, count in failures.items() if count >= 2)


def by_values(question: Question, temperature: float, rng: np.random.Generator) -> Step | None:
    """A draw from softmax(values / temperature).

    None where the values are unknown, or where the drawn skill is failing.
    """
    if question.values is None:
        return None
    weights = np.exp((question.values - question.values.max()).astype(np.float64) / temperature)
    skill = int(rng.choice(len(weights), p=weights / weights.sum()))
    return None if skill in question.failing else Step(skill, question.usual)


def by_bandit(question: Question, exploration: float) -> Step:
    """UCB1 on progress per step, over the skills that are not failing; each is tried once at first.

    If all are failing, the one tried longest ago. Rates are divided by the largest seen, so that
    ``exploration`` does not depend on their units.
    """
    history, count = question.history, len(question.skills)
    rates: list[list[float]] = [[] for _ in range(count)]
    last = [-1] * count
    for item in history:
        rates[item.skill].append(item.progress / item.steps)
        last[item.skill] = item.began
    allowed = [skill for skill in range(count) if skill not in question.failing]
    if not allowed:
        return Step(int(np.argmin(last)), question.usual)
    untried = [skill for skill in allowed if not rates[skill]]
    if untried:
        return Step(untried[0], question.usual)
    largest = max(abs(rate) for of_skill in rates for rate in of_skill) or 1.0

    def bound(skill: int) -> float:
        mine = rates[skill]
        return sum(mine) / len(mine) / largest + exploration * math.sqrt(math.log(len(history)) / len(mine))

    return Step(max(allowed, key=bound), question.usual)
