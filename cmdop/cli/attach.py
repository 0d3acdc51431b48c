"""An attach as the command line does it: from a name to the exit status."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from cmdop.auth.credentials import Credential
from cmdop.auth.device import device_key
from cmdop.auth.keys import Role
from cmdop.cli import runtime
from cmdop.cli.attach_told import JsonLines, Words
from cmdop.cli.machine_keys import known_machines
from cmdop.cli.options import user_locale, user_told
from cmdop.cli.passwords import AskedUser, AttachingUser, passwords_for
from cmdop.cli.prompt import can_ask
from cmdop.cli.sight import unkept_text
from cmdop.client.attach import Attach
from cmdop.client.connect import Joined, Place, TerminalAbout, Wanted, join_session, resume_session
from cmdop.client.keys import KeyMachine, parse_detach_keys
from cmdop.client.outcome import Failed, Killed, Outcome, SessionEnded
from cmdop.client.recent import note_use
from cmdop.errors import CmdopError
from cmdop.home import Home
from cmdop.terminal import factory
from cmdop.terminal.interface import Terminal

if TYPE_CHECKING:
    from cmdop.cli.connect import ConnectOptions


def attach_to(options: ConnectOptions, credential: Credential, where: Home) -> int:
    """Attach to a session and say how it ended; the exit status."""
    outcome = attach_outcome(options, credential, where)
    if isinstance(outcome, SessionEnded):
        return outcome.status
    return 128 + outcome.signal if isinstance(outcome, Killed) else 0


def attach_outcome(options: ConnectOptions, credential: Credential, where: Home) -> Outcome:
    """The same, for who wants to know more than the status. Raises the error of one that failed."""
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
    return outcome


def _attach(options: ConnectOptions, credential: Credential, where: Home, told: Words | JsonLines) -> Outcome:
    leaving = parse_detach_keys(options.detach_keys) if options.detach_keys else None
    device = device_key(where)
    known = known_machines(where, credential, options.machine_keys, told.notice)
    user = AttachingUser(told) if options.no_interactive or not can_ask() else AskedUser(told)
    passwords = passwords_for(where, options.password, user)
    with factory.open_terminal() as terminal:
        wanted = _wanted(options, terminal)
        joined = join_session(credential, device, known, wanted, told, passwords)
        if known.unkept is not None:
            told.notice(unkept_text(known.unkept))

        _note_use(where, credential, joined)

        def rejoin(before: Joined, place: Place) -> Joined:
            return resume_session(credential, device, wanted, before, place, passwords)

        # A stray key ends no observer's attach; what a pipe brings is for the machine to refuse.
        watches = options.read_only or (credential.key.role is Role.OBSERVER and terminal.is_tty)
        runtime.settle()
        attach = Attach(
            joined,
            terminal,
            KeyMachine(leaving) if leaving is not None else KeyMachine(),
            rejoin,
            read_only=watches,
            told_size=wanted.terminal.winsize,
            tell=lambda event: told.event(event, attach.at_line_start),
        )
        told.joined(joined.ready, terminal.is_tty, watches)
        outcome = attach.run(told.attached)
        told.put_back(attach.at_line_start)
    return outcome


def _wanted(options: ConnectOptions, terminal: Terminal) -> Wanted:
    about = TerminalAbout(terminal.size(), user_told("TERM"), user_told("COLORTERM"), user_locale())
    assert options.host is not None
    return Wanted(
        options.host,
        about,
        session=options.session,
        new=options.new,
        read_only=options.read_only,
        takeover=options.takeover,
        replay=options.replay,
        way=options.way,
        machine_id=options.machine_id,
    )


def _note_use(where: Home, credential: Credential, joined: Joined) -> None:
    """For the order of the picker: where it cannot be kept, that is no reason to keep the user waiting or out."""
    with suppress(CmdopError):
        note_use(where, credential.server, credential.workspace, joined.machine.machine_id, time.time())
