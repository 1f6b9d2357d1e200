"""A policy in a file: that it acts as the agent did, and what is said of a wrong file."""

from pathlib import Path

import numpy as np
import pytest

from slrl.errors import BadInput
from slrl.priors import Prior
from slrl.recording.behaviours.policy import Policy, Settings, save

from .test_sac import make_sac


def test_a_saved_policy_acts_as_the_agent_does(small_prior: Prior, tmp_path: Path) -> None:
    agent = make_sac(small_prior, hidden=(16, 8))
    parts = [part.detach().numpy() for part in agent.actor]
    layers = list(zip(parts[::2], parts[1::2], strict=True))
    save(
        tmp_path / "policy.safetensors", agent.normaliser.mean.numpy(), agent.normaliser.scale.numpy(), layers
    )
    policy = Policy(Settings(file=str(tmp_path / "policy.safetensors")))
    for obs in 3 * small_prior.obs[:10]:
        np.testing.assert_allclose(policy.act(obs), agent.act(obs, sample=False), atol=1e-6)


def test_a_wrong_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no policy lost\.safetensors"):
        Policy(Settings(file="lost.safetensors"))
    (tmp_path / "text.safetensors").write_text("not a policy")
    with pytest.raises(BadInput, match="is not a policy in a safetensors file"):
        Policy(Settings(file=str(tmp_path / "text.safetensors")))
