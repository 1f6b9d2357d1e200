"""A walker of mazes that knows the map: from cell to cell along the shortest way, with noise, as D4RL's were recorded."""

from collections import deque
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np

from slrl.types import F32

GOAL, POSITION, VELOCITY = slice(2, 4), slice(4, 6), slice(6, 8)  # of a flattened maze observation
Cell = tuple[int, int]


class MazeWaypoints:
    """A PD controller from centre to centre of the cells of a Gymnasium-Robotics maze.

    Each episode draws how many random cells it visits before the goal, and its own strength and noise. ``avoid`` lists cells that
    the map shows as open and that are not.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        env: gym.Env[Any, Any],
        detours: tuple[float, ...] = (1.0,),
        strength: tuple[float, float] = (1.0, 1.0),
        noise: tuple[float, float] = (0.0, 0.0),
        gives_up: float = 0.0,
        avoid: tuple[Cell, ...] = (),
    ) -> None:
        self._rng, self._world = rng, env.unwrapped
        self._detours, self._strength, self._noise, self._gives_up = (
            np.array(detours) / sum(detours),
            strength,
            noise,
            gives_up,
        )
        self._avoid = set(avoid)
        self._way: list[np.ndarray] = []
        self._force = self._shake = 0.0

    def reset(self, obs: F32) -> None:
        rng, maze = self._rng, self._maze
        self._force, self._shake = rng.uniform(*self._strength), rng.uniform(*self._noise)
        visits = int(rng.choice(len(self._detours), p=self._detours))
        cells = self._open_cells()
        stops = [self._cell(obs[POSITION]), *(cells[rng.integers(len(cells))] for _ in range(visits))]
        if not (visits and rng.random() < self._gives_up):
            stops.append(self._cell(obs[GOAL]))
        way = [cell for start, end in pairwise(stops) for cell in self._shortest(start, end)[1:]]
        self._way = [np.asarray(maze.cell_rowcol_to_xy(np.array(cell))) for cell in way]
        if stops[-1] == self._cell(obs[GOAL]):
            self._way.append(obs[GOAL].astype(np.float64))

    def act(self, obs: F32) -> F32:
        while len(self._way) > 1 and np.hypot(*(self._way[0] - obs[POSITION])) < 0.3:
            self._way.pop(0)
        target = self._way[0] if self._way else obs[POSITION]
        push = self._force * np.clip(10.0 * (target - obs[POSITION]) - 1.0 * obs[VELOCITY], -1, 1)
        return np.clip(push + self._shake * self._rng.standard_normal(2), -1, 1).astype(np.float32)

    @property
    def _maze(self) -> Any:
        world: Any = self._world
        return world.maze

    def _cell(self, position: np.ndarray) -> Cell:
        row, column = self._maze.cell_xy_to_rowcol(np.asarray(position, np.float64))
        return int(row), int(column)

    def _open_cells(self) -> list[Cell]:
        grid = self._maze.maze_map
        cells = [(r, c) for r in range(len(grid)) for c in range(len(grid[0])) if grid[r][c] != 1]
        return [cell for cell in cells if cell not in self._avoid]

    def _shortest(self, start: Cell, end: Cell) -> list[Cell]:
        """Breadth-first search; the start alone if there is no way."""
        free, came_from, queue = set(self._open_cells()), {start: start}, deque([start])
        while queue and end not in came_from:
            row, column = here = queue.popleft()
            for step in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if step in free and step not in came_from:
                    came_from[step] = here
                    queue.append(step)
        if end not in came_from:
            return [start]
        way = [end]
        while way[-1] != start:
            way.append(came_from[way[-1]])
        return way[::-1]


make = MazeWaypoints
