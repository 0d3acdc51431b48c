"""`cmdop session`: sessions on your machines, used without attaching."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cmdop.cli.options import home, user_locale, user_told
from cmdop.cli.output import print_json
from cmdop.cli.progress import say
from cmdop.cli.session_flags import BeforeDashes, Flags, takes_flags
from cmdop.cli.times import duration, duration_text
from cmdop.errors import HostMissing
from cmdop.limits import CALL_DATA_MAX_BYTES, COUNT_MAX, IDLE_MAX_SECONDS, IDLE_SECONDS, WINSIZE_MAX

if TYPE_CHECKING:
    from cmdop.client.survey import Located

_CELLS = click.IntRange(1, WINSIZE_MAX)
_wanted = click.argument("wanted", metavar="ID")


@click.group()
def session() -> None:
    """Sessions on your machines: opened, typed into and read without attaching.

    ID is a session's id, or a beginning of it that no other session has.

    \b
      cmdop session create prod-api-1 --name build
      cmdop session list
    """


@session.command(cls=BeforeDashes, options_metavar="[OPTIONS]")
@click.argument("host", required=False)
@click.option("--name", metavar="NAME", default="", help="What to call it in lists.")
@click.option(
    "--idle",
    "idle_seconds",
    metavar="TIME",
    type=duration(1, IDLE_MAX_SECONDS),
    default=IDLE_SECONDS,
    help=f"How long it lives when nobody uses it: 90s, 30m, 2h (default: {duration_text(IDLE_SECONDS)}).",
)
@takes_flags
def create(flags: Flags, host: str | None, name: str, idle_seconds: float) -> None:
    """Open a session on HOST and print its id. Behind `--`, what to run instead of the shell.

    \b
      cmdop session create prod-api-1 --name build --idle 2h
      cmdop session create prod-api-1 -- htop
    """
    from cmdop.api.machine import check_name
    from cmdop.cli.session_reach import reached
    from cmdop.cli.session_show import ID_SHOWN_CHARS, session_document

    named = flags.host_or(host)
    if not named:
        raise HostMissing
    check_name(name)
    with reached(flags) as relay, relay.machine(relay.record(named)) as machine:
        made = machine.create_session(
            name=name,
            idle_seconds=idle_seconds,
            command=click.get_current_context().meta["command"],
            term=user_told("TERM"),
            colorterm=user_told("COLORTERM"),
            locale=user_locale(),
        )
    if flags.as_json:
        print_json({**session_document(machine.machine_id, made), "idle_limit_seconds": idle_seconds})
        return
    shown = made.session_id[:ID_SHOWN_CHARS]
    click.echo(shown)
    say(f"it is kept while somebody uses it, and {duration_text(idle_seconds)} longer: cmdop session attach {shown}")


@session.command("list")
@click.argument("host", required=False)
@takes_flags
def list_sessions(flags: Flags, host: str | None) -> int:
    """List the sessions, and who is attached to them.

    Those of HOST, or of all machines that are online.

    \b
      cmdop session list
    """
    from cmdop.api.records import session_from
    from cmdop.cli.session_reach import name_silent, reached
    from cmdop.cli.session_show import print_sessions, session_document

    named = flags.host_or(host)
    with reached(flags) as relay:
        if named:
            asked = [relay.record(named)]
        else:
            asked = [machine for machine in relay.records() if machine.online and machine.session is not None]
            asked.sort(key=lambda machine: (machine.name.casefold(), machine.machine_id))
        surveyed = relay.surveyor.ask(asked)
    if named and surveyed.silent:
        raise surveyed.silent[0].error
    found = [(one.machine, session_from(one.record)) for one in surveyed.found]
    if flags.as_json:
        print_json([session_document(machine.machine_id, session) for machine, session in found])
    elif found:
        print_sessions(found, datetime.now(UTC))
    elif not surveyed.silent:
        say(f"no sessions on {named}" if named else f'no sessions in workspace "{relay.workspace}"')
        say(f"open one: cmdop session create {named or 'HOST'}")
    failure = name_silent(surveyed.silent)
    return failure.exit_status if failure is not None else 0


@session.command()
@_wanted
@takes_flags
def attach(flags: Flags, wanted: str) -> int:
    """Attach to session ID, as `cmdop connect HOST --session ID` does.

    \b
      cmdop session attach 8f23a4b0
    """
    from cmdop.cli.connect import ConnectOptions, attach_with
    from cmdop.cli.session_reach import reached

    with reached(flags) as relay:
        located = relay.locate(wanted)
        host, credential = relay.host_of(located.machine), relay.credential
    options = ConnectOptions(
        host,
        flags.given,
        as_json=flags.as_json,
        no_interactive=flags.no_interactive,
        session=located.session_id,
        way=flags.way,
        machine_keys=flags.machine_keys,
        password=flags.password,
    )
    return attach_with(options, credential, home())


@session.command()
@_wanted
@click.argument("text")
@takes_flags
def send(flags: Flags, wanted: str, text: str) -> None:
    """Type TEXT into session ID: exactly these bytes. `-` types what is on standard input.

    It returns when the terminal has taken them. Nothing is added, not even a newline.

    \b
      cmdop session send 8f23a4b0 $'make\\n'
      echo make | cmdop session send 8f23a4b0 -
    """
    from cmdop.cli.session_reach import reached_session

    sent_bytes = 0
    with reached_session(flags, wanted) as (machine, located):
        for piece in _standard_input() if text == "-" else [os.fsencode(text)]:
            machine.send_input(located.session_id, piece)
            sent_bytes += len(piece)
    if flags.as_json:
        print_json({**_about(located), "sent_bytes": sent_bytes})


def _about(located: Located) -> dict[str, Any]:
    """Which session it was that something was done to, for programs."""
    return {"session_id": located.session_id, "machine_id": located.machine.machine_id}


def _standard_input() -> Iterator[bytes]:
    """Standard input in pieces as they come, to its end."""
    while piece := os.read(sys.stdin.fileno(), CALL_DATA_MAX_BYTES):
        yield piece


@session.command()
@_wanted
@click.option(
    "--since",
    metavar="OFFSET",
    type=click.IntRange(0, COUNT_MAX),
    default=0,
    help="From this byte on, counted from the session's first (default: 0).",
)
@takes_flags
def read(flags: Flags, wanted: str, since: int) -> None:
    """Print what session ID put out.

    As far as the machine keeps it, which is at least the last 1 MiB. The bytes are as
    the program wrote them. With --json `next_offset` is where to go on.

    \b
      cmdop session read 8f23a4b0
      cmdop session read 8f23a4b0 --since 4096 --json
    """
    from cmdop.cli.session_reach import reached_session
    from cmdop.cli.session_show import output_document

    with reached_session(flags, wanted) as (machine, located):
        output = machine.read(located.session_id, since)
    if flags.as_json:
        print_json({**_about(located), **output_document(output)})
        return
    if output.truncated:
        say(f"the output before offset {output.offset} is not kept any more")
    sys.stdout.buffer.write(output.data)
    sys.stdout.buffer.flush()


@session.command()
@_wanted
@click.argument("rows", type=_CELLS)
@click.argument("cols", type=_CELLS)
@takes_flags
def resize(flags: Flags, wanted: str, rows: int, cols: int) -> None:
    """Give the terminal of session ID another size.

    It has it until an attached client claims its own.

    \b
      cmdop session resize 8f23a4b0 50 132
    """
    from cmdop.cli.session_reach import reached_session

    with reached_session(flags, wanted) as (machine, located):
        machine.resize(located.session_id, rows, cols)
    if flags.as_json:
        print_json({**_about(located), "winsize": {"rows": rows, "cols": cols}})


@session.command("signal")
@_wanted
@click.argument("name")
@takes_flags
def send_signal(flags: Flags, wanted: str, name: str) -> None:
    """Send signal NAME to what runs in the foreground of session ID.

    \b
      cmdop session signal 8f23a4b0 INT
    """
    from cmdop.api.machine import check_signal
    from cmdop.cli.session_reach import reached_session

    check_signal(name)
    with reached_session(flags, wanted) as (machine, located):
        machine.signal(located.session_id, name)
    if flags.as_json:
        print_json({**_about(located), "signal": name})


@session.command()
@_wanted
@takes_flags
def close(flags: Flags, wanted: str) -> None:
    """End session ID and everything in it; returns once it is over.

    \b
      cmdop session close 8f23a4b0
    """
    from cmdop.cli.session_reach import reached_session

    with reached_session(flags, wanted) as (machine, located):
        machine.close_session(located.session_id)
    if flags.as_json:
        print_json({**_about(located), "closed": True})
