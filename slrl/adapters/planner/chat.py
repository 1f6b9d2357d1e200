"""A language model as planner (VLM-PC: Chen et al., 2024), on any server with the OpenAI chat protocol.

Every question ends in bounded time, with or without an answer. All exchanges are kept, without the key, and a
later life can take its answers from them.
"""

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from slrl.adapters.planner import prompt
from slrl.adapters.planner.choice import Question, Step
from slrl.adapters.planner.endpoint import Endpoint, Failure, check_variable
from slrl.errors import BadInput
from slrl.plugins import at_least, positive, require
from slrl.types import Image

CHECK_S = 10.0  # time limit of the check before the life
SAME = 1e-3  # difference of observations, up to which a life follows the record
LONGEST_REST = 32  # choices without a call, after repeated failures


@dataclass(frozen=True)
class Answer:
    """A planner's plan, and all exchanges that led to it."""

    plan: tuple[Step, ...] = ()  # empty: no answer
    nearer: bool | None = None  # whether the last skill brought the robot nearer, by its judgement
    exchanges: tuple[dict[str, Any], ...] = ()  # request, and response or error or both, of every try


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[planner]`` table of an adapter that asks."""

    url: str = ""  # of an OpenAI-compatible server, up to and with /v1; "" for no server
    model: str = ""  # as the server names it; "" takes the first that it lists
    # environment variable with the key, if the server needs one
    key_variable: str = "OPENAI_API_KEY"
    task: str = "Do what the demonstrations did."  # of the robot, in a sentence
    plan_length: int = 4  # steps that a plan may have; the first is carried out before the next question
    pictures: int = 2  # per question: 0 none, 1 now, 2 also before the last skill
    picture_px: int = 400  # their longer side
    tries: int = 3  # calls for one answer, at most
    timeout_s: float = 30.0  # of one call
    deadline_s: float = 90.0  # for all tries for one answer, with the pauses between them
    # before the second try; twice as long before each further one, or as the server asks
    pause_s: float = 1.0
    most_calls: int = 200  # in the whole life
    # how the answer's form is enforced
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    # further fields of each request, such as the temperature
    request: dict[str, Any] = field(default_factory=dict)
    replay: str = ""  # a planner.jsonl of an earlier life that answers in the server's place

    def __post_init__(self) -> None:
        check_variable(self.key_variable)
        at_least(self, 1, "plan_length", "tries", "picture_px")
        at_least(self, 0, "most_calls", "pause_s")
        positive(self, "timeout_s", "deadline_s")
        require(self.pictures in (0, 1, 2), f"pictures must be 0, 1 or 2, not {self.pictures}")
        for key in self.request:
            ours = key in ("model", "messages", "response_format", "stream")
            require(not ours, f"request.{key} is not for you to set: slrl reads one answer of its own form")


class Chat:
    """Asks for a plan, validates the answer, and tries again within limits of time and calls."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self.model = settings, settings.model
        self._backend: _Server | _Record | None = None
        if settings.replay:
            self._backend = _Record(Path(settings.replay))
        elif settings.url:
            endpoint = Endpoint(settings.url, settings.key_variable)
            self._backend = _Server(endpoint, settings.timeout_s, settings.deadline_s)
        self._sees = settings.pictures > 0
        # A record needs no pictures.
        self.pictures = settings.pictures if isinstance(self._backend, _Server) else 0
        self.calls = self.unanswered = 0
        # Consecutive choices without an answer, and the next choices without a question.
        self._in_a_row = self._rest = 0
        self._last = ""  # plan, in words
        self._warned = False

    def check(self) -> None:
        """Check before a life that the server answers and has the model.

        Raises:
            BadInput: if there is no server, if it refuses the key, or if it does not have the model.
        """
        if not isinstance(self._backend, _Server):
            return
        endpoint = self._backend.endpoint
        names: list[str] = []  # stays empty if the server lists none, or fails for now
        try:
            names = [str(item["id"]) for item in endpoint.get("models", CHECK_S)["data"]]
        except Failure as failure:
            if wrong := _no_server(endpoint.url, self._settings.key_variable, failure):
                raise BadInput(wrong) from None
        except (KeyError, TypeError):
            raise BadInput(
                f"planner.url {endpoint.url} does not speak the OpenAI protocol: /models lists no models."
            ) from None
        if not self.model and not names:
            raise BadInput(
                f"planner.url {endpoint.url} lists no model; name the one to ask in planner.model."
            )
        if self.model and names and self.model not in names:
            raise BadInput(
                f"planner.url {endpoint.url} has no model {self.model!r}; "
                f"it has {', '.join(sorted(names)[:20])}."
            )
        self.model = self.model or names[0]

    def plan(self, question: Question, frames: Sequence[Image]) -> Answer:
        """A plan of one step or more, or an empty answer by the deadline; raises nothing."""
        if self._backend is None or self._resting() or self.calls >= self._settings.most_calls:
            return Answer()
        first = messages = self._messages(question, frames)
        self._backend.begin(question, self._settings.most_calls - self.calls)
        for attempt in range(self._settings.tries):
            exchanges = self._backend.exchanges
            try:
                reply = self._backend.ask({**self._body(question), "messages": messages})
                plan, nearer, said = prompt.parse_reply(reply, question, self._settings.plan_length)
            except _NoReply:
                break
            except Failure as failure:
                if not failure.again or attempt + 1 == self._settings.tries:
                    break
                self._backend.pause(max(self._settings.pause_s * 2**attempt, failure.after_s))
            except prompt.Unusable as problem:
                exchanges[-1]["error"] = str(problem)
                messages = [*first, *prompt.correction(reply, str(problem))]
            else:
                self._in_a_row, self._last = 0, said
                return self._answer(plan, nearer)
        self._in_a_row += 1
        self.unanswered += 1
        self._rest = min(2 ** (self._in_a_row - 1), LONGEST_REST)
        exchanges = self._backend.exchanges
        if exchanges and not self._warned:
            self._warned = True
            tqdm.write(
                f"slrl: the planner gave no answer ({exchanges[-1]['error']}); the life goes on.", sys.stderr
            )
        return self._answer((), None)

    def _answer(self, plan: tuple[Step, ...], nearer: bool | None) -> Answer:
        assert self._backend is not None
        exchanges = tuple(self._backend.exchanges)
        self.calls += len(exchanges)
        return Answer(plan, nearer, exchanges)

    def _resting(self) -> bool:
        self._rest -= 1
        return self._rest >= 0

    def _body(self, question: Question) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, **self._settings.request}
        if self._settings.structured == "json_schema":
            schema = prompt.schema(question, self._settings.plan_length)
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "plan", "strict": True, "schema": schema},
            }
        elif self._settings.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def _messages(self, question: Question, frames: Sequence[Image]) -> list[dict[str, Any]]:
        shown = [
            prompt.picture(frame, self._settings.picture_px)
            for frame in frames[len(frames) - self.pictures :]
        ]
        text = {"type": "text", "text": prompt.situation(question, self._last)}
        return [
            {
                "role": "system",
                "content": prompt.instruction(
                    question, self._settings.task, self._settings.plan_length, pictures=self._sees
                ),
            },
            {"role": "user", "content": [text, *shown]},
        ]

    def state(self) -> dict[str, Any]:
        """Counters and the last plan, as JSON can hold them."""
        return {
            "calls": self.calls,
            "unanswered": self.unanswered,
            "row": self._in_a_row,
            "rest": self._rest,
            "last": self._last,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.calls, self.unanswered, self._last = state["calls"], state["unanswered"], state["last"]
        self._in_a_row, self._rest = state["row"], state["rest"]


class _NoReply(Exception):
    """No reply for this choice, and no more tries."""


class _Server:
    """A server, asked within a time limit per choice."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, deadline_s: float) -> None:
        self.endpoint, self._timeout_s, self._deadline_s = endpoint, timeout_s, deadline_s
        self.exchanges: list[dict[str, Any]] = []
        self._until, self._most = 0.0, 0

    def begin(self, question: Question, most_calls: int) -> None:
        """Start the time limit of a choice."""
        self.exchanges, self._most = [], most_calls
        self._until = time.monotonic() + self._deadline_s

    def ask(self, body: dict[str, Any]) -> Any:
        """The reply to a request.

        Raises:
            Failure: if the call failed.
            _NoReply: without time or calls left.
        """
        left_s = self._until - time.monotonic()
        if left_s <= 0 or len(self.exchanges) >= self._most:
            raise _NoReply
        self.exchanges.append({"request": body})
        try:
            reply = self.endpoint.post("chat/completions", body, min(self._timeout_s, left_s))
        except Failure as failure:
            self.exchanges[-1]["error"] = failure.reason
            raise
        self.exchanges[-1]["response"] = reply
        return reply

    def pause(self, seconds: float) -> None:
        """Wait before another try; if the pause exceeds the time left, there is none."""
        if time.monotonic() + seconds >= self._until:
            self._until = 0.0
        else:
            time.sleep(seconds)


class _Record:
    """Answers from the record of an earlier life, while this life follows the same observations."""

    def __init__(self, path: Path) -> None:
        try:
            rows = [json.loads(line) for line in path.expanduser().read_text(encoding="utf-8").splitlines()]
            self._of = {
                int(row["lived"]): (np.array(row["obs"], np.float32), list(row["exchanges"])) for row in rows
            }
        except OSError as error:
            raise BadInput(f"planner.replay {path} cannot be read: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"planner.replay {path} is not a planner.jsonl that slrl has written.") from None
        self.exchanges: list[dict[str, Any]] = []
        self._now: list[dict[str, Any]] = []
        self._strayed = False

    def begin(self, question: Question, most_calls: int) -> None:
        """Find the recorded choice; warn once if the observation differs by more than ``SAME``."""
        self.exchanges = []
        obs, self._now = self._of.get(question.lived, (np.empty(0, np.float32), []))
        same = (
            self._now
            and obs.shape == question.obs.shape
            and np.allclose(obs, question.obs, rtol=SAME, atol=SAME)
        )
        if not same and not self._strayed:
            self._strayed = True
            tqdm.write(
                f"slrl: after {question.lived:,} steps the life goes another way than "
                "the one in planner.replay.",
                sys.stderr,
            )

    def ask(self, body: dict[str, Any]) -> Any:
        """The recorded reply."""
        if self._strayed or len(self.exchanges) >= len(self._now):
            raise _NoReply
        then = dict(self._now[len(self.exchanges)])
        self.exchanges.append(then)
        if "response" not in then:
            raise Failure(str(then.get("error")))
        return then["response"]

    def pause(self, seconds: float) -> None:
        """Nothing to wait for."""


def _no_server(url: str, key_variable: str, failure: Failure) -> str | None:
    """The message for a permanent failure to list models; None for a failure that may pass."""
    if failure.status in (401, 403):
        return (
            f"planner.url {url} refuses the key ({failure.reason}); "
            f"set the environment variable {key_variable or '…'} to one that it takes "
            "(planner.key_variable is its name)."
        )
    if failure.status is None:
        return (
            f"planner.url {url} does not answer ({failure.reason}); "
            "start the server, or leave planner.url out to plan without a network."
        )
    if failure.status == 404 and not re.search(r"/v\d\w*$", url):
        return f"planner.url {url} has no /models; such an address mostly ends in /v1."
    return None
