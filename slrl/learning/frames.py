"""A policy that sees relations instead of places: where things are from the hand, and from where they belong.

Cloned from the prior's successful episodes, it acts alike wherever the object lies: the difference between
hand and object is among what it knows, where the places themselves may not be. Differences are seen on two
scales, ``d`` and ``asinh(d / fine)``, of which the second resolves the last millimetres.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from slrl.errors import BadInput, Unsupported
from slrl.learning.cache import Artefact
from slrl.learning.regression import Regression
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.relations import CONTROLLED, Relation, entries_of
from slrl.plugins import table
from slrl.priors import Prior
from slrl.types import F32, Bools, Metrics, State

FEWEST = 20  # successful episodes; with fewer, all episodes are cloned
UNMOVED = 0.1  # of its spread: nearer to where an episode began, an object has not been moved yet
WIDER = 2.0  # spread of the goals that are drawn there, as a multiple of the prior's
LEAST_MOVE = 0.02  # of an entry's spread, in one step
Points = tuple[tuple[int, int, int], ...]  # declared relations: mover, moved, goal (-1: none)


@dataclass(frozen=True)
class Rows:
    """What the policy is cloned from."""

    seen: F32  # (N, D) features of the observations, and pace
    action: F32  # (N, A)


class FramesPolicy:
    """Features of an observation, and an ensemble that acts by them."""

    def __init__(self, settings: RegressionSettings, prior: Prior, points: Points, seed: int) -> None:
        entries = entries_of(prior)
        size = prior.obs.shape[1]
        if any(i >= size for point in points for i in point):
            last = max(map(max, points))
            raise BadInput(f"[adapter] points name entry {last}, and observations have {size} entries.")
        self.relations = entries.relations(points)
        if not any(relation.goal is not None for relation in self.relations):
            raise Unsupported(
                "nothing in the prior is moved to a goal by what the actions move; name entries in "
                "[adapter] points"
            )
        named = {
            i for relation in self.relations for i in (relation.mover, relation.moved, relation.goal)
        } - {None}
        # The height above the table is the same place in every episode; x and y of what lies on it are not.
        places = {relation.mover for relation in self.relations if not relation.free}
        controlled = [i for i in entries.varying if entries.controlled[i] > CONTROLLED]
        self.kept = [i for i in controlled if i not in named or i in places]
        rows = self._rows(prior, seed)
        self.regression = Regression(settings, rows.seen, rows.action, seed, torch.device("cpu"))
        self.steps = settings.steps

    def features(self, obs: F32, pace: float | NDArray[np.float32]) -> F32:
        """(…, O) -> (…, D): differences on two scales, the entries that are kept, and the pace."""
        columns: list[NDArray[np.float32]] = []
        reach = np.stack([obs[..., one.moved] - obs[..., one.mover] for one in self.relations], -1)
        fine = np.array([one.contact for one in self.relations], np.float32)
        columns += [reach, np.arcsinh(reach / fine), np.arcsinh(reach / (4 * fine)), _direction(reach, fine)]
        left, fine = self.left(obs), np.array([4 * one.arrival for one in self.aims], np.float32)
        columns += [left, np.arcsinh(left / fine), _direction(left, fine)]
        columns.append(obs[..., self.kept])
        columns.append(np.broadcast_to(np.float32(pace), obs.shape[:-1])[..., None])
        return np.concatenate(columns, -1).astype(np.float32)

    @property
    def aims(self) -> list[Relation]:
        """The relations whose moved entry has a goal."""
        return [one for one in self.relations if one.goal is not None]

    def left(self, obs: F32) -> F32:
        """(…, O) -> (…, G): how far the entries that have a goal are from it."""
        found = [obs[..., one.goal] - obs[..., one.moved] - one.offset for one in self.aims]
        return np.stack(found, -1).astype(np.float32)

    def act(self, obs: F32, pace: float) -> F32:
        """The action (A,) for an observation (O,), asked for at this pace: a rank from 0 to 1."""
        return self.regression.act(self.features(obs, pace))

    def _rows(self, prior: Prior, seed: int) -> Rows:
        succeeded = successful(prior)
        obs = self._relabelled(prior)
        self._draw_goals(prior, obs, seed)
        kept = succeeded[prior.episode]
        pace = paces(prior)[prior.episode]
        return Rows(self.features(obs, pace)[kept], prior.action[kept])

    def _draw_goals(self, prior: Prior, obs: F32, seed: int) -> None:
        """Change ``obs`` (N, O): where the object has not been moved yet, its goal may be anywhere.

        The way to the object does not depend on where it is to go. In the prior the two go together (the
        further to the right it lies, the further it is carried to the left), and a policy that saw them so
        goes to the goal without the object when it lies further to the right than ever.
        """
        rng = np.random.default_rng(seed)
        entries = [one.moved for one in self.aims]
        begun = prior.obs[prior.starts][prior.episode][:, entries]
        moved = (np.abs(prior.obs[:, entries] - begun) > UNMOVED * prior.obs[:, entries].std(0)).any(1)
        unmoved = np.zeros(len(prior), np.bool_)
        for first, last in zip(prior.starts, prior.ends, strict=True):
            unmoved[first : last + 1] = ~np.logical_or.accumulate(moved[first : last + 1])
        rows = np.flatnonzero(unmoved)
        drawn = rng.integers(len(prior), size=len(rows))
        for one in self.aims:
            left = prior.obs[:, one.goal] - prior.obs[:, one.moved]
            obs[rows, one.goal] = obs[rows, one.moved] + left.mean() + WIDER * (left[drawn] - left.mean())

    def _relabelled(self, prior: Prior) -> F32:
        """Observations (N, O) whose goals are where the object was put down next, at its goal or elsewhere.

        Play carries an object to many places; each is the goal of the way to it.
        """
        obs = prior.obs.copy()
        with_goal = self.aims
        moved, mover = ([getattr(one, what) for one in with_goal] for what in ("moved", "mover"))
        moves, leads = (_moves(prior, entries) for entries in (moved, mover))
        after = np.append(moves[1:] | ~leads[1:], True)  # the next row moves the object on, or nothing at all
        for first, last in zip(prior.starts, prior.ends, strict=True):
            put = prior.next_obs[last, moved]
            for row in range(last, first - 1, -1):
                if row < last and moves[row] and not after[row]:  # the hand goes on without it
                    put = prior.next_obs[row, moved]
                for one, place in zip(with_goal, put, strict=True):
                    assert one.goal is not None
                    if abs(prior.obs[row, one.goal] - place - one.offset) > 4 * one.arrival:
                        obs[row, one.goal] = place + one.offset
        return obs

    def learn(self) -> Iterator[Metrics]:
        """Train the ensemble."""
        return self.regression.learn()

    def state_dict(self) -> State:
        """The ensemble's state; relations are found in the prior again."""
        return self.regression.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load the ensemble's state, in place."""
        self.regression.load_state_dict(state)


def successful(prior: Prior) -> Bools:
    """(episodes,) which episodes succeed; all of them if fewer than ``FEWEST`` do."""
    found = np.zeros(prior.episodes, np.bool_)
    found[prior.episode[prior.terminated & (prior.reward > 0)]] = True
    return found if found.sum() >= FEWEST else np.ones(prior.episodes, np.bool_)


def _direction(difference: NDArray[np.float32], fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """(…, D) -> (…, D): the unit vector, shorter where the difference is as small as ``fine`` (D,).

    Which way to go is the same however far it is, so that it can be learned from shorter ways.
    """
    norm = np.sqrt((difference**2).sum(-1, keepdims=True))
    found: NDArray[np.float32] = difference / (norm + np.sqrt((fine**2).sum()))
    return found


def _moves(prior: Prior, entries: list[int]) -> Bools:
    """(N,) whether any of these entries changes noticeably in a row."""
    step = np.abs(prior.next_obs[:, entries] - prior.obs[:, entries])
    found: Bools = (step > LEAST_MOVE * prior.obs[:, entries].std(0)).any(1)
    return found


def paces(prior: Prior) -> NDArray[np.float32]:
    """(episodes,) the rank, from 0 to 1, of each episode's mean size of an action among all episodes."""
    size = np.linalg.norm(prior.action, axis=1)
    mean = np.bincount(prior.episode, weights=size) / np.bincount(prior.episode)
    return (np.argsort(np.argsort(mean)) / max(len(mean) - 1, 1)).astype(np.float32)


def artefact(
    settings: RegressionSettings, prior: Artefact[Prior], points: Points, seed: int
) -> Artefact[FramesPolicy]:
    """The policy that is cloned from a prior."""
    return Artefact(
        name="frames",
        build=lambda prior: FramesPolicy(settings, prior, points, seed),
        about={"regression": table(settings), "points": [list(one) for one in points], "seed": seed},
        needs=(prior,),
        version=2,
        steps=settings.steps,
        ms_per_step=1.5 * settings.members,
    )
