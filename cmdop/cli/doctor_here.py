"""`cmdop doctor`, this machine: keyring, terminal, agent, terminal model."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NamedTuple

from cmdop.agent import daemon
from cmdop.agent.identity import Enrolment
from cmdop.agent.verdict import ONLINE
from cmdop.auth.vault import KEYRING, Vault, keyring_backend
from cmdop.cli.doctor_finding import Finding, Status, Subject, from_error
from cmdop.cli.options import home, user_locale
from cmdop.errors import AgentDied, AgentNotRunning, KeyringUnusable, ModelUnusable
from cmdop.screen.library import Library, library_path
from cmdop.winsize import Winsize

_PLAIN_TERMINALS: Final = ("", "dumb", "unknown")


# -- keyring ------------------------------------------------------------------------------


def keyring(_: Subject) -> Finding:
    """Where secrets are kept. One that does not work keeps nothing, and gives nothing back."""
    places = list(Vault(home()).places().values())
    try:
        backend = keyring_backend()
    except KeyringUnusable as error:
        return from_error(error)
    if backend is not None:
        return Finding(Status.OK, f"{backend}; secrets of cmdop in it: {places.count(KEYRING)}")
    if KEYRING in places:
        fix = "start its service, or keep the key again: cmdop login"
        return Finding(
            Status.FAIL, f"there is none, but there was one with secrets of cmdop: {places.count(KEYRING)}", fix
        )
    return Finding(Status.OK, "there is none here: secrets are kept in a file of mode 0600")


# -- terminal -----------------------------------------------------------------------------


class TerminalSeen(NamedTuple):
    """What is known of the user's terminal. `winsize` is None where there is none."""

    winsize: Winsize | None
    term: str
    colorterm: str
    utf8: bool


def terminal(_: Subject) -> Finding:
    seen = TerminalSeen(_winsize(), os.environ.get("TERM", ""), os.environ.get("COLORTERM", ""), _speaks_utf8())
    return judge_terminal(seen)


def judge_terminal(seen: TerminalSeen) -> Finding:
    """Whether programs can draw on it, and which characters."""
    if seen.winsize is None:
        return Finding(Status.OK, "none here: attaching needs one, everything else does not")
    rows, cols = seen.winsize
    detail = f"TERM={seen.term} COLORTERM={seen.colorterm}, {rows} rows and {cols} columns, "
    detail += "UTF-8" if seen.utf8 else "not UTF-8"
    if seen.term in _PLAIN_TERMINALS:
        return Finding(Status.WARN, f"{detail}: programs can draw nothing", "export TERM=xterm-256color")
    if not seen.utf8:
        return Finding(Status.WARN, f"{detail}: other characters than ASCII come out wrong", "export LC_ALL=C.UTF-8")
    if not (rows and cols):
        return Finding(Status.WARN, f"{detail}: it does not say its size", "stty rows 24 cols 80")
    return Finding(Status.OK, detail)


def _winsize() -> Winsize | None:
    """The size of the terminal that the user sees: stdout or stdin may be something else."""
    for fd in (2, 1, 0):
        try:
            size = os.get_terminal_size(fd)
        except (OSError, ValueError):
            continue
        return Winsize(size.lines, size.columns)
    return None


def _speaks_utf8() -> bool:
    charset = user_locale().partition(".")[2] or user_locale()
    if not charset:  # a console that has no locale
        charset = getattr(sys.stdout, "encoding", None) or ""
    return charset.partition("@")[0].lower().replace("-", "") == "utf8"


# -- agent --------------------------------------------------------------------------------


def agent(_: Subject) -> Finding:
    """Whether this machine is reachable, if it is meant to be."""
    try:
        return judge_agent(daemon.status(home()))
    except AgentDied as error:
        return from_error(error, Status.WARN)
    except AgentNotRunning as error:
        if Enrolment.load(home()) is None:
            return Finding(Status.OK, "none: this machine is not meant to be reached")
        return from_error(error, Status.WARN)


def judge_agent(status: dict[str, Any]) -> Finding:
    """What an agent says of itself."""
    reason = f" ({status['reason']})" if status.get("reason") else ""
    detail = f"{status.get('name') or '?'} is {status['verdict']}{reason}, pid {status['pid']}"
    if status["verdict"] == ONLINE:
        return Finding(Status.OK, f"{detail}, at {status.get('relay') or '?'}")
    return Finding(Status.WARN, detail, "see why: cmdop agent logs")


# -- terminal model -----------------------------------------------------------------------


def model(_: Subject) -> Finding:
    """The library behind replay. Without it sessions of this machine are replayed from their last output."""
    try:
        path = library_path()
        Library(path)
    except ModelUnusable as error:
        return from_error(error, Status.WARN)
    return Finding(Status.OK, f"libghostty-vt in {os.path.dirname(path)}")
