"""What is in a prior, in words: what `slrl prior show` prints."""

import numpy as np

from slrl import envs, scenarios
from slrl.errors import BadInput
from slrl.learning.modes import modes
from slrl.learning.relations import entries_of
from slrl.priors import Prior, check_fit


def describe(prior: Prior, scenario: str | None = None) -> str:
    """A table of facts, and whether the prior fits a scenario."""
    returns, ends = prior.returns(), int(prior.terminated.sum())
    low, middle, high = np.quantile(returns, (0, 0.5, 1))
    lengths = np.bincount(prior.episode)
    short, median, long = lengths.min(), np.median(lengths), lengths.max()
    constant = [_dims(np.ptp(rows, 0) == 0) for rows in (prior.obs, prior.action)]
    lines = {
        "prior": prior.name,
        "format": prior.format,
        "rows": f"{len(prior):,} transitions",
        "episodes": f"{prior.episodes:,} of {short:,} to {long:,} steps, median {median:,.0f}",
        "returns": f"{low:.4g} to {high:.4g}, median {middle:.4g}",
        "successes": f"{prior.successes():,} episodes end terminated with a positive reward",
        "terminal rows": f"{ends:,} ({ends / len(prior):.2%})",
        "truncated rows": f"{int(prior.truncated.sum()):,} ({prior.truncated.mean():.2%})",
        "observations": _space(prior.obs, prior.observation_space.low, prior.observation_space.high),
        "actions": _space(prior.action, prior.action_space.low, prior.action_space.high),
        "constant": f"observation {constant[0]}; action {constant[1]}",
        "saturated": _saturated(prior),
        **_found(prior),
        "env_params": "none"
        if prior.env_params is None
        else f"{prior.env_params.shape[1]} per row, {_ranges(prior.env_params)}",
        "content": f"SHA-256 {prior.sha256}",
    }
    text = "\n".join(f"{key:<15} {value}" for key, value in lines.items())
    text += "".join(f"\n{'note':<15} {note}" for note in prior.notes)
    return text if scenario is None else f"{text}\n{'fit':<15} {_fit(prior, scenario)}"


def _found(prior: Prior) -> dict[str, str]:
    """What moves with what, where it arrives, and what episodes change; only what there is."""
    entries, lines = entries_of(prior), dict[str, str]()
    if slow := [i for i in entries.varying if entries.slow[i]]:
        lines["slow"] = f"entries {', '.join(map(str, slow))} change little in ten steps"
    if together := entries.together():
        lines["moves with"] = "; ".join(f"entry {moved} with entry {mover}" for mover, moved in together)
    if arrivals := entries.arrivals():
        lines["arrives at"] = "; ".join(f"entry {i} at entry {goal}" for i, goal in arrivals)
    if found := modes(prior, entries):
        lines["modes"] = "; ".join(
            f"{len(mode.episodes):,} episodes change entr{'y' if len(mode.things) == 1 else 'ies'} "
            f"{', '.join(map(str, mode.things))}"
            for mode in found
        )
    return lines


def _fit(prior: Prior, name: str) -> str:
    scenario = scenarios.load(name)
    env = envs.make(scenario)
    try:
        check_fit(prior, env.observation_space, env.unwrapped.action_space, f"scenario {scenario.name}")
    except BadInput as error:
        return f"no: {error}"
    finally:
        env.close()
    o, a = prior.obs.shape[1], prior.action.shape[1]
    return f"yes: {scenario.name} has observations of size {o} and actions of size {a} too"


def _space(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    bounds = (
        "unbounded" if not np.isfinite([low, high]).any() else f"bounds {low.min():.4g} to {high.max():.4g}"
    )
    return f"size {rows.shape[1]}, {bounds}, seen {_ranges(rows)}"


def _ranges(rows: np.ndarray) -> str:
    shown = [f"[{a:.3g}, {b:.3g}]" for a, b in zip(rows.min(0)[:8], rows.max(0)[:8], strict=True)]
    return " ".join(shown) + (" …" if rows.shape[1] > 8 else "")


def _dims(mask: np.ndarray) -> str:
    return ("dimensions " + ", ".join(map(str, np.flatnonzero(mask)))) if mask.any() else "none"


def _saturated(prior: Prior) -> str:
    """Share of rows per action dimension within 1 % of a bound."""
    low, high = prior.action_space.low, prior.action_space.high
    margin = 0.01 * (high - low)
    share = ((prior.action <= low + margin) | (prior.action >= high - margin)).mean(0)
    return "share of actions within 1 % of a bound: " + ", ".join(f"{value:.1%}" for value in share)
