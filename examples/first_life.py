"""One life in five lines: load the scenario and its prior, make an adapter, live."""

import slrl

scenario = slrl.load_scenario("windy_pointmass")
prior = slrl.load_prior(scenario.prior)
adapter = slrl.load_adapter("levels", prior, scenario, seed=0, quiet=False)
life = slrl.live(slrl.make(scenario), adapter, seed=0, quiet=False)
print(f"{life.outcome} after {life.steps:,} steps; the best possible is about {scenario.optimum_steps}")
