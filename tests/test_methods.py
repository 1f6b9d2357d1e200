"""Adapters' files: what `like` takes over, levels, and the one seed of all that is learned before a life."""

from pathlib import Path
from typing import Any

import pytest

import slrl
from slrl import adapters, files
from slrl.adapters.method import Method
from slrl.adapters.setup import Plan
from slrl.learning.cache import Artefact, LearnedCache
from slrl.learning.seeds import of_pretraining
from slrl.learning.state import fingerprint
from slrl.lives.settings import LifeSettings
from slrl.priors import Prior

from .conftest import prior_of, rows_of
from .test_adapters import HURRY, breezy_prior, has, hurried


def write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.toml"
    path.write_text(f'schema = 1\nsummary = "mine"\n{text}')
    return str(path)


# -- like ----------------------------------------------------------------------------------------------------


def test_a_file_that_is_like_another_says_what_differs(tmp_path: Path) -> None:
    mine = adapters.load(write(tmp_path, "mine", 'like = "qwale"\n[agent]\nhidden = [8]\n')).table()
    other = adapters.load("qwale").table()
    assert mine["agent"] == other["agent"] | {"hidden": [8]}
    assert mine["adapter"] == other["adapter"]
    assert mine["pretrain"] == other["pretrain"]
    assert (mine["name"], mine["summary"]) == ("mine", "mine")


def test_a_table_that_names_another_part_begins_anew(tmp_path: Path) -> None:
    text = 'like = "qwale"\n[adapter.guidance]\nname = "rnd"\nfeatures = 7\n'
    guidance = adapters.load(write(tmp_path, "mine", text)).table()["adapter"]["guidance"]
    assert (guidance["name"], guidance["features"], guidance["lr"]) == ("rnd", 7, 1e-4)  # its own defaults
    assert "weight_temperature" not in guidance


def test_a_table_may_be_like_the_same_one_of_another_file_and_name_another_part(tmp_path: Path) -> None:
    text = 'like = "rlpd"\n[adapter.guidance]\nlike = "gail_s"\nname = "q_weighted"\noffset = 3.0\n'
    mine, gail = adapters.load(write(tmp_path, "mine", text)).table(), adapters.load("gail_s").table()
    guidance = mine["adapter"]["guidance"]
    assert guidance["name"] == "q_weighted"
    assert {key: guidance[key] for key in gail["adapter"]["guidance"]} == {
        **gail["adapter"]["guidance"],
        "name": "q_weighted",
        "offset": 3.0,
    }
    assert mine["adapter"]["prior_fraction"] == 0.5  # of rlpd


def test_an_inner_adapter_is_named_or_like_the_adapter_of_a_file(tmp_path: Path) -> None:
    named = adapters.load(write(tmp_path, "named", 'like = "rma"\n[adapter]\ninner = "qwale"\n')).table()
    assert named["adapter"]["inner"] == adapters.load("qwale").table()["adapter"]
    text = 'like = "rma"\n[adapter.inner]\nlike = "qwale"\nbatch_size = 7\n'
    like = adapters.load(write(tmp_path, "like", text)).table()
    assert like["adapter"]["inner"] == named["adapter"]["inner"] | {"batch_size": 7}


def test_a_level_is_named_or_like_a_whole_method(tmp_path: Path) -> None:
    text = 'like = "switch"\n[adapter.high]\nlike = "frozen"\n[adapter.high.agent]\nhidden = [4]\n'
    high = adapters.load(write(tmp_path, "mine", text)).adapter.settings.high
    assert (high.adapter.name, high.agent.settings.hidden) == ("frozen", (4,))
    assert high.pretrain.steps == 15_000


def test_files_that_are_named_are_looked_for_beside_the_one_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", "base", 'like = "frozen"\n[agent]\nhidden = [4]\n')
    child = write(tmp_path / "sub", "child", 'like = "base.toml"\n')
    assert adapters.load(child).agent.settings.hidden == (4,)
    both = write(
        tmp_path / "sub", "both", 'like = "switch"\n[adapter]\nlow = "base.toml"\nhigh = "child.toml"\n'
    )
    settings = adapters.load(both).adapter.settings
    assert (settings.low.name, settings.high.name) == ("base", "child")


def test_an_inner_adapter_and_no_pretraining_by_set() -> None:
    inner = adapters.load("rma", [("adapter.inner", "qwale")]).adapter.settings.inner
    assert inner.table() == adapters.load("qwale").table()["adapter"]
    assert adapters.load("frozen", [("pretrain", False)]).pretrain is None


def test_without_pretraining(tmp_path: Path) -> None:
    assert adapters.load(write(tmp_path, "mine", 'like = "frozen"\npretrain = false\n')).pretrain is None


def test_chains_of_files(tmp_path: Path) -> None:
    """gail_sa is like gail_s, which is like finetune, which is like frozen."""
    found = adapters.load("gail_sa").table()
    assert found["adapter"]["guidance"]["on"] == "state_action"
    assert (
        found["adapter"]["guidance"]["offset"]
        == adapters.load("gail_s").table()["adapter"]["guidance"]["offset"]
    )
    assert found["agent"] == adapters.load("frozen").table()["agent"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('like = "qwal"\n', "unknown adapter 'qwal'; did you mean 'qwale'?"),
        ('like = "switch"\n[adapter]\nlow = "{path}"\n', "is a level of itself"),
        (
            'like = "qwale"\n[adapter.batch_size]\nlike = "qwale"\n',
            "adapter 'qwale' has no [adapter.batch_size] that [batch_size] could be like.",
        ),
        (
            'like = "qwale"\n[agent]\nlike = 3\n',
            "'like' of [agent] must be the name of an adapter's file, not 3.",
        ),
        ('like = "qwale"\n[pretrain]\nseed = 9223372036854775808\n', "seed must be less than 2 ** 63, not"),
        (
            'like = "rma"\n[adapter.extrinsics]\nhidden = [0]\n',
            "hidden must list layers of 1 or more units, not [0].",
        ),
        ('like = "switch"\n[adapter.monitor]\nheld_out = 1\n', "held_out must be less than 1, not 1.0."),
        (
            'like = "qwale"\n[agent]\ndiscount = 1' + "0" * 400 + "\n",
            "'discount' in [agent] of adapter 'mine' must be a number",
        ),
        ('like = "qwale"\n[agent]\nhidden = [1' + "0" * 5000 + "]\n", "is not valid TOML"),
        ('like = "qwale"\n[adapter]\nname = "numpy:add"\n', "cannot be used: its annotations cannot be read"),
        ("like = 3\n", "'like' of adapter 'mine' must be the name of another one, not 3."),
        ('like = "{path}"\n', "is like itself"),
        ('like = "qwale"\n[adapter]\nname = "frozen"\nbatch_size = 3\n', "unknown setting in [adapter]"),
        (
            'like = "qwale"\n[planner]\nurl = "x"\n',
            "adapter 'mine': it asks no planner; leave out [planner].",
        ),
        (
            'like = "qwale"\n[pretrain]\nsteps = 0\n',
            "[pretrain] of adapter 'mine': steps must be 1 or more, not 0.",
        ),
        ('like = "qwale"\n[pretrain]\nseed = -1\n', "seed must be 0 or more, not -1."),
        ('like = "qwale"\npretrain = 3\n', "'pretrain' in adapter 'mine' must be a table, not 3."),
        (
            'like = "qwale"\nadapter = "frozen"\n',
            "'adapter' in adapter 'mine' must be a table, not 'frozen'.",
        ),
        ('like = "rma"\n[adapter]\ninner = "qwal"\n', "did you mean 'qwale'?"),
        ('[adapter]\nname = "frozen"\n', "adapter 'mine': it needs the setting 'agent' (a table)."),
    ],
)
def test_what_does_not_work_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, "mine", text.replace("{path}", str(tmp_path / "mine.toml")))
    with pytest.raises(slrl.BadInput) as error:
        adapters.load(path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_no_table_of_settings_stands_in_two_files() -> None:
    """Tables of three or more settings, as they stand in the files."""
    seen: dict[str, str] = {}

    def walk(name: str, table: dict[str, Any], path: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                walk(name, value, f"{path}.{key}")
        plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
        if len(plain) >= 3 and path:
            text = repr(sorted(plain.items()))
            assert text not in seen, f"{path} of {name} stands in {seen[text]} too"
            seen[text] = f"{path} of {name}"

    for name in files.names("adapters"):
        walk(name, files.read("adapters", name), "")
    assert len(seen) > 10


@pytest.mark.parametrize("name", files.names("adapters"))
def test_a_method_comes_back_from_its_table(name: str) -> None:
    method = adapters.load(name)
    table = method.table()
    again = adapters.parse({key: value for key, value in table.items() if key != "name"}, name=name)
    assert again == method
    assert again.table() == table


def test_settings_of_earlier_versions_are_read_under_their_present_names() -> None:
    table = adapters.load("robust").table()
    table["adapter"]["told"] = table["adapter"].pop("condition_policy")
    table.pop("name")
    assert adapters.parse(table, name="robust") == adapters.load("robust")


# -- one seed of the pretraining -----------------------------------------------------------------------------


def parts_of(method: Method, prior: Prior) -> dict[str, str]:
    """A fingerprint of everything that a method learns, by its path and kind."""
    plan = Plan.of(method, prior)
    learned = LearnedCache()
    found: dict[str, str] = {}
    everything: dict[str, Artefact[Any]] = {}
    for part in plan.of_adapter(method.adapter):
        everything |= {one.key: one for one in part.everything() if one.stored}
    for number, one in enumerate(everything.values()):
        state = learned.get(one).state_dict()
        weights = [
            value for key, value in sorted(state.items()) if value.is_floating_point() and value.numel() > 1
        ]
        found[f"{one.name} {number}"] = fingerprint(weights)
    return found


@pytest.mark.parametrize("name", ["switch", "roam", "model", "vlm_pc", "skills", "rma"])
def test_two_pretrainings_differ_in_every_part(name: str) -> None:
    prior = breezy_prior()
    whole = adapters.load(name).table()
    quick = [
        (path + key, value)
        for path in ("", "adapter.low.", "adapter.high.")
        for key, value in HURRY.items()
        if has(whole, path + key)
    ]
    one, two = (parts_of(adapters.load(name, [*quick, ("pretrain.seed", seed)]), prior) for seed in (3, 4))
    assert one.keys() == two.keys()
    assert {key for key in one if one[key] == two[key]} == set()
    kinds = {key.rpartition(" ")[0] for key in one}
    expected = {
        "switch": {"agent", "latents", "latents of the prior", "skills", "skills of the prior", "monitor"},
        "roam": {"agent", "joint critics"},
        "model": {"agent", "dynamics"},
        "vlm_pc": {"agent", "joint critics"},
        "skills": {"agent", "skills", "skills of the prior"},
        "rma": {"agent", "latents", "latents of the prior"},
    }[name]
    assert expected <= kinds


def test_the_codes_of_a_planner_are_those_of_the_seed() -> None:
    scenario, prior = slrl.load_scenario("windy_pointmass"), slrl.load_prior("pointmass")

    def codes(seed: int) -> list[float]:
        method = adapters.load(
            "vlm_pc", [("pretrain.steps", 5), ("adapter.skills.steps", 20), ("pretrain.seed", seed)]
        )
        adapter: Any = slrl.load_adapter(method, prior, scenario, life_steps=10)
        return [float(x) for x in adapter.skills.codes.flatten()]

    assert codes(1) == codes(1)
    assert codes(1) != codes(2)


def test_both_levels_of_a_switch_have_a_seed_of_their_own_unless_they_name_one() -> None:
    """Levels that are the same method learn other agents; one that names its seed is as it is alone."""
    prior = prior_of(rows_of([12] * 30))
    same = [("adapter.low", "frozen"), ("adapter.high", "frozen")]
    method = adapters.load("switch", same)
    settings = method.adapter.settings
    plan = Plan.of(method, prior)
    low, high = plan.level(settings.low, plan.seeds.low), plan.level(settings.high, plan.seeds.high)
    keys = {plan.agent().key, low.agent().key, high.agent().key}
    assert len(keys) == 3
    named = adapters.load("switch", [*same, ("adapter.low.pretrain.seed", 0)]).adapter.settings.low
    assert plan.level(named, 123).agent().key == Plan.of(adapters.load("frozen"), prior).agent().key


def test_seeds_that_the_parts_name_themselves_count() -> None:
    """Settings of earlier versions name them: their lives repeat as they were."""
    prior = breezy_prior()
    method = adapters.load("rma", [("adapter.extrinsics.seed", 0), ("pretrain.seed", 5)])
    latents = next(one for one in Plan.of(method, prior).of_adapter(method.adapter) if one.name == "latents")
    assert latents.about["seed"] == 0
    own = adapters.load("rma", [("pretrain.seed", 5)])
    derived = next(one for one in Plan.of(own, prior).of_adapter(own.adapter) if one.name == "latents")
    assert derived.about["seed"] == of_pretraining(5).latents


@pytest.mark.parametrize("label", ["../evil", "..", "a/b"])
def test_a_label_does_not_leave_the_folder_of_runs(label: str, tmp_path: Path) -> None:
    from slrl.evaluation import suites

    path = tmp_path / "mine.toml"
    head = 'schema = 1\nsummary = "S."\n[[lives]]\nscenarios = ["calm_pointmass"]\nadapters = ["frozen"]\n'
    path.write_text(f'{head}seeds = [0]\nlabel = "{label}"\n')
    with pytest.raises(slrl.BadInput, match="must be a part of a folder's name"):
        suites.load(str(path))


def test_a_student_of_another_simulator_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns from episodes in the simulator, whose trajectories differ between versions."""
    from slrl.recording import recipes

    prior, method = slrl.load_prior("pointmass_breezy"), adapters.load("rma")

    def student() -> str:
        plan = Plan.of(method, prior, world=recipes.world_of(prior))
        return next(one.key for one in plan.of_adapter(method.adapter) if one.name == "student")

    here = student()
    assert student() == here
    monkeypatch.setattr(files, "version", lambda package: "99.0")
    assert student() != here


# -- settings of a life --------------------------------------------------------------------------------------


def test_a_life_of_settings_comes_back_from_its_file(tmp_path: Path) -> None:
    import tomli_w

    scenario = slrl.load_scenario("maze_blocked")
    method = adapters.load("switch", [("pretrain.seed", 3)], suggested=scenario.overrides())
    settings = LifeSettings(
        scenario=scenario, method=method, prior=("maze", "pointmass"), seed=4, life_steps=50, world="source"
    )
    path = tmp_path / "settings.toml"
    path.write_text(tomli_w.dumps(settings.table("ab")))
    again = LifeSettings.read(path)
    assert again.table("ab") == settings.table("ab")
    assert (again.prior, again.world, again.prior_sha256) == (("maze", "pointmass"), "source", "ab")
    path.write_text(
        path.read_text().replace('spec = [\n    "maze",\n    "pointmass",\n]', 'spec = "maze + pointmass"')
    )
    assert LifeSettings.read(path).prior == ("maze", "pointmass")  # as version 0.1 wrote several


def test_hurried_methods_are_the_shipped_ones_but_for_their_length() -> None:
    assert hurried("switch").table()["adapter"]["patience_steps"] == 4_000
