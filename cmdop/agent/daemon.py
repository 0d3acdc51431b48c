"""The agent in the background: started, asked, and ended by other processes.

When it has died, its session host may still be there, with sessions for the next one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Final

from cmdop.agent.detached import detached
from cmdop.agent.hosting import HOST_CONTROL, HOST_LOCK, PROGRAM
from cmdop.agent.lease import error_heard, error_told
from cmdop.agent.lockfile import LockFile, Released
from cmdop.agent.logfile import LOG_FILE, open_private
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import CONTROL, LOCK, START_FILE, STATUS_FIELDS, keep_proxies
from cmdop.agent.verdict import DIALLING, HOST_SILENT, STARTING
from cmdop.control import ask
from cmdop.deadline import Deadline
from cmdop.errors import AgentDied, AgentNotRunning, AgentRunning, CmdopError, HomeUnusable, TimedOut
from cmdop.home import Home
from cmdop.transport.proxy import names_proxies, variables_of

FAILURE_FILE: Final = "agent-failure.json"
"""Why the last start in the background came to nothing."""
START_TIMEOUT_SECONDS: Final = 10.0
_ASK_AGAIN_SECONDS: Final = 0.05
_ANSWER_TIMEOUT_SECONDS: Final = 2.0
_STOP_TIMEOUT_SECONDS: Final = 10.0
"""More than an agent needs to hang its sessions up and kill them."""
_KILL_TIMEOUT_SECONDS: Final = 3.0
_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)


def start(
    home: Home,
    options: AgentOptions,
    program: Sequence[str] = PROGRAM,
    timeout_seconds: float = START_TIMEOUT_SECONDS,
    renew: bool = False,
) -> dict[str, Any]:
    """Start an agent that outlives us; its status, STARTING if it takes longer than that.

    It takes up the sessions that the last one left, if any; with `renew` their host becomes
    the program that is installed now. The API key goes through a pipe: it is never in an
    argv or an environment. Raises AgentRunning, or what the agent said before it ended, or
    HomeUnusable.
    """
    pid = LockFile(home, LOCK).holder()
    if pid is not None:
        raise AgentRunning(pid=pid)
    home.remove(FAILURE_FILE)
    return _first_status(home, _spawn(home, options, program, renew), Deadline(timeout_seconds))


def stop(home: Home) -> None:
    """End the agent and its sessions politely, then firmly; returns when all is gone.

    Ends what a dead agent left, too. Raises AgentNotRunning when there is neither,
    TimedOut when not even SIGKILL ends them.
    """
    ended = _end(home, LOCK, CONTROL, {"do": "stop"}, (signal.SIGTERM, _KILL))
    # The agent ends its host before itself, unless it had to be killed.
    if not _end(home, HOST_LOCK, HOST_CONTROL, {"do": "stop"}, (signal.SIGTERM, _KILL)) and not ended:
        raise AgentNotRunning


def restart(home: Home, options: AgentOptions, program: Sequence[str] = PROGRAM) -> dict[str, Any]:
    """Start anew with the flags of the last start; `options` has what those do not tell.

    The sessions go on. One that does not run is just started, and one that has a service
    manager is started by that. Proxies are those of the last start as well, unless the
    environment of `options` names some. Raises as `stop` and `start` do, TimedOut when it is not.
    """
    kept, supervised = home.read_json(START_FILE), is_supervised(home)
    if names_proxies(options.environment):
        keep_proxies(home, variables_of(options.environment))  # a service has another environment
    leave(home, again=True)
    if not supervised:
        return start(home, options if kept is None else options.with_json(kept), program, renew=True)
    found = started_by_another(home)
    if found is None:
        raise TimedOut(what="the service of the agent", seconds=START_TIMEOUT_SECONDS)
    return found


def leave(home: Home, again: bool = False) -> bool:
    """End the agent, but not its sessions; whether there was one. `again`: its service manager starts the next.

    Raises TimedOut.
    """
    word = {"do": "leave", "again": again}
    return _end(home, LOCK, CONTROL, word, (_KILL,))  # a SIGTERM would end the sessions


def is_supervised(home: Home) -> bool:
    """Whether an agent runs that a service manager has started."""
    kept = home.read_json(START_FILE)
    return LockFile(home, LOCK).holder() is not None and kept is not None and kept.get("supervised") is True


def started_by_another(home: Home, timeout_seconds: float = START_TIMEOUT_SECONDS) -> dict[str, Any] | None:
    """The status of an agent that a service manager starts about now; None when there is none in time.

    It is asked again and again, because it has no way to tell us.
    """
    deadline = Deadline(timeout_seconds)
    while not (_is_settled(answer := _ask(home, CONTROL, {"do": "status"})) or deadline.passed):
        threading.Event().wait(_ASK_AGAIN_SECONDS)
    return answer


def status(home: Home) -> dict[str, Any]:
    """What the agent says of itself. Raises AgentNotRunning, and AgentDied when it left sessions."""
    answer = _ask(home, CONTROL, {"do": "status"})
    if answer is not None:
        return answer
    pid = LockFile(home, LOCK).holder()
    if pid is None:
        raise _not_running(home)
    unknown = dict.fromkeys(STATUS_FIELDS)
    return {"pid": pid, "verdict": STARTING, **unknown, "sessions": [], "reason": "it does not answer", "hint": ""}


def keep_failure(home: Home, error: CmdopError) -> None:
    """Leave word of why this start came to nothing, for whoever started us."""
    home.write_json(FAILURE_FILE, error_told(error))


def _end(home: Home, lock: str, control: str, request: dict[str, Any], signals: Sequence[int]) -> bool:
    """Ask who holds a lock to go, and if need be make it; whether there was somebody."""
    pid = LockFile(home, lock).holder()
    if pid is None:
        return False
    released = Released(home, lock)
    if _ask(home, control, request) is not None and released.within(_STOP_TIMEOUT_SECONDS):
        return True
    for number in signals:
        # As long as the lock is held its holder lives, so the pid is still its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not released.within(0.0) and pid > 0:
                os.kill(pid, number)
        if released.within(_KILL_TIMEOUT_SECONDS):
            return True
    raise TimedOut(what=f"the process {pid}", seconds=len(signals) * _KILL_TIMEOUT_SECONDS)


def _not_running(home: Home) -> AgentNotRunning:
    """Which of the two it is: there is nothing, or what a dead agent left."""
    host = _ask(home, HOST_CONTROL, {"do": "status"}) or {}
    sessions = host.get("sessions")
    if not sessions:
        return AgentNotRunning()
    return AgentDied(sessions="1 session" if len(sessions) == 1 else f"{len(sessions)} sessions", pid=host.get("pid"))


def _spawn(home: Home, options: AgentOptions, program: Sequence[str], renew: bool) -> subprocess.Popen[bytes]:
    again = ["--renew", "--as-before"] if renew else []
    words = [*program, "agent", "start", "--foreground", "--detached", *again, *options.flags]
    # The path may be relative to our folder.
    env = {**options.environment_told, "CMDOP_HOME": str(home.folder().resolve())}
    try:
        with open(home.file(LOG_FILE), "ab", opener=open_private) as log:
            agent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, **detached())
        assert agent.stdin is not None
        with contextlib.suppress(BrokenPipeError), agent.stdin as key:
            key.write((options.api_key or "").encode())
    except OSError as error:
        raise HomeUnusable(path=error.filename or home.path, reason=error.strerror) from error
    return agent


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
        if answer is not None and _is_settled(answer):
            return answer
        if deadline.passed:
            return answer or {"pid": agent.pid, "verdict": STARTING, "reason": "it does not answer yet"}


def _is_settled(answer: dict[str, Any] | None) -> bool:
    """Whether an agent says more than that it has begun."""
    return answer is not None and (
        answer.get("verdict") != STARTING or answer.get("reason") not in (DIALLING, HOST_SILENT)
    )


def status_of(home: Home, pid: int) -> dict[str, Any] | None:
    """What the agent with that pid says of itself, None when it does not answer (yet)."""
    answer = _ask(home, CONTROL, {"do": "status"})
    return answer if answer is not None and answer.get("pid") == pid else None


def _failure(home: Home, returncode: int) -> CmdopError:
    """Why an agent ended. Raises HomeUnusable where it could not leave word of that, as we could not."""
    kept = home.read_json(FAILURE_FILE)
    if kept is None:
        home.write_json(FAILURE_FILE, {})
        home.remove(FAILURE_FILE)
        return CmdopError(reason=f"the agent ended with status {returncode}; see: cmdop agent logs")
    return error_heard(kept)


def _ask(home: Home, control: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """The answer of the agent or its host, None when it gives none in time.

    The thread `ask->agent` blocks in the connection to it, which a stopped process (SIGSTOP)
    accepts and never answers; it is left behind then, for we are about to end as well.
    """
    answers: list[dict[str, Any] | None] = []
    thread = threading.Thread(
        target=lambda: answers.append(ask(home, control, request, _ANSWER_TIMEOUT_SECONDS)),
        name="ask->agent",
        daemon=True,
    )
    thread.start()
    thread.join(_ANSWER_TIMEOUT_SECONDS)
    return answers[0] if answers else None
