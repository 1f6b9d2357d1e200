"""Guidance: rewards that are learned during the life, one file each; the file name is the name used in adapters/*.toml."""
