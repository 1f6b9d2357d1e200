"""Suites: their lives, and that interruptions, crashes and damage cost at most the lives they hit."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import slrl
from slrl import files
from slrl.adapters.setup import Plan
from slrl.evaluation import engines, evaluate, store, suites, verdict
from slrl.learning import seeds
from slrl.lives import run
from slrl.lives.settings import LifeSettings
from slrl.recording.recipes import load_prior

Command = Callable[..., tuple[int, str, str]]

WORLDS = '''
import os, time
import numpy as np
from pathlib import Path
from slrl.envs.pointmass import Pointmass

class Crash(Pointmass):
    """Fails at its tenth step, as long as there is no file ``mended``."""
    steps = 0
    def step(self, action):
        self.steps += 1
        if self.steps == 10 and not (Path(__file__).parent / "mended").exists():
            raise RuntimeError("the motor burned out")
        return super().step(action)

class Die(Pointmass):
    """Takes its process with it, in lives and not in the step that tries the world."""
    steps = 0
    def step(self, action):
        self.steps += 1
        if self.steps == 10:
            os._exit(9)
        return super().step(action)

class Slow(Pointmass):
    """Takes seconds, and tells of every life that is begun, but for the step that tries the world."""
    steps = 0
    def step(self, action):
        self.steps += 1
        time.sleep(0.02)
        if self.steps == 10:
            (Path(__file__).parent / f"{time.time_ns()}.begun").touch()
        return super().step(action)

class Sleep(Pointmass):
    """Never ends."""
    steps = 0
    def step(self, action):
        self.steps += 1
        if self.steps == 10:
            (Path(__file__).parent / f"{os.getpid()}.pid").touch()
            time.sleep(600)
        return super().step(action)
'''


def scenario(folder: Path, name: str, env: str = "slrl/Pointmass-v0") -> str:
    path = folder / f"{name}.toml"
    path.write_text(f"""
schema = 1
summary = "Calm."
prior = "pointmass_breezy"
life_steps = 1000
progress_info = "distance"
[source]
env = "slrl/Pointmass-v0"
[target]
env = "{env}"
""")
    return str(path)


def suite(folder: Path, adapter: str, scenarios: list[str], seeds: int = 2, steps: int = 130) -> str:
    path = folder / "some.toml"
    path.write_text(f"""
schema = 1
summary = "Lives."
[[lives]]
scenarios = {json.dumps(scenarios)}
adapters = {json.dumps([adapter])}
seeds = "0-{seeds - 1}"
life_steps = {steps}
""")
    return str(path)


@pytest.fixture
def worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "worlds.py").write_text(WORLDS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def lives(runs: Path) -> dict[str, bytes]:
    """Everything that was lived, without how long it took."""
    found = {}
    for path in runs.rglob("life.npz"):
        with np.load(path) as life:
            found[str(path.parent.relative_to(runs))] = b"".join(
                life[key].tobytes() for key in ("obs", "action", "reward")
            )
    return found


def test_a_suite_is_lived_as_its_lives_are_and_a_finished_one_does_nothing(
    tiny_adapter: str, worlds: Path
) -> None:
    found = suites.load(suite(worlds, tiny_adapter, [scenario(worlds, "calm"), "windy_pointmass"]))
    assert [(life.scenario.name, life.seed) for life in found.lives] == [
        ("calm", 0),
        ("windy_pointmass", 0),
        ("calm", 1),
        ("windy_pointmass", 1),
    ]
    report = evaluate.evaluate(found, worlds / "runs", jobs=2, quiet=True)
    assert (report.lived, report.outcomes["timeout"], report.errors) == (4, 4, {})
    for life in found.lives:
        run.adapt_as(life, out=worlds / "single")
    assert lives(worlds / "runs") == lives(worlds / "single")
    assert len(lives(worlds / "runs")) == 4
    again = evaluate.evaluate(found, worlds / "runs", jobs=2, quiet=True)
    assert (again.lived, again.outcomes["timeout"]) == (0, 4)


def test_what_is_damaged_or_has_other_settings_is_lived_again(tiny_adapter: str, worlds: Path) -> None:
    path = suite(worlds, tiny_adapter, ["windy_pointmass"], seeds=3)
    evaluate.evaluate(suites.load(path), worlds / "runs", quiet=True)
    before = lives(worlds / "runs")
    folders = sorted(path.parent for path in (worlds / "runs").rglob("result.json"))
    (folders[0] / "result.json").write_text("{")
    (folders[1] / "result.json").unlink()
    assert evaluate.evaluate(suites.load(path), worlds / "runs", quiet=True).lived == 2
    assert lives(worlds / "runs") == before
    longer = suites.load(suite(worlds, tiny_adapter, ["windy_pointmass"], seeds=3, steps=140))
    assert evaluate.evaluate(longer, worlds / "runs", quiet=True).lived == 3
    assert sum(row.replaced for row in store.scan(worlds / "runs").rows) == 3


def test_a_life_that_crashes_is_recorded_and_the_others_go_on(
    tiny_adapter: str, worlds: Path, command: Command
) -> None:
    path = suite(
        worlds,
        tiny_adapter,
        [scenario(worlds, "crash", "worlds:Crash"), scenario(worlds, "die", "worlds:Die"), "windy_pointmass"],
    )
    arguments = ("eval", path, "--out", worlds / "runs", "--jobs", 2, "--quiet")
    code, out, err = command(*arguments)
    assert code == 1
    assert "6 lives of suite some" in out
    assert err.count("RuntimeError: the motor burned out") == 2
    assert err.count("the process of the life died (exit code 9)") == 2
    assert out.count("0 of 2 (2 crashed)") == 2
    found = store.scan(worlds / "runs")
    assert [
        (row.scenario, row.adapter, row.seed, row.pretraining, row.outcome) for row in found.rows[:2]
    ] == [("crash", "tiny", seed, 0, "crashed") for seed in (0, 1)]
    assert {row.settings_sha256 for row in found.rows if row.scenario == "crash"} == {
        found.rows[0].settings_sha256
    }
    assert found.problems[0] == (
        "crash/tiny/seed-0 crashed and counts as a failure: RuntimeError: the motor burned out"
    )
    crashed = worlds / "runs" / "crash" / "tiny" / "seed-0"
    assert "Traceback" in (crashed / "error.txt").read_text()
    assert "in step" in (crashed / "error.txt").read_text()
    assert len(lives(worlds / "runs")) == 2
    (worlds / "mended").touch()
    code, out, err = command(*arguments)
    assert "0 of them lived now" in out
    assert err.count("the motor burned out") == 2
    code, out, err = command(*arguments, "--retry")
    assert code == 1
    assert "4 of them lived now" in out
    assert "burned out" not in err
    assert len(lives(worlds / "runs")) == 4
    assert not (crashed / "error.txt").exists()


def test_a_full_disk_costs_the_life_that_could_not_be_kept(
    tiny_adapter: str, worlds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = suites.load(suite(worlds, tiny_adapter, ["windy_pointmass"]))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(
            "slrl.lives.results.np.savez_compressed", full
        )  # the disk is full in the middle of a life's files,
        patch.setattr("slrl.evaluation.engines.write_text", full)  # and there is no room to say so
        ending = engines.live(found.lives[0], worlds / "runs")
    assert ending.outcome == "error"
    assert "No space left on device" in ending.sentence
    assert store.scan(worlds / "runs").rows == []
    assert list((worlds / "runs").rglob(".*")) == []  # nothing half-written
    report = evaluate.evaluate(found, worlds / "runs", quiet=True)
    assert (report.lived, report.outcomes["timeout"]) == (2, 2)


def start(path: str, runs: Path, cwd: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(Path(slrl.__file__).parents[1])}
    command = [sys.executable, "-m", "slrl", "eval", path, "--out", str(runs), "--jobs", "2", "--quiet"]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_nobody_lives_on_when_the_evaluation_is_killed(tiny_adapter: str, worlds: Path) -> None:
    path = suite(worlds, tiny_adapter, [scenario(worlds, "sleep", "worlds:Sleep")])
    process = start(path, worlds / "runs", worlds)
    until = time.monotonic() + 60
    while len(list(worlds.glob("*.pid"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    pids = [int(path.stem) for path in worlds.glob("*.pid")]
    assert len(pids) == 2
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() or not _gone(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert all(_gone(pid) for pid in pids)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_and_nothing_is_lost_or_lived_twice(
    kills: int, tiny_adapter: str, worlds: Path
) -> None:
    total = 4 * kills + 2
    path = suite(worlds, tiny_adapter, [scenario(worlds, "slow", "worlds:Slow")], seeds=total, steps=25)
    rng = random.Random(kills)

    def kept() -> int:
        return len(list((worlds / "runs").rglob("result.json")))

    for _ in range(
        kills
    ):  # each after at least one more life, and at most four: two that end, and the next two
        before, process = kept(), start(path, worlds / "runs", worlds)
        until = time.monotonic() + 60
        while kept() == before and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.6))  # a life takes about this long: anything can be under way
        assert process.poll() is None
        process.kill()
        process.wait()
        assert before < kept() < total
    report = evaluate.evaluate(suites.load(path), worlds / "runs", jobs=4, quiet=True)
    assert report.outcomes["timeout"] == total
    assert report.lived > 0
    found = store.scan(worlds / "runs")
    assert sorted(row.seed for row in found.rows) == list(range(total))
    assert (found.problems, [row for row in found.rows if row.replaced]) == ([], [])
    evaluate.evaluate(suites.load(path), worlds / "undisturbed", jobs=4, quiet=True)
    assert lives(worlds / "runs") == lives(worlds / "undisturbed")


def test_who_comes_second_waits() -> None:
    """So that two lives that begin together do not both learn what both need."""
    order = []

    def second() -> None:
        with files.file_lock("weights"):
            order.append("second")

    with files.file_lock("weights"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_every_suite_that_ships_can_be_read() -> None:
    scenarios = len(files.names("scenarios"))
    assert {name: len(suites.load(name).lives) for name in files.names("suites")} == {
        "ablation": 2 * 10 * 5,
        "baseline": 8 * 5 * 2,
        "everything": scenarios * 19 * 5,
        "false_alarms": scenarios * 100,
        "gallery": scenarios * (20 + 20),
        "linear": 2 * 2 * 3 * 3,
        "paper": 4 * 8 * 10,
        "parts": (7 + 2 + 3 + 4 + 1 + 4) * 5 * 2 + 2,
        "quick": (8 + 3 * 3) * 3,
        "qwale": 9 * 10 + 7 * 10,
        "repertoire": 5 * (10 + 2 + 2) + 3 * 3 * 10 + 4 * 2 * 10,
        "smoke": 18,
        "solved": 8 * 5 * 10,
        "source": 6 * 2 * 10,
        "steps": 2 * 2 + (5 + 6) * 3 * 2,
        "variants": 3 * 10,
    }


def test_lives_in_the_source_stand_beside_those_in_the_target_and_can_be_lived_again(
    tiny_adapter: str, worlds: Path
) -> None:
    """The same seed in the calm source and in the wind: two lives, each with its own folder and settings."""
    path = worlds / "both.toml"
    block = f"""[[lives]]
scenarios = ["windy_pointmass"]
adapters = [{json.dumps(tiny_adapter)}]
seeds = [3]
life_steps = 130"""
    path.write_text(f'schema = 1\nsummary = "Both."\n{block}\n{block}\nworld = "source"\n')
    found = suites.load(str(path))
    assert [life.world for life in found.lives] == ["target", "source"]
    assert evaluate.evaluate(found, worlds / "runs", quiet=True).lived == 2
    assert evaluate.evaluate(found, worlds / "runs", quiet=True).lived == 0
    target, source = (
        worlds / "runs" / "windy_pointmass" / name / "seed-3" for name in ("tiny", "tiny-source")
    )
    settings = (source / "settings.toml").read_text()
    assert 'world = "source"\n' in settings
    assert settings.replace('world = "source"\n', "") == (target / "settings.toml").read_text()
    rows = {row.world: row for row in store.scan(worlds / "runs").rows}
    assert (rows["source"].adapter, rows["source"].folder) == ("tiny", "windy_pointmass/tiny-source/seed-3")
    kept = lives(worlds / "runs")
    assert len(kept) == 2
    assert kept["windy_pointmass/tiny-source/seed-3"] != kept["windy_pointmass/tiny/seed-3"]
    run.adapt_as(LifeSettings.read(source / "settings.toml"), out=worlds / "again")
    assert lives(worlds / "again") == {key: life for key, life in kept.items() if "source" in key}
    for folder, wind in ((source, 0.0), (target, 0.85)):
        with np.load(folder / "life.npz") as life:
            north = np.diff(life["obs"][:, 1]) - life["action"][:, 1]  # what the air alone did
        assert np.abs(north - wind).max() < 0.051


def test_progress_at_the_end_is_kept(worlds: Path, tiny_adapter: str) -> None:
    calm = Path(scenario(worlds, "calm"))
    plain = worlds / "plain.toml"
    plain.write_text(calm.read_text().replace('progress_info = "distance"\n', ""))
    found = suites.load(suite(worlds, tiny_adapter, [str(calm), str(plain)], seeds=1))
    (result, life), (without, _) = (run.adapt_as(life, out=worlds / "runs") for life in found.lives)
    assert result.progress == pytest.approx(np.hypot(*(life.obs[-1, :2] - [100, 0])), rel=1e-5)
    assert without.progress is None
    rows = {row.scenario: row.progress for row in store.scan(worlds / "runs").rows}
    assert rows == {"calm": result.progress, "plain": None}


def test_a_life_takes_place_in_the_target_or_the_source(tiny_adapter: str, worlds: Path) -> None:
    (life, *_) = suites.load(suite(worlds, tiny_adapter, ["windy_pointmass"])).lives
    elsewhere = replace(life, world="moon")  # type: ignore[arg-type]
    with pytest.raises(slrl.BadInput, match='world must be "target" or "source", not \'moon\''):
        run.adapt_as(elsewhere, out=worlds / "runs")


def test_settings_of_a_block_are_dotted_or_nested(tmp_path: Path) -> None:
    found = []
    for text in (
        '{ "agent.hidden" = [8], "pretrain.seed" = 3 }',
        "{ agent.hidden = [8], pretrain.seed = 3 }",
    ):
        path = tmp_path / "some.toml"
        head = 'schema = 1\nsummary = "S."\n[[lives]]\nscenarios = ["windy_pointmass"]\nadapters = ["qwale"]'
        path.write_text(f"{head}\nseeds = [0]\nset = {text}\n")
        found.append(suites.load(str(path)).lives[0].method)
    assert found[0] == found[1]
    assert (found[0].agent.settings.hidden, found[0].pretrain.seed) == ((8,), 3)


def test_a_block_may_lower_budgets_name_a_prior_and_label_its_adapters(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("""
schema = 1
summary = "S."
[[lives]]
scenarios = ["calm_pointmass", "windy_pointmass"]
adapters = ["frozen"]
seeds = "3-4"
life_steps = 5_000
prior = "pointmass_breezy"
label = "breezy"
world = "source"
[[lives]]
scenarios = ["windy_pointmass"]
adapters = ["frozen"]
seeds = [4, 2]
""")
    found = suites.load(str(path))
    assert (found.name, found.summary) == ("some", "S.")
    assert [
        (life.seed, life.scenario.name, life.life_steps, life.prior, life.adapter_folder)
        for life in found.lives
    ] == [
        (2, "windy_pointmass", 200_000, ("pointmass",), "frozen"),
        (3, "calm_pointmass", 1_000, ("pointmass_breezy",), "frozen-breezy-source"),
        (3, "windy_pointmass", 5_000, ("pointmass_breezy",), "frozen-breezy-source"),
        (4, "calm_pointmass", 1_000, ("pointmass_breezy",), "frozen-breezy-source"),
        (4, "windy_pointmass", 5_000, ("pointmass_breezy",), "frozen-breezy-source"),
        (4, "windy_pointmass", 200_000, ("pointmass",), "frozen"),
    ]


def test_each_life_of_a_block_may_have_a_pretraining_of_its_own(tmp_path: Path, tiny_adapter: str) -> None:
    """Also each level of a switch, which gets its seed from the method's; `rlpd` has no pretraining."""
    path = tmp_path / "some.toml"
    text = 'schema = 1\nsummary = "S."\n[[lives]]\nscenarios = ["windy_pointmass"]\nseeds = [4, 7]\n'
    path.write_text(f'{text}adapters = ["switch", "rlpd"]\npretrain_seed = "life"\n')
    found = {(life.method.name, life.seed): life.method for life in suites.load(str(path)).lives}
    assert {key: method.pretrain and method.pretrain.seed for key, method in found.items()} == {
        ("switch", 4): 4,
        ("switch", 7): 7,
        ("rlpd", 4): None,
        ("rlpd", 7): None,
    }
    plans = [
        Plan.of(found["switch", seed], load_prior("pointmass"), life_seed=0, world=None) for seed in (4, 7)
    ]
    low = found["switch", 4].adapter.settings.low
    assert low.pretrain.seed is None
    levels = [plan.level(low, plan.seeds.low).agents.seed for plan in plans]
    assert [plan.agents.seed for plan in plans] == [4, 7]
    assert levels == [seeds.of_pretraining(seed).low for seed in (4, 7)]
    path.write_text(f'{text}adapters = ["switch"]\n')
    assert {life.method.pretrain.seed for life in suites.load(str(path)).lives} == {0}  # type: ignore[union-attr]


def test_a_suites_pretrainings_are_seen_in_its_results(tiny_adapter: str, worlds: Path) -> None:
    path = Path(suite(worlds, tiny_adapter, [scenario(worlds, "calm")], seeds=3))
    path.write_text(path.read_text() + 'pretrain_seed = "life"\n')
    evaluate.evaluate(suites.load(str(path)), worlds / "runs", quiet=True)
    found = store.scan(worlds / "runs")
    assert sorted((row.seed, row.pretraining) for row in found.rows) == [(0, 0), (1, 1), (2, 2)]
    groups, left_out = store.comparable(found)
    assert ([len(rows) for rows in groups.values()], left_out) == ([3], [])
    assert store.lives_of(groups["calm", "tiny"], None).pretrainings == 3
    assert len(set(lives(worlds / "runs").values())) == 3
    assert evaluate.evaluate(suites.load(str(path)), worlds / "runs", quiet=True).lived == 0


def test_headline_suites_have_three_pretrainings_or_more() -> None:
    """Only over several pretrainings may a table have bold figures."""
    for name in ("quick", "qwale", "ablation", "solved"):
        seen: dict[tuple[str, str], set[int]] = {}
        for life in suites.load(name).lives:
            if life.pretraining is not None:
                seen.setdefault((life.scenario.name, life.method.name), set()).add(life.pretraining)
        assert all(len(pretrainings) >= 3 for pretrainings in seen.values())


def test_every_life_can_be_lived_after_each_of_several_pretrainings(tiny_adapter: str, worlds: Path) -> None:
    """Folders, the CSV's rows and pairs tell lives with the same seed apart by their pretraining."""
    path = Path(suite(worlds, tiny_adapter, [scenario(worlds, "calm")], seeds=2))
    path.write_text(path.read_text() + 'pretrain_seed = "0-1"\n')
    found = suites.load(str(path))
    assert [(life.seed, life.pretraining) for life in found.lives] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert evaluate.evaluate(found, worlds / "runs", quiet=True).lived == 4
    assert evaluate.evaluate(found, worlds / "runs", quiet=True).lived == 0
    rows, left_out = store.comparable(store.scan(worlds / "runs"))
    assert left_out == []
    assert [row.folder for row in rows["calm", "tiny"]] == [
        "calm/tiny/seed-0",
        "calm/tiny/pretraining-1/seed-0",
        "calm/tiny/seed-1",
        "calm/tiny/pretraining-1/seed-1",
    ]
    assert len(set(lives(worlds / "runs").values())) == 4


def test_lives_meet_those_with_the_same_seed_and_if_it_is_lived_again_the_same_pretraining() -> None:
    crossed: list[store.Seeds] = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert verdict.paired(crossed, crossed) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert verdict.paired(crossed, [(1, 1), (0, 2)]) == [(3, 0)]
    assert verdict.paired(crossed, [(0, None), (1, None)]) == [(0, 0), (1, 0), (2, 1), (3, 1)]
    assert verdict.paired([(0, 0), (1, 0)], [(0, 0), (1, 1), (2, 2)]) == [(0, 0), (1, 1)]


def test_what_a_life_prints_is_in_its_log(
    tiny_adapter: str, worlds: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (life, *_) = suites.load(suite(worlds, tiny_adapter, ["windy_pointmass"])).lives

    def loud(settings: LifeSettings, **more: object) -> object:
        os.write(1, b"to stdout\n")
        os.write(2, b"to stderr\n")
        raise slrl.BadInput("the prior is gone.")

    monkeypatch.setattr("slrl.evaluation.engines.adapt_as", loud)
    assert engines.live(life, worlds / "runs") == engines.Ending("error", 0, "the prior is gone.")
    folder = engines.folder_of(worlds / "runs", life)
    assert (folder / "log.txt").read_text() == "to stdout\nto stderr\n"
    assert (folder / "error.txt").read_text() == "the prior is gone.\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("seeds", '"0..3"'), "must be a list, or a range as"),
        (("seeds", "[-1]"), "'seeds' of"),
        (("scenarios", '"each"'), 'must be a list, or "all"'),
        (("scenarios", '["windy"]'), "did you mean 'windy_pointmass'?"),
        (
            ("scenarios", '["windy_pointmass", "windy_pointmass"]'),
            "two lives of frozen in windy_pointmass with seed 0",
        ),
        (("adapters", '["frosen"]'), "did you mean 'frozen'?"),
        (("life_steps", "0"), "'life_steps' of"),
        (("set", '{ "agent.hiden" = [8] }'), "did you mean 'hidden'?"),
        (("world", '"sauce"'), "'world' in [[lives]] of suite"),
        (("lifesteps", "5"), "did you mean 'life_steps'?"),
        (("life_steps", "123"), "a budget of 123 steps is too small for windy_pointmass"),
        (("pretrain_seed", '"live"'), "'pretrain_seed' of suite"),
        (("pretrain_seed", "[-1]"), "'pretrain_seed' of suite"),
        (("pretrain_seed", "[]"), "must name one seed or more, each once"),
        (("pretrain_seed", "[2, 2]"), "must name one seed or more, each once"),
        (("pretrain_seed", "3"), "'pretrain_seed' in [[lives]] of suite"),
        (
            ("pretrain_seed", '"life"\nset = { "pretrain.seed" = 3 }'),
            "sets pretrain.seed, and 'pretrain_seed'",
        ),
    ],
)
def test_wrong_suites_are_one_sentence(
    change: tuple[str, str], says: str, tmp_path: Path, command: Command
) -> None:
    table = {"scenarios": '["windy_pointmass"]', "adapters": '["frozen"]', "seeds": "[0]"} | dict([change])
    path = tmp_path / "wrong.toml"
    path.write_text(
        'schema = 1\nsummary = "Wrong."\n[[lives]]\n'
        + "".join(f"{key} = {value}\n" for key, value in table.items())
    )
    code, out, err = command("eval", path, "--out", tmp_path / "runs")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not (tmp_path / "runs").exists()


def test_jobs_of_a_cluster_live_the_same_lives_and_those_that_die_are_tried_again(
    tiny_adapter: str, worlds: Path
) -> None:
    """With submitit's own executor for one machine, which goes the same way as SLURM's."""
    pytest.importorskip("submitit")
    path = suite(worlds, tiny_adapter, ["windy_pointmass", scenario(worlds, "die", "worlds:Die")], seeds=1)
    environment = {**os.environ, "PYTHONPATH": f"{Path(slrl.__file__).parents[1]}{os.pathsep}{worlds}"}
    options = ("--out", "cluster", "--engine", "slurm", "--engine-set", "cluster=local", "--quiet")
    command = [sys.executable, "-m", "slrl", "eval", path, *options]
    done = subprocess.run(
        command, cwd=worlds, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert "its job died 2 times" in done.stderr
    assert "2 of them lived now" in done.stdout
    run.adapt_as(suites.load(path).lives[0], out=worlds / "single")
    assert lives(worlds / "cluster") == lives(worlds / "single")
    assert len(lives(worlds / "cluster")) == 1


def test_a_node_of_a_ray_cluster_is_lost_and_every_life_is_there_once(
    tiny_adapter: str, worlds: Path
) -> None:
    """Two nodes on loopback, each a raylet; the one without the driver is killed in mid-suite."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    path = suite(worlds, tiny_adapter, [scenario(worlds, "slow", "worlds:Slow")], seeds=8, steps=200)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        environment = {**os.environ, "PYTHONPATH": str(Path(slrl.__file__).parents[1])}
        options = (
            "--out",
            "ray",
            "--engine",
            "ray",
            "--jobs",
            "3",
            "--engine-set",
            f"address={cluster.address}",
            "memory_gb=0.2",
        )
        command = [sys.executable, "-m", "slrl", "eval", path, *options, "--quiet"]
        process = subprocess.Popen(
            command, cwd=worlds, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 120
        while len(list(worlds.glob("*.begun"))) < 3 and time.monotonic() < until:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)
        finished = len(list((worlds / "ray").rglob("result.json")))
        out, err = process.communicate(timeout=240)
    finally:
        cluster.shutdown()
    assert finished < 8  # it was lost in mid-suite
    assert process.returncode == 0, err  # which has Ray's own sentence on the lost node
    assert "8 lives of suite some in ray, 8 of them lived now" in out
    assert len(list(worlds.glob("*.begun"))) > 8  # what was lived there was begun again
    found = store.scan(worlds / "ray")
    assert ([row.seed for row in found.rows], found.problems) == (list(range(8)), [])
    evaluate.evaluate(suites.load(path), worlds / "undisturbed", quiet=True)
    assert lives(worlds / "ray") == lives(worlds / "undisturbed")


def test_a_ray_worker_that_dies_is_replaced_and_the_life_told_as_crashed(
    tiny_adapter: str, worlds: Path
) -> None:
    pytest.importorskip("ray")
    crashing = [scenario(worlds, "crash", "worlds:Crash"), scenario(worlds, "die", "worlds:Die")]
    path = suite(worlds, tiny_adapter, [*crashing, "windy_pointmass"], seeds=1)
    environment = {**os.environ, "PYTHONPATH": str(Path(slrl.__file__).parents[1])}
    options = (
        "--out",
        "ray",
        "--engine",
        "ray",
        "--engine-set",
        "address=local",
        "memory_gb=0.2",
        "tries=2",
        "--quiet",
    )
    command = [sys.executable, "-m", "slrl", "eval", path, *options]
    done = subprocess.run(
        command, cwd=worlds, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: the motor burned out" in done.stderr
    assert "its worker was lost 2 times" in done.stderr
    assert "3 lives of suite some in ray, 3 of them lived now" in done.stdout
    assert list(lives(worlds / "ray")) == ["windy_pointmass/tiny/seed-0"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--engine", "slum"), "unknown engine 'slum'; did you mean 'slurm'?"),
        (("--engine", "slurm"), "submitit cannot use the cluster 'slurm'"),
        (
            ("--engine", "slurm", "--engine-set", "cluster=local", "memory=4"),
            "submitit cannot use the cluster 'local' with these options",
        ),
        (
            ("--engine", "ray", "--engine-set", "memory=4"),
            "unknown option of the engine ray: 'memory'; did you mean 'memory_gb'?",
        ),
        (
            ("--engine", "ray", "--engine-set", "memory_gb=none"),
            "memory_gb of the engine ray must be a number above 0",
        ),
        (("--engine", "ray", "--engine-set", "tries=0"), "tries of the engine ray must be 1 or more"),
        (
            ("--engine", "ray", "--engine-set", "address=127.0.0.1:1"),
            "there is no Ray cluster at '127.0.0.1:1'",
        ),
        (
            ("--engine", "ray"),
            "there is no Ray cluster at '127.0.0.1:2'",
        ),  # as the environment names it
        (("--engine-set", "memory=4"), "the engine local has no options"),
        (("--engine-set", "memory"), "--engine-set memory: write key=value"),
        (("--jobs", "0"), "jobs must be 1 or more"),
        (("--out", "/proc/runs"), "cannot make the folder /proc/runs"),
    ],
)
def test_wrong_engines_are_one_sentence(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    tiny_adapter: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    for engine, package in (("slurm", "submitit"), ("ray", "ray")):
        if engine in arguments:
            pytest.importorskip(package)
    code, out, err = command(
        "eval",
        suite(tmp_path, tiny_adapter, ["calm_pointmass"]),
        "--out",
        tmp_path / "runs",
        "--quiet",
        *arguments,
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
