"""`cmdop session`: sessions on your machines, used without attaching."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cmdop.cli.options import home, user_locale
from cmdop.cli.output import print_json
from cmdop.cli.progress import say
from cmdop.cli.session_flags import BeforeDashes, Flags, takes_flags
from cmdop.cli.times import duration, duration_text
from cmdop.errors import HostMissing, UsageError
from cmdop.limits import CALL_DATA_MAX_BYTES, IDLE_MAX_SECONDS, IDLE_SECONDS, NAME_MAX_CHARS, WINSIZE_MAX

if TYPE_CHECKING:
    from cmdop.client.survey import Located

_OFFSET_MAX = 2**53
"""What a call can say (`Count` in docs/protocol.md §3)."""
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
    from cmdop.cli.session_reach import reached
    from cmdop.cli.session_show import ID_SHOWN_CHARS, session_document
    from cmdop.wire.call_messages import CreateSession

    named = flags.host_or(host)
    if not named:
        raise HostMissing
    if len(name) > NAME_MAX_CHARS or not name.isprintable():
        raise UsageError(reason=f"{name!r} cannot be a session's name: at most {NAME_MAX_CHARS} printable characters")
    wanted = CreateSession(
        name=name,
        idle_seconds=idle_seconds,
        term=os.environ.get("TERM", ""),
        colorterm=os.environ.get("COLORTERM", ""),
        locale=user_locale(),
        command=click.get_current_context().meta["command"],
    )
    with reached(flags) as relay:
        machine = relay.machine(named)
        record = relay.calls(machine).create(wanted)
    if flags.as_json:
        print_json({**session_document(machine.machine_id, record), "idle_limit_seconds": idle_seconds})
        return
    shown = record.session_id[:ID_SHOWN_CHARS]
    click.echo(shown)
    say(f"it is kept while somebody uses it, and {duration_text(idle_seconds)} longer: cmdop session attach {shown}")


@session.command("list")
@click.argument("host", required=False)
@takes_flags
def list_sessions(flags: Flags, host: str | None) -> int:
    """List the sessions of all machines that are online, or of HOST, and who is attached.

    \b
      cmdop session list
    """
    from cmdop.cli.session_reach import name_silent, reached
    from cmdop.cli.session_show import print_sessions, session_document

    named = flags.host_or(host)
    with reached(flags) as relay:
        if named:
            asked = [relay.machine(named)]
        else:
            asked = [machine for machine in relay.machines() if machine.online and machine.session is not None]
            asked.sort(key=lambda machine: (machine.name.casefold(), machine.machine_id))
        surveyed = relay.surveyor.ask(asked)
    if named and surveyed.silent:
        raise surveyed.silent[0].error
    if flags.as_json:
        print_json([session_document(found.machine.machine_id, found.record) for found in surveyed.found])
    elif surveyed.found:
        print_sessions(surveyed.found, time.time())
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
        insecure=flags.insecure,
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
    from cmdop.cli.session_reach import session_calls

    sent_bytes = 0
    with session_calls(flags, wanted) as (calls, located):
        for piece in _standard_input() if text == "-" else [os.fsencode(text)]:
            calls.send_input(located.session_id, piece)
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
    type=click.IntRange(0, _OFFSET_MAX),
    default=0,
    help="From this byte on, counted from the session's first (default: 0).",
)
@takes_flags
def read(flags: Flags, wanted: str, since: int) -> None:
    """Print what session ID put out, as far as the machine keeps it: 1 MiB.

    The bytes are as the program wrote them. With --json `next_offset` is where to go on.

    \b
      cmdop session read 8f23a4b0
      cmdop session read 8f23a4b0 --since 4096 --json
    """
    from cmdop.cli.session_reach import session_calls
    from cmdop.cli.session_show import output_document

    with session_calls(flags, wanted) as (calls, located):
        pieces = calls.read(located.session_id, since)
        if flags.as_json:
            document = output_document(list(pieces))
            print_json({**_about(located), **document})
            return
        for piece in pieces:
            if piece.truncated:
                say(f"the output before offset {piece.offset} is not kept any more")
            sys.stdout.buffer.write(piece.data)
            sys.stdout.buffer.flush()


@session.command()
@_wanted
@click.argument("rows", type=_CELLS)
@click.argument("cols", type=_CELLS)
@takes_flags
def resize(flags: Flags, wanted: str, rows: int, cols: int) -> None:
    """Give the terminal of session ID another size, until an attached client claims its own.

    \b
      cmdop session resize 8f23a4b0 50 132
    """
    from cmdop.cli.session_reach import session_calls
    from cmdop.winsize import Winsize

    with session_calls(flags, wanted) as (calls, located):
        calls.resize(located.session_id, Winsize(rows, cols))
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
    from cmdop.cli.session_reach import session_calls

    if not 0 < len(name) <= NAME_MAX_CHARS:
        raise UsageError(reason=f"there is no signal {name!r}")
    with session_calls(flags, wanted) as (calls, located):
        calls.signal(located.session_id, name)
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
    from cmdop.cli.session_reach import session_calls

    with session_calls(flags, wanted) as (calls, located):
        calls.end(located.session_id)
    if flags.as_json:
        print_json({**_about(located), "closed": True})
