"""Objectives for pretraining on the prior, one file each, named in adapters/*.toml by its file name."""

from typing import Protocol

from slrl.types import Batch, Metrics


class Objective(Protocol):
    """Improves an agent from prior rows alone.

    A file's ``make(settings, agent, rng, latents)`` gets the agent, the generator of its batches, and the
    latents of the prior's rows, or None where the method has none.
    """

    def update(self, batch: Batch) -> Metrics:
        """One gradient step; ``batch.row`` are rows of the prior."""
        ...
