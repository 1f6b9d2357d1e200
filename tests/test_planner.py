"""Planning among named skills: prompts, answers, servers that fail in every way, and whole lives."""

import base64
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import slrl
from slrl import adapters
from slrl.adapters.planner import prompt
from slrl.adapters.planner.chat import Chat, Settings
from slrl.adapters.planner.choice import Attempt, NamedSkill, Question, Step, by_bandit, by_values, failing
from slrl.adapters.planner.endpoint import Endpoint

from .test_adapters import breezy_prior, hurried

Command = Callable[..., tuple[int, str, str]]
KEY = "sk-test-0123456789abcdef"
SKILLS = [
    NamedSkill("walk", "forward"),
    NamedSkill("back", "backward"),
    NamedSkill("turn left", "to the left"),
]


def question(
    history: tuple[Attempt, ...] = (), values: list[float] | None = None, lived: int = 0
) -> Question:
    return Question(
        lived=lived,
        life_steps=1000,
        skills=SKILLS,
        durations=(20, 50, 100),
        history=history,
        failing=failing(history, 0.05),
        values=None if values is None else np.array(values, np.float32),
        obs=np.zeros(3, np.float32),
        state="x 1",
        entries=["x"],
    )


def tried(*progress: tuple[int, float], steps: int = 10) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(began=i * steps, skill=skill, steps=steps, progress=p, moved=(p,))
        for i, (skill, p) in enumerate(progress)
    )


def good(skill: str = "walk", steps: int = 50, then: str = "back") -> str:
    plan = [{"skill": skill, "steps": steps}, {"skill": then, "steps": 20}]
    return json.dumps({"situation": "I see a wall", "nearer": False, "plan": plan, "risk": "ice"})


def reply(content: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


# -- without a model -----------------------------------------------------------------------------------------


def test_a_skill_fails_when_it_brought_nothing_twice_since_anything_brought_something() -> None:
    assert failing(tried((0, 0.0)), 0.05) == frozenset()
    assert failing(tried((0, 0.0), (1, -1.0), (0, 0.04)), 0.05) == {0}
    # elsewhere now: it may help again
    assert failing(tried((0, 0.0), (0, 0.0), (1, 0.05)), 0.05) == frozenset()
    assert failing(tried((1, 1.0), (0, 0.0), (2, 0.0), (2, 0.0)), 0.05) == {2}


def test_the_bandit_is_ucb1_on_progress_per_step() -> None:
    """Rates 0.01, 0.02, 0.01 per step, divided by the largest: 0.5, 1, 0.5, tried 2, 2 and 1 times of 5.

    Bounds with exploration 1: 0.5 + sqrt(ln 5 / 2) = 1.397, 1 + 0.897 = 1.897, 0.5 + sqrt(ln 5) = 1.769.
    With exploration 4: 4.088, 4.588, 5.574.
    """
    history = tried((0, 0.1), (1, 0.2), (2, 0.1), (0, 0.1), (1, 0.2))
    assert by_bandit(question(history), 1.0) == Step(1, 50)
    assert by_bandit(question(history), 4.0) == Step(2, 50)
    assert by_bandit(question(history), 0.0) == Step(1, 50)


def test_the_bandit_tries_everything_once_and_never_repeats_a_failing_skill() -> None:
    history: tuple[Attempt, ...] = ()
    for step in range(40):  # nothing brings anything but, from the twentieth choice on, skill 2
        choice = by_bandit(question(history[-20:]), 1.0)
        now = failing(history[-20:], 0.05)
        assert choice.skill not in now or len(now) == 3
        if step < 3:
            assert choice.skill == step
        gained = 0.5 if choice.skill == 2 and step >= 20 else 0.0
        history = (*history, Attempt(10 * step, choice.skill, 10, gained, ()))
    assert [item.skill for item in history[6:12]] == [0, 1, 2, 0, 1, 2]  # all fail: the one tried longest ago
    assert [item.skill for item in history[20:]].count(
        2
    ) >= 15  # what was not tried for twenty choices is tried again


def test_values_are_drawn_from_in_proportion_and_not_where_they_say_nothing() -> None:
    """softmax([0, ln 3, -inf]) = 1/4, 3/4, 0; at temperature 0.5, 1/10 and 9/10."""
    rng, values = np.random.default_rng(0), [0.0, float(np.log(3)), -1e9]
    for temperature, share in ((1.0, 0.75), (0.5, 0.9)):
        drawn = [by_values(question(values=values), temperature, rng) for _ in range(2000)]
        assert np.mean([step == Step(1, 50) for step in drawn]) == pytest.approx(share, abs=0.03)
    assert by_values(question(), 1.0, rng) is None
    assert by_values(question(tried((1, 0.0), (1, 0.0)), values=[0.0, 50.0, 0.0]), 1.0, rng) is None


# -- prompts and answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "plan"),
    [
        (good(), (Step(0, 50), Step(1, 20))),
        (f"Sure!\n```json\n{good()}\n```", (Step(0, 50), Step(1, 20))),
        (f"<think>perhaps {{'back'}} or {{}}</think>{good('turn left', 40)}", (Step(2, 50), Step(1, 20))),
        (
            [{"type": "text", "text": good()[:30]}, {"type": "text", "text": good()[30:]}],
            (Step(0, 50), Step(1, 20)),
        ),
        ('{"plan": ["Walk.", "**back**", "fly", "walk"]}', (Step(0, 50), Step(1, 50))),
        (
            '{"plan": [{"skill": "BACK", "steps": 1e99}, {"skill": "walk", "steps": NaN}]}',
            (Step(1, 20), Step(0, 20)),
        ),
        ('{"plan": [{"skill": "walk", "steps": true}]}', (Step(0, 50),)),
        ('{"plan": ["walk", "walk", "walk", "walk", "walk", "walk"]}', (Step(0, 50),) * 3),
    ],
)
def test_answers_are_understood(content: Any, plan: tuple[Step, ...]) -> None:
    found, nearer, said = prompt.parse_reply(reply(content), question(), 3)
    assert found == plan
    if isinstance(content, str) and content == good():
        assert nearer is False
        assert (
            said == "Your last plan: walk for 50, then back for 20. You saw: I see a wall. It may fail: ice"
        )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (reply("walk, I would say"), "holds no JSON object"),
        (reply(None), "holds no JSON object"),
        (reply('{"plan": []}'), "at least one step"),
        (reply('{"skill": "walk"}'), "at least one step"),
        (reply(good("fly")), "no skill 'fly'; choose from walk, back, turn left"),
        (reply('{"plan": ' + "[" * 100_000), "holds no JSON object"),
        (reply('{"plan": ' * 20_000), "holds no JSON object"),
        ({"choices": []}, r"choices\[0\]"),
        ({"error": "busy"}, r"choices\[0\]"),
        (None, r"choices\[0\]"),
        ([1], r"choices\[0\]"),
    ],
)
def test_what_cannot_be_carried_out_is_said(wrong: Any, says: str) -> None:
    with pytest.raises(prompt.Unusable, match=says):
        prompt.parse_reply(wrong, question(), 3)


def test_a_question_tells_what_was_tried_and_how_far_it_got() -> None:
    history = (
        Attempt(0, 0, 50, 0.5, (2.0,), judged=True),
        Attempt(50, 0, 50, 0.0, (0.0,)),
        Attempt(100, 0, 20, -0.1, (-0.25,), judged=False),
    )
    text = prompt.situation(question(history, lived=120), "Your last plan: walk for 20")
    assert text.splitlines() == [
        "120 of 1,000 steps are lived. State: x 1.",
        "The last 3 skills, the newest last:",
        "- walk for 50: progress +0.50, x +2, in your view nearer",
        "- walk for 50: progress +0.00",
        "- walk for 20: progress -0.10, x -0.25, in your view no nearer",
        "Brought nothing twice since anything last did: walk.",
        "Your last plan: walk for 20",
    ]
    told = prompt.instruction(question(), "Reach the goal.", 4, pictures=True)
    assert "Task: Reach the goal." in told
    assert "- turn left: to the left" in told
    assert "last picture" in told
    assert "picture" not in prompt.instruction(question(), "Reach the goal.", 4, pictures=False)


# -- servers that fail ---------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Follows the protocol, in one mood per call; the last mood stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.moods: list[str] = ["good"]
        self.models: Any = {"data": [{"id": "one"}, {"id": "two"}]}
        self.seen: list[dict[str, Any]] = []  # bodies
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send(
                *(self.server.models if isinstance(self.server.models, tuple) else (200, self.server.models))
            )
        else:
            self._send(404, {"error": {"message": "no such page"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)
        self.server.headers.append(dict(self.headers))
        mood = self.server.moods[0] if len(self.server.moods) == 1 else self.server.moods.pop(0)
        first, second, *_ = re.findall(
            r"^- (.+?): ", body["messages"][0]["content"].split("Skills:")[1], re.MULTILINE
        )
        getattr(self, f"_{mood}")(good(first, 20, second))

    def _good(self, answer: str) -> None:
        self._send(200, reply(answer))

    def _slow(self, answer: str) -> None:
        time.sleep(3)
        self._good(answer)

    def _drip(self, answer: str) -> None:
        """A byte every tenth of a second: no read ever times out."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(40):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.1)

    def _broken(self, answer: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [')  # and hangs up

    def _silent(self, answer: str) -> None:
        self.close_connection = True

    def _no_json(self, answer: str) -> None:
        self._send(200, b"<html>Bad gateway \x1b[2J</html>")

    def _null(self, answer: str) -> None:
        self._send(200, None)

    def _brackets(self, answer: str) -> None:
        self._send(200, b"[" * 200_000)

    def _huge(self, answer: str) -> None:
        self._send(200, b'"' + b"x" * 5_000_000 + b'"')

    def _wrong_json(self, answer: str) -> None:
        self._send(200, reply('{"next": "walk"}'))

    def _unknown_skill(self, answer: str) -> None:
        self._send(200, reply(good("levitate")))

    def _busy(self, answer: str) -> None:
        self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.1"})

    def _busy_for_long(self, answer: str) -> None:
        self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": "3600"})

    def _error(self, answer: str) -> None:
        self._send(500, {"error": "not a table"})

    def _refused(self, answer: str) -> None:
        self._send(
            401, {"error": {"message": f"Incorrect API key provided: {self.headers['Authorization']}"}}
        )

    def _elsewhere(self, answer: str) -> None:
        self._send(307, {}, {"Location": f"{self.server.url}/elsewhere"})

    def _parrot(self, answer: str) -> None:
        """A good answer that repeats the key."""
        told = json.loads(answer) | {"situation": f"my key is {self.headers['Authorization']}"}
        self._send(200, {**reply(json.dumps(told)), "id": self.headers["Authorization"]})

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Stay silent."""


MOODS = [
    name.removeprefix("_")
    for name in vars(Handler)
    if name.startswith("_") and name not in ("_send", "_good")
]
MOODS = [mood for mood in MOODS if not mood.startswith("_")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    found = Server()
    yield found
    found.shutdown()
    found.server_close()


def chat(server: Server, **settings: Any) -> Chat:
    hasty = {"timeout_s": 0.4, "deadline_s": 1.0, "pause_s": 0.05, "model": "one"}
    return Chat(Settings(url=server.url, **{**hasty, **settings}))


def test_a_request_is_what_the_protocol_says(server: Server) -> None:
    planner = chat(server, task="Reach the goal.", picture_px=40, request={"temperature": 0.1, "seed": 7})
    planner.check()
    black, red = np.zeros((60, 80, 3), np.uint8), np.full((60, 80, 3), (255, 0, 0), np.uint8)
    answer = planner.plan(question(), [black, red])
    assert answer.plan == (Step(0, 20), Step(1, 20))
    assert answer.nearer is False
    body = server.seen[0]
    assert (body["model"], body["temperature"], body["seed"]) == ("one", 0.1, 7)
    form = body["response_format"]["json_schema"]["schema"]["properties"]["plan"]
    assert form["items"]["properties"]["skill"]["enum"] == ["walk", "back", "turn left"]
    assert form["items"]["properties"]["steps"]["enum"] == [20, 50, 100]
    system, user = body["messages"]
    assert system["role"] == "system"
    text, *pictures = user["content"]
    assert text["type"] == "text"
    shown = []
    for picture in pictures:
        kind, _, data = picture["image_url"]["url"].partition(",")
        assert kind == "data:image/jpeg;base64"
        shown.append(np.asarray(Pillow.open(io.BytesIO(base64.b64decode(data)))))
    assert [frame.shape for frame in shown] == [(30, 40, 3)] * 2
    assert shown[0].max() < 10
    assert shown[1][..., 0].min() > 240
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert answer.exchanges[0]["request"] == body


@pytest.mark.parametrize("mood", MOODS)
def test_whatever_the_mood_an_answer_or_none_comes_in_time(
    mood: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.moods = [mood]
    planner = chat(server)
    began = time.monotonic()
    answer = planner.plan(question(), [])
    assert time.monotonic() - began < 1.6
    assert bool(answer.plan) == (mood == "parrot")
    assert 1 <= len(answer.exchanges) == len(server.seen) == planner.calls <= 3
    said = capsys.readouterr().err
    if not answer.plan:
        assert all(exchange["error"] for exchange in answer.exchanges)
        assert said.count("slrl: the planner gave no answer (") == 1
        assert "\x1b" not in said
    assert KEY not in json.dumps(answer.exchanges) + said


@pytest.mark.parametrize(
    "mood", [mood for mood in MOODS if mood not in ("refused", "elsewhere", "busy_for_long", "parrot")]
)
def test_after_a_bad_moment_the_next_try_is_heard(mood: str, server: Server) -> None:
    server.moods = [mood, "good"]
    answer = chat(server, deadline_s=5.0).plan(question(), [])
    assert answer.plan[0] == Step(0, 20)
    assert len(answer.exchanges) == 2
    if mood in ("wrong_json", "unknown_skill"):  # the model is told what was wrong with its answer
        assert "cannot be carried out" in server.seen[1]["messages"][-1]["content"]
        assert server.seen[1]["messages"][-2]["role"] == "assistant"


def test_a_no_is_not_asked_again(server: Server) -> None:
    for mood in ("refused", "elsewhere", "busy_for_long"):
        server.moods = [mood]
        assert len(chat(server).plan(question(), []).exchanges) == 1
    assert len(server.seen) == 3  # and a redirection is not followed, with the key


def test_a_server_that_fails_is_left_alone_for_longer_and_longer(server: Server) -> None:
    """One choice after the first failure, then two, four: of twelve choices it is asked at 0, 2, 5 and 10."""
    server.moods = ["refused"]
    planner = chat(server)
    asked = []
    for choice in range(12):
        before = len(server.seen)
        planner.plan(question(), [])
        asked += [choice] * (len(server.seen) - before)
    assert asked == [0, 2, 5, 10]
    assert planner.unanswered == 4
    server.moods = ["good"]
    while not planner.plan(question(), []).plan:
        pass
    assert planner.plan(question(), []).plan  # at once again


def test_calls_are_capped(server: Server) -> None:
    planner = chat(server, most_calls=4)
    answers = [bool(planner.plan(question(), []).plan) for _ in range(6)]
    assert answers == [True] * 4 + [False] * 2
    server.moods = ["error"]
    assert len(chat(server, most_calls=2).plan(question(), []).exchanges) == 2
    assert chat(server, most_calls=0).plan(question(), []).exchanges == ()


def test_the_server_is_looked_for_before_the_life(server: Server) -> None:
    planner = chat(server, model="")
    planner.check()
    assert planner.model == "one"
    with pytest.raises(slrl.BadInput, match="has no model 'three'; it has one, two"):
        chat(server, model="three").check()
    server.models = (401, {"error": {"message": f"wrong key {KEY}"}})
    with pytest.raises(slrl.BadInput, match=r"refuses the key \(status 401: wrong key \[key\]\)"):
        chat(server).check()
    server.models = (200, {"models": []})
    with pytest.raises(slrl.BadInput, match="does not speak the OpenAI protocol"):
        chat(server).check()
    server.models = (404, {})
    chat(server).check()  # a server that lists nothing
    with pytest.raises(slrl.BadInput, match="lists no model; name the one"):
        chat(server, model="").check()
    with pytest.raises(slrl.BadInput, match="mostly ends in /v1"):
        Chat(Settings(url=server.url.removesuffix("/v1"))).check()
    with pytest.raises(slrl.BadInput, match="does not answer"):
        Chat(Settings(url="http://127.0.0.1:9/v1")).check()


def test_the_key_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        f"http://me:{KEY}@host/v1",
        f"http://host/v1?key={KEY}",
        "host:8000/v1",
        "file:///etc/passwd",
    ):
        with pytest.raises(slrl.BadInput, match=r"planner\.url must") as caught:
            Endpoint(url, "OPENAI_API_KEY")
        assert KEY not in str(caught.value)
    with pytest.raises(slrl.BadInput, match="not the key itself") as caught:
        Endpoint("http://host/v1", KEY)
    assert KEY not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nX-Other: 1")
    with pytest.raises(slrl.BadInput, match="characters that no HTTP header can hold") as caught:
        Chat(Settings(url="http://127.0.0.1:9/v1")).check()
    assert KEY not in str(caught.value)


# -- lives ---------------------------------------------------------------------------------------------------


def planning(url: str = "", **planner: Any) -> list[tuple[str, Any]]:
    """Overrides for a life that is quick to begin and impatient with its planner."""
    hasty = {"url": url, "model": "one" if url else "", "timeout_s": 0.3, "deadline_s": 0.6, "pause_s": 0.01}
    quick = {"pretrain.steps": 20, "adapter.skills.steps": 20, "adapter.durations": [10, 20]}
    return [*quick.items(), *((f"planner.{key}", value) for key, value in {**hasty, **planner}.items())]


def chosen_by(folder: str | None) -> list[str]:
    assert folder is not None
    return [
        json.loads(line)["chosen_by"] for line in (Path(folder) / "planner.jsonl").read_text().splitlines()
    ]


@pytest.mark.parametrize("mood", ["good", *MOODS])
def test_no_mood_ends_or_stalls_a_life_and_the_key_is_in_no_file(
    mood: str, server: Server, tmp_path: Path
) -> None:
    server.moods = [mood]
    began = time.monotonic()
    result = slrl.adapt(
        "windy_pointmass", adapter="vlm_pc", overrides=planning(server.url), life_steps=200, out=tmp_path
    )
    assert (result.outcome, result.steps) == ("timeout", 200)
    assert time.monotonic() - began < 60
    choosers = chosen_by(result.folder)
    assert set(choosers) == {"model"} if mood in ("good", "parrot") else "model" not in choosers
    files = [
        path
        for root in (tmp_path, Path(os.environ["SLRL_CACHE"]))
        for path in root.rglob("*")
        if path.is_file()
    ]
    assert len(files) >= 6
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_plan_goes_on_when_the_planner_falls_silent(
    server: Server, tmp_path: Path, brief: Callable[[str], str]
) -> None:
    """The second step of its last plan comes next, then values or the bandit."""
    server.moods = ["good", "error"]
    result = slrl.adapt(
        brief("windy_pointmass"),
        adapter="vlm_pc",
        overrides=planning(server.url, tries=1),
        life_steps=80,
        out=tmp_path,
    )
    rows = [
        json.loads(line) for line in (Path(result.folder or "") / "planner.jsonl").read_text().splitlines()
    ]
    assert [row["chosen_by"] for row in rows[:2]] == ["model", "plan"]
    assert rows[0]["then"] == [[rows[1]["skill"], rows[1]["steps"]]]
    assert len(rows) == 4
    assert {row["chosen_by"] for row in rows[2:]} <= {"values", "bandit"}


def test_a_life_with_a_planner_is_repeated_from_its_record(
    server: Server, tmp_path: Path, command: Command
) -> None:
    server.moods = ["good", "unknown_skill", "good", "error", "slow", "busy", "good"]
    overrides = planning(server.url)
    first = slrl.adapt(
        "windy_pointmass", adapter="vlm_pc", overrides=overrides, life_steps=150, out=tmp_path / "runs"
    )
    folder = Path(first.folder or "")
    names = ("planner.jsonl", "life.npz", "settings.toml")
    kept = {name: (folder / name).read_bytes() for name in names}
    calls = len(server.seen)
    server.shutdown()
    server.server_close()
    code, _, err = command(
        "adapt", "--from", folder / "settings.toml", "--out", tmp_path / "again", "--quiet"
    )
    assert code == 0, err
    again = tmp_path / "again" / "windy_pointmass" / "vlm_pc" / "seed-0"
    assert {name: (again / name).read_bytes() for name in names} == kept
    assert calls >= 6
    # in place it is the same life, and the folder stays; another life moves it
    code, _, err = command("adapt", "--from", folder / "settings.toml", "--out", tmp_path / "runs", "--quiet")
    assert (code, sorted(path.name for path in folder.parent.iterdir())) == (0, ["seed-0"]), err


def test_a_life_that_strays_from_its_record_says_so_and_loses_nothing(
    server: Server, tmp_path: Path, command: Command, brief: Callable[[str], str]
) -> None:
    overrides = planning(server.url, pictures=0)
    first = slrl.adapt(
        brief("windy_pointmass"), adapter="vlm_pc", overrides=overrides, life_steps=60, out=tmp_path
    )
    folder = Path(first.folder or "")
    record = (folder / "planner.jsonl").read_text()
    rows = [json.loads(line) for line in record.splitlines()]
    rows[1]["obs"][0] += 1
    (folder / "planner.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = command("adapt", "--from", folder / "settings.toml", "--out", tmp_path, "--quiet")
    assert code == 0
    assert err.count("after 20 steps the life goes another way than the one in planner.replay") == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["seed-0", "seed-0.1"]
    for damage, says in (("{", "not a planner.jsonl"), ('{"lived": 0}\n', "not a planner.jsonl")):
        (folder / "planner.jsonl").write_text(damage)
        code, _, err = command("adapt", "--from", folder / "settings.toml", "--out", tmp_path, "--quiet")
        assert (code, err.count("\n")) == (2, 1)
        assert says in err


def test_pictures_of_before_and_now_are_sent_and_none_where_none_are_wanted(
    server: Server, tmp_path: Path, brief: Callable[[str], str]
) -> None:
    def sent(pictures: int) -> list[int]:
        server.seen.clear()
        slrl.adapt(
            brief("windy_pointmass"),
            adapter="vlm_pc",
            overrides=planning(server.url, pictures=pictures),
            life_steps=60,
            out=None,
        )
        return [len(body["messages"][1]["content"]) - 1 for body in server.seen]

    assert sent(2) == [1, 2, 2]
    assert sent(1) == [1, 1, 1]
    assert sent(0) == [0, 0, 0]


def test_in_the_library_a_world_that_cannot_be_drawn_is_refused_before_the_life(server: Server) -> None:
    scenario, prior = slrl.load_scenario("windy_pointmass"), breezy_prior()
    method = adapters.load(
        "vlm_pc", [*planning(server.url), ("adapter.regularisation_steps", 5)], suggested=scenario.overrides()
    )
    adapter = slrl.load_adapter(method, prior, scenario)
    with pytest.raises(slrl.BadInput, match="render_mode"):
        slrl.live(slrl.make(scenario, life_steps=40), adapter, seed=0)
    life = slrl.live(slrl.make(scenario, life_steps=40, render_mode="rgb_array"), adapter, seed=0)
    assert life.steps == 40
    assert len(server.seen[0]["messages"][1]["content"]) == 2


def test_skills_have_names_and_say_what_they_did(server: Server) -> None:
    scenario, prior = slrl.load_scenario("windy_pointmass"), breezy_prior()
    named = [("adapter.names", ["stroll", "dash"]), ("adapter.regularisation_steps", 5)]
    method = adapters.load("vlm_pc", [*planning(), *named], suggested=scenario.overrides())
    adapter: Any = slrl.load_adapter(method, prior, scenario)
    assert [skill.name for skill in adapter.skills.named] == ["stroll", "dash"]
    ends = np.flatnonzero(np.append(prior.episode[1:] != prior.episode[:-1], True))
    firsts = np.concatenate([[0], ends[:-1] + 1])
    moved = [(prior.next_obs[ends] - prior.obs[firsts])[prior.behaviour[ends] == b].mean(0) for b in (0, 1)]
    for skill, change in zip(adapter.skills.named, moved, strict=True):
        assert (
            skill.about == f"in the demonstrations, within an episode: x {change[0]:+.2g}, y {change[1]:+.2g}"
        )
    for wrong, says in (
        (("adapter.names", ["one"]), "lists 1, but prior pointmass_breezy has 2 behaviours"),
        (("adapter.names", ["one", "One"]), "must all be different"),
        (("adapter.entries", {"x": 6}), "an index from 0 to 5"),
    ):
        with pytest.raises(slrl.BadInput, match=says):
            slrl.load_adapter(adapters.load("vlm_pc", [*planning(), wrong]), prior, scenario)


def test_codes_move_as_they_say() -> None:
    """Clusters of skills by the change of the named entries: all different, and together the prior's."""
    scenario, prior = slrl.load_scenario("windy_pointmass"), breezy_prior()
    overrides = [*planning(), ("adapter.among", "codes"), ("adapter.codes", 4)]
    adapter: Any = slrl.load_adapter(
        adapters.load("vlm_pc", overrides, suggested=scenario.overrides()), prior, scenario
    )
    assert len(adapter.skills.named) == 4
    assert len({skill.about for skill in adapter.skills.named}) == 4
    values = adapter.skills.values(prior.obs[0])
    assert values.mean() == pytest.approx(0, abs=1e-5)
    assert values.std(ddof=1) == pytest.approx(1, abs=1e-4)
    actions = [adapter.skills.act(skill, prior.obs[0]) for skill in range(4)]
    assert len({action.tobytes() for action in actions}) == 4


def test_progress_is_gain_of_value_and_reward() -> None:
    """(V(arrived) - V(began)) ÷ deviation of V over the prior + mean reward ÷ mean reward of the prior."""
    scenario, prior = slrl.load_scenario("windy_pointmass"), breezy_prior()
    adapter: Any = slrl.load_adapter(hurried("vlm_pc"), prior, scenario)
    obs, arrived = prior.obs[0], prior.obs[40]
    adapter.began, adapter.earned, adapter.now = obs, 3.0, Step(0, 50)
    values = [adapter._value.v(tensor(row))[0].item() for row in (obs, arrived)]
    spread = adapter._value.v(
        tensor(prior.obs[np.linspace(0, len(prior) - 1, min(len(prior), 4096)).astype(int)])
    ).std(correction=0)
    usual = np.abs(prior.reward).mean()
    expected = (values[1] - values[0]) / spread.item() + 3.0 / (50 * usual)
    assert adapter._done(arrived).progress == pytest.approx(expected, rel=1e-4)


def tensor(rows: np.ndarray) -> Any:
    return torch.tensor(np.atleast_2d(rows))


def test_a_switch_lets_its_levels_look_and_keeps_what_they_keep(
    server: Server, tmp_path: Path, brief: Callable[[str], str]
) -> None:
    toml = tmp_path / "thinking_switch.toml"
    text = (Path(slrl.__file__).parent.parent / "adapters" / "switch.toml").read_text()
    toml.write_text(
        text.replace('high = "skills" ', 'high = "vlm_pc" ').replace('low = "rma_qwale" ', 'low = "frozen" ')
    )
    quick = [("pretrain.steps", 20), ("adapter.monitor.steps", 20), ("adapter.low.pretrain.steps", 20)]
    high = [(f"adapter.high.{key}", value) for key, value in planning(server.url)]
    result = slrl.adapt(
        brief("windy_pointmass"), adapter=str(toml), overrides=[*quick, *high], life_steps=60, out=tmp_path
    )
    assert (Path(result.folder or "") / "high-planner.jsonl").is_file()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("planner.url=http://127.0.0.1:9/v1",), "planner.url http://127.0.0.1:9/v1 does not answer ("),
        (("planner.tries=0",), "tries must be 1 or more, not 0"),
        (("planner.pictures=3",), "pictures must be 0, 1 or 2, not 3"),
        (("planner.deadline_s=0.0",), "deadline_s must be more than 0"),
        (("planner.structured=xml",), "must be one of 'json_schema', 'json_object', 'none'"),
        (("planner.replay=nowhere.jsonl",), "planner.replay nowhere.jsonl cannot be read"),
        (("planner.request.messages=[]",), "request.messages is not for you to set"),
        (("planner.key=abc",), "unknown setting in [planner] of adapter 'vlm_pc': 'key'"),
        (("adapter.durations=[]",), "durations must list one or more"),
        (("adapter.among=behaviours",), "has only one behaviour to choose from"),
    ],
)
def test_wrong_settings(settings: tuple[str, ...], says: str, command: Command, tmp_path: Path) -> None:
    arguments = (
        "--scenario",
        "windy_pointmass",
        "--adapter",
        "vlm_pc",
        "--out",
        tmp_path / "runs",
        "--quiet",
    )
    code, out, err = command(
        "adapt", *arguments, "--set", *settings, "pretrain.steps=20", "adapter.skills.steps=20"
    )
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_adapter_that_asks_nobody_has_no_planner(command: Command) -> None:
    code, _, err = command(
        "adapt", "--scenario", "windy_pointmass", "--adapter", "qwale", "--set", "planner.url=http://a/v1"
    )
    assert (code, err) == (2, "slrl: adapter 'qwale': it asks no planner; leave out [planner].\n")
