"""An attach as the command line does it: from a name to the exit status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cmdop.auth.credentials import Credential
from cmdop.auth.device import device_key
from cmdop.cli import runtime
from cmdop.cli.attach_told import JsonLines, Words
from cmdop.cli.options import user_locale
from cmdop.client.attach import Attach
from cmdop.client.connect import Joined, Place, TerminalAbout, Wanted, join_session, resume_session
from cmdop.client.keys import KeyMachine, parse_detach_keys
from cmdop.client.outcome import Failed, Killed, Outcome, SessionEnded
from cmdop.errors import CmdopError
from cmdop.home import Home
from cmdop.terminal import factory
from cmdop.terminal.interface import Terminal

if TYPE_CHECKING:
    from cmdop.cli.connect import ConnectOptions


def attach_to(options: ConnectOptions, credential: Credential, where: Home) -> int:
    """Attach to a session and say how it ended; the exit status."""
    assert options.host is not None
    told = JsonLines(options.host) if options.as_json else Words(options)
    try:
        outcome = _attach(options, credential, where, told)
        told.over(outcome)
        if isinstance(outcome, Failed):
            outcome.error.details["host"] = options.host  # as it was typed
            raise outcome.error
    except CmdopError as error:
        told.failed(error)
        raise
    if isinstance(outcome, SessionEnded):
        return outcome.status
    return 128 + outcome.signal if isinstance(outcome, Killed) else 0


def _attach(options: ConnectOptions, credential: Credential, where: Home, told: Words | JsonLines) -> Outcome:
    leaving = parse_detach_keys(options.detach_keys) if options.detach_keys else None
    device = device_key(where)
    with factory.open_terminal() as terminal:
        wanted = _wanted(options, terminal)
        joined = join_session(credential, device, wanted, told)

        def rejoin(before: Joined, place: Place) -> Joined:
            return resume_session(credential, device, wanted, before, place)

        runtime.settle()
        attach = Attach(
            joined,
            terminal,
            KeyMachine(leaving) if leaving is not None else KeyMachine(),
            rejoin,
            read_only=options.read_only,
            told_size=wanted.terminal.winsize,
            tell=lambda event: told.event(event, attach.at_line_start),
        )
        told.joined(joined.ready, terminal.is_tty)
        outcome = attach.run(told.attached)
        told.put_back(attach.at_line_start)
    return outcome


def _wanted(options: ConnectOptions, terminal: Terminal) -> Wanted:
    about = TerminalAbout(terminal.size(), os.environ.get("TERM", ""), os.environ.get("COLORTERM", ""), user_locale())
    assert options.host is not None
    return Wanted(
        options.host,
        about,
        session=options.session,
        new=options.new,
        read_only=options.read_only,
        takeover=options.takeover,
        replay=options.replay,
        insecure=options.insecure,
    )
