"""Shifts: what differs between source and target, one file each, by whose name scenarios/*.toml call it.

A file has a dataclass ``Settings``, ``make(settings, env) -> env``, which wraps an environment, and
``describe(settings) -> Description``, which says in words (and for the picture, where it has a direction)
what ``make`` does. Every shift can begin at a ``start_step`` of the life, says the unit of a setting in its
name, and is undone when the environment closes.
"""

from typing import NamedTuple


class Description(NamedTuple):
    """A shift in words, and the mean drift it causes per step in the world's plane, where it has one."""

    text: str
    drift: tuple[float, float] | None = None


def since(start_step: int) -> str:
    """The end of a description: from which step on; empty for a shift that acts from the start."""
    return f" from step {start_step:,}" if start_step else ""
