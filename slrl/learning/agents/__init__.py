"""Agents: policy, critics and optimisers, one file each, named in adapters/*.toml by its file name."""
