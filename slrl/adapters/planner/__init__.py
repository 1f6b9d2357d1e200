"""Planners: who chooses among named skills, what they are asked, and who answers where no language model does."""
