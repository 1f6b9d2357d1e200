"""Behaviours: what acts while a prior is recorded, one file each, by whose name priors/*.toml call it.

A file has a dataclass ``Settings`` and ``make(settings, env, rng)``, which returns a
:class:`slrl.recording.recipes.Behaviour`. ``env`` is the recipe's world, of which a behaviour may read more
than its observations; ``rng`` is all that it may draw from.
"""
