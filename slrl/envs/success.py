"""When a life counts as done: by the world's info, a threshold on it or on the observation, or a function."""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from slrl.errors import BadInput
from slrl.plugins import import_failed
from slrl.scenarios import Scenario


@dataclass(frozen=True)
class Success:
    """A test of one step, from the observation that it arrived in and its info."""

    info: str  # the key that is looked at, unless ``obs`` or ``function`` is set
    obs: int | None = None  # the entry of the observation that is looked at instead
    above: float | None = None  # reached when the number is at least this
    below: float | None = None  # reached when the number is at most this
    function: Callable[[Any, dict[str, Any]], Any] | None = None

    @classmethod
    def of(cls, scenario: Scenario) -> "Success":
        """The test that a scenario names."""
        function = (
            None
            if scenario.success_function is None
            else imported(scenario.success_function, "success_function")
        )
        return cls(
            scenario.success_info,
            scenario.success_obs,
            scenario.success_above,
            scenario.success_below,
            function,
        )

    def __call__(self, obs: np.ndarray, info: dict[str, Any]) -> bool:
        if self.function is not None:
            return is_true(self.function(obs, info), "the function of the success test")
        self.refuse_outside(len(obs))
        value = look_up(info, self.info) if self.obs is None else obs[self.obs]
        if self.above is None and self.below is None:
            return is_true(value, f"info[{self.info!r}]")
        number = number_of(value, f"info[{self.info!r}]")
        return (self.above is None or number >= self.above) and (self.below is None or number <= self.below)

    def refuse_outside(self, size: int) -> None:
        """Refuse an entry that an observation of this size has not.

        Raises:
            BadInput: with the entries that there are.
        """
        if self.obs is not None and self.function is None and not 0 <= self.obs < size:
            raise BadInput(
                f"'success_obs' is {self.obs}, but the observation has the entries 0 to {size - 1}."
            )


class WithSuccess(gym.Wrapper[Any, Any, Any, Any]):
    """Writes ``success`` into the info of every step, whatever the world says there.

    Raises:
        BadInput: if the test looks at an entry that the world's observation has not.
    """

    def __init__(self, env: gym.Env[Any, Any], success: Success) -> None:
        super().__init__(env)
        success.refuse_outside((env.observation_space.shape or (0,))[0])
        self._success = success

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """A step of the world; what it calls terminated stays as it is."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, {**info, "success": self._success(obs, info)}


def look_up(info: dict[str, Any], key: str) -> Any:
    """``info[key]``.

    Raises:
        BadInput: with the keys that there are.
    """
    if key not in info:
        raise BadInput(
            f"the environment's info has no {key!r}; it has {', '.join(sorted(info)) or 'nothing'}."
        )
    return info[key]


def is_true(value: Any, what: str) -> bool:
    """Whether ``value`` says yes: True, or any finite number but 0. A world that says NaN has said nothing.

    Raises:
        BadInput: if it is no single truth or number; the sentence begins with ``what``.
    """
    number = number_of(value, what)
    return math.isfinite(number) and number != 0


def number_of(value: Any, what: str) -> float:
    """A truth or a number as a float, also out of an array of one element; NaN for None.

    Raises:
        BadInput: if it is something else; the sentence begins with ``what``.
    """
    if value is None:
        return float("nan")
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise BadInput(f"{what} must be one truth or number, not {value!r}.")
    return float(array.reshape(-1)[0])


def imported(name: str, key: str) -> Callable[..., Any]:
    """The function that a scenario names as ``module:function`` in its setting ``key``.

    Raises:
        BadInput: if it is not named so, or is not there.
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise BadInput(f"{key!r} must be module:function, not {name!r}.")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError:
        raise BadInput(f"{key!r} is {name!r}, but Python finds no module {module!r} here.") from None
    except Exception as error:  # whatever a user's module raises while it is imported
        raise import_failed(f"{key!r} is {name!r}", module, error) from error
    if not callable(found):
        raise BadInput(f"{key!r} is {name!r}, but the module {module!r} has no function {attribute!r}.")
    function: Callable[..., Any] = found
    return function
