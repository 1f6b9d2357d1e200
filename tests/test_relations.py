"""What is found in a prior's rows: copies, what actions move, what moves what, and to where."""

import numpy as np
import pytest

from slrl.learning.relations import Entries, Relation
from slrl.priors import Prior

from .conftest import prior_of, rows_of
from .things import carried, pressed

CARRIED, PRESSED = carried(), pressed()


def with_entries(prior: Prior, *more: tuple[np.ndarray, np.ndarray]) -> Prior:
    """Further entries at the end of each observation: (N,) before and (N,) after the step."""
    rows = rows_of([1])._replace(
        **{key: getattr(prior, key) for key in ("action", "reward", "terminated", "truncated", "episode")},
        obs=np.column_stack([prior.obs, *(before for before, _ in more)]).astype(np.float32),
        next_obs=np.column_stack([prior.next_obs, *(after for _, after in more)]).astype(np.float32),
    )
    return prior_of(rows)


def test_a_hand_that_carries_an_object_to_its_goal_is_found_axis_by_axis() -> None:
    entries = Entries(CARRIED)
    assert entries.together() == [(0, 2), (1, 3)]
    assert {(2, 4), (3, 5)} <= set(entries.arrivals())
    found = entries.relations()
    assert [(one.mover, one.moved, one.goal, one.free) for one in found] == [(0, 2, 4, True), (1, 3, 5, True)]
    # It is held at the place where it was grasped, within 0.15, and put down within 0.1 of its goal.
    assert all(0.01 < one.contact < 0.15 and 0.001 < one.arrival < 0.1 for one in found)


def test_nothing_is_found_where_nothing_is_carried() -> None:
    entries = Entries(PRESSED)
    assert entries.together() == []
    assert entries.relations() == []


def test_declared_points_replace_what_is_found() -> None:
    assert Entries(PRESSED).relations([(0, 6, -1)]) == [
        Relation(6, 0, None, contact=Entries(PRESSED).relations([(0, 6, -1)])[0].contact)
    ]


def test_entries_by_what_they_do() -> None:
    entries = Entries(PRESSED)
    assert entries.varying == [0, 1, 6, 7]
    assert [i for i in entries.varying if entries.slow[i]] == [0, 6, 7]
    assert entries.controlled[0] > 0.9
    assert entries.controlled[1] > 0.9
    assert max(entries.controlled[6], entries.controlled[7]) < 0.2
    assert Entries(CARRIED).fixed.tolist() == [False] * 4 + [True] * 4


def test_copies_of_this_or_the_last_step_are_no_entries_of_their_own() -> None:
    now, after = CARRIED.obs[:, 0], CARRIED.next_obs[:, 0]
    late = np.where(np.diff(CARRIED.episode, prepend=-1) > 0, now, np.append(0, now[:-1]))
    entries = Entries(with_entries(CARRIED, (now, after), (late, now)))
    assert entries.varying == [0, 1, 2, 3, 4, 5]


def test_drift_by_hand() -> None:
    """Alternating -1 and 1 is the same ten steps later; a ramp of 1 a step changes by 10."""
    rows = rows_of([40], obs_dim=2)
    steps = np.arange(41)
    path = np.column_stack([(-1.0) ** steps, steps]).astype(np.float32)
    entries = Entries(prior_of(rows._replace(obs=path[:-1], next_obs=path[1:])))
    assert entries.drift == pytest.approx([0, 10 / np.arange(40).std()])


@pytest.mark.parametrize(("slope", "found"), [(1.0, True), (0.7, False)])
def test_only_what_moves_by_as_much_is_moved(slope: float, found: bool) -> None:
    """A gear turns with the hand, and is not carried by it."""
    geared = slope * CARRIED.obs[:, 2] + 3, slope * CARRIED.next_obs[:, 2] + 3
    entries = Entries(with_entries(CARRIED, geared))
    assert ((0, 8) in entries.together()) == found
