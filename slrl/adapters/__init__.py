"""Adapters: ways of acting and learning during a life, one file each; adapters/<name>.toml says which, and with what.

A file has a frozen dataclass ``Settings``, ``make(settings, setup)``, which assembles the adapter, and, where
more than the method's agent is learned before the life, ``artefacts(settings, plan)``, which lists all of it.
"""

from slrl.adapters.method import Method, load, parse, planners

__all__ = ["Method", "load", "parse", "planners"]
