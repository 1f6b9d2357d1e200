"""Objectives that learn from the prior before the life, one file each; the file name is the name in adapters/*.toml."""

from typing import Protocol

from slrl.types import Batch, Metrics


class Objective(Protocol):
    """Improves an agent from prior rows alone."""

    def update(self, batch: Batch) -> Metrics:
        """One gradient step; ``batch.row`` are rows of the prior."""
        ...
