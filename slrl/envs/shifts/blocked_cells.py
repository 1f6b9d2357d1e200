"""Corridors of a maze that are walled off."""

from typing import Any

import gymnasium as gym
import numpy as np

from slrl.envs.shifts import Description, since
from slrl.envs.shifts.obstacles import Obstacles
from slrl.errors import BadInput

Cell = tuple[int, int]  # row, column, from 0, as in the maze's map


def make(env: gym.Env[Any, Any], cells: tuple[Cell, ...], start_step: int = 0) -> gym.Env[Any, Any]:
    """Fill cells of a Gymnasium-Robotics maze, each ``[row, column]``, with walls."""
    maze = getattr(env.unwrapped, "maze", None)
    if maze is None or not hasattr(maze, "cell_rowcol_to_xy"):
        raise BadInput(
            f"the shift 'blocked_cells' needs a maze of Gymnasium-Robotics, not {type(env.unwrapped).__name__}."
        )
    rows, columns = maze.map_length, maze.map_width
    half, height = maze.maze_size_scaling / 2, maze.maze_height * maze.maze_size_scaling / 2
    boxes = []
    for row, column in cells:
        if not (0 <= row < rows and 0 <= column < columns):
            size = f"{rows} x {columns}"
            raise BadInput(
                f"'cells' of the shift 'blocked_cells' must be inside the {size} maze, not [{row}, {column}]."
            )
        if maze.maze_map[row][column] == 1:
            raise BadInput(f"the cell [{row}, {column}] of the shift 'blocked_cells' is a wall already.")
        x, y = maze.cell_rowcol_to_xy(np.array([row, column]))
        boxes.append((float(x), float(y), height, half, half, height))
    if not boxes:
        raise BadInput("'cells' of the shift 'blocked_cells' needs at least one [row, column].")
    return Obstacles(env, tuple(boxes), start_step, "blocked_cells")


def describe(cells: tuple[Cell, ...], start_step: int = 0) -> Description:
    """The cells in words."""
    return Description(f"walls in the cells {', '.join(f'({r}, {c})' for r, c in cells)}{since(start_step)}")
