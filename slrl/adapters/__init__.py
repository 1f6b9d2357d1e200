"""Adapters: ways of acting and learning during a life, one file each, chosen by adapters/<name>.toml.

A file has a frozen dataclass ``Settings`` and ``make(settings, setup)``, which assembles the adapter. Where
more than the method's agent is learned before the life, it also has ``artefacts(settings, plan)``, which
lists everything to learn.
"""

from slrl.adapters.method import Method, load, parse, planners

__all__ = ["Method", "load", "parse", "planners"]
