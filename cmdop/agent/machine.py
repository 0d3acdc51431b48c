"""What of a machine outlives its agents: the sessions, and who may come back to them."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from typing import Any

from cmdop.agent import command
from cmdop.agent.admission import Admission
from cmdop.agent.environment import open_login_shell
from cmdop.agent.executions import Executions
from cmdop.agent.options import AgentOptions
from cmdop.agent.password_gate import PasswordGate
from cmdop.agent.shells import Shells
from cmdop.auth.tokens import TokenTable
from cmdop.errors import CommandUnusable, ShellUnusable
from cmdop.exechost.interface import Program
from cmdop.home import Home
from cmdop.ptyhost.interface import Pty
from cmdop.wire.call_messages import CreateSession
from cmdop.wire.exec_messages import Execute
from cmdop.wire.session_messages import Register


class Machine:
    """The sessions, whoever serves them at the moment."""

    def __init__(self, home: Home | None = None) -> None:
        """`home` has the machine's password, if it has one."""
        self._options = AgentOptions()
        self._gate = PasswordGate(home)
        # Guards who wants to hear of changes. None is told while it is held.
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self.shells = Shells(self._open_pty, self._changed)
        self.admission = Admission(self.shells, gate=self._gate)
        self.executions = Executions(self._start_program)

    def open_with(self, options: AgentOptions) -> None:
        """Open shells as these options say, from now on."""
        self._options = options

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call back, on any thread, when a session begins, ends or changes; what ends it."""
        with self._lock:
            self._listeners.append(listener)

        def leave() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return leave

    @property
    def any(self) -> bool:
        """Whether there is a session."""
        return bool(self.shells.all())

    def statuses(self) -> list[dict[str, Any]]:
        """The sessions for `cmdop agent status`."""
        return self.shells.statuses()

    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]:
        """Freeze everything, and what goes on of it in the program that this process becomes.

        Nobody is attached. From here to the exec no program may be started.
        """
        self.executions.close()
        state, blobs = self.shells.hand_over()
        return {"shells": state, "tokens": self.admission.token_rows()}, blobs

    def thaw(self) -> None:
        """There was no exec: go on."""
        self.executions.reopen()
        self.shells.thaw()

    def take_over(self, state: dict[str, Any], blobs: list[bytes]) -> None:
        """Go on with what `hand_over` gave, once, before anything else."""
        self.admission = Admission(self.shells, TokenTable(state["tokens"]), self._gate)
        self.shells.take_over(state["shells"], blobs)

    def close(self) -> None:
        """End every session and every command. Twice is quiet."""
        self.executions.close()
        self.shells.close()

    def _changed(self) -> None:
        with self._lock:
            listeners = self._listeners.copy()
        for listener in listeners:
            listener()

    def _start_program(self, wanted: Execute) -> Program:
        return command.start(wanted, self._options.environment)

    def _open_pty(self, wanted: Register | CreateSession, session_id: str) -> tuple[Pty, str]:
        shell = shlex.join(wanted.command) if wanted.command else self._options.shell
        try:
            return open_login_shell(wanted, session_id, shell, self._options.environment)
        except ShellUnusable as error:
            if not wanted.command:
                raise
            raise CommandUnusable(command=wanted.command[0], reason=error.details["reason"]) from error
