"""Walks a maze from cell to cell along the shortest route, with noise, as D4RL's maze data were recorded."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import plugins
from slrl.types import F32

GOAL, POSITION, VELOCITY = slice(2, 4), slice(4, 6), slice(6, 8)  # of a flattened maze observation
Cell = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ranges are [lowest, highest], of which every episode draws its own value uniformly."""

    detours: tuple[float, ...] = (1.0,)  # shares of the episodes that visit 0, 1, 2, … random cells first
    strength: tuple[float, float] = (1.0, 1.0)  # of full force
    noise: tuple[float, float] = (0.0, 0.0)  # standard deviation of each entry of the action
    gives_up: float = 0.0  # share of the episodes with detours that never go to the goal
    avoid: tuple[Cell, ...] = ()  # [row, column] of cells that the map shows as open and that are not

    def __post_init__(self) -> None:
        plugins.require(sum(self.detours) > 0 and min(self.detours) >= 0, "detours needs shares of 0 or more")
        plugins.share(self, "gives_up")


class MazeWaypoints:
    """A PD controller from centre to centre of the cells of a Gymnasium-Robotics maze."""

    def __init__(self, settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        self._settings, self._world, self._rng = settings, env.unwrapped, rng
        self._detours = np.array(settings.detours) / sum(settings.detours)
        self._route: list[np.ndarray] = []
        self._strength = self._noise = 0.0  # of this episode

    def reset(self, obs: F32) -> None:
        """Draw strength, noise and detours of the episode, and find the route."""
        rng, maze, settings = self._rng, self._maze, self._settings
        self._strength, self._noise = rng.uniform(*settings.strength), rng.uniform(*settings.noise)
        visits = int(rng.choice(len(self._detours), p=self._detours))
        cells = self._open_cells()
        stops = [self._cell(obs[POSITION]), *(cells[rng.integers(len(cells))] for _ in range(visits))]
        if not (visits and rng.random() < settings.gives_up):
            stops.append(self._cell(obs[GOAL]))
        route = [cell for start, end in pairwise(stops) for cell in self._shortest(start, end)[1:]]
        self._route = [np.asarray(maze.cell_rowcol_to_xy(np.array(cell))) for cell in route]
        if stops[-1] == self._cell(obs[GOAL]):
            self._route.append(obs[GOAL].astype(np.float64))

    def act(self, obs: F32) -> F32:
        """A force (2,) towards the next point of the route; a point counts as reached within 0.3 m."""
        while len(self._route) > 1 and np.hypot(*(self._route[0] - obs[POSITION])) < 0.3:
            self._route.pop(0)
        target = self._route[0] if self._route else obs[POSITION]
        push = self._strength * np.clip(10.0 * (target - obs[POSITION]) - 1.0 * obs[VELOCITY], -1, 1)
        return np.clip(push + self._noise * self._rng.standard_normal(2), -1, 1).astype(np.float32)

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
        return [cell for cell in cells if cell not in self._settings.avoid]

    def _shortest(self, start: Cell, end: Cell) -> list[Cell]:
        """Breadth-first search; the start alone if no route exists."""
        free, came_from, queue = set(self._open_cells()), {start: start}, deque([start])
        while queue and end not in came_from:
            row, column = here = queue.popleft()
            for step in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if step in free and step not in came_from:
                    came_from[step] = here
                    queue.append(step)
        if end not in came_from:
            return [start]
        route = [end]
        while route[-1] != start:
            route.append(came_from[route[-1]])
        return route[::-1]


make = MazeWaypoints
