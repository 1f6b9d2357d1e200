"""A trained policy, played without noise: the optimum of scenarios for which there is no script."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import files
from slrl.errors import BadInput
from slrl.types import F32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the policy is."""

    file: str  # a path, or the name of a file beside the scenarios


class Policy:
    """The mode of a tanh-Gaussian policy from a safetensors file that :func:`save` wrote.

    Raises:
        BadInput: if the file does not exist, or holds something else.
    """

    def __init__(self, settings: Settings) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(settings.file).expanduser()
        path = path if path.is_file() else files.folder("scenarios") / settings.file
        try:
            stored = load_file(path)
        except FileNotFoundError:
            raise BadInput(
                f"there is no policy {settings.file}, neither here nor beside the scenarios."
            ) from None
        except (SafetensorError, OSError) as error:
            raise BadInput(f"{path} is not a policy in a safetensors file: {error}.") from None
        self._mean, self._scale = stored["mean"], stored["scale"]
        self._layers = [
            (stored[f"weight.{i}"], stored[f"bias.{i}"])
            for i in range(sum(key.startswith("bias") for key in stored))
        ]

    def reset(self, obs: F32) -> None:
        """Nothing: the policy has no memory."""

    def act(self, obs: F32) -> F32:
        """The mode (A,) for an observation (O,)."""
        x = np.arcsinh((obs - self._mean) / self._scale)
        for weight, bias in self._layers[:-1]:
            x = np.maximum(x @ weight + bias, 0.0)
        weight, bias = self._layers[-1]
        action: F32 = np.tanh((x @ weight + bias)[: len(bias) // 2]).astype(np.float32)
        return action


def save(path: Path, mean: F32, scale: F32, layers: list[tuple[F32, F32]]) -> None:
    """Write a policy: mean and scale (O,) of its normaliser, and its layers: weight (in, out), bias (out,).

    The last layer gives the mean and the logarithm of the standard deviation (2 A,).
    """
    from safetensors.numpy import save_file

    from slrl.files import atomic_write

    arrays = {
        f"{kind}.{i}": part
        for i, layer in enumerate(layers)
        for kind, part in zip(("weight", "bias"), layer, strict=True)
    }
    with atomic_write(path) as temporary:
        save_file({"mean": mean, "scale": scale, **arrays}, temporary)


def make(settings: Settings, env: gym.Env[Any, Any], rng: np.random.Generator) -> Policy:
    """The policy, which draws nothing and sees nothing of ``env`` but observations."""
    return Policy(settings)
