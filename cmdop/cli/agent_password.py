"""`cmdop agent password set|clear|status`: this machine's own password."""

from __future__ import annotations

import sys

import click

from cmdop.cli.options import home, json_option
from cmdop.cli.output import print_json
from cmdop.cli.progress import say
from cmdop.errors import InputMissing, UsageError


@click.group()
def password() -> None:
    """Ask clients for a password of this machine's own.

    Beside their key, and checked on this machine.

    \b
      cmdop agent password set
    """


@password.command("set")
@json_option
def set_machine_password(as_json: bool) -> None:
    """Set the password, or another one.

    It is asked for twice and not shown. Where nobody can be asked it is one line of
    standard input. Clients that are attached stay; whoever comes next needs it:

    \b
      cmdop agent password set
      cmdop agent password set < FILE
    """
    from cmdop.auth.machine_password import load_password, set_password
    from cmdop.cli.prompt import can_ask

    set_password(home(), _asked_twice() if can_ask() and not as_json else _read())
    if as_json:
        kept = load_password(home())
        _print(kept.since if kept is not None else None)
    else:
        say("the password is set: clients that come from now on need it, and no older token is good any more")


@password.command("clear")
@json_option
def clear_machine_password(as_json: bool) -> None:
    """Ask for no password any more.

    \b
      cmdop agent password clear
    """
    from cmdop.auth.machine_password import clear_password

    had = clear_password(home())
    if as_json:
        _print(None)
    else:
        say("the password is cleared: an operator's key is enough now" if had else "there was no password")


@password.command("status")
@json_option
def show_status(as_json: bool) -> None:
    """Say whether this machine has a password, and since when.

    \b
      cmdop agent password status
    """
    from cmdop.auth.machine_password import load_password
    from cmdop.cli.times import rfc3339

    kept = load_password(home())
    if as_json:
        _print(kept.since if kept is not None else None)
    elif kept is not None:
        click.echo(f"a password is set, since {rfc3339(kept.since)}")
    else:
        click.echo("no password is set: an operator's key is enough")


def _print(since: float | None) -> None:
    from cmdop.cli.times import rfc3339

    print_json({"set": since is not None, "since": rfc3339(since) if since is not None else None})


def _asked_twice() -> str:
    from cmdop.cli.prompt import ask_unseen

    first = ask_unseen("New password for this machine: ")
    if ask_unseen("Again: ") != first:
        raise UsageError(reason="the two are not the same: nothing was changed")
    return first


def _read() -> str:
    from cmdop.cli.passwords import first_line

    if sys.stdin is None or sys.stdin.isatty():
        raise InputMissing(what="the password", how="write it to standard input: cmdop agent password set < FILE")
    return first_line(sys.stdin.buffer, "standard input")
