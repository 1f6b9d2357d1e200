"""One life of every adapter, pinned to the bit: actions, observations, hash of its settings, cache keys.

Where a change alters a life on purpose, `python tests/test_reference_lives.py` pins the lives anew, and the
changelog says which and why. They hold for one processor and one version of torch; elsewhere the comparison
is skipped.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

import slrl
from slrl import adapters, files
from slrl.lives.results import versions
from slrl.lives.run import adapt_as, learning_plan
from slrl.lives.settings import LifeSettings

if __package__:
    from .test_adapters import HURRY, has
else:  # run as a script, to pin the lives anew
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.test_adapters import HURRY, has

PINS = Path(__file__).with_name("reference_lives.json")
TWO = ("pointmass", "pointmass_breezy")
# The prior of modes takes minutes to record; that a life with a repertoire repeats is in test_repertoire.py.
ELSEWHERE = {"frames": "tabletop_displaced", "modes": "", "repertoire": ""}
CASES = {
    **{
        f"{ELSEWHERE.get(name, 'windy_pointmass')}/{name}": () if name in ELSEWHERE else ("pointmass_breezy",)
        for name in files.names("adapters")
        if ELSEWHERE.get(name) != ""
    },
    "windy_pointmass/roam": TWO,
    "tabletop_displaced/switch": (),
    "cheetah_hurdles/switch": (),
    "ant_ice/rma": (),
}
ABOUT = (
    "instructions",
    "torch",
    "numpy",
    "gymnasium",
    "mujoco",
)  # what a life depends on besides its settings


def settings_of(case: str) -> LifeSettings:
    """A short life after a short pretraining; everything else is as it is shipped."""
    name, adapter = case.split("/")
    scenario = slrl.load_scenario(name)
    whole = adapters.load(adapter).table()
    paths = ("", "adapter.low.", "adapter.high.")
    quick = [(path + key, value) for path in paths for key, value in HURRY.items() if has(whole, path + key)]
    if adapters.load(adapter).agent is None:
        quick.remove(("pretrain.steps", HURRY["pretrain.steps"]))
    return LifeSettings(
        scenario=scenario,
        method=adapters.load(adapter, quick, suggested=scenario.overrides()),
        prior=CASES[case] or (scenario.prior,),
        seed=1,
        life_steps=60,
    )


def pin(case: str) -> dict[str, Any]:
    """What is compared of a life."""
    settings = settings_of(case)
    brief = replace(settings.scenario, optimum_steps=None)  # or a life could not be so brief
    _, life = adapt_as(replace(settings, scenario=brief), out=None)
    prior = slrl.load_prior(settings.prior)
    table = json.dumps(settings.table(prior.sha256), sort_keys=True)
    env = slrl.make(settings.scenario)
    plan = learning_plan(
        settings.method, settings.scenario, env, prior, seed=settings.seed, device=torch.device("cpu")
    )
    env.close()
    needed = plan.of_adapter(settings.method.adapter)
    keys = sorted({one.key for part in needed for one in part.everything() if one.stored})
    return {
        "outcome": life.outcome,
        "actions": digest(life.action.tobytes()),
        "observations": digest(life.obs.tobytes()),
        "settings": digest(table.encode()),
        "keys": digest("".join(keys).encode()),
    }


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:20]


def here() -> dict[str, str]:
    """Processor and versions that the last bits of a life depend on, on this machine."""
    found = versions()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    processor = [about.get(key, "") for key in ("model name", "cpu family", "model", "stepping")]
    can = torch.backends.cpu.get_cpu_capability()  # libraries for sums choose by it, whatever oneDNN is told
    return {"processor": " ".join([*processor, can]), **{key: found[key] for key in ABOUT}}


@pytest.mark.parametrize("case", CASES)
def test_a_life_is_the_one_that_was_pinned(case: str) -> None:
    pinned = json.loads(PINS.read_text())
    if here() != pinned["versions"]:
        pytest.skip(f"the lives were pinned with {pinned['versions']}, and this is {here()}")
    if case.startswith(("cheetah", "ant")):
        pytest.importorskip("mujoco")
    assert pin(case) == pinned["lives"][case]


@pytest.mark.parametrize("case", ["windy_pointmass/switch", "windy_pointmass/levels"])
def test_a_life_does_not_depend_on_the_instructions_that_onednn_may_use(case: str, tmp_path: Path) -> None:
    """Nothing in float32 is computed by it, learned or lived; a convolution would be."""
    convolve = "import torch; torch.conv1d(torch.ones(2, 4, 50), torch.ones(4, 4, 8)); print('then')"
    code = f"{convolve}; from tests.test_reference_lives import pin; print(pin({case!r}))"
    lives = []
    for allowed in ("SSE41", "ALL"):
        environment = {
            **os.environ,
            "ONEDNN_MAX_CPU_ISA": allowed,
            "ONEDNN_VERBOSE": "1",
            "SLRL_CACHE": str(tmp_path / allowed),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = done.stdout.splitlines()
        said, then = (
            "\n".join(part) for part in (lines[: lines.index("then")], lines[lines.index("then") :])
        )
        if ",exec," not in said:
            pytest.skip("torch was built without oneDNN")
        assert ",exec," not in then
        lives.append(lines[-1])
    assert lives[0] == lives[1]
    assert "'actions'" in lives[0]


def test_every_adapter_is_pinned() -> None:
    pinned = json.loads(PINS.read_text())["lives"]
    assert set(pinned) == set(CASES)
    assert {case.partition("/")[2] for case in pinned} == set(files.names("adapters")) - {
        "modes",
        "repertoire",
    }
    lives = {name: life for name, life in pinned.items() if name.startswith("windy_pointmass")}
    learning = {
        name for name in lives if name.partition("/")[2] in ("finetune", "gail_s", "gail_sa", "qwale", "rnd")
    }
    assert len({life["settings"] for life in pinned.values()}) == len(pinned)
    assert len(learning) == 5


def test_the_hash_of_settings_leaves_out_what_is_unset() -> None:
    """Reference lives name their settings by this table: what is None must not appear in it."""
    table = tomli_w.dumps(settings_of("windy_pointmass/qwale").table("ab"))
    assert "baseline = " not in table.replace("clip_baseline", "")
    assert "target_subset" not in table
    assert "world" not in table.replace("[scenario", "")


def main() -> None:
    """Pin all lives as they are now."""
    import os

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SLRL_CACHE"] = folder
        torch.set_num_threads(1)
        lives = {case: pin(case) for case in CASES}
    PINS.write_text(json.dumps({"versions": here(), "lives": lives}, indent=1) + "\n")


if __name__ == "__main__":
    main()
