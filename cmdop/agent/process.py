"""The agent: the one process of its home that is "the agent", and what it does with its host.

It holds the lock, the control endpoint and the lease of the session host (agent/host.py),
which has the shells and the relay. It reads nothing from the network.

Threads. The caller of `run` blocks in the lease, and is woken by what the host says and
by its end. `control` answers `cmdop agent status|stop`. `stop->host` waits for a host
that was told to stop, and kills it if it does not.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cmdop import __version__
from cmdop.agent.hosting import HOST_CONTROL, PROGRAM, StartedHost, kill
from cmdop.agent.lease import Lease, Said, error_heard
from cmdop.agent.lockfile import LockFile
from cmdop.agent.options import AgentOptions
from cmdop.agent.verdict import DIALLING, HOST_SILENT, STARTING
from cmdop.control import ControlServer, ask, stay
from cmdop.errors import AgentRunning, CmdopError
from cmdop.home import Home
from cmdop.limits import BACKOFF_MAX_SECONDS
from cmdop.transport.backoff import Backoff

CONTROL: Final = "agent.control"
LOCK: Final = "agent.lock"
START_FILE: Final = "agent-start.json"
"""The flags that an agent was started with, for `restart`; no secrets."""
PROXIES_FILE: Final = "agent-proxies.json"
"""The variables about proxies that it was started with, if any, for `restart` and for a service:
neither has the environment of whoever started it. A proxy's password may be in it."""
STATUS_FIELDS: Final = (
    "machine_id",
    "hostname",
    "name",
    "fingerprint",
    "workspace",
    "relay",
    "proxy",
    "uptime_seconds",
    "host_pid",
)
"""What a status has that is not known before the host answers."""
_HOST_STOP_TIMEOUT_SECONDS: Final = 8.0
"""More than it needs to hang its sessions up and kill them, less than `cmdop agent stop` waits."""
_HOST_ANSWER_TIMEOUT_SECONDS: Final = 1.5
_LOG = logging.getLogger("cmdop.agent")


def keep_proxies(home: Home, proxies: Mapping[str, str]) -> None:
    """Keep the variables for the next start, or that there are none. Raises HomeUnusable."""
    if proxies:
        home.write_json(PROXIES_FILE, dict(proxies))
    else:
        home.remove(PROXIES_FILE)


class AgentProcess:
    """An agent in this process. `run` blocks its caller; `stop` and `leave` end it from any thread."""

    def __init__(
        self,
        home: Home,
        options: AgentOptions,
        program: Sequence[str] = PROGRAM,
        onlooker: Callable[[str], None] | None = None,
        renew: bool | None = None,
    ) -> None:
        """`onlooker` gets the host's log, line by line. `renew` is whether a host that is there
        already is to become the `program` that is installed now; None: if its version is another."""
        self._home, self._options, self._program = home, options, program
        self._onlooker, self._renew = onlooker, renew
        self._stopping = threading.Event()
        self._failure: CmdopError | None = None
        """What the host's service failed with. Only `run`'s thread looks at it."""
        # Guards the four below.
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._last_word: Said | None = None
        """What the host is to hear last: to stop, or that we leave."""
        self._host_pid: int | None = None
        self._comes_again = False

    def run(self) -> None:
        """Be the agent until stopped.

        Raises AgentRunning when this home has one already, and what the host's service raises.
        """
        lock = LockFile(self._home, LOCK)
        if not lock.acquire():
            raise AgentRunning(pid=lock.holder())
        try:
            self._home.write_json(START_FILE, self._options.to_json())
            keep_proxies(self._home, self._options.proxies)
            control = ControlServer(self._home, CONTROL, self._answer)
            try:
                self._keep_a_host()
            finally:
                control.close()
        finally:
            lock.release()

    def stop(self, reason: str) -> None:
        """End the sessions, the host and `run`, now or as soon as it begins. Twice is quiet."""
        self._say_last({"do": "stop", "reason": reason})
        patience = threading.Timer(_HOST_STOP_TIMEOUT_SECONDS, self._kill_host)
        patience.name, patience.daemon = "stop->host", True
        patience.start()

    def leave(self, again: bool = False) -> None:
        """End `run`; the host keeps the sessions for the next agent. `again`: which is to come at once."""
        with self._lock:
            self._comes_again = again
        self._say_last({"do": "leave"})

    @property
    def comes_again(self) -> bool:
        """Whether it left for the next one, which whoever started it is to start."""
        with self._lock:
            return self._comes_again

    def _say_last(self, word: Said) -> None:
        with self._lock:
            self._last_word = word
            lease = self._lease
        self._stopping.set()
        if lease is not None:
            lease.send(word)

    def _kill_host(self) -> None:
        with self._lock:  # as long as there is a lease its host lives, so the pid is still its own
            if self._lease is not None and self._host_pid is not None:
                kill(self._host_pid)

    # -- the host ---------------------------------------------------------------------------

    def _keep_a_host(self) -> None:
        """Take up the host that there is, or start one; again should it die."""
        backoff = Backoff()
        while not self._stopping.wait(backoff.next_seconds()):
            began = time.monotonic()
            try:
                self._have_a_host()
            except CmdopError as error:
                if not self._options.was_online or error is self._failure:
                    raise
                _LOG.error("%s; its sessions are lost, and another one is started", error.sentence)
            if time.monotonic() - began >= BACKOFF_MAX_SECONDS:
                backoff.reset()  # it held

    def _have_a_host(self) -> None:
        """One host, to its end. Raises what it failed with, or CmdopError when it died."""
        started = None
        line = stay(self._home, HOST_CONTROL)
        if line is None:
            started, self._renew = StartedHost(self._home, self._program, self._options), False
            line = stay(self._home, HOST_CONTROL)
        if line is not None:
            self._work_with(Lease(line))
        self._judge(started)

    def _work_with(self, lease: Lease) -> None:
        """Hear the host until it ends, or is not ours any more."""
        with self._lock:
            self._lease = lease
        try:
            while (said := lease.receive()) is not None and self._hear(said, lease):
                pass
        finally:
            with self._lock:
                self._lease = None
            lease.close()

    def _hear(self, said: Said, lease: Lease) -> bool:
        """Whether to hear on."""
        what = said.get("say")
        if what == "ready":
            self._on_ready(said, lease)
        elif what == "log" and self._onlooker is not None:
            self._onlooker(str(said.get("line")))
        elif what == "online":  # the key would open every machine of the workspace
            self._options = replace(self._options, api_key=None, was_online=True)
        elif what == "failed":
            self._failure = error_heard(said["error"])
            return not said.get("sessions")  # it ends then
        return what != "left"

    def _on_ready(self, said: Said, lease: Lease) -> None:
        renew = said.get("version") != __version__ if self._renew is None else self._renew
        self._renew = False  # it is ready again afterwards
        with self._lock:
            self._host_pid, last_word = int(said["pid"]), self._last_word
        # A last word may have come before there was a host, or while it became another program.
        become = list(self._program) if renew else []
        lease.send(last_word or {"do": "serve", **self._options.told(), "become": become})

    def _judge(self, started: StartedHost | None) -> None:
        """Why a host ended: raises CmdopError unless it was to."""
        status = None if started is None else started.wait()
        with self._lock:
            pid, self._host_pid = self._host_pid, None
        if self._failure is not None:
            raise self._failure
        if self._stopping.is_set() or (pid is None and started is None):
            return  # the one that we found was about to end
        how = "" if status is None else f" with status {status}"
        raise CmdopError(reason=f"the session host ended{how}; see: cmdop agent logs")

    # -- being asked ------------------------------------------------------------------------

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        what = request.get("do")
        if what == "status":
            return self._status()
        if what == "stop":
            self.stop("cmdop agent stop")
            return {"stopping": True}
        if what == "leave":
            self.leave(request.get("again") is True)
            return {"leaving": True}
        return {"error": "unknown request"}

    def _status(self) -> dict[str, Any]:
        told = ask(self._home, HOST_CONTROL, {"do": "status"}, _HOST_ANSWER_TIMEOUT_SECONDS) or {}
        reason = HOST_SILENT if self._options.was_online else DIALLING
        unknown: dict[str, Any] = {
            **dict.fromkeys(STATUS_FIELDS),
            "verdict": STARTING,
            "reason": reason,
            "hint": "",
            "sessions": [],
        }
        with self._lock:
            host_pid = told.get("pid", self._host_pid)
        return {**unknown, **told, "pid": os.getpid(), "host_pid": host_pid}
