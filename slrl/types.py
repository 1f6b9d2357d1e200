"""The records that every part of slrl exchanges.

Shapes: B batch, N dataset rows, O observation dimension, A action dimension, E physical parameters.
Arrays are float32, actions are in [-1, 1], observations and rewards are in the world's own units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # torch takes seconds to import, and the command line needs these names without it
    from collections.abc import Callable

    from torch import Tensor

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Image = NDArray[np.uint8]  # (height, width, 3)
Metrics = dict[str, "float | Tensor"]  # scalars; tensors are only read when a metric is written down
State = dict[str, "Tensor"]  # a flat state_dict, as safetensors stores it


class Transition(NamedTuple):
    """One step of a life."""

    obs: F32  # (O,) before the action
    action: F32  # (A,) in [-1, 1]
    reward: float  # for arriving in next_obs
    next_obs: F32  # (O,)
    terminated: bool  # next_obs has no future: do not bootstrap
    truncated: bool  # the step budget ran out: bootstrap as usual


class Batch(NamedTuple):
    """Transitions stacked on axis B, as float32 torch tensors."""

    obs: Tensor  # (B, O)
    action: Tensor  # (B, A)
    reward: Tensor  # (B,) for arriving in next_obs
    next_obs: Tensor  # (B, O)
    terminated: Tensor  # (B,) 1 where next_obs has no future
    bootstrap: Tensor  # (B,) 0 where a TD target stops at next_obs: where terminated, or cut by the adapter
    row: Tensor  # (B,) int64 row of the buffer; the prior's rows come first


class Agent(Protocol):
    """A policy with its critics and optimisers, which can be improved from batches."""

    discount: float

    def act(self, obs: F32, *, sample: bool = True) -> F32:
        """The action (A,) in [-1, 1] for one observation (O,): drawn from the policy, or its mode."""
        ...

    def update(self, batch: Batch, *, improve_policy: bool = True) -> Metrics:
        """One gradient step of the critics and, with ``improve_policy``, of the policy; gives the losses."""
        ...

    def frozen_value(self) -> Value:
        """A copy of the present critics and policy that later updates do not touch."""
        ...

    def reseed(self, seed: int) -> None:
        """Start the agent's randomness anew, for example at the beginning of a life."""
        ...

    def state_dict(self) -> State:
        """Networks, optimisers and random streams: all that ``load_state_dict`` needs to go on."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Go on from what ``state_dict`` gave, of an agent with the same settings."""
        ...


class Value(Protocol):
    """What a frozen agent thinks states and actions are worth."""

    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """(B, O), (B, A) -> (B,): the smallest of the critics' estimates."""
        ...

    def v(self, obs: Tensor) -> Tensor:
        """(B, O) -> (B,): q at the policy's mode."""
        ...

    def tensors(self) -> list[Tensor]:
        """All weights and statistics that ``q`` and ``v`` depend on."""
        ...


class Guidance(Protocol):
    """A learned reward that keeps the agent near what it knows."""

    def update(self, prior: Batch, life: Batch, newest: Tensor) -> Metrics:
        """One learning step on prior rows, life rows and the newest observation (O,)."""
        ...

    def reward(self, batch: Batch) -> Tensor:
        """(B,): the reward to learn from, computed from the present guidance and never stored."""
        ...

    def state_dict(self) -> State:
        """All that ``load_state_dict`` needs to go on."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Go on from what ``state_dict`` gave."""
        ...


class DrawnEpisode(NamedTuple):
    """What an episode takes place in whose physical parameters were drawn."""

    env: Any  # a Gymnasium environment, not reset yet; valid until the next draw
    seed: int  # for its reset
    params: F32 | None  # (E,) the numbers that were drawn


class RandomisedWorld(Protocol):
    """The source world, with physical parameters that are drawn anew for every episode."""

    episode_steps: int

    def draw(self) -> DrawnEpisode:
        """The next episode; the one before is over."""
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...


class RandomisedSource(Protocol):
    """Where a prior was recorded, if other physical parameters can be drawn there."""

    @property
    def about(self) -> dict[str, Any]:
        """All that the world depends on, as JSON can hold it."""
        ...

    def open(self) -> RandomisedWorld:
        """The world, to be acted in."""
        ...


@runtime_checkable
class Watcher(Protocol):
    """An adapter that looks at pictures of the world."""

    def watch(self, view: Callable[[], Image] | None) -> None:
        """Called before the life. ``view()`` draws the world as it is then; None: it cannot be drawn."""
        ...


@runtime_checkable
class Recorder(Protocol):
    """An adapter that writes files of its own into the life's folder."""

    def files(self) -> dict[str, str]:
        """File names and their text, for example ``planner.jsonl``."""
        ...


@runtime_checkable
class Modal(Protocol):
    """An adapter that acts in several ways, and writes into the metric ``adapter/mode`` in which."""

    modes: tuple[str, ...]  # names, in the order of their numbers


class Adapter(Protocol):
    """What acts and learns during one life."""

    def act(self, obs: F32) -> F32:
        """The action (A,) in [-1, 1] for one observation (O,)."""
        ...

    def observe(self, transition: Transition) -> Metrics:
        """Take in one step, and say what was noticed. No weight changes."""
        ...

    def learn(self) -> Metrics:
        """Update what learns, from what was observed; called once after each step."""
        ...

    def state_dict(self) -> State:
        """All that the life has changed: weights, buffer rows and random streams."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Go on from what ``state_dict`` gave, of an adapter with the same settings and prior."""
        ...
