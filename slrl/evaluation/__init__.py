"""Evaluation: suites of lives, where they run, their statistics, and the report."""
