"""Train a policy in the target of a scenario, with resets, on the prior and on its own steps (RLPD).

    python benchmarks/train_in_target.py ant_ice --steps 60000

keeps the best policy beside the scenario, as scenarios/ant_ice.safetensors, and prints the steps of its
lives. A scenario without a script names it as its optimum: a policy trained in the target, not the fastest
possible.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from slrl import envs, scenarios
from slrl.adapters.frozen import Frozen
from slrl.envs.success import Success
from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.lives.run import load_adapter
from slrl.recording.behaviours.policy import Policy, Settings, save
from slrl.recording.recipes import load_prior
from slrl.scenarios import Scenario
from slrl.types import Transition

LIVES = range(500, 505)  # seeds that choose the best policy
EPISODE_STEPS = 1_000


def main() -> None:
    """Train, look every so many steps, keep the best."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario")
    parser.add_argument("--steps", type=int, default=60_000, help="environment steps (default: 60000)")
    parser.add_argument("--look-every", type=int, default=10_000)
    parser.add_argument("--most-steps", type=int, default=3_000, help="of a life that judges (default: 3000)")
    parser.add_argument(
        "--fallen-ends",
        action="store_true",
        help="train in episodes that end when unhealthy, as the prior's did",
    )
    parser.add_argument(
        "--from-frozen", action="store_true", help="begin with the policy and critics pretrained on the prior"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("scenarios"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scenario, device = scenarios.load(arguments.scenario), torch.device("cpu")
    prior, path = load_prior(scenario.prior), arguments.out / f"{arguments.scenario}.safetensors"
    agent = Sac(
        prior=prior,
        generator=torch.Generator().manual_seed(arguments.seed),
        device=device,
        hidden=(128, 128),
        layer_norm=True,
        actor_lr=1e-3,
        critic_lr=1e-3,
        temperature_lr=1e-3,
        initial_temperature=0.1,
    )
    if arguments.from_frozen:
        frozen = load_adapter("frozen", prior, scenario, quiet=False)
        assert isinstance(frozen, Frozen)
        agent = frozen.agent
    buffer = Buffer(prior, arguments.steps, np.random.default_rng(arguments.seed), device)
    ends = {"terminate_when_unhealthy": True} if arguments.fallen_ends else {}
    target = replace(scenario.target, settings=scenario.target.settings | ends)
    env = envs.make_world(target, success=Success.of(scenario))
    obs, _ = env.reset(seed=arguments.seed)
    best, in_episode = (0, 0.0), 0  # lives that succeeded, and minus their median steps
    with tqdm(total=arguments.steps, unit="step", desc=arguments.scenario, mininterval=5) as bar:
        for step in range(1, arguments.steps + 1):
            action = agent.act(obs)
            next_obs, reward, terminated, _, _ = env.step(action)
            buffer.append(
                Transition(obs, action, float(reward), next_obs, terminated, False), bootstrap=not terminated
            )
            obs, in_episode = next_obs, in_episode + 1
            agent.update(buffer.sample(256, 0.5))
            if terminated or in_episode == EPISODE_STEPS:
                obs, in_episode = env.reset()[0], 0
            bar.update()
            if step % arguments.look_every == 0:
                keep(path.with_suffix(".trying.safetensors"), agent)
                steps = judge(scenario, path.with_suffix(".trying.safetensors"), arguments.most_steps)
                came = [count for count in steps if count is not None]
                bar.write(f"{arguments.scenario} after {step:,} steps of training: {steps}")
                now = (len(came), -float(np.median(came)) if came else 0.0)
                if now > best:
                    best = now
                    path.with_suffix(".trying.safetensors").replace(path)
    path.with_suffix(".trying.safetensors").unlink(missing_ok=True)
    env.close()
    print(
        f"{path}: {best[0]} of {len(LIVES)} lives, {-best[1]:,.0f} steps in the median"
        if best[0]
        else "no policy succeeded"
    )


def keep(path: Path, agent: Sac) -> None:
    """The policy as slrl/recording/behaviours/policy.py reads it."""
    parts = [part.detach().numpy() for part in agent.actor]
    save(
        path,
        agent.normaliser.mean.numpy(),
        agent.normaliser.scale.numpy(),
        list(zip(parts[::2], parts[1::2], strict=True)),
    )


def judge(scenario: Scenario, path: Path, most: int) -> list[int | None]:
    """Steps of a life for each seed, None where it did not succeed."""
    policy, found = Policy(Settings(file=str(path))), []
    for seed in LIVES:
        env = envs.make(scenario, life_steps=most)
        obs, _ = env.reset(seed=seed)
        over, count = False, 0
        while not over:
            obs, _, terminated, truncated, info = env.step(policy.act(obs))
            count, over = count + 1, terminated or truncated
        found.append(count if info["success"] else None)
        env.close()
    return found


if __name__ == "__main__":
    main()
