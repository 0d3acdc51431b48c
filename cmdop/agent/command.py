"""From an `Execute` to what is to be started: program, argv, environment, folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from typing import NamedTuple

from cmdop.agent.account import Account, current_account
from cmdop.agent.environment import Wishes, base_variables, start_folder, terminal_variables
from cmdop.errors import CommandUnusable
from cmdop.exechost.factory import open_in_terminal, open_program
from cmdop.exechost.interface import Program, ShellCommand
from cmdop.winsize import Winsize
from cmdop.wire.exec_messages import Execute


class Prepared(NamedTuple):
    """A command that may be started; `as_written` as in `exechost.factory.open_program`."""

    command: ShellCommand
    env: dict[str, str]
    cwd: str
    as_written: bool = False


def start(wanted: Execute, inherited: Mapping[str, str]) -> Program:
    """Start a command for the account of this process. `inherited` is the agent's environment.

    Raises CommandUnusable; with `errno` in its details if it is the command that cannot be run.
    """
    prepared = prepare(wanted, current_account(inherited), inherited)
    if wanted.tty:
        winsize = Winsize(wanted.rows, wanted.cols)
        return open_in_terminal(prepared.command, prepared.env, prepared.cwd, winsize)
    return open_program(prepared.command, prepared.env, prepared.cwd, wanted.stdin, prepared.as_written)


def prepare(wanted: Execute, account: Account, inherited: Mapping[str, str]) -> Prepared:
    """What to start for an account. Raises CommandUnusable."""
    words = tuple(map(os.fsdecode, wanted.command))
    if not words:
        raise CommandUnusable(command="nothing", reason="no command was named")
    wishes = Wishes(wanted.term, wanted.colorterm, wanted.locale)
    env = base_variables(account, inherited, wishes)
    if wanted.tty:
        env |= terminal_variables(account, wishes)[0]
    env |= dict(_variable(words[0], os.fsdecode(each)) for each in wanted.env)
    cwd = _folder(words[0], account, os.fsdecode(wanted.cwd))
    if len(words) > 1:
        return Prepared(ShellCommand(_found(words[0], env.get("PATH", ""), cwd), words), env, cwd)
    if account.inherits_all:  # cmd.exe takes off the outer quotes, and nothing else, with /s
        return Prepared(ShellCommand(account.shell, ("cmd.exe", "/d", "/s", "/c", f'"{words[0]}"')), env, cwd, True)
    return Prepared(ShellCommand(account.shell, (os.path.basename(account.shell), "-c", words[0])), env, cwd)


def _variable(command: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or "\0" in text:
        raise CommandUnusable(command=command, reason=f"{text!r:.50} is no variable")
    return name, value


def _folder(command: str, account: Account, wanted: str) -> str:
    """The folder to run in; one that is named relatively is in the home."""
    if not wanted:
        return start_folder(account.home)
    folder = os.path.join(account.home, wanted)
    try:
        os.stat(os.path.join(folder, ""))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandUnusable(command=command, reason=f"its folder {folder}: {reason}") from error
    return folder


def _found(name: str, path: str, cwd: str) -> str:
    """The file of a command, as execvp(3) looks for it. Raises CommandUnusable."""
    if os.path.dirname(name):
        return os.path.join(cwd, name)
    found = shutil.which(name, path=path)
    if found is not None:
        return os.path.join(cwd, found)
    there = name and any(os.path.isfile(os.path.join(folder, name)) for folder in path.split(os.pathsep) if folder)
    number = errno.EACCES if there else errno.ENOENT
    reason = os.strerror(number) if there else "command not found"
    raise CommandUnusable(command=name, reason=reason, errno=number)
