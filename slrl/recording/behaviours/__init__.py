"""Behaviours: what acts while a prior is recorded, one file each; the file name is the name used in priors/*.toml."""
