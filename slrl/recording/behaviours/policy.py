"""A policy that was trained before, played without noise: what a scenario names as its optimum where no script knows one."""

from pathlib import Path

import numpy as np

from slrl import files
from slrl.errors import BadInput
from slrl.types import F32


class Policy:
    """The mode of a tanh-Gaussian policy from a safetensors file: normaliser and layers, as ``save`` writes them."""

    def __init__(self, file: str) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(file).expanduser()
        path = path if path.is_file() else files.folder("scenarios") / file
        try:
            stored = load_file(path)
        except FileNotFoundError:
            raise BadInput(f"there is no policy {file}, neither here nor beside the scenarios.") from None
        except (SafetensorError, OSError) as error:
            raise BadInput(f"{path} is not a policy in a safetensors file: {error}.") from None
        self._mean, self._scale = stored["mean"], stored["scale"]
        self._layers = [
            (stored[f"weight.{i}"], stored[f"bias.{i}"])
            for i in range(sum(key.startswith("bias") for key in stored))
        ]

    def reset(self, obs: F32) -> None:
        """Nothing to forget."""

    def act(self, obs: F32) -> F32:
        x = np.arcsinh((obs - self._mean) / self._scale)
        for weight, bias in self._layers[:-1]:
            x = np.maximum(x @ weight + bias, 0.0)
        weight, bias = self._layers[-1]
        action: F32 = np.tanh((x @ weight + bias)[: len(bias) // 2]).astype(np.float32)
        return action


def save(path: Path, mean: F32, scale: F32, layers: list[tuple[F32, F32]]) -> None:
    """Write a policy: its normaliser and its layers (weight (in, out), bias (out,)), the last of which gives mean and log std."""
    from safetensors.numpy import save_file

    from slrl.files import atomic_write

    arrays = {
        f"{kind}.{i}": part
        for i, layer in enumerate(layers)
        for kind, part in zip(("weight", "bias"), layer, strict=True)
    }
    with atomic_write(path) as temporary:
        save_file({"mean": mean, "scale": scale, **arrays}, temporary)


make = Policy
