"""Corridors of a maze that are walled off."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.envs.shift import ShiftSettings
from slrl.envs.shifts import Description, since
from slrl.envs.shifts.obstacles import Obstacles
from slrl.errors import BadInput

Cell = tuple[int, int]  # row, column, from 0, as in the maze's map


@dataclass(frozen=True, kw_only=True)
class Settings(ShiftSettings):
    """Cells of a Gymnasium-Robotics maze that are filled with walls."""

    cells: tuple[Cell, ...]  # [row, column] each, one or more

    def __post_init__(self) -> None:
        super().__post_init__()
        plugins.require(len(self.cells) > 0, "cells needs at least one [row, column]")


def make(settings: Settings, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Put a box as high as the maze's walls into each cell.

    Raises:
        BadInput: if the world is no maze, or a cell is outside it or a wall already.
    """
    maze = getattr(env.unwrapped, "maze", None)
    if maze is None or not hasattr(maze, "cell_rowcol_to_xy"):
        raise BadInput(
            "the shift 'blocked_cells' needs a maze of Gymnasium-Robotics, not "
            f"{type(env.unwrapped).__name__}."
        )
    rows, columns = maze.map_length, maze.map_width
    half, height = maze.maze_size_scaling / 2, maze.maze_height * maze.maze_size_scaling / 2
    boxes = []
    for row, column in settings.cells:
        if not (0 <= row < rows and 0 <= column < columns):
            raise BadInput(
                f"'cells' of the shift 'blocked_cells' must be inside the {rows} x {columns} maze, not "
                f"[{row}, {column}]."
            )
        if maze.maze_map[row][column] == 1:
            raise BadInput(f"the cell [{row}, {column}] of the shift 'blocked_cells' is a wall already.")
        x, y = maze.cell_rowcol_to_xy(np.array([row, column]))
        boxes.append((float(x), float(y), height, half, half, height))
    return Obstacles(env, tuple(boxes), settings.start_step, "blocked_cells")


def describe(settings: Settings) -> Description:
    """The cells, as (row, column)."""
    cells = ", ".join(f"({row}, {column})" for row, column in settings.cells)
    return Description(f"walls in the cells {cells}{since(settings.start_step)}")
