"""The one error a user's input can cause, and the sentence it carries."""

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(ValueError):
    """Something the user gave does not work; the message says what was wrong and what would be right.

    The command line prints the message and exits with 2; a library user catches it as a ``ValueError``.
    """


class Unsupported(BadInput):
    """A method cannot be made of this prior, though both are fine by themselves.

    A method that can do without the part says so and goes on; all others end as for any other input.
    """


def unknown(kind: str, name: str, valid: Iterable[str]) -> BadInput:
    """The error for a name that does not exist; it suggests the nearest valid name, or lists them all.

    It is returned and not raised, so that the caller's ``raise`` shows where the name was looked up.

    Args:
        kind: what was named, as the sentence says it, for example ``"scenario"``.
        name: what the user wrote.
        valid: the names that exist.
    """
    valid = sorted(valid)
    near = get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(valid) or 'none'}."
    return BadInput(f"unknown {kind} {name!r}; {hint}")
