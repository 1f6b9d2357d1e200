"""Versions, devices and folders of this installation, and combinations that are known to fail."""

import os

import torch

from slrl import priors
from slrl.files import cache_folder
from slrl.lives.results import git_revision, versions


def report() -> str:
    """Versions, devices and folders, a line each, and a warning for each known problem."""
    found = versions()
    lines = [f"{package:<18} {number}" for package, number in found.items()]
    cuda = (
        f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
        if torch.cuda.is_available()
        else "none"
    )
    lines += [
        f"{'revision':<18} {git_revision() or 'installed, not a checkout'}",
        f"{'CPU':<18} {os.cpu_count()} cores",
        f"{'CUDA':<18} {cuda}",
        f"{'cache':<18} {cache_folder('priors').parent}",
        f"{'Minari data':<18} {priors.minari_root()}",
        "",
    ]
    problems = known_problems(found, bf16=_has_bf16())
    return "\n".join(lines + ([f"warning: {problem}" for problem in problems] or ["no known problems"]))


def known_problems(found: dict[str, str], *, bf16: bool) -> list[str]:
    """A sentence on each combination of ``versions()`` and processor that is known to fail or to be slow."""
    problems = []
    mujoco = found["mujoco"]
    if mujoco != "not installed":
        numbers = tuple(int(part) for part in mujoco.split(".")[:2])
        if numbers >= (3, 12):
            problems.append(
                f"mujoco {mujoco} breaks FrankaKitchen, Fetch and HandReach; install 'mujoco>=3.3,<3.12'."
            )
    if not bf16:
        problems.append(
            "the processor has no bfloat16 arithmetic, or ONEDNN_MAX_CPU_ISA keeps torch from it: "
            'agent.precision = "bfloat16" is slower than float32 here.'
        )
    return problems


def _has_bf16() -> bool:
    kept = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()  # it makes these products
    allowed = kept in ("ALL", "DEFAULT") or "BF16" in kept or "AMX" in kept or kept.startswith("AVX10")
    return (torch.cpu._is_avx512_bf16_supported() and allowed) or torch.cuda.is_available()
