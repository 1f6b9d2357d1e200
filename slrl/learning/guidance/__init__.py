"""Guidance: rewards learned during the life, one file each, named in adapters/*.toml by its file name."""
