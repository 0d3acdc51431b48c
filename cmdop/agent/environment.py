"""Command, environment and folder of a login shell, as login(1) and sshd make them.

A shell starts with an environment of its own: the account's, the client's terminal and
language as far as this machine has them, and of the agent's only what is listed here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cmdop.agent.account import Account, current_account
from cmdop.agent.installed import has_locale, has_terminfo
from cmdop.errors import ShellUnusable
from cmdop.ptyhost.factory import open_pty
from cmdop.ptyhost.interface import Pty, ShellCommand
from cmdop.winsize import Winsize
from cmdop.wire.call_messages import CreateSession
from cmdop.wire.session_messages import Register

DEFAULT_TERM = "xterm-256color"
SESSION_VARIABLE = "CMDOP_SESSION"
_OWN_PREFIX = "CMDOP_"
_INHERITED = ("PATH", "TZ", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""Of the machine rather than of whoever started the agent. PATH, because in a container
nobody else knows the right one."""
_PATH = "/usr/local/bin:/usr/bin:/bin"
_ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FALLBACK_LOCALES = ("C.UTF-8", "en_US.UTF-8")
"""The second is for macOS, which has no C.UTF-8 before 15."""

# What a client may put into the environment: names, never paths (terminfo(5), setlocale(3)).
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_COLORTERM = re.compile(r"[A-Za-z0-9._-]{1,32}")
_LOCALE = re.compile(r"[A-Za-z]{1,16}(_[A-Za-z0-9]{1,16})?(\.[A-Za-z0-9-]{1,16})?(@[A-Za-z0-9]{1,16})?")


class Wishes(NamedTuple):
    """The client's TERM, COLORTERM and locale, as it sent them; empty where it has none."""

    term: str = ""
    colorterm: str = ""
    locale: str = ""


class Installed(NamedTuple):
    """What the machine knows: whether it has a terminal, looking at a home too, or a locale."""

    terminfo: Callable[[str, str], bool] = has_terminfo
    locale: Callable[[str], bool] = has_locale


class LoginShell(NamedTuple):
    """All that it takes to start one; `note` is a sentence for the user, or empty."""

    command: ShellCommand
    env: dict[str, str]
    note: str


def open_login_shell(
    wanted: Register | CreateSession, session_id: str, shell: str | None, inherited: Mapping[str, str] | None = None
) -> tuple[Pty, str]:
    """The account's shell, or the command `shell`, in a new PTY; and a note for the user.

    `inherited` is the agent's own environment. Raises ShellUnusable.
    """
    account = current_account(inherited or {})
    wishes = Wishes(wanted.term, wanted.colorterm, wanted.locale)
    login = login_shell(account, shell, inherited or {}, wishes, session_id)
    pty = open_pty(login.command, login.env, start_folder(account.home), Winsize(wanted.rows, wanted.cols))
    return pty, login.note


def login_shell(
    account: Account,
    shell: str | None,
    inherited: Mapping[str, str],
    wishes: Wishes,
    session_id: str,
    installed: Installed = Installed(),  # noqa: B008 - a tuple of functions, never changed
) -> LoginShell:
    """What to start for an account and a client. Raises ShellUnusable."""
    env = base_variables(account, inherited, wishes, installed)
    terminal, note = terminal_variables(account, wishes, installed)
    env |= terminal
    env[SESSION_VARIABLE] = session_id
    return LoginShell(shell_command(account, shell, env["PATH"]), env, note)


def base_variables(
    account: Account,
    inherited: Mapping[str, str],
    wishes: Wishes,
    installed: Installed = Installed(),  # noqa: B008 - as above
) -> dict[str, str]:
    """What every program of the account gets: the account's variables, and a language."""
    env = _account_variables(account, inherited)
    if not account.inherits_all and (locale := _locale(wishes.locale, installed)):
        env["LANG"] = locale
    return env


def terminal_variables(
    account: Account,
    wishes: Wishes,
    installed: Installed = Installed(),  # noqa: B008 - as above
) -> tuple[dict[str, str], str]:
    """What a program in a terminal gets besides, and a note for the user, or none."""
    term, note = _term(wishes.term, account.home, installed)
    colours = {"COLORTERM": wishes.colorterm} if _COLORTERM.fullmatch(wishes.colorterm) else {}
    return {"TERM": term, **colours}, note


def shell_command(account: Account, shell: str | None, path: str) -> ShellCommand:
    """The account's shell as a login shell, or another command as it is written.

    `path` is where to look for a command without a folder. Raises ShellUnusable.
    """
    if shell is None:
        return ShellCommand(account.shell, ("-" + os.path.basename(account.shell),))
    try:
        words = shlex.split(shell)
    except ValueError as error:
        raise ShellUnusable(shell=shell, reason=str(error)) from error
    found = shutil.which(words[0], path=path) if words else None
    if found is None:
        raise ShellUnusable(shell=shell, reason="there is no such program")
    return ShellCommand(os.path.abspath(found), tuple(words))


def start_folder(home: str) -> str:
    """The home folder, or the root where there is none to enter, as login(1) does."""
    return home if os.path.isdir(home) and os.access(home, os.X_OK) else os.path.abspath(os.sep)


def _account_variables(account: Account, inherited: Mapping[str, str]) -> dict[str, str]:
    if account.inherits_all:
        return {"PATH": "", **{k: v for k, v in inherited.items() if not k.upper().startswith(_OWN_PREFIX)}}
    return {
        "PATH": _ROOT_PATH if account.is_root else _PATH,
        **{name: inherited[name] for name in _INHERITED if inherited.get(name)},
        "HOME": account.home,
        "USER": account.user,
        "LOGNAME": account.user,
        "SHELL": account.shell,
    }


def _term(term: str, home: str, installed: Installed) -> tuple[str, str]:
    """TERM for the shell, and a note if it is not the client's."""
    if not term:
        return DEFAULT_TERM, ""
    if not _TERM.fullmatch(term):
        return DEFAULT_TERM, f"your TERM is no terminal's name: using {DEFAULT_TERM}"
    if not installed.terminfo(term, home):
        return DEFAULT_TERM, f'this machine does not know the terminal "{term}": using {DEFAULT_TERM}'
    return term, ""


def _locale(locale: str, installed: Installed) -> str:
    """LANG for the shell: the client's, or the nearest that this machine has, or empty."""
    wanted = (locale,) if _LOCALE.fullmatch(locale) else ()
    return next((name for name in (*wanted, *_FALLBACK_LOCALES) if installed.locale(name)), "")
