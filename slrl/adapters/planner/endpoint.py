"""JSON over HTTP with a time limit per call; the key appears in no text that leaves this module."""

import contextlib
import json
import os
import queue
import re
import threading
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import urlsplit

from slrl.errors import BadInput

MOST_BYTES = 4_000_000  # of a reply
SHOWN = 300  # characters of a server's error message
LEAST_KEY = 6  # characters; shorter keys are placeholders and too common to be replaced in texts


class Failure(Exception):
    """A call without a usable reply; the message says why, without the key."""

    def __init__(
        self, reason: str, *, status: int | None = None, again: bool = True, after_s: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status
        self.again = again  # whether the same call may succeed later
        self.after_s = after_s  # seconds that the server asks to wait


class Endpoint:
    """An address, and the environment variable with its key. The key is read for each call and not stored.

    Raises:
        BadInput: for an invalid address or name; the message does not repeat a misplaced secret.
    """

    def __init__(self, url: str, key_variable: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"planner.url must begin with http:// or https:// and a host, not {url!r}.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise BadInput(
                "planner.url must hold no user, password or query, because it is written into settings.toml; "
                "put the key into an environment variable and its name into planner.key_variable."
            )
        check_variable(key_variable)
        self.url, self._variable = url.rstrip("/"), key_variable

    def get(self, path: str, timeout_s: float) -> Any:
        """The JSON at ``url/path``.

        Raises:
            Failure: without a reply within ``timeout_s``.
        """
        return self._call(urllib.request.Request(f"{self.url}/{path}"), timeout_s)

    def post(self, path: str, body: Any, timeout_s: float) -> Any:
        """The JSON reply to a JSON body.

        Raises:
            Failure: without a reply within ``timeout_s``.
        """
        data = json.dumps(body).encode()
        return self._call(
            urllib.request.Request(f"{self.url}/{path}", data, {"Content-Type": "application/json"}),
            timeout_s,
        )

    def _call(self, request: urllib.request.Request, timeout_s: float) -> Any:
        """Call in a thread, because name resolution and slow replies can outlast a socket's time-out.

        Raises:
            Failure: for everything that can go wrong, within ``timeout_s``.
        """
        key = os.environ.get(self._variable, "").strip() if self._variable else ""
        if not (key.isascii() and key.isprintable()):
            raise Failure(
                f"the key in ${self._variable} has characters that no HTTP header can hold", again=False
            )
        request.add_header("User-Agent", "slrl")
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        box: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_fetch, args=(request, timeout_s, key, box), daemon=True).start()
        try:
            found = box.get(timeout=timeout_s)
        except queue.Empty:
            raise Failure(f"no reply within {timeout_s:g} s") from None
        if isinstance(found, Failure):
            raise found
        return found


def check_variable(name: str) -> None:
    """Refuse what is not the name of an environment variable, such as a key."""
    if name and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise BadInput(
            "planner.key_variable must be the name of an environment variable in capitals, "
            "as OPENAI_API_KEY, and not the key itself: it is written into settings.toml."
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would lose its body, and the key must not go elsewhere."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        return None


def _fetch(
    request: urllib.request.Request, timeout_s: float, key: str, box: "queue.SimpleQueue[Any]"
) -> None:
    try:
        box.put(_read(request, timeout_s, key))
    except Failure as failure:
        box.put(failure)
    except (OSError, HTTPException, ValueError) as error:
        box.put(Failure(redact(f"{type(error).__name__}: {error}", key)))


def _read(request: urllib.request.Request, timeout_s: float, key: str) -> Any:
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=timeout_s) as reply:
            text = reply.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            complaint = redact(error.read(MOST_BYTES).decode(errors="replace"), key)
        raise _refused(error.code, complaint, error.headers) from None
    except urllib.error.URLError as error:
        reason = error.reason
        raise Failure(redact(getattr(reason, "strerror", None) or str(reason), key)) from None
    if len(text) > MOST_BYTES:
        raise Failure(f"the reply is longer than {MOST_BYTES:,} bytes")
    try:
        return redact(json.loads(text), key)
    except (ValueError, RecursionError):  # RecursionError: deeply nested brackets
        start = redact(text[:SHOWN].decode(errors="replace"), key)
        raise Failure(f"the reply is not JSON: {start!r}") from None


def _refused(status: int, complaint: str, headers: Message) -> Failure:
    """The failure for a status of 300 or more. Overload and server errors may be tried again."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        complaint = str(json.loads(complaint)["error"]["message"])
    said = " ".join("".join(c if c.isprintable() else " " for c in complaint).split())[:SHOWN]
    after = headers.get("Retry-After", "")
    return Failure(
        f"status {status}" + (f": {said}" if said else ""),
        status=status,
        again=status in (408, 409, 425, 429) or status >= 500,
        after_s=float(after) if re.fullmatch(r"\d{1,6}(\.\d+)?", after) else 0.0,
    )


def redact(value: Any, key: str) -> Any:
    """A text, or all texts in lists and tables, with the key replaced by ``[key]``."""
    if len(key) < LEAST_KEY:
        return value
    if isinstance(value, str):
        return value.replace(key, "[key]")
    if isinstance(value, list):
        return [redact(item, key) for item in value]
    if isinstance(value, dict):
        return {redact(name, key): redact(item, key) for name, item in value.items()}
    return value
