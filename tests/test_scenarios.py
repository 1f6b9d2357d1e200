"""Every scenario by its contract, what a scenario can say, and a robot of the user's own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from slrl import envs, files, scenarios
from slrl.envs.rollout import rollout
from slrl.envs.success import Success
from slrl.errors import BadInput
from slrl.plugins import BehaviourPlugin
from slrl.recording import contracts, recipes
from slrl.scenarios import Scenario

Command = Callable[..., tuple[int, str, str]]
PACKAGES = {"mujoco": "mujoco", "robotics": "gymnasium_robotics", "metaworld": "metaworld"}
MY_ROBOT = Path(__file__).parents[1] / "examples" / "my_robot"
LONG_BUILDS = ("door", "kitchen", "kitchen_kettle", "peg")  # about a minute each
ALL = [*files.names("scenarios"), *files.variants("scenarios")]


def with_its_extra(name: str) -> Scenario:
    """The scenario, or a skip where its simulator is not installed."""
    scenario = scenarios.load(name)
    if scenario.extra is not None:
        pytest.importorskip(PACKAGES[scenario.extra])
    return scenario


def broken(verdicts: Any) -> list[str]:
    return [f"{verdict.contract}: {verdict.sentence}" for verdict in verdicts if verdict.outcome == "broken"]


@pytest.mark.parametrize("name", ALL)
def test_every_scenario_holds_its_contract(name: str, tmp_path: Path) -> None:
    scenario = with_its_extra(name)
    prior = scenario.prior
    if prior in LONG_BUILDS:  # the same recipe with fewer rows; the whole of it is in the slow tests
        text = (files.folder("priors") / f"{prior}.toml").read_text()
        lines = [f"rows = {800}" if line.startswith("rows = ") else line for line in text.splitlines()]
        prior = str(tmp_path / f"short_{prior}.toml")
        Path(prior).write_text("\n".join(lines))
    verdicts = list(contracts.check(name, prior))
    assert broken(verdicts) == []
    assert {verdict.contract for verdict in verdicts} == {"loads and builds", *contracts.CONTRACTS}
    assert all(verdict.sentence.endswith(".") for verdict in verdicts)


@pytest.mark.parametrize("name", files.names("scenarios"))
def test_every_scenario_says_what_it_is(name: str) -> None:
    scenario = scenarios.load(name)
    assert scenario.novelty
    assert scenario.summary.endswith((".", "?"))
    assert scenario.literature
    assert name == "calm_pointmass" or len((scenario.why or "").split()) > 25
    if scenario.target.env != "slrl/Pointmass-v0" and scenario.target.env != "slrl/Tabletop-v0":
        assert scenario.extra in PACKAGES


def test_variants_are_named_by_their_folder_and_are_not_among_all() -> None:
    found = files.variants("scenarios")
    assert found == [f"variants/{name}" for name in ("kitchen_kettle", "maze_blocked_early", "tabletop_edge")]
    assert not set(found) & set(files.names("scenarios"))
    assert scenarios.load("variants/tabletop_edge").name == "tabletop_edge"
    for name in ("tabletop_edge", "variants/tabletop_edg", "variants/../tabletop_edge"):
        with pytest.raises(BadInput, match="did you mean"):
            scenarios.load(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ALL if scenarios.load(n).prior in LONG_BUILDS])
def test_the_contract_with_the_whole_prior(name: str) -> None:
    with_its_extra(name)
    assert broken(contracts.check(name)) == []


WINDY: dict[str, Any] = {
    "summary": "",
    "prior": "pointmass",
    "life_steps": 400,
    "source": {"env": "slrl/Pointmass-v0"},
    "target": {"env": "slrl/Pointmass-v0", "shifts": [{"name": "wind", "y_units_per_step": [0.5, 0.5]}]},
}


def subject(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, str]:
    """What became of each contract of a scenario that is changed."""
    monkeypatch.setattr(scenarios, "load", lambda name: scenarios.parse({**WINDY, **changes}, name=name))
    return {verdict.contract: verdict.outcome for verdict in contracts.check("changed")}


class Restless(gym.Env[Any, Any]):
    """Breaks what the arguments say: draws from something unseeded, or ends by itself."""

    def __init__(self, unseeded: bool = False, ends_at: int = 10**9) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (6,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self._unseeded, self._ends_at, self._steps = unseeded, ends_at, 0
        self._wild = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(6, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        noise = self._wild.random() if self._unseeded else 0.0
        return (
            np.full(6, self._steps + noise, np.float32),
            0.0,
            self._steps >= self._ends_at,
            False,
            {"success": False},
        )


def nothing(obs: np.ndarray, action: np.ndarray, next_obs: np.ndarray) -> np.ndarray:
    return np.zeros(len(obs), np.float32)


@pytest.mark.parametrize(
    ("contract", "changes"),
    [
        ("the shift matters", {"target": {"env": "slrl/Pointmass-v0", "settings": {"goal_radius": 2.0}}}),
        (
            "the optimum succeeds",
            {"optimum": {"name": "steering", "drift_units_per_step": [0, -0.9]}, "optimum_steps": 98},
        ),
        (
            "the optimum succeeds",
            {"optimum": {"name": "steering", "drift_units_per_step": [0, 0.5]}, "optimum_steps": 50},
        ),
        ("rewards of the prior", {"reward_function": f"{__name__}:nothing"}),
        ("same seed, same life", {"target": {"env": f"{__name__}:Restless", "settings": {"unseeded": True}}}),
        ("no early end", {"target": {"env": f"{__name__}:Restless", "settings": {"ends_at": 77}}}),
    ],
)
def test_a_broken_contract_is_found(
    contract: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, __name__, sys.modules.get(__name__) or __import__("types").SimpleNamespace()
    )
    for name in ("Restless", "nothing"):
        monkeypatch.setattr(sys.modules[__name__], name, globals()[name], raising=False)
    assert subject(monkeypatch)[contract] != "broken"
    assert subject(monkeypatch, **changes)[contract] == "broken"


def test_spaces_that_differ_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        subject(monkeypatch, target={"env": "Pendulum-v1"}, success_obs=0, success_above=5)["spaces agree"]
        == "broken"
    )


def test_check_on_the_command_line(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("check", "windy_pointmass")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["ok"] * 8
    text = (
        (files.folder("scenarios") / "windy_pointmass.toml")
        .read_text()
        .replace("optimum_steps = 123", "optimum_steps = 60")
    )
    path = tmp_path / "hopeful.toml"
    path.write_text(text)
    code, out, err = command("check", path)
    assert code == 2
    assert "broken   the optimum succeeds" in out
    assert err.strip() == f"slrl: {path} does not hold 1 of its contracts; what is broken stands above."


def test_list_scenarios_is_a_table(command: Command) -> None:
    code, out, _ = command("list", "scenarios")
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["scenario", "world", "what", "is", "new", "budget", "optimum", "extra"]
    assert [line.split()[0] for line in lines] == ALL
    windy = next(line for line in lines if line.startswith("windy"))
    assert windy.split() == ["windy_pointmass", "slrl/Pointmass-v0", "wind", "200,000", "123"]


def walk(scenario: Scenario, steps: int = 150) -> list[bool]:
    env = envs.make(scenario)
    env.reset(seed=0)
    out = []
    for _ in range(steps):
        *_, terminated, _, info = env.step(np.array([1.0, 0.0], np.float32))
        out.append(info["success"])
        if terminated:
            break
    return out


def far_enough(obs: np.ndarray, info: dict[str, Any]) -> bool:
    return bool(obs[0] > 5 and info["distance"] > 0)


def test_success_by_info_by_observation_and_by_function(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = {**WINDY, "target": {"env": "slrl/Pointmass-v0"}}
    assert len(walk(scenarios.parse(calm, name="key"))) == 98
    near = walk(scenarios.parse({**calm, "success_info": "distance", "success_below": 90}, name="info"))
    assert near == [False] * (len(near) - 1) + [True]
    assert 9 <= len(near) <= 11
    far = walk(scenarios.parse({**calm, "success_obs": 0, "success_above": 20}, name="obs"))
    assert 19 <= len(far) <= 21
    between = walk(
        scenarios.parse({**calm, "success_obs": 0, "success_above": 30, "success_below": 31}, name="between")
    )
    assert 29 <= len(between) <= 31
    monkeypatch.setitem(sys.modules, "their_module", type(sys)("their_module"))
    monkeypatch.setattr(sys.modules["their_module"], "far_enough", far_enough, raising=False)
    own = walk(scenarios.parse({**calm, "success_function": "their_module:far_enough"}, name="function"))
    assert 5 <= len(own) <= 7


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"success_obs": 0}, "needs 'success_above' or 'success_below'"),
        ({"success_function": "a:b", "success_above": 1}, "leave one of them out"),
        ({"success_function": "nowhere"}, "must be module:function"),
        ({"success_function": "no_such_module:f"}, "finds no module 'no_such_module'"),
        ({"success_function": "json:nothing_here"}, "has no function 'nothing_here'"),
        ({"success_obs": 6, "success_above": 1}, "has the entries 0 to 5"),
        ({"success_info": "victory"}, "has no 'victory'; it has distance"),
        ({"target": {"env": "no_such_module:Robot"}}, "needs the module 'no_such_module'"),
        ({"target": {"env": "NoSuchRobot-v0"}}, "no environment 'NoSuchRobot-v0'"),
        ({"life_stepps": 3}, "did you mean 'life_steps'"),
        ({"life_steps": "many"}, "must be a whole number"),
        ({"target": {"env": "slrl/Pointmass-v0", "shifts": [{"name": "whirl"}]}}, "unknown shift 'whirl'"),
    ],
)
def test_wrong_scenarios_are_refused_in_a_sentence(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        envs.check(scenarios.parse({**WINDY, **changes}, name="wrong"))
    assert str(caught.value).rstrip().endswith((".", "?"))


def test_an_entry_that_no_observation_has_is_refused_before_the_first_step() -> None:
    outside = scenarios.parse({**WINDY, "success_obs": 6, "success_above": 1}, name="wrong")
    with pytest.raises(BadInput, match="'success_obs' is 6, but the observation has the entries 0 to 5"):
        envs.make(outside)


@pytest.mark.parametrize("obs", [-1, -7, 6])
def test_a_success_test_of_an_entry_that_is_not_there_is_a_sentence(obs: int) -> None:
    with pytest.raises(BadInput, match=f"'success_obs' is {obs}, but the observation has the entries 0 to 5"):
        Success("x", obs=obs, above=1)(np.ones(6), {})


def test_a_prior_that_is_missing_is_a_sentence(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "lost.toml"
    path.write_text(
        'schema = 1\nsummary = ""\nprior = "lost.hdf5"\nlife_steps = 5\n[source]\nenv = "slrl/Pointmass-v0"\n'
        '[target]\nenv = "slrl/Pointmass-v0"\n'
    )
    code, _, err = command("check", path)
    assert code == 2
    assert "there is no file lost.hdf5" in err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    monkeypatch.delitem(sys.modules, "slrl.envs.metaworld", raising=False)
    with pytest.raises(
        BadInput, match=r"needs the package metaworld; install it with: pip install 'slrl\[metaworld\]'"
    ):
        envs.check(scenarios.load("door_stiff"))
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    with pytest.raises(BadInput, match=r"slrl\[robotics\]"):
        envs.check(scenarios.load("maze_blocked"))


def test_settings_that_a_scenario_suggests_come_before_the_users(command: Command) -> None:
    from slrl import adapters

    tabletop = scenarios.load("tabletop_displaced")
    assert ("agent.hidden", [128, 128]) in tabletop.overrides()
    assert ("planner.task", "Carry the mug to its goal on the table.") in tabletop.overrides()
    assert (
        adapters.load("frozen", suggested=tabletop.overrides()).planner is None
    )  # it asks nobody, and is not told
    assert adapters.load("frozen", suggested=tabletop.overrides()).agent.settings.hidden == (128, 128)
    own = adapters.load("frozen", [("agent.hidden", [8])], suggested=tabletop.overrides())
    assert own.agent.settings.hidden == (8,)
    assert (
        adapters.load("rlpd", suggested=[("pretrain.steps", 7)]).pretrain is None
    )  # it does not pretrain, and still does not


def test_what_is_told_about_a_scenario_does_not_change_its_lives() -> None:
    plain = scenarios.load("windy_pointmass")
    table = plain.life_table()
    assert not {"novelty", "why", "extra", "optimum", "camera", "reward_function", "adapter_settings"} & set(
        table
    )
    assert table["target"]["shifts"][0]["name"] == "wind"


def test_your_own_robot_from_nothing_to_a_life(tmp_path: Path, tiny_adapter: str) -> None:
    """What docs/your_robot.md says, in a folder of its own and with the real command."""
    for file in MY_ROBOT.iterdir():
        if file.suffix in (".py", ".toml"):
            (tmp_path / file.name).write_text(file.read_text())

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "rows" in run("record.py")
    checked = run("-m", "slrl", "check", "stuck_drawer.toml")
    assert "broken" not in checked
    assert checked.count("ok  ") == 6
    told = run(
        "-m",
        "slrl",
        "adapt",
        "--scenario",
        "stuck_drawer.toml",
        "--adapter",
        tiny_adapter,
        "--life-steps",
        "60",
        "--quiet",
    )
    assert "stuck_drawer" in told
    again = run(
        "-m",
        "slrl",
        "adapt",
        "--from",
        "runs/stuck_drawer/tiny/seed-0/settings.toml",
        "--quiet",
        "--out",
        "again",
    )
    assert again.splitlines()[0].split(" (")[0] == told.splitlines()[0].split(" (")[0]


def test_the_scripts_that_know_a_world_succeed_in_it() -> None:
    """The behaviours of the scripted priors, without noise, in their source worlds."""
    for name in ("tabletop_displaced", "maze_blocked", "kitchen_pairs", "door_stiff", "peg_moved"):
        scenario = scenarios.load(name)
        if scenario.extra is not None:
            try:
                __import__(PACKAGES[scenario.extra])
            except ModuleNotFoundError:
                continue
        recipe, _ = recipes.read(scenario.prior)
        env = envs.make_source(scenario, life_steps=recipe.episode_steps)
        calm = {"noise": (0.0, 0.0), "random_actions": 0.0, "gives_up": 0.0, "detours": (1.0,)}
        table = recipe.behaviour | {key: value for key, value in calm.items() if key in recipe.behaviour}
        behaviour = BehaviourPlugin.parse(table, "[behaviour]").make(env, np.random.default_rng(0))
        life = rollout(env, behaviour.act, seed=2)
        behaviour.reset(life.first_obs)
        assert [step.info["success"] for step in life][-1], name
        env.close()


@pytest.mark.parametrize(
    ("shift", "says"),
    [
        (
            'name = "mass"\nbody = "torsos"\ntimes = 2.0',
            "unknown body for the shift 'mass': 'torsos'; did you mean 'torso'?",
        ),
        (
            'name = "obstacles"\nboxes_m = [[0, 0, 0.7, 0.3, 1, 0.2]]',
            "deep inside 'torso' at the start; move it or make it smaller.",
        ),
        ('name = "grvity"\ngravity_m_per_s2 = [0, 0, 0]', "unknown shift 'grvity'; did you mean 'gravity'?"),
        ('name = "gravity"\ngravity_m_per_s2 = 9.81', "must be a list of 3, each a number, not 9.81."),
    ],
)
@pytest.mark.parametrize("verb", ["check", "adapt"])
def test_a_wrong_file_is_one_sentence_and_exit_code_2(
    verb: str, shift: str, says: str, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("mujoco")
    text = (files.folder("scenarios") / "cheetah_upside_down.toml").read_text()
    head, _, tail = text.partition('name = "start_state"')
    path = tmp_path / "wrong.toml"
    path.write_text(head + shift + "\n" + tail.partition("\n")[2].partition("\n")[2])
    arguments = (
        ("check", path) if verb == "check" else ("adapt", "--scenario", path, "--out", tmp_path / "runs")
    )
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("slrl: ")
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()
