"""From a name to a session: relay, machine, seal, session; each step told as it happens."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cmdop.auth.credentials import Credential
from cmdop.auth.keys import Role
from cmdop.client.link import SOFTWARE, MachineStream, RelayLink, connect_relay
from cmdop.client.resolver import age_text, one, require_online
from cmdop.errors import CmdopError, RemoteProtocolError, from_peer
from cmdop.limits import PROTOCOL_VERSION, WINDOW_MIN_BYTES
from cmdop.transport.address import parse_server
from cmdop.transport.dial import Dialling
from cmdop.winsize import Winsize
from cmdop.wire.message import Unknown
from cmdop.wire.relay_messages import MachineRecord
from cmdop.wire.session_messages import AuthSuccess, Ready, Refused, Register


class Step(Protocol):
    """One step under way; `detail` goes behind its `ok`."""

    detail: str


class Progress(Protocol):
    """Is told of each step: entered when it begins, left when it is done or failed."""

    def step(self, name: str) -> AbstractContextManager[Step]: ...


@dataclass(frozen=True)
class TerminalAbout:
    """What the remote program should know of the user's terminal."""

    winsize: Winsize
    term: str = ""
    colorterm: str = ""
    locale: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which session to have, and how."""

    host: str
    terminal: TerminalAbout
    session: str = ""
    new: bool = False
    read_only: bool = False
    takeover: bool = False
    replay: str = "all"
    command: tuple[str, ...] = ()
    insecure: bool = False
    ca_file: Path | None = None
    client_id: str = field(default_factory=lambda: os.urandom(8).hex())


@dataclass(frozen=True)
class Joined:
    """A session that is ready: its stream, what the machine said, and which machine."""

    stream: MachineStream
    ready: Ready
    machine: MachineRecord


def reach_relay(credential: Credential, insecure: bool = False, ca_file: Path | None = None) -> RelayLink:
    """A connection to the credential's relay, with the machines of the workspace."""
    key = credential.key
    to = Dialling(parse_server(credential.server), key.bearer, key.masked, insecure=insecure, ca_file=ca_file)
    return connect_relay(to, want_machines=True)


def join_session(credential: Credential, device_key: bytes, wanted: Wanted, progress: Progress) -> Joined:
    """Get a session on a machine. Raises what the failing step raises; nothing stays open then."""
    with progress.step(f"resolving {wanted.host}") as step:
        link = reach_relay(credential, wanted.insecure, wanted.ca_file)
        try:
            machine = one(wanted.host, link.machines())
            require_online(machine, time.time())
        except CmdopError:
            link.close()
            raise
        step.detail = f"id {machine.machine_id[:4]}..., online {age_text(machine.heartbeat_age_seconds)}"
    try:
        with progress.step("dialing relay"):
            role = Role.OBSERVER if wanted.read_only else credential.key.role.attaches_as
            stream = link.open(machine, role, credential.key, device_key)
        with progress.step("auth") as step:
            ready = _enter(stream, wanted)
            step.detail = f"session {ready.session_id[:8]}"
    except CmdopError:
        link.close()
        raise
    return Joined(stream, ready, machine)


def _enter(stream: MachineStream, wanted: Wanted) -> Ready:
    about = wanted.terminal
    stream.send_control(
        Register(
            version=PROTOCOL_VERSION,
            software=SOFTWARE,
            client_id=wanted.client_id,
            rows=about.winsize.rows,
            cols=about.winsize.cols,
            term=about.term,
            colorterm=about.colorterm,
            locale=about.locale,
            session=wanted.session,
            new=wanted.new,
            read_only=wanted.read_only,
            takeover=wanted.takeover,
            replay=wanted.replay,
            command=wanted.command,
            window_bytes=WINDOW_MIN_BYTES,
        )
    )
    host = stream.about.host
    while True:
        message = stream.receive_control(f"the machine {host}")
        if isinstance(message, Ready):
            return message
        if isinstance(message, Refused):
            raise from_peer(message.code, message.reason, host=host)
        if not isinstance(message, AuthSuccess | Unknown):
            raise RemoteProtocolError(reason=f"{type(message).__name__} instead of Ready")
