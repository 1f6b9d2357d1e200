"""Planners choose among named skills: questions, answers, and choices without a language model."""
