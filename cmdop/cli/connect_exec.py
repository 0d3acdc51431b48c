"""`cmdop connect exec`: one command on a machine, its pipes and its exit status."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cmdop.cli.connect_flags import Flags, takes_flags
from cmdop.cli.machine_keys import machine_keys_option
from cmdop.cli.options import user_locale
from cmdop.cli.passwords import GivenPassword, given_password, password_options
from cmdop.cli.session_flags import BeforeDashes
from cmdop.cli.times import duration
from cmdop.errors import CmdopError, HostMissing, UsageError
from cmdop.limits import COMMAND_TIMEOUT_MAX_SECONDS, JSON_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from cmdop.client.calls import MachineCalls
    from cmdop.client.executing import CommandEnd
    from cmdop.client.reach import Reach
    from cmdop.wire.exec_messages import Execute

OUR_FAILURE = 255
"""What it exits with when it is not the command that failed (ssh(1), EXIT STATUS)."""


@dataclass(frozen=True)
class Asked:
    """What stood on the command line."""

    flags: Flags
    host: str
    command: tuple[str, ...]
    timeout_seconds: float | None
    env: tuple[str, ...]
    cwd: str
    tty: bool
    stdin: bool
    machine_keys: str
    password: GivenPassword


@click.command("exec", cls=BeforeDashes, options_metavar="[OPTIONS]")
@click.argument("host", required=False)
@click.argument("words", nargs=-1, metavar="-- CMD...")
@click.option("--host", "at_host", metavar="NAME", help="The same as HOST.")
@click.option("--stdin", is_flag=True, help="Forward standard input, though it is a terminal.")
@click.option(
    "--timeout",
    "timeout_seconds",
    metavar="TIME",
    type=duration(0.001, COMMAND_TIMEOUT_MAX_SECONDS),
    help=f"Kill it when it takes longer: 30, 30s, 5m (default: none; with --json {JSON_TIMEOUT_SECONDS:g}s).",
)
@click.option("--env", metavar="K=V", multiple=True, help="Set a variable for the command; as often as you like.")
@click.option("--cwd", metavar="DIR", default="", help="Run it in this folder (default: the home).")
@click.option("--tty", is_flag=True, help="Run it in a terminal, for what draws on the screen.")
@machine_keys_option
@password_options
@takes_flags
def run(
    flags: Flags,
    host: str | None,
    words: tuple[str, ...],
    at_host: str | None,
    password: str | None,
    password_file: str | None,
    timeout_seconds: float | None,
    **rest: Any,
) -> int:
    """Run CMD on HOST: its standard streams are yours, and so is its exit status.

    One word behind `--` is run by the shell there, several are run as they are. Standard
    input is forwarded when it is a pipe or a file. Ctrl-C interrupts the command; again,
    and it is killed.

    \b
      cmdop connect exec prod-api-1 -- uptime
      cmdop connect exec prod-api-1 -- 'df -h | tail -3'
      tar cz site | cmdop connect exec prod-api-1 -- tar xz -C /srv
      cmdop connect exec prod-api-1 --tty -- htop
    """
    command = click.get_current_context().meta["command"]
    named = at_host or host
    if named is None:
        raise HostMissing
    if words or (at_host and host) or not command:
        raise UsageError(reason="one HOST, then the command behind two dashes: cmdop connect exec HOST -- CMD...")
    if rest["tty"] and flags.as_json:
        raise UsageError(reason="--tty shows what the command draws; it does not go with --json")
    if timeout_seconds is None and flags.as_json:
        timeout_seconds = JSON_TIMEOUT_SECONDS
    for each in rest["env"]:
        if not each.partition("=")[0] or "=" not in each:
            raise UsageError(reason=f"--env {each} is no variable: write NAME=VALUE")
    asked = Asked(flags, named, command, timeout_seconds, password=given_password(password, password_file), **rest)
    try:
        return _execute(asked)
    except UsageError:
        raise
    except CmdopError as error:
        from cmdop.cli.debug import note
        from cmdop.cli.output import drain, report_error

        note(error)
        error.details["host"] = named  # as it was typed
        with contextlib.suppress(BrokenPipeError):
            report_error(error, flags.as_json)
        drain(sys.stdout)
        return OUR_FAILURE


exec = run  # noqa: A001 - the verb's name, under which it is looked for


def _execute(asked: Asked) -> int:
    from cmdop.client.executing import executable

    wanted = executable(_wanted(asked))
    with contextlib.closing(_reach(asked)) as reach:
        machine = reach.machine(asked.host)
        with contextlib.closing(reach.calls(machine)) as calls:
            if asked.flags.as_json:
                from cmdop.cli.exec_document import collected

                return collected(asked, calls, machine, wanted)
            if asked.tty:
                from cmdop.cli.exec_tty import in_terminal

                return in_terminal(asked, calls, wanted).exit_status
            return _streamed(asked, calls, wanted).exit_status


def forwards_input(asked: Asked) -> bool:
    """Whether the command gets our standard input: when asked to, and unless somebody sits at it."""
    return asked.stdin or asked.tty or not (sys.stdin is not None and sys.stdin.isatty())


def _wanted(asked: Asked) -> Execute:
    from cmdop.wire.exec_messages import Execute

    return Execute(
        tuple(map(os.fsencode, asked.command)),
        stdin=forwards_input(asked),
        env=tuple(map(os.fsencode, asked.env)),
        cwd=os.fsencode(asked.cwd),
        tty=asked.tty,
        locale=user_locale(),
    )


def _reach(asked: Asked) -> Reach:
    """The workspace's relay. Raises NoApiKey, RelayUnreachable and so on."""
    from cmdop.cli.access import access
    from cmdop.client.reach import Reach

    return Reach(access(asked.flags.given, asked.machine_keys, asked.password, asked.flags.way))


def _streamed(asked: Asked, calls: MachineCalls, wanted: Execute) -> CommandEnd:
    """Run it with our own standard streams."""
    from cmdop.cli.exec_signals import attended
    from cmdop.client.delivery import Sink
    from cmdop.client.executing import Executing
    from cmdop.client.standard_streams import closer, reader, writer

    stream, started = calls.execute(wanted)
    executing = Executing(
        stream,
        started,
        Sink(writer(1), closer(1)),
        Sink(writer(2)),  # not closed: what went wrong is said there
        reader(0) if wanted.stdin else None,
    )
    with attended(executing):
        return executing.run(asked.timeout_seconds, hears_signals=True)
