"""Your robot's past in one file: a gentle hand shuts an easy drawer a hundred times.

D4RL's layout: arrays of the same length, one row per step.
"""

import h5py
import numpy as np
from drawer import Drawer

rng = np.random.default_rng(0)
rows: dict[str, list[object]] = {
    key: [] for key in ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
}
env = Drawer(friction_n=1.0)
for episode in range(100):
    obs, _ = env.reset(seed=episode)
    strength = rng.uniform(1.5, 3.0)  # newton: enough for this drawer
    for step in range(200):
        action = np.clip(rng.normal(strength, 0.5, 1), -10, 10).astype(np.float32)
        next_obs, reward, terminated, _, _ = env.step(action)
        values = (obs, action, reward, next_obs, terminated, step == 199 and not terminated)
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
        obs = next_obs
        if terminated:
            break
with h5py.File("drawer.hdf5", "w") as file:
    for key, column in rows.items():
        file[key] = np.array(column)
print(f"drawer.hdf5: {len(rows['rewards']):,} rows")
