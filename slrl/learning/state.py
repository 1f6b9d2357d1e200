"""States: flat dictionaries of tensors, as safetensors stores them, nested by prefixes."""

import hashlib
import json

import numpy as np
import torch

from slrl.types import State


def nest(**parts: State) -> State:
    """One state of several, with the part's name and a dot before each key."""
    return {f"{part}.{key}": tensor for part, state in parts.items() for key, tensor in state.items()}


def substate(state: State, name: str) -> State:
    """The state that :func:`nest` was given as ``name``; empty if there was none."""
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def of_rng(rng: np.random.Generator) -> State:
    """The state of a NumPy generator, as JSON bytes under ``rng``."""
    return {"rng": of_text(json.dumps(rng.bit_generator.state))}


def set_rng(rng: np.random.Generator, state: State) -> None:
    """Set a generator to a saved state."""
    rng.bit_generator.state = json.loads(text_of(state["rng"]))


def of_text(text: str) -> torch.Tensor:
    """A text as a tensor of UTF-8 bytes; it must not be empty."""
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def text_of(tensor: torch.Tensor) -> str:
    """The text of a tensor made by :func:`of_text`."""
    return tensor.cpu().numpy().tobytes().decode()


def of_tensors(tensors: list[torch.Tensor]) -> State:
    """Copies of a list of tensors, by index."""
    return {str(i): tensor.detach().clone() for i, tensor in enumerate(tensors)}


def fingerprint(tensors: list[torch.Tensor]) -> str:
    """SHA-256 over the bytes of a list of tensors."""
    return hashlib.sha256(b"".join(tensor.detach().cpu().numpy().tobytes() for tensor in tensors)).hexdigest()


@torch.no_grad()
def set_tensors(tensors: list[torch.Tensor], state: State) -> None:
    """Copy a state made by :func:`of_tensors` into a list, in place."""
    for i, tensor in enumerate(tensors):
        tensor.copy_(state[str(i)])
