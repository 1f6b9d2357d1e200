"""Recording: priors that are made here by recipes and behaviours, what is in them, and the contracts of scenarios."""
