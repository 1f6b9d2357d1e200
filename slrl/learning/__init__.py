"""Learning: networks, agents, guidance and what is learned from a prior before the life."""
