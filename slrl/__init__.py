"""slrl: single-life adaptation. A policy trained in one world is put into another, once.

One life, step by step:

>>> import slrl
>>> scenario = slrl.load_scenario("windy_pointmass")
>>> prior = slrl.load_prior(scenario.prior)
>>> adapter = slrl.load_adapter("qwale", prior, scenario, seed=0)
>>> life = slrl.live(slrl.make(scenario), adapter, seed=0)
>>> life.outcome, life.steps

``slrl.adapt("windy_pointmass", adapter="qwale", seed=0)`` does the same and keeps everything in a folder.
What cannot be used raises :class:`slrl.BadInput`, a ``ValueError`` whose message says what would be right.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("slrl")
__all__ = [
    "BadInput",
    "Life",
    "Prior",
    "Result",
    "Scenario",
    "adapt",
    "live",
    "load_adapter",
    "load_prior",
    "load_scenario",
    "make",
]

if TYPE_CHECKING:
    from slrl.envs import make as make
    from slrl.errors import BadInput as BadInput
    from slrl.lives.life import Life as Life
    from slrl.lives.life import live as live
    from slrl.lives.results import Result as Result
    from slrl.lives.run import adapt as adapt
    from slrl.lives.run import load_adapter as load_adapter
    from slrl.priors import Prior as Prior
    from slrl.recording.recipes import load_prior as load_prior
    from slrl.scenarios import Scenario as Scenario
    from slrl.scenarios import load as load_scenario

_WHERE = {
    "BadInput": ("slrl.errors", "BadInput"),
    "Life": ("slrl.lives.life", "Life"),
    "Prior": ("slrl.priors", "Prior"),
    "Result": ("slrl.lives.results", "Result"),
    "Scenario": ("slrl.scenarios", "Scenario"),
    "adapt": ("slrl.lives.run", "adapt"),
    "load_adapter": ("slrl.lives.run", "load_adapter"),
    "load_prior": ("slrl.recording.recipes", "load_prior"),
    "load_scenario": ("slrl.scenarios", "load"),
    "live": ("slrl.lives.life", "live"),
    "make": ("slrl.envs", "make"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds, and `slrl --help` should not."""
    if name not in _WHERE:
        raise AttributeError(f"module 'slrl' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
