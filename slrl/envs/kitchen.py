"""The Franka kitchen with a pair of tasks, of which some may be done already at the start."""

from typing import Any

import numpy as np
from gymnasium_robotics.envs.franka_kitchen.kitchen_env import (
    OBS_ELEMENT_GOALS,
    OBS_ELEMENT_INDICES,
    KitchenEnv,
)

from slrl.errors import BadInput, unknown

D4RL_TASKS = ("microwave", "kettle", "light switch", "slide cabinet")


class Kitchen(KitchenEnv):  # type: ignore[misc]
    """``FrankaKitchen-v1`` with the goals, observations and actions that the data sets of D4RL/kitchen have.

    Of the ``pair``, one of the lists in ``to_do`` is drawn at reset; the rest of the pair is in its goal
    position from the start. Observation, flattened ``Box(81,)``: achieved goals (11), desired goals (11),
    robot and kitchen (59), as in the original.

    Reward: 1 in the step where both of the pair are done, else 0 (sparse). Termination: both done.
    Truncation: never. Info: ``success``, ``open`` (how many of the pair are not done), and
    Gymnasium-Robotics' own.
    """

    def __init__(
        self,
        pair: tuple[str, str] = ("light switch", "slide cabinet"),
        to_do: tuple[tuple[str, ...], ...] = (("light switch", "slide cabinet"),),
        **settings: Any,
    ) -> None:
        for task in (*pair, *(task for tasks in to_do for task in tasks)):
            if task not in OBS_ELEMENT_GOALS:
                raise unknown("kitchen task", task, OBS_ELEMENT_GOALS)
        if not set(pair) <= set(D4RL_TASKS) or any(not set(tasks) <= set(pair) for tasks in to_do):
            raise BadInput(
                f"'pair' of slrl/Kitchen-v0 must be two of {', '.join(D4RL_TASKS)}, and 'to_do' must list "
                "parts of the pair."
            )
        if not to_do:
            raise BadInput("'to_do' of slrl/Kitchen-v0 is empty; it must list at least one part of the pair.")
        super().__init__(tasks_to_complete=list(D4RL_TASKS), terminate_on_tasks_completed=False, **settings)
        self._pair, self._to_do = list(pair), [list(tasks) for tasks in to_do]
        self._start = self.robot_env.init_qpos.copy()

    def reset(self, *, seed: int | None = None, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Draw what is to do, and put the rest of the pair into its goal position."""
        super().reset(seed=seed, **options)
        to_do = self._to_do[self.np_random.integers(len(self._to_do))]
        start = self.robot_env.init_qpos.copy()
        for task in self._pair:
            if task not in to_do:
                start[OBS_ELEMENT_INDICES[task]] = OBS_ELEMENT_GOALS[task]
        self.robot_env.set_state(start, self.robot_env.init_qvel.copy())
        self.data.ctrl[:] = 0.0
        return self._copy(self._get_obs(self.robot_env._get_obs())), {"success": False, "open": len(to_do)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; a task is done when its joints are less than 0.3 from its goal, as in the original."""
        obs, _, _, _, info = super().step(action)
        left = [
            task for task in self._pair if np.linalg.norm(obs["achieved_goal"][task] - self.goal[task]) >= 0.3
        ]
        success = not left
        return (
            self._copy(obs),
            float(success),
            success,
            False,
            {**info, "success": success, "open": len(left)},
        )

    @staticmethod
    def _copy(obs: Any) -> Any:
        """Copies of the arrays, which Gymnasium-Robotics gives as views of a simulation that goes on."""
        return {
            key: Kitchen._copy(value) if isinstance(value, dict) else np.array(value)
            for key, value in obs.items()
        }
