"""`cmdop doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

from typing import Any, Final

import click

from cmdop.cli import doctor_here, doctor_home, doctor_relay
from cmdop.cli.connect_flags import Flags, takes_flags
from cmdop.cli.doctor_finding import Check, Found, Status, Subject, examine
from cmdop.cli.output import print_json, print_line

CHECKS: Final = (
    Check("home", doctor_home.state_folder),
    Check("modes", doctor_home.file_modes, needs="home"),
    Check("keyring", doctor_here.keyring, needs="home"),
    Check("relay", doctor_relay.which_relay),
    Check("proxy", doctor_relay.proxy, needs="relay"),
    Check("dns", doctor_relay.dns, needs="proxy"),
    Check("tcp", doctor_relay.tcp, needs="dns"),
    Check("tls", doctor_relay.tls, needs="tcp"),
    Check("websocket", doctor_relay.websocket, needs="tls"),
    Check("clock", doctor_relay.clock, needs="websocket"),
    Check("credential", doctor_relay.credential, needs="relay"),
    Check("round-trip", doctor_relay.round_trip, needs="credential"),
    Check("agent", doctor_here.agent, needs="home"),
    Check("terminal", doctor_here.terminal),
    Check("model", doctor_here.model),
)
"""What is looked at, in this order. Each needs at most one that stands before it."""

_NAME_CHARS: Final = max(len(check.name) for check in CHECKS)
_INDENT: Final = " " * (len("warn  ") + _NAME_CHARS + 2)


@click.command()
@takes_flags
def doctor(flags: Flags) -> int:
    """Look whether cmdop can work here, and say what to do where it cannot.

    Each check is ok, warn or fail; the status is 1 when one fails.

    \b
      cmdop doctor
      cmdop doctor --server wss://relay.example.org --json
    """
    from cmdop.cli.debug import keep_off_the_terminal

    keep_off_the_terminal()
    subject = Subject(flags.given, flags.way)
    found = examine(CHECKS, subject, _say_nothing if flags.as_json else _print)
    failed = [name for name, finding in found if finding.status is Status.FAIL]
    if flags.as_json:
        print_json({"checks": [_document(one) for one in found], "ok": not failed})
    else:
        print_line(f"failed: {', '.join(failed)}" if failed else "nothing failed")
    return 1 if failed else 0


def _print(found: Found) -> None:
    name, (status, detail, fix) = found
    print_line(f"{status:<4}  {name:<{_NAME_CHARS}}  {detail}")
    for line in fix.splitlines():
        print_line(f"{_INDENT}{line}")


def _say_nothing(_: Found) -> None:
    """The document says it all, at the end."""


def _document(found: Found) -> dict[str, Any]:
    name, (status, detail, fix) = found
    return {"name": name, "status": status.value, "detail": detail, "fix": fix}
