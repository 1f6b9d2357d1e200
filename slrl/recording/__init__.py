"""Recording: priors made here by recipes and behaviours, what is in them, and the contracts of scenarios."""
