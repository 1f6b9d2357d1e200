"""Prompts for a language model, and parsing of its answers.

Every question is complete: the task, the skills, pictures, and a bounded history of skills and their
progress. Its length does not grow with the life.
"""

import base64
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from slrl.adapters.planner.choice import Question, Step
from slrl.types import Image

QUOTED = 2000  # characters of an unusable answer that are quoted in the next try
REMEMBERED = 400  # characters of the last answer's situation, and of its risk


class Unusable(Exception):
    """An answer that cannot be used; the message tells the model why."""


def instruction(question: Question, task: str, length: int, *, pictures: bool) -> str:
    """The system prompt: the task, the skills, and the form of an answer."""
    skills = "\n".join(f"- {skill.name}: {skill.about}" for skill in question.skills)
    durations = ", ".join(str(steps) for steps in question.durations)
    seen = (
        "You see the world before the last skill and now (the last picture), and you get"
        if pictures
        else "You get"
    )
    return f"""\
You choose what a robot does next. It learned some skills from demonstrations, and now has one life, without \
resets or second tries, to finish its task in a place where something may be different from all that it \
knows: the dynamics, obstacles, where things are.

Task: {task}

Skills:
{skills}
A skill runs for one of {durations} steps; then you are asked again. \
The whole life has {question.life_steps:,} steps.

{seen} the state in words, and what was tried so far. "Progress" is by the measure of the \
demonstrations: it says little where a way that they took is blocked. A skill that brought nothing twice \
will hardly help at the third time: think of another way, also of one that leads away from the goal at first.

Answer with one JSON object:
- "situation": what you see, and what the last skill did
- "nearer": true or false, whether the last skill brought the robot nearer to finishing its task
- "plan": up to {length} steps, each {{"skill": one of the names above, "steps": one of {durations}}}; \
the first is carried out before you are asked again
- "risk": why the plan may fail"""


def situation(question: Question, last: str) -> str:
    """The user prompt: the state, the history, and the ``last`` plan in words."""
    lines = [f"{question.lived:,} of {question.life_steps:,} steps are lived. State: {question.state}."]
    if question.history:
        lines.append(f"The last {len(question.history)} skills, the newest last:")
    for item in question.history:
        moved = "".join(
            f", {name} {by:+.3g}" for name, by in zip(question.entries, item.moved, strict=True) if by
        )
        judged = (
            ""
            if item.judged is None
            else ", in your view nearer"
            if item.judged
            else ", in your view no nearer"
        )
        lines.append(
            f"- {question.skills[item.skill].name} for {item.steps}: "
            f"progress {item.progress:+.2f}{moved}{judged}"
        )
    if question.failing:
        names = ", ".join(question.skills[skill].name for skill in sorted(question.failing))
        lines.append(f"Brought nothing twice since anything last did: {names}.")
    if last:
        lines.append(last)
    return "\n".join(lines)


def schema(question: Question, length: int) -> dict[str, Any]:
    """The form of an answer, as JSON Schema."""
    step = {
        "type": "object",
        "properties": {
            "skill": {"type": "string", "enum": [skill.name for skill in question.skills]},
            "steps": {"type": "integer", "enum": list(question.durations)},
        },
        "required": ["skill", "steps"],
        "additionalProperties": False,
    }
    properties = {
        "situation": {"type": "string"},
        "nearer": {"type": "boolean"},
        "plan": {"type": "array", "items": step, "minItems": 1, "maxItems": length},
        "risk": {"type": "string"},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse_reply(reply: Any, question: Question, length: int) -> tuple[tuple[Step, ...], bool | None, str]:
    """The plan up to its first unknown skill, the model's judgement of the last skill, and the plan in words.

    Raises:
        Unusable: without a valid first step.
    """
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise Unusable("the reply has no choices[0].message.content") from None
    if isinstance(content, list):  # in parts, as some servers answer
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    text = re.sub(r"<think>.*?</think>", "", content, flags=re.DOTALL) if isinstance(content, str) else ""
    table = next(_objects(text), None)
    if table is None:
        raise Unusable("the answer holds no JSON object")
    plan = _plan(table.get("plan"), question, length)
    nearer = table.get("nearer")
    said = ", then ".join(f"{question.skills[step.skill].name} for {step.steps}" for step in plan)
    for key, words in (("situation", "You saw"), ("risk", "It may fail")):
        if isinstance(table.get(key), str):
            said += f". {words}: {table[key].strip()[:REMEMBERED]}"
    return tuple(plan), nearer if isinstance(nearer, bool) else None, f"Your last plan: {said}"


def _plan(steps: Any, question: Question, length: int) -> list[Step]:
    """The first ``length`` steps up to an unknown skill, each with the nearest of the durations.

    Raises:
        Unusable: without a first step.
    """
    if not isinstance(steps, list) or not steps:
        raise Unusable('"plan" must be a list of at least one step')
    names = {_plain(skill.name): i for i, skill in enumerate(question.skills)}
    plan: list[Step] = []
    for item in steps[:length]:
        name = item.get("skill") if isinstance(item, dict) else item
        skill = names.get(_plain(str(name)))
        if skill is None:
            break
        wanted = item.get("steps") if isinstance(item, dict) else None
        wished = (
            wanted if isinstance(wanted, (int, float)) and not isinstance(wanted, bool) else question.usual
        )
        nearest = int(np.argmin([abs(steps - wished) for steps in question.durations]))
        plan.append(Step(skill, question.durations[nearest]))
    if not plan:
        valid = ", ".join(skill.name for skill in question.skills)
        raise Unusable(f"there is no skill {str(name)[:80]!r}; choose from {valid}")
    return plan


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, with whatever stands around them."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # RecursionError: deeply nested brackets
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def _plain(name: str) -> str:
    """A name as it is compared: "Walk." is walk."""
    return " ".join(re.sub(r"[^\w\s+-]", " ", name.casefold()).split())


def correction(reply: Any, problem: str) -> list[dict[str, Any]]:
    """The messages to append after an answer that could not be used."""
    try:
        answer = str(reply["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError):
        answer = ""
    wrong = {
        "role": "user",
        "content": f"This cannot be carried out: {problem}. Answer again, with one JSON object as described.",
    }
    return [{"role": "assistant", "content": answer[:QUOTED]}, wrong] if answer else [wrong]


def picture(frame: Image, longer_px: int) -> dict[str, Any]:
    """A part of a message: the frame as JPEG, which every server reads."""
    from PIL import Image as Pillow

    shown = Pillow.fromarray(frame)
    shown.thumbnail((longer_px, longer_px))
    file = io.BytesIO()
    shown.convert("RGB").save(file, "JPEG", quality=85)
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"},
    }
