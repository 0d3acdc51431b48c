"""What binds a session host to the agent that it works for: one local connection.

As long as it is there the host serves; its end, without a word, means that the agent has
died. JSON objects go both ways. From the agent, `do` says what:

    serve   options, api_key, proxies, environment, was_online; become: words of the program to be, if any
    leave   the agent will go without ending the sessions
    stop    reason

and from the host, `say`:

    ready   pid, version: waiting for `serve`; again after it has replaced itself
    log     line
    online  the relay has let it in: the API key is needed no more
    failed  error, sessions: it came to nothing; so many sessions are kept
    left    the uplink is closed, and no more is done for this agent
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from typing import Any

from cmdop.control import Line
from cmdop.errors import CmdopError, from_peer
from cmdop.limits import CLOSE_TIMEOUT_SECONDS, LEASE_MESSAGE_MAX_BYTES, LEASE_MESSAGES_MAX

Said = dict[str, Any]


class Lease:
    """One end of it. One thread receives; any may send, and none waits for the other end.

    The thread `lease->other end` blocks in the queue and in the connection; it is woken
    by `send`, by `flush`, and by the other end's reading or dying.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting: queue.Queue[bytes | threading.Event | None] = queue.Queue(LEASE_MESSAGES_MAX)
        self._over = threading.Event()
        """Nothing is written any more."""
        self._writer = threading.Thread(target=self._write, name="lease->other end", daemon=True)
        self._writer.start()

    def send(self, message: Said) -> None:
        """Say something, soon. It is lost when the other end is gone, or reads nothing."""
        self._put(json.dumps(message).encode())

    def receive(self) -> Said | None:
        """What the other end says next; None when it has gone, or talks nonsense."""
        try:
            message = json.loads(self._line.recv_bytes(LEASE_MESSAGE_MAX_BYTES))
        except (OSError, EOFError, ValueError, RecursionError):
            return None
        return message if isinstance(message, dict) else None

    def flush(self) -> None:
        """Wait until what was said so far is on its way; not for long."""
        written = threading.Event()
        self._put(written)
        if not self._over.is_set():
            written.wait(CLOSE_TIMEOUT_SECONDS)

    def fileno(self) -> int:
        return self._line.fileno()

    def close(self) -> None:
        """End it, by the thread that receives. Twice is quiet."""
        self._put(None)
        self._writer.join(CLOSE_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):
            self._line.close()

    def _put(self, item: bytes | threading.Event | None) -> None:
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(item)

    def _write(self) -> None:
        # Who receives sees the end of the connection; a TypeError says that we have closed it meanwhile.
        with contextlib.suppress(OSError, TypeError):
            while (item := self._waiting.get()) is not None:
                if isinstance(item, threading.Event):
                    item.set()
                else:
                    self._line.send_bytes(item)
        self._over.set()
        with contextlib.suppress(queue.Empty):
            while True:  # who waits for what will not be written
                item = self._waiting.get_nowait()
                if isinstance(item, threading.Event):
                    item.set()


def error_told(error: CmdopError) -> Said:
    """An error, for another process of ours."""
    details = {key: str(value) for key, value in error.details.items()}
    return {"code": error.code, "message": error.sentence, "details": details}


def error_heard(told: Said) -> CmdopError:
    """What `error_told` gave, as an error again, in the same words."""
    details = told.get("details")
    return from_peer(str(told.get("code")), str(told.get("message")), **(details if isinstance(details, dict) else {}))
