"""The session host: the process that has the shells, and outlives the agent.

It works for one agent at a time, over a lease (agent/lease.py). docs/agent.md says who
dies when, and why there are two processes.

Threads. The caller of `run` waits for an agent, and then runs the service for it: it
blocks on a condition or in the service, and every event wakes it. `agent->host` blocks in
the lease and is woken by what the agent says and by its end. `control` (cmdop/control.py)
answers whoever asks, and brings the next agent.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from cmdop import __version__
from cmdop.agent import handover
from cmdop.agent.detached import can_replace_itself
from cmdop.agent.hosting import HOST_CONTROL
from cmdop.agent.lease import Lease, Said, error_told
from cmdop.agent.logfile import LogLines
from cmdop.agent.options import AgentOptions
from cmdop.control import ControlServer, Line
from cmdop.errors import CmdopError, LocalProtocolError
from cmdop.home import Home
from cmdop.limits import ORPHAN_LOOK_SECONDS, ORPHAN_SECONDS

_FIRST_AGENT_SECONDS: Final = 30.0
"""How long a host waits for the agent that has started it."""
_LOG = logging.getLogger("cmdop.agent")


class Service(Protocol):
    """What is done for an agent while it is there (AgentService)."""

    def run(self) -> None:
        """Block until `stop` or `leave`. Raises CmdopError when it cannot go on."""

    def stop(self, reason: str) -> None:
        """End `run` and the sessions, from any thread, also before it began. Twice is quiet."""

    def leave(self, reason: str) -> None:
        """End `run`, but no session. Twice is quiet."""

    def status(self) -> dict[str, Any]:
        """What `cmdop agent status` shows."""
        ...


class Sessions(Protocol):
    """What is kept between agents (Machine)."""

    @property
    def any(self) -> bool: ...

    def statuses(self) -> list[dict[str, Any]]: ...

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]: ...

    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]: ...

    def thaw(self) -> None: ...

    def close(self) -> None: ...


MakeService = Callable[[Home, AgentOptions, Any, Callable[[], None]], Service]
"""For a home, an agent's options, the sessions, and whom to tell of being online."""


class SessionHost:
    """The host of one home; its process holds HOST_LOCK. `run` blocks its caller; `stop` ends
    it from any thread."""

    def __init__(self, home: Home, sessions: Sessions, make_service: MakeService, line: Line | None = None) -> None:
        """`line` is an agent's that is there already."""
        self._home, self._sessions, self._make_service = home, sessions, make_service
        # Guards all below but the control; told of every change.
        self._change = threading.Condition()
        self._line = line
        """The next agent's."""
        self._wanted: Said | None = None
        """What the agent wants to be served with, until it is."""
        self._service: Service | None = None
        self._lease: Lease | None = None
        """The agent's, until it leaves."""
        self._stop_reason: str | None = None
        self._control: ControlServer | None = None

    def run(self, ready: Callable[[], None]) -> None:
        """Work for agents until there is nothing left to do. `ready` is called once agents may come."""
        changes_end = self._sessions.listen(self._wake)
        try:
            self._open_control()
            ready()
            until = time.monotonic() + (ORPHAN_SECONDS if self._sessions.any else _FIRST_AGENT_SECONDS)
            while (line := self._next_agent(until)) is not None:
                self._work_for(Lease(line))
                until = time.monotonic() + (ORPHAN_SECONDS if self._sessions.any else 0.0)
        finally:
            changes_end()
            self._sessions.close()
            self._close_control()

    def stop(self, reason: str) -> None:
        """End the sessions and `run`. Twice is quiet."""
        with self._change:
            self._stop_reason = reason
            service = self._service
            self._change.notify_all()
        if service is not None:
            service.stop(reason)

    # -- between agents --------------------------------------------------------------------

    def _next_agent(self, until: float) -> Line | None:
        """The next agent's connection, as soon as there is one; None when the host is to end.

        That is when its time is over, its last session, or its home.
        """
        had_sessions = self._sessions.any
        with self._change:
            while self._stop_reason is None and self._line is None:
                left_seconds = until - time.monotonic()
                if left_seconds <= 0 or (had_sessions and not self._sessions.any) or not self._home.path.is_dir():
                    return None
                self._change.wait(min(left_seconds, ORPHAN_LOOK_SECONDS))
            line, self._line = self._line, None
            return line if self._stop_reason is None else None

    def _stay(self, line: Line) -> None:
        """An agent has come. The one before it is dead: there is a lock between them."""
        with self._change:
            older, self._line = self._line, line
            self._change.notify_all()
        if older is not None:
            older.close()

    def _wake(self) -> None:
        with self._change:
            self._change.notify_all()

    # -- for an agent ----------------------------------------------------------------------

    def _work_for(self, lease: Lease) -> None:
        """Do what this agent wants, until it leaves or dies."""
        with self._change:
            self._lease, self._wanted = lease, None
        lines = LogLines(lambda line: lease.send({"say": "log", "line": line}))
        logging.getLogger("cmdop").addHandler(lines)
        threading.Thread(target=self._read, args=(lease,), name="agent->host", daemon=True).start()
        lease.send({"say": "ready", "pid": os.getpid(), "version": __version__})
        try:
            while (wanted := self._next_wanted()) is not None:
                self._serve(wanted, lease)
        finally:
            logging.getLogger("cmdop").removeHandler(lines)
            lease.flush()

    def _read(self, lease: Lease) -> None:
        while (said := lease.receive()) is not None:
            self._hear(said, lease)
        self._leave(lease, "the agent has gone")
        lease.close()

    def _hear(self, said: Said, lease: Lease) -> None:
        if said.get("do") == "serve":
            with self._change:
                self._wanted = said
                self._change.notify_all()
        elif said.get("do") == "leave":
            self._leave(lease, "the agent is restarted")
            lease.send({"say": "left"})
        elif said.get("do") == "stop":
            self.stop(str(said.get("reason")))

    def _leave(self, lease: Lease, reason: str) -> None:
        """Nothing more is done for this agent; there may be another one already. Twice is quiet."""
        with self._change:
            if self._lease is not lease:
                return
            self._lease, service = None, self._service
            stopping = self._stop_reason is not None
            self._change.notify_all()
        if not stopping and self._sessions.any:
            _LOG.info("%s; sessions that wait for the next one: %d", reason, len(self._sessions.statuses()))
        if service is not None:
            service.leave(reason)

    @property
    def _over(self) -> bool:
        """Whether nothing more is to be done for the agent. The lock is held."""
        return self._lease is None or self._stop_reason is not None

    def _next_wanted(self) -> Said | None:
        with self._change:
            self._change.wait_for(lambda: self._wanted or self._over)
            wanted, self._wanted = self._wanted, None
            return None if self._over else wanted

    def _serve(self, wanted: Said, lease: Lease) -> None:
        """Run the service until it ends; say why it failed, if it did."""
        try:
            if wanted.get("become"):
                self._become(tuple(map(str, wanted["become"])), lease)
            service = self._make_service(
                self._home, AgentOptions.heard(wanted), self._sessions, lambda: lease.send({"say": "online"})
            )
            with self._change:
                over = self._over
                self._service = None if over else service
            if not over:
                service.run()
        except CmdopError as error:
            self._failed(error, lease)
        except Exception:  # noqa: BLE001 - the sessions are not to end with it
            _LOG.exception("the agent's service")
            self._failed(LocalProtocolError(reason="see: cmdop agent logs"), lease)
        finally:
            with self._change:
                self._service = None

    def _failed(self, error: CmdopError, lease: Lease) -> None:
        kept = len(self._sessions.statuses())
        lease.send({"say": "failed", "error": error_told(error), "sessions": kept})
        if not kept:
            self._leave(lease, "the agent could not start")

    # -- being asked, and upgraded -----------------------------------------------------------

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("do") == "status":
            with self._change:
                service = self._service
            about = {"sessions": self._sessions.statuses()} if service is None else service.status()
            return {"pid": os.getpid(), **about}
        if request.get("do") == "stop":
            self.stop("cmdop agent stop")
            return {"stopping": True}
        return {"error": "unknown request"}

    def _open_control(self) -> None:
        self._control = ControlServer(self._home, HOST_CONTROL, self._answer, self._stay)

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()

    def _become(self, program: tuple[str, ...], lease: Lease) -> None:
        """Go on as that program, sessions and all; comes back only if that fails."""
        obstacle = handover.obstacle(program) if can_replace_itself() else "this platform has no way to do it"
        if obstacle:
            _LOG.warning("the sessions stay with the program that they run in: %s", obstacle)
            return
        if self._stop_reason is not None:
            return
        lease.flush()
        self._close_control()
        state, blobs = self._sessions.hand_over()
        try:
            handover.become(program, state, blobs, lease.fileno())
        except OSError as error:
            _LOG.error("the sessions stay with the program that they run in: %s", error)
            self._sessions.thaw()
            self._open_control()
