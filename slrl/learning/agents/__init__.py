"""Agents: policy, critics and optimisers, one file each; the file name is the name used in adapters/*.toml."""
