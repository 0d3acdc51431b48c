"""The agent in the background: started, asked, and ended by other processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

from cmdop.agent.lockfile import LockFile, Released
from cmdop.agent.logfile import LOG_FILE, open_private
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import CONTROL, LOCK, START_FILE
from cmdop.agent.verdict import DIALLING, STARTING
from cmdop.control import ask
from cmdop.deadline import Deadline
from cmdop.errors import AgentNotRunning, AgentRunning, CmdopError, HomeUnusable, TimedOut, from_peer
from cmdop.home import Home

FAILURE_FILE: Final = "agent-failure.json"
"""Why the last start in the background came to nothing."""
PROGRAM: Final = (sys.executable, "-m", "cmdop")
START_TIMEOUT_SECONDS: Final = 10.0
_ASK_AGAIN_SECONDS: Final = 0.05
_ANSWER_TIMEOUT_SECONDS: Final = 2.0
_STOP_TIMEOUT_SECONDS: Final = 10.0
"""More than an agent needs to hang its sessions up and kill them."""
_KILL_TIMEOUT_SECONDS: Final = 3.0


def start(
    home: Home,
    options: AgentOptions,
    program: Sequence[str] = PROGRAM,
    timeout_seconds: float = START_TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Start an agent that outlives us; its status, STARTING if it takes longer than that.

    The API key goes through a pipe: it is never in an argv or an environment. Raises
    AgentRunning, or what the agent said before it ended, or HomeUnusable.
    """
    pid = LockFile(home, LOCK).holder()
    if pid is not None:
        raise AgentRunning(pid=pid)
    home.remove(FAILURE_FILE)
    return _first_status(home, _spawn(home, options, program), Deadline(timeout_seconds))


def stop(home: Home) -> None:
    """End the agent politely, then firmly; returns when it is gone.

    Raises AgentNotRunning when there is none, TimedOut when not even SIGKILL ends it.
    """
    pid = LockFile(home, LOCK).holder()
    if pid is None:
        raise AgentNotRunning
    released = Released(home, LOCK)
    if _ask(home, "stop") is not None and released.within(_STOP_TIMEOUT_SECONDS):
        return
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        # As long as the lock is held its holder lives, so the pid is still the agent's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not released.within(0.0) and pid > 0:
                os.kill(pid, number)
        if released.within(_KILL_TIMEOUT_SECONDS):
            return
    raise TimedOut(what=f"the agent (pid {pid})", seconds=2 * _KILL_TIMEOUT_SECONDS)


def restart(home: Home, options: AgentOptions, program: Sequence[str] = PROGRAM) -> dict[str, Any]:
    """Start anew with the flags of the last start; `options` has what those do not tell.

    One that does not run is just started. Raises as `stop` and `start` do.
    """
    kept = home.read_json(START_FILE)
    with contextlib.suppress(AgentNotRunning):
        stop(home)
    return start(home, options if kept is None else options.with_json(kept), program)


def status(home: Home) -> dict[str, Any]:
    """What the agent says of itself. Raises AgentNotRunning."""
    answer = _ask(home, "status")
    if answer is not None:
        return answer
    pid = LockFile(home, LOCK).holder()
    if pid is None:
        raise AgentNotRunning
    unknown = dict.fromkeys(("machine_id", "hostname", "name", "workspace", "relay", "uptime_seconds"))
    return {"pid": pid, "verdict": STARTING, **unknown, "sessions": [], "reason": "it does not answer"}


def keep_failure(home: Home, error: CmdopError) -> None:
    """Leave word of why this start came to nothing, for whoever started us."""
    details = {key: str(value) for key, value in error.details.items()}
    home.write_json(FAILURE_FILE, {"code": error.code, "message": error.sentence, "details": details})


def _spawn(home: Home, options: AgentOptions, program: Sequence[str]) -> subprocess.Popen[bytes]:
    words = [*program, "agent", "start", "--foreground", "--detached", *options.flags]
    # The path may be relative to our folder; a name with this prefix is for us alone.
    env = {key: value for key, value in options.environment.items() if key != "CMDOP_API_KEY"}
    env["CMDOP_HOME"] = str(home.folder().resolve())
    try:
        with open(home.file(LOG_FILE), "ab", opener=open_private) as log:
            agent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, **_detached())
        assert agent.stdin is not None
        with contextlib.suppress(BrokenPipeError), agent.stdin as key:
            key.write((options.api_key or "").encode())
    except OSError as error:
        raise HomeUnusable(path=error.filename or home.path, reason=error.strerror) from error
    return agent


def _detached() -> dict[str, Any]:
    """How a process outlives the terminal and the process that started it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _first_status(home: Home, agent: subprocess.Popen[bytes], deadline: Deadline) -> dict[str, Any]:
    """Its status once it is more than STARTING, or has met trouble, or when the deadline has passed.

    The agent's end is waited for; in between it is asked, because who has just been
    started has no way yet to tell us.
    """
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            agent.wait(_ASK_AGAIN_SECONDS)
            raise _failure(home, agent.returncode)
        answer = status_of(home, agent.pid)
        if answer is not None and (answer.get("verdict") != STARTING or answer.get("reason") != DIALLING):
            return answer
        if deadline.passed:
            return answer or {"pid": agent.pid, "verdict": STARTING, "reason": "it does not answer yet"}


def status_of(home: Home, pid: int) -> dict[str, Any] | None:
    """What the agent with that pid says of itself, None when it does not answer (yet)."""
    answer = _ask(home, "status")
    return answer if answer is not None and answer.get("pid") == pid else None


def _failure(home: Home, returncode: int) -> CmdopError:
    kept = home.read_json(FAILURE_FILE)
    if kept is None:
        return CmdopError(reason=f"the agent ended with status {returncode}; see: cmdop agent logs")
    details = kept.get("details")
    return from_peer(str(kept.get("code")), str(kept.get("message")), **(details if isinstance(details, dict) else {}))


def _ask(home: Home, what: str) -> dict[str, Any] | None:
    """The agent's answer, None when it gives none in time.

    The thread `ask->agent` blocks in the connection to it, which a stopped process (SIGSTOP)
    accepts and never answers; it is left behind then, for we are about to end as well.
    """
    answers: list[dict[str, Any] | None] = []
    thread = threading.Thread(
        target=lambda: answers.append(ask(home, CONTROL, {"do": what}, _ANSWER_TIMEOUT_SECONDS)),
        name="ask->agent",
        daemon=True,
    )
    thread.start()
    thread.join(_ANSWER_TIMEOUT_SECONDS)
    return answers[0] if answers else None
