"""`cmdop connect password set|clear|list`: the machine passwords that this client remembers."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from cmdop.cli.connect_flags import Flags, takes_flags
from cmdop.cli.options import home, json_option
from cmdop.cli.output import print_json, print_table
from cmdop.cli.progress import say
from cmdop.errors import InputMissing, NoSuchMachine

if TYPE_CHECKING:
    from cmdop.auth.kept_passwords import KeptPassword
    from cmdop.wire.relay_messages import MachineRecord


@click.group()
def password() -> None:
    """The machine passwords that this client remembers.

    \b
      cmdop connect password set prod-api-1
    """


@password.command("set")
@click.argument("host")
@takes_flags
def keep_password(flags: Flags, host: str) -> None:
    """Remember the password of HOST, in the keyring or a private file.

    It is asked for and not shown; where nobody can be asked, it is one line of
    standard input. HOST is not asked whether it is right.

    \b
      cmdop connect password set prod-api-1
    """
    from cmdop.auth.kept_passwords import KeptPasswords

    machine = _machine(flags, host)
    where = KeptPasswords(home()).keep(machine.machine_id, machine.name, _entered(machine.name, flags))
    if flags.as_json:
        print_json({"machine_id": machine.machine_id, "name": machine.name, "password_in": where})
    else:
        say(f"the password of {machine.name} is kept in {'the keyring' if where == 'keyring' else 'a private file'}")


@password.command("clear")
@click.argument("host")
@json_option
def forget_password(host: str, as_json: bool) -> None:
    """Forget the password of HOST.

    HOST is a machine's name or id, or the beginning of one.

    \b
      cmdop connect password clear prod-api-1
    """
    from cmdop.auth.kept_passwords import KeptPasswords
    from cmdop.client.resolver import one

    kept = KeptPasswords(home())
    try:
        machine = one(host, tuple(_record(row) for row in kept.all()))
    except NoSuchMachine as error:
        raise NoSuchMachine(query=host, nearest="those with a password here: cmdop connect password list") from error
    kept.forget(machine.machine_id)
    if as_json:
        print_json({"machine_id": machine.machine_id, "name": machine.name})
    else:
        say(f"the password of {machine.name} is forgotten")


@password.command("list")
@json_option
def list_passwords(as_json: bool) -> None:
    """List the machines whose password is remembered.

    \b
      cmdop connect password list
    """
    from cmdop.auth.kept_passwords import KeptPasswords

    rows = KeptPasswords(home()).all()
    if as_json:
        fields = [{"machine_id": row.machine_id, "name": row.name, "password_in": row.where} for row in rows]
        print_json(fields)
    elif rows:
        print_table(("NAME", "ID", "KEPT IN"), [(row.name, row.machine_id, row.where) for row in rows])
    else:
        say("no machine's password is remembered; keep one with: cmdop connect password set HOST")


def _machine(flags: Flags, host: str) -> MachineRecord:
    """The machine that HOST means, online or not."""
    from cmdop.auth.credentials import find_credential
    from cmdop.client.connect import reach_relay
    from cmdop.client.resolver import one

    link = reach_relay(find_credential(home(), flags.given), flags.way)
    try:
        return one(host, link.machines())
    finally:
        link.close()


def _entered(name: str, flags: Flags) -> str:
    from cmdop.cli.passwords import first_line
    from cmdop.cli.prompt import ask_unseen, can_ask

    if can_ask() and not flags.no_interactive:
        return ask_unseen(f"Password for {name}: ")
    if sys.stdin is None or sys.stdin.isatty():
        how = "write it to standard input: cmdop connect password set HOST < FILE"
        raise InputMissing(what="the password", how=how)
    return first_line(sys.stdin.buffer, "standard input")


def _record(row: KeptPassword) -> MachineRecord:
    """A machine as the resolver wants it; nothing is known of whether it is online."""
    from cmdop.wire.relay_messages import MachineRecord

    return MachineRecord(row.machine_id, row.name, row.name, True, 0.0, time.time())
