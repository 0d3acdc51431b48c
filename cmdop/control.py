"""How a command reaches the long-running process of the same user on this machine.

`cmdop agent status` asks the agent, `cmdop relay key revoke` tells the relay. One
request and one answer, JSON both, over the standard library's local connections: a
Unix socket, or a named pipe on Windows. Where it listens and the secret that a request
has to bring are in a 0600 file; nothing of this can be reached from the network.
A server that wants to can let its callers stay: then the connection is theirs.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, Final, Protocol

from cmdop.home import Home
from cmdop.limits import CLOSE_TIMEOUT_SECONDS

ANSWER_MAX_BYTES = 1 << 20
_SOCKET_PATH_MAX_CHARS = 100
"""sun_path holds 104 bytes on macOS and 108 on Linux, the final zero included."""

_SHORT_FOLDER = "/tmp" if os.path.isdir("/tmp") else None  # noqa: S108 - TMPDIR may be long; mkdtemp makes it 0700
_REQUEST_TIMEOUT_SECONDS = 2.0
_LOG = logging.getLogger("cmdop.control")

_STAY: Final = {"do": "stay"}
"""Asks for no answer, but to keep the connection."""


class Line(Protocol):
    """A connection that stays: whole messages both ways, either end may close it."""

    def send_bytes(self, message: bytes, /) -> None: ...

    def recv_bytes(self, max_bytes: int, /) -> bytes: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


Answer = Callable[[dict[str, Any]], dict[str, Any]]
Stay = Callable[[Line], None]


class ControlServer:
    """Answers requests on a thread of its own, named `control`.

    The thread blocks in accept; `close` wakes it by connecting to it. `answer` gets a
    request's fields and returns the answer's; `stay` gets the connections of callers that
    want to stay, and has to close them. Both run on that thread.
    """

    def __init__(self, home: Home, name: str, answer: Answer, stay: Stay | None = None) -> None:
        self._home, self._name, self._answer, self._stay = home, name, answer, stay
        self._key = os.urandom(32).hex()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._closing = False
        self._listener = Listener(self._address(), backlog=16)
        if sys.platform != "win32":  # the umask made it; the key keeps out who came in between
            os.chmod(str(self._listener.address), 0o600)
        home.write_json(name, {"address": self._listener.address, "key": self._key, "pid": os.getpid()})
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the file and the socket. Twice is quiet."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(OSError):
            Client(self._listener.address).close()
        self._thread.join(CLOSE_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):  # the socket went with its folder
            self._listener.close()
        self._home.remove(self._name)
        if self._scratch is not None:
            self._scratch.cleanup()

    def _address(self) -> str:
        if sys.platform == "win32":
            return rf"\\.\pipe\cmdop-{os.urandom(8).hex()}"
        beside = self._home.folder() / f"{self._name}.socket"
        if len(os.fsencode(beside)) <= _SOCKET_PATH_MAX_CHARS:
            beside.unlink(missing_ok=True)  # a killed process left it
            return str(beside)
        self._scratch = tempfile.TemporaryDirectory(prefix="cmdop-", dir=_SHORT_FOLDER)
        return str(Path(self._scratch.name) / "control.socket")

    def _serve(self) -> None:
        while not self._closing:
            # A caller that goes away, stays silent or talks nonsense is its own problem.
            with contextlib.suppress(OSError, EOFError, ValueError, RecursionError), contextlib.ExitStack() as until:
                caller = until.enter_context(self._listener.accept())
                if not self._closing and caller.poll(_REQUEST_TIMEOUT_SECONDS) and self._serve_one(caller):
                    until.pop_all()

    def _serve_one(self, caller: Any) -> bool:
        """Answer a caller; whether it stays."""
        request = json.loads(caller.recv_bytes(ANSWER_MAX_BYTES))
        if not isinstance(request, dict) or not isinstance(request.get("ask"), dict):
            return False
        if not hmac.compare_digest(str(request.get("key")).encode(), self._key.encode()):
            return False
        if self._stay is not None and request["ask"] == _STAY:
            self._stay(caller)
            return True
        try:
            answer = self._answer(request["ask"])
        except Exception:  # noqa: BLE001 - the next request is to be answered
            _LOG.exception("no answer to %s", request["ask"])
            return False
        caller.send_bytes(json.dumps(answer).encode())
        return False


def stay(home: Home, name: str) -> Line | None:
    """A connection to the process that wrote `name`, to be closed by the caller; None when there is none."""
    where = home.read_json(name)
    if where is None:
        return None
    with contextlib.suppress(OSError, EOFError, KeyError), contextlib.ExitStack() as until:
        line: Line = until.enter_context(Client(str(where["address"])))
        line.send_bytes(json.dumps({"key": where["key"], "ask": _STAY}).encode())
        until.pop_all()
        return line
    return None


def ask(home: Home, name: str, request: dict[str, Any], timeout_seconds: float = 5.0) -> dict[str, Any] | None:
    """The answer of the process that wrote `name`, or None when none answers in time.

    A file left by a process that died is the same as none.
    """
    where = home.read_json(name)
    if where is None:
        return None
    try:
        with Client(str(where["address"])) as process:
            process.send_bytes(json.dumps({"key": where["key"], "ask": request}).encode())
            if not process.poll(timeout_seconds):
                return None
            answer = json.loads(process.recv_bytes(ANSWER_MAX_BYTES))
    except (OSError, EOFError, ValueError, KeyError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
