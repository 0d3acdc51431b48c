"""From a name to a session: relay, machine, seal, session; each step told as it happens."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from cmdop.auth.credentials import Credential
from cmdop.auth.fingerprint import fingerprint
from cmdop.auth.keys import Role
from cmdop.auth.known_machines import FirstSight, Sighting
from cmdop.client.entering import enter
from cmdop.client.link import SOFTWARE, MachineCheck, RelayLink, connect_relay
from cmdop.client.passwords import Passwords
from cmdop.client.resolver import age_text, one, require_online
from cmdop.client.stream import MachineStream
from cmdop.errors import CmdopError, MachineChanged, RemoteProtocolError
from cmdop.limits import PROTOCOL_VERSION, WINDOW_MIN_BYTES
from cmdop.transport.address import parse_server
from cmdop.transport.dial import Dialling
from cmdop.transport.way import PLAIN_WAY, Way
from cmdop.winsize import Winsize
from cmdop.wire.relay_messages import MachineRecord
from cmdop.wire.session_messages import Ready, Register


class Step(Protocol):
    """One step under way: what it came to, for people (behind its `ok`) and for programs."""

    detail: str
    fields: dict[str, object]


class Progress(Protocol):
    """Is told of each step: entered when it begins, left when it is done or failed."""

    def step(self, name: str) -> AbstractContextManager[Step]: ...

    def first_sight(self, sight: FirstSight) -> None:
        """Between two steps: the machine was not known before."""


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
    way: Way = PLAIN_WAY
    machine_id: str = ""
    """The machine, where it is known already; `host` is only how it is called then."""
    client_id: str = field(default_factory=lambda: os.urandom(8).hex())


@dataclass(frozen=True)
class Joined:
    """A session that is ready: its stream, what the machine said, and which machine.

    `token` stands for the client's admission when it comes back.
    """

    stream: MachineStream
    ready: Ready
    machine: MachineRecord
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Place:
    """Where a client is that comes back, and what it wants (docs/protocol.md §8.5).

    `window_bytes` is the credit from `output_offset` on. `redraw` asks for the screen, and
    `history` for what was scrolled away before it joined as well.
    """

    output_offset: int
    input_offset: int
    window_bytes: int
    redraw: bool
    history: bool
    winsize: Winsize


def reach_relay(credential: Credential, way: Way = PLAIN_WAY, want_machines: bool = True) -> RelayLink:
    """A connection to the credential's relay, with the machines of the workspace if they are wanted."""
    key, way = credential.key, way.to_relay(credential.ca_file)
    to = Dialling(parse_server(credential.server), key.bearer, key.masked, way=way)
    return connect_relay(to, want_machines)


class _SameKey:
    """Lets in the machine of before and no other, whatever files say by now."""

    def __init__(self, before: MachineStream) -> None:
        self._key = before.about.machine_static

    def check(self, seen: Sighting) -> None:
        if seen.key != self._key:
            about = {"name": seen.name, "host": seen.machine_id, "machine_id": seen.machine_id}
            known, now = fingerprint(self._key), fingerprint(seen.key)
            raise MachineChanged(**about, fingerprint=now, known=known, since="this attach began")

    def proven(self, *seen: Sighting) -> None:
        """It is known already."""


def join_session(
    credential: Credential,
    device_key: bytes,
    known: MachineCheck,
    wanted: Wanted,
    progress: Progress,
    passwords: Passwords | None = None,
) -> Joined:
    """Get a session on a machine. Raises what the failing step raises; nothing stays open then.

    Without `passwords` a machine that asks for one is not entered.
    """
    passwords = passwords or Passwords()
    with progress.step(f"resolving {wanted.host}") as step:
        link = reach_relay(credential, wanted.way)
        try:
            machine = one(wanted.machine_id or wanted.host, link.machines())
            require_online(machine, time.time())
        except CmdopError:
            link.close()
            raise
        step.detail = f"id {machine.machine_id[:4]}..., online {age_text(machine.heartbeat_age_seconds)}"
        step.fields = {"machine_id": machine.machine_id, "hostname": machine.hostname, "name": machine.name}
    try:
        with progress.step("dialing relay") as step:
            stream = _open(link, credential, device_key, known, machine, wanted)
            step.fields = {"server": link.server}
        if stream.about.first_sight is not None:
            progress.first_sight(stream.about.first_sight)
        with progress.step("auth") as step:
            key_id = credential.key.key_id
            token = passwords.tokens.get(machine.machine_id, key_id)
            joined = _enter(stream, machine, key_id, _first(wanted, token), passwords)
            ready = joined.ready
            step.detail = f"session {ready.session_id[:8]}"
            step.fields = {
                "session_id": ready.session_id,
                "operator": ready.operator,
                "created": ready.created,
                "kept_seconds": ready.kept_seconds,
            }
    except BaseException:  # who leaves a question leaves the machine
        link.close()
        raise
    return joined


def resume_session(
    credential: Credential,
    device_key: bytes,
    wanted: Wanted,
    before: Joined,
    place: Place,
    passwords: Passwords | None = None,
) -> Joined:
    """Come back to the session of `before` over a new connection. Raises what the failing step raises.

    A machine that does not take the token any more gets the password that it took before.
    """
    machine_id = before.machine.machine_id
    proven = (passwords or Passwords()).proven_only(machine_id)
    link = reach_relay(credential, wanted.way, want_machines=False)
    try:
        stream = _open(link, credential, device_key, _SameKey(before.stream), before.machine, wanted)
        joined = _enter(stream, before.machine, credential.key.key_id, _again(wanted, before, place), proven)
        if joined.ready.session_id != before.ready.session_id:
            raise RemoteProtocolError(reason="another session than the one that was left")
        return joined
    except CmdopError:
        link.close()
        raise


def _open(
    link: RelayLink,
    credential: Credential,
    device_key: bytes,
    known: MachineCheck,
    machine: MachineRecord,
    wanted: Wanted,
) -> MachineStream:
    role = Role.OBSERVER if wanted.read_only else credential.key.role.attaches_as
    return link.open(machine, role, credential.key, device_key, known)


def _first(wanted: Wanted, token: str) -> Register:
    about = wanted.terminal
    return Register(
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
        session_token=token,
    )


def _again(wanted: Wanted, before: Joined, place: Place) -> Register:
    return Register(
        version=PROTOCOL_VERSION,
        software=SOFTWARE,
        client_id=wanted.client_id,
        rows=place.winsize.rows,
        cols=place.winsize.cols,
        term=wanted.terminal.term,
        colorterm=wanted.terminal.colorterm,
        locale=wanted.terminal.locale,
        session=before.ready.session_id,
        read_only=wanted.read_only,
        replay="all" if place.history and wanted.replay == "all" else "screen",
        resume=True,
        output_offset=place.output_offset,
        input_offset=place.input_offset,
        session_token=before.token,
        window_bytes=place.window_bytes,
        redraw=place.redraw,
    )


def _enter(stream: MachineStream, machine: MachineRecord, key_id: str, asked: Register, passwords: Passwords) -> Joined:
    """Register and wait for Ready; the token that it brought serves calls as well."""
    entered = enter(stream, machine.machine_id, asked, passwords)
    if entered.success is None:
        return Joined(stream, entered.ready, machine, asked.session_token)
    token = entered.success.session_token
    passwords.tokens.keep(machine.machine_id, key_id, token, entered.success.ttl_seconds)
    return Joined(stream, entered.ready, machine, token)
