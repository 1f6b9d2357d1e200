"""Lives: the loop, its settings, what it is summarised to, and pictures of it."""
