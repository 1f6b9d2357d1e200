"""The cache of what is learned before a life: keys, checked files, locks, the limit, and `slrl cache`."""

import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import slrl
from slrl import adapters, files
from slrl.adapters.setup import Plan, assemble
from slrl.adapters.switch import monitored
from slrl.errors import BadInput, Unsupported
from slrl.learning import cache, prepare
from slrl.learning.cache import Artefact, LearnedCache, Table
from slrl.priors import Prior
from slrl.types import Metrics, State

from .conftest import prior_of, rows_of
from .test_adapters import hurried

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "cache"))


class Counter:
    """Learns to count, and remembers how often anybody learned."""

    learned = 0

    def __init__(self, steps: int = 3, size: int = 2) -> None:
        self.steps, self.value = steps, torch.zeros(size)

    def learn(self) -> Iterator[Metrics]:
        type(self).learned += 1
        for _ in range(self.steps):
            self.value += 1
            yield {"value": float(self.value[0])}

    def state_dict(self) -> State:
        return {"value": self.value}

    def load_state_dict(self, state: State) -> None:
        self.value.copy_(state["value"])


def counting(**changes: Any) -> Artefact[Counter]:
    given: dict[str, Any] = {
        "name": "counter",
        "build": lambda *needs: Counter(),
        "steps": 3,
        "about": {"a": 1},
    }
    return Artefact(**{**given, **changes})


@pytest.fixture(autouse=True)
def _nobody_learned() -> None:
    Counter.learned = 0


# -- keys ----------------------------------------------------------------------------------------------------


def test_a_key_depends_on_everything_that_the_result_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    one = counting()
    assert counting().key == one.key
    others = [
        counting(name="other"),
        counting(version=2),
        counting(about={"a": 2}),
        counting(needs=(counting(name="needed"),)),
        counting(needs=(counting(name="needed", about={"a": 2}),)),
    ]
    assert len({one.key, *(other.key for other in others)}) == 6
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert counting().key != one.key


def test_steps_and_costs_for_the_progress_bar_are_no_part_of_a_key() -> None:
    assert counting(ms_per_step=7.0).key == counting(ms_per_step=1.0).key


def test_needs_come_first_and_each_once() -> None:
    root = counting(name="root", stored=False)
    left, right = counting(name="left", needs=(root,)), counting(name="right", needs=(root,))
    top = counting(name="top", needs=(left, right))
    assert [one.name for one in top.everything()] == ["root", "left", "right", "top"]


def test_a_need_without_a_file_stands_for_the_files_behind_it() -> None:
    learned = counting(name="learned")
    seen = counting(name="seen", needs=(learned,), stored=False)
    assert [one.name for one in counting(name="top", needs=(seen,)).stored_needs()] == ["learned"]


# -- files ---------------------------------------------------------------------------------------------------


def test_it_is_learned_once_and_read_afterwards() -> None:
    assert LearnedCache().get(counting()).value.tolist() == [3, 3]
    assert LearnedCache().get(counting()).value.tolist() == [3, 3]
    assert Counter.learned == 1


def test_one_life_has_one_object_of_each_whoever_asks() -> None:
    life = LearnedCache()
    assert life.get(counting()) is life.get(counting())
    assert life.get(counting()) is not LearnedCache().get(counting())


def rewritten(path: Path, change: Callable[[State, dict[str, Any]], None]) -> None:
    """The same file with other tensors or another header."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["slrl"])
    state = load_file(path)
    change(state, header)
    save_file(state, path, {"slrl": json.dumps(header)})


def with_true_hash(state: State, header: dict[str, Any]) -> None:
    header["content"] = cache.content_hash(state)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _text(path: Path) -> None:
    path.write_text("no tensors at all")


def _other_key(path: Path) -> None:
    rewritten(path, lambda state, header: header.update(key="0" * 64))


def _other_format(path: Path) -> None:
    rewritten(path, lambda state, header: header.update(format=99))


def _no_metadata(path: Path) -> None:
    save_file(load_file(path), path)


def _strange_metadata(path: Path) -> None:
    save_file(load_file(path), path, {"slrl": "[1, 2"})


def _metadata_of_another_type(path: Path) -> None:
    save_file(load_file(path), path, {"slrl": "[1, 2]"})


def _other_values(path: Path) -> None:
    def change(state: State, header: dict[str, Any]) -> None:
        for key, value in state.items():
            state[key] = torch.zeros_like(value)

    rewritten(path, change)


def _other_shape(path: Path) -> None:
    def change(state: State, header: dict[str, Any]) -> None:
        key = max(state, key=lambda name: state[name].numel())
        state[key] = torch.cat([state[key].reshape(-1), state[key].reshape(-1)])
        with_true_hash(state, header)

    rewritten(path, change)


def _other_dtype(path: Path) -> None:
    def change(state: State, header: dict[str, Any]) -> None:
        key = next(name for name in state if state[name].is_floating_point())
        state[key] = state[key].to(torch.float16)
        with_true_hash(state, header)

    rewritten(path, change)


def _missing_tensor(path: Path) -> None:
    def change(state: State, header: dict[str, Any]) -> None:
        state.pop(next(iter(state)))
        state["stranger"] = torch.zeros(1)
        with_true_hash(state, header)

    rewritten(path, change)


def _further_tensor(path: Path) -> None:
    def change(state: State, header: dict[str, Any]) -> None:
        state["stranger"] = torch.zeros(1)
        with_true_hash(state, header)

    rewritten(path, change)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    path.rmdir()


DAMAGES = (
    _truncated,
    _half,
    _empty,
    _zeros,
    _one_bit,
    _text,
    _other_key,
    _other_format,
    _no_metadata,
    _strange_metadata,
    _metadata_of_another_type,
    _other_values,
    _other_shape,
    _other_dtype,
    _missing_tensor,
    _further_tensor,
    _directory,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_a_file_that_is_not_what_it_should_be_is_learned_anew(damage: Callable[[Path], None]) -> None:
    LearnedCache().get(counting())
    damage(counting().file)
    assert LearnedCache().get(counting()).value.tolist() == [3, 3]
    assert Counter.learned == 2
    LearnedCache().get(counting())
    assert Counter.learned == 2  # and what was learned anew is whole


KINDS = {
    "agent": ("frozen", "agent"),
    "latents": ("rma", "latents"),
    "latents of the prior": ("rma", "latents of the prior"),
    "skills": ("skills", "skills"),
    "skills of the prior": ("skills", "skills of the prior"),
    "monitor": ("switch", "monitor"),
    "joint critics": ("roam", "joint critics"),
    "dynamics": ("model", "dynamics"),
}


def two_behaviours() -> Prior:
    prior = prior_of(rows_of([12] * 30))
    return prior.__class__(**{**vars(prior), "behaviour": prior.episode % 2})


def artefact_of(kind: str) -> Artefact[Any]:
    """The artefact of that kind in a life of the adapter that has one, on a small prior."""
    adapter, name = KINDS[kind]
    method = hurried(adapter)
    plan = Plan.of(method, two_behaviours())
    everything = [one for part in plan.of_adapter(method.adapter) for one in part.everything()]
    return next(one for one in everything if one.name == name and one.stored)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_artefact_is_learned_anew_where_its_file_is_damaged(kind: str) -> None:
    one = artefact_of(kind)
    first = {key: value.clone() for key, value in LearnedCache().get(one).state_dict().items()}
    assert cache.is_learned(one)
    for damage in (_truncated, _one_bit, _zeros, _other_key, _other_values, _other_shape, _missing_tensor):
        damage(one.file)
        again = LearnedCache().get(one).state_dict()
        assert again.keys() == first.keys(), damage.__name__
        for key, value in first.items():
            assert torch.equal(again[key], value), (damage.__name__, key)
        assert cache.is_learned(one), damage.__name__


def test_what_was_learned_from_something_else_since_is_learned_anew() -> None:
    """A dependency's file has the right key, and other content than when its user learned from it."""
    needed = counting(name="needed")
    top = counting(name="top", needs=(needed,))
    LearnedCache().get(top)
    assert Counter.learned == 2

    def change(state: State, header: dict[str, Any]) -> None:
        state["value"] = state["value"] + 1
        with_true_hash(state, header)

    rewritten(needed.file, change)
    assert cache.is_learned(needed)
    assert not cache.is_learned(top)
    LearnedCache().get(top)
    assert Counter.learned == 3


def test_a_user_whose_dependency_is_gone_is_missing_too_and_neither_is_learned_twice() -> None:
    needed = counting(name="needed")
    top = counting(name="top", needs=(needed,))
    LearnedCache().get(top)
    needed.file.unlink()
    assert [one.name for one in prepare.missing([top])] == ["needed", "top"]
    LearnedCache().get(top)
    assert Counter.learned == 3  # the same was learned again, so that what was learned from it counts
    assert prepare.missing([top]) == []


def test_a_link_in_the_cache_is_not_followed(tmp_path: Path) -> None:
    LearnedCache().get(counting())
    path = counting().file
    elsewhere = tmp_path / "elsewhere.safetensors"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert not cache.is_learned(counting())
    LearnedCache().get(counting())
    assert Counter.learned == 2
    assert not path.is_symlink()


def test_a_folder_in_the_place_of_a_file_is_one_sentence_and_is_not_cleared(command: Command) -> None:
    counting().file.mkdir(parents=True)
    with pytest.raises(BadInput, match="cannot keep what was learned in "):
        LearnedCache().get(counting())
    assert command("cache", "clear")[1].startswith("removed 0 parts")
    lock = files.cache_folder("locks") / counting(name="locked").file.stem
    lock.mkdir()
    with pytest.raises(BadInput, match=r"cannot lock .*: Is a directory"):
        LearnedCache().get(counting(name="locked"))


def test_a_cache_that_cannot_be_written_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(BadInput, match=r"cannot keep what was learned in .*: No space left on device"):
        LearnedCache().get(counting())
    assert list(cache.learned_folder().iterdir()) == []


def test_weights_that_became_infinite_are_not_kept() -> None:
    class Exploding(Counter):
        def learn(self) -> Iterator[Metrics]:
            for _ in super().learn():
                self.value /= 0
                yield {}

    with pytest.raises(BadInput, match="weights of the counter became infinite"):
        LearnedCache().get(counting(build=lambda: Exploding()))
    assert list(cache.learned_folder().glob("*.safetensors")) == []


def test_what_failed_before_is_not_tried_again() -> None:
    one = counting()
    with pytest.raises(BadInput, match="it diverged"):
        LearnedCache(failures={one.key: BadInput("it diverged.")}).get(one)
    assert Counter.learned == 0


# -- other processes -----------------------------------------------------------------------------------------


class Slow(Counter):
    """Takes a second, and leaves a line for every time that it was learned."""

    def learn(self) -> Iterator[Metrics]:
        with (Path(os.environ["SLRL_CACHE"]) / "learned.txt").open("a") as file:
            file.write("once\n")
        time.sleep(1.0)
        yield from super().learn()


def _learn_slowly(results: Any) -> None:
    results.put(LearnedCache().get(counting(build=lambda: Slow())).value.tolist())


def test_processes_that_begin_together_learn_it_once_and_the_others_wait() -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_learn_slowly, args=(results,)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [[3, 3]] * 3
    assert (Path(os.environ["SLRL_CACHE"]) / "learned.txt").read_text() == "once\n"


def hurried_artefacts() -> list[Artefact[Any]]:
    """Those of a switch on a small prior, for another process that begins from nothing."""
    method = hurried("switch")
    return Plan.of(method, prior_of(rows_of([12] * 30))).of_adapter(method.adapter)


def test_parts_that_do_not_need_each_other_are_learned_side_by_side_and_are_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def learned() -> dict[str, str]:
        parts = hurried_artefacts()
        return {
            one.key: str(cache._content(one)) for part in parts for one in part.everything() if one.stored
        }

    assert prepare.prepare(hurried_artefacts()) == {}
    one_by_one = learned()
    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(prepare, "WORTH_A_PROCESS_S", 0.0)
    assert len(prepare.missing(hurried_artefacts())) == len(one_by_one)
    assert prepare.prepare(hurried_artefacts(), jobs=2, rebuild=hurried_artefacts) == {}
    assert learned() == one_by_one
    assert "None" not in one_by_one.values()


def dying_artefacts() -> list[Artefact[Any]]:
    def die() -> Any:
        os._exit(9)

    return [counting(name="dying", build=die), counting(name="fine", steps=3)]


def test_a_process_that_dies_fails_its_part_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "WORTH_A_PROCESS_S", -1.0)
    failures = prepare.prepare(dying_artefacts(), jobs=2, rebuild=dying_artefacts)
    dying, fine = dying_artefacts()
    assert list(failures) == [dying.key]
    assert "the process that learned the dying ended before it was through" in str(failures[dying.key])
    assert cache.is_learned(fine)


class Diverging(Counter):
    def learn(self) -> Iterator[Metrics]:
        self.value /= 0
        yield {}


def chain_that_fails() -> list[Artefact[Any]]:
    first = counting(name="first", build=lambda: Diverging(), steps=1)
    second = counting(name="second", needs=(first,))
    return [counting(name="third", needs=(second,)), first]


def test_a_chain_whose_first_part_fails_ends_in_processes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "WORTH_A_PROCESS_S", -1.0)
    failures = prepare.prepare(chain_that_fails(), jobs=2, rebuild=chain_that_fails)
    _, first = chain_that_fails()
    assert {key: str(error)[:48] for key, error in failures.items()} == {
        first.key: "pretraining diverged: weights of the first becam"
    }


def test_a_part_that_raises_something_else_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "WORTH_A_PROCESS_S", -1.0)
    failures = prepare.prepare(broken_artefacts(), jobs=2, rebuild=broken_artefacts)
    assert [str(error) for error in failures.values()] == [
        "learning failed with ZeroDivisionError: division by zero; its traceback stands above."
    ]
    assert "ZeroDivisionError" in capfd.readouterr().err


def broken_artefacts() -> list[Artefact[Any]]:
    return [counting(name="broken", build=lambda: 1 / 0), counting(name="fine")]


def test_only_what_the_prior_does_not_allow_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch does without skills that its prior is too short for, not without skills that diverged."""
    prior = prior_of(rows_of([12] * 30))
    method = hurried("switch")
    plan = Plan.of(method, prior)
    parts = [one for part in plan.of_adapter(method.adapter) for one in part.everything()]
    skills = next(one for one in parts if one.name == "skills")
    prepare.prepare(plan.of_adapter(method.adapter))
    skills.file.unlink()
    learned = LearnedCache(failures={skills.key: BadInput("pretraining diverged.")})
    with pytest.raises(BadInput, match=r"pretraining diverged\."):
        assemble(method, plan, learned, 50, np.random.SeedSequence(0))
    learned = LearnedCache(failures={skills.key: Unsupported("the prior is too short.")})
    adapter: Any = assemble(method, plan, learned, 50, np.random.SeedSequence(0))
    assert adapter.high is None


def test_levels_that_begin_with_the_same_agent_do_not_share_it() -> None:
    same = [("adapter.low", "frozen"), ("adapter.high", "finetune")]
    seeds = [
        (f"adapter.{level}.pretrain.{key}", value)
        for level in ("low", "high")
        for key, value in (("seed", 0), ("steps", 5))
    ]
    method = adapters.load("switch", [*same, *seeds, ("pretrain.steps", 5), ("adapter.monitor.steps", 5)])
    plan = Plan.of(method, prior_of(rows_of([12] * 30)))
    settings = method.adapter.settings
    keys = {plan.level(level, 1).agent().key for level in (settings.low, settings.high)}
    assert len(keys) == 1
    adapter: Any = assemble(method, plan, LearnedCache(), 50, np.random.SeedSequence(0))
    assert adapter.low.agent is not adapter.high.agent
    assert torch.equal(adapter.low.agent.actor[0], adapter.high.agent.actor[0])


def test_what_needs_something_that_failed_is_not_tried() -> None:
    class Exploding(Counter):
        def learn(self) -> Iterator[Metrics]:
            self.value /= 0
            yield {}

    bad = counting(name="bad", build=lambda: Exploding(), steps=1)
    top = counting(name="top", needs=(bad,))
    failures = prepare.prepare([top])
    assert list(failures) == [bad.key]
    with pytest.raises(BadInput, match="weights of the bad became infinite"):
        LearnedCache(failures=failures).get(top)
    assert Counter.learned == 0


def test_progress_says_which_of_how_many_and_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = counting(name="latents", steps=3), counting(name="skills", steps=3)
    prepare.prepare([first, second], quiet=False)
    said = capsys.readouterr().err
    assert "pretraining 1 of 2: latents" in said
    assert "pretraining 2 of 2: skills" in said
    assert "left" in said
    prepare.prepare([first, second], quiet=False)
    assert capsys.readouterr().err == ""  # nothing to learn, nothing to say


# -- limit and command ---------------------------------------------------------------------------------------


def aged(count: int) -> list[Artefact[Any]]:
    """So many files of about 4 kB, each used a minute after the one before."""
    found = [counting(name=f"part {i}", build=lambda: Counter(size=1000)) for i in range(count)]
    for i, one in enumerate(found):
        LearnedCache().get(one)
        os.utime(one.file, (1e9 + 60 * i, 1e9 + 60 * i))
    return found


def test_the_oldest_leave_first_and_what_a_life_needs_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = aged(5)
    monkeypatch.setenv("SLRL_CACHE_LIMIT_MB", "0.013")  # three of them
    assert [entry.name for entry in cache.trim()] == ["part 0", "part 1"]
    assert [one.file.exists() for one in parts] == [False, False, True, True, True]
    monkeypatch.setenv("SLRL_CACHE_LIMIT_MB", "0")
    assert [entry.name for entry in cache.trim(keep=[parts[2].file])] == ["part 3", "part 4"]
    assert parts[2].file.exists()


def test_reading_makes_young_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = aged(3)
    LearnedCache().get(parts[0])
    monkeypatch.setenv("SLRL_CACHE_LIMIT_MB", "0.009")
    cache.trim()
    assert [one.file.exists() for one in parts] == [True, False, True]


def test_a_life_with_a_cache_without_room_still_lives(
    monkeypatch: pytest.MonkeyPatch, brief: Callable[[str], str]
) -> None:
    monkeypatch.setenv("SLRL_CACHE_LIMIT_MB", "0")
    overrides = [("pretrain.steps", 3), ("agent.hidden", [4])]
    result = slrl.adapt(
        brief("windy_pointmass"), adapter="frozen", overrides=overrides, life_steps=5, out=None
    )
    assert result.steps == 5


@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused_before_the_work(
    value: str, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setenv("SLRL_CACHE_LIMIT_MB", value)
    code, out, err = command("adapt", "--scenario", "windy_pointmass", "--adapter", "frozen", "--quiet")
    assert (code, out) == (2, "")
    assert err == f"slrl: SLRL_CACHE_LIMIT_MB must be a number of megabytes, 0 or more, not {value!r}.\n"


def test_the_command_lists_sizes_and_clears(command: Command) -> None:
    aged(3)
    code, out, _ = command("cache", "list")
    assert code == 0
    assert re.findall(r"MB  (part \d)", out) == ["part 0", "part 1", "part 2"]
    code, out, _ = command("cache", "size")
    assert out.startswith("3 parts, 0.0 of 4,096 MB (SLRL_CACHE_LIMIT_MB), in ")
    assert command("cache", "clear", "--name", "part 1")[1].startswith("removed 1 parts")
    code, _, err = command("cache", "clear", "--name", "part 7")
    assert (code, err) == (2, "slrl: unknown kind of learned part 'part 7'; did you mean 'part 2'?\n")
    assert command("cache", "clear")[1].startswith("removed 2 parts")
    assert command("cache", "list")[1] == ""


# -- methods -------------------------------------------------------------------------------------------------


def test_a_table_is_computed_once() -> None:
    calls = []

    def compute() -> torch.Tensor:
        calls.append(1)
        return torch.arange(3.0)

    one: Artefact[Table] = Artefact(name="table", build=lambda: Table(compute, (3,)), steps=1)
    for _ in range(2):
        assert LearnedCache().get(one).tensor.tolist() == [0, 1, 2]
    assert calls == [1]


def test_adapters_that_need_the_same_share_it() -> None:
    """The agent of frozen is that of finetune, gail_s and qwale; switch watches by one that learned less."""
    prior = prior_of(rows_of([12] * 30))
    keys = {
        Plan.of(method, prior).agent().key
        for method in map(adapters.load, ("frozen", "finetune", "gail_s", "qwale", "model"))
    }
    assert len(keys) == 1
    method = adapters.load("switch")
    watched = monitored(method.adapter.settings, Plan.of(method, prior))
    assert keys.isdisjoint(one.key for one in watched.everything() if one.name == "agent")


def test_what_a_killed_process_left_is_listed_after_an_hour_and_leaves(command: Command) -> None:
    left = cache.learned_folder() / ".latents-0123-4567.safetensors"
    left.write_bytes(b"half")
    assert cache.entries() == []  # somebody may be writing it
    os.utime(left, (1e9, 1e9))
    assert [entry.name for entry in cache.entries()] == ["unfinished"]
    assert command("cache", "clear")[1].startswith("removed 1 parts")
    assert not left.exists()
