"""States: flat tables of tensors, as safetensors stores them, put together from those of the parts and taken apart again."""

import hashlib
import json

import numpy as np
import torch

from slrl.types import State


def nest(**parts: State) -> State:
    """One state of several: ``part.key``."""
    return {f"{part}.{key}": tensor for part, state in parts.items() for key, tensor in state.items()}


def substate(state: State, name: str) -> State:
    """What :func:`nest` was given under ``name``."""
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def of_rng(rng: np.random.Generator) -> State:
    """Where a generator stands."""
    return {"rng": of_text(json.dumps(rng.bit_generator.state))}


def set_rng(rng: np.random.Generator, state: State) -> None:
    """Let a generator go on from where another stood."""
    rng.bit_generator.state = json.loads(text_of(state["rng"]))


def of_text(text: str) -> torch.Tensor:
    """A text as bytes, which must not be none."""
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def text_of(tensor: torch.Tensor) -> str:
    """What :func:`of_text` was given."""
    return tensor.cpu().numpy().tobytes().decode()


def of_tensors(tensors: list[torch.Tensor]) -> State:
    """A list, copied."""
    return {str(i): tensor.detach().clone() for i, tensor in enumerate(tensors)}


def fingerprint(tensors: list[torch.Tensor]) -> str:
    """SHA-256 of a list of weights."""
    return hashlib.sha256(b"".join(tensor.detach().cpu().numpy().tobytes() for tensor in tensors)).hexdigest()


@torch.no_grad()
def set_tensors(tensors: list[torch.Tensor], state: State) -> None:
    """Copy into a list, in place."""
    for i, tensor in enumerate(tensors):
        tensor.copy_(state[str(i)])
