"""The agent: keeps a connection to its relay for as long as it runs, and serves sessions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cmdop import __version__
from cmdop.agent.identity import Enrolment, Identity
from cmdop.agent.machine import Machine
from cmdop.agent.options import AgentOptions
from cmdop.agent.stream import AgentStream
from cmdop.agent.uplink import AgentUplink
from cmdop.agent.verdict import DEGRADED, DIALLING, ONLINE, STARTING
from cmdop.auth.fingerprint import fingerprint
from cmdop.auth.keys import ApiKey, Role, bearer, parse_key
from cmdop.errors import (
    BadCaFile,
    BadProxy,
    CmdopError,
    KeyRefused,
    NotEnrolled,
    PlainTextRefused,
    RemoteProtocolError,
    RoleTooLow,
    VersionMismatch,
)
from cmdop.home import Home
from cmdop.limits import DEFAULT_SERVER, LINK_HELD_SECONDS, PROTOCOL_VERSION
from cmdop.seal.noise import public_key
from cmdop.transport.address import ServerAddress, parse_server
from cmdop.transport.backoff import Backoff
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling, dial
from cmdop.wire.relay_messages import AgentHello, Hello, Open, Welcome

_LOG = logging.getLogger("cmdop.agent")

_FATAL = (KeyRefused, NotEnrolled, RoleTooLow, VersionMismatch, PlainTextRefused, BadProxy, BadCaFile)
"""On the first try nothing gets better by trying again."""

_ENROLLING = (Role.AGENT.value, Role.ADMIN.value)
"""The roles of keys that enrol a machine; a machine's own token counts as agent."""


class AgentService:
    """One agent's time of being online. `run` blocks on the caller's thread; `stop` and
    `leave` end it from any other.

    The machine, with its sessions, may have been there before and may stay.
    """

    def __init__(
        self,
        home: Home,
        options: AgentOptions,
        machine: Machine | None = None,
        online: Callable[[], None] | None = None,
    ) -> None:
        """`online` hears of each welcome of the relay, on the thread of `run`. Raises BadKey,
        BadServer, UsageError, ConfigCorrupt or HomeUnusable."""
        self._home, self._options = home, options
        self._identity = Identity.load_or_create(home, options.name)
        self._enrolment = Enrolment.load(home)
        self._key: ApiKey | None = parse_key(options.api_key) if options.api_key else None
        self._refused: Enrolment | None = None
        """The relay no longer knows it: the machine was removed there."""
        self._server = self._choose_server()
        self._machine = machine or Machine(home)
        self._shells, self._admission = self._machine.shells, self._machine.admission
        self._machine.open_with(options)
        self._online = online
        self._stopping = threading.Event()
        self._goodbye = False
        self._uplink: AgentUplink | None = None
        self._started_at = time.monotonic()
        self._verdict, self._reason = DEGRADED if options.was_online else STARTING, DIALLING
        self._hint = ""

    def run(self) -> None:
        """Serve until `stop`, which ends the sessions too, or `leave`.

        Raises KeyRefused, NotEnrolled, RoleTooLow and the like on the first try.
        """
        backoff = Backoff()
        changes_end = self._machine.listen(self._sessions_changed)
        try:
            while not self._stopping.wait(backoff.next_seconds()):
                self._connect_once(backoff)
        finally:
            changes_end()
            if self._goodbye:
                self._machine.close()

    def stop(self, reason: str) -> None:
        """End the agent: end the sessions, then say goodbye to the relay. Never waits; twice is quiet.

        The thread `end` does it, while the relay is still there to tell those who are attached.
        """
        _LOG.info("stopping: %s", reason)
        again, self._goodbye = self._goodbye, True
        if self._uplink is None:
            self._end(reason)
        elif not again:
            threading.Thread(target=self._end_sessions, args=(reason,), name="end", daemon=True).start()

    def _end_sessions(self, reason: str) -> None:
        try:
            self._machine.close()
        finally:
            self._end(reason)

    def leave(self, reason: str) -> None:
        """Be gone for the relay as if killed, so that it waits for another agent; the sessions stay."""
        self._end(reason)

    def _end(self, reason: str) -> None:
        self._stopping.set()
        uplink = self._uplink
        if uplink is not None:
            uplink.close(reason, goodbye=self._goodbye)

    def status(self) -> dict[str, Any]:
        """What `cmdop agent status` shows."""
        return {
            "verdict": self._verdict,
            "reason": self._reason,
            "hint": self._hint,
            "machine_id": self._identity.machine_id,
            "hostname": self._identity.hostname,
            "name": self._identity.name,
            "fingerprint": fingerprint(public_key(self._identity.static_key)),
            "workspace": self._enrolment.workspace if self._enrolment else None,
            "relay": self._server.url,
            "proxy": self._proxy_url(),
            "uptime_seconds": round(time.monotonic() - self._started_at, 1),
            "sessions": self._shells.statuses(),
        }

    def _proxy_url(self) -> str | None:
        """What the relay is dialled through, as it may be shown; None for nothing, or for nothing that could be."""
        with suppress(BadProxy):
            proxy = self._options.way.choice(self._server).proxy
            return proxy.url if proxy else None
        return None

    # -- the relay -----------------------------------------------------------------------

    def _choose_server(self) -> ServerAddress:
        named = self._options.server or (self._enrolment.server if self._enrolment else DEFAULT_SERVER)
        return parse_server(named)

    def _connect_once(self, backoff: Backoff) -> None:
        try:
            connection = dial(self._dialling())
            error = self._serve(connection, backoff)
        except CmdopError as refused:
            error = refused
        if self._stopping.is_set():
            return
        starting = self._verdict == STARTING
        if starting and isinstance(error, KeyRefused | NotEnrolled) and self._may_enrol_anew():
            self._refused = self._enrolment
            _LOG.warning("%s; enrolling anew", error.sentence)
            return
        if starting and isinstance(error, _FATAL):
            raise error
        self._verdict = STARTING if starting else DEGRADED
        self._reason, self._hint = error.sentence, error.next_step
        _LOG.warning("%s", error.sentence)

    def _serve(self, connection: Connection, backoff: Backoff) -> CmdopError:
        """Serve over one connection until it ends; why it did."""
        uplink = AgentUplink(connection, self._open_stream, self._shells.summaries)
        self._uplink = uplink
        uplink.send_control(self._hello())
        if self._stopping.is_set():  # it came before there was an uplink to close
            uplink.close("stopping", goodbye=self._goodbye)

        began = time.monotonic()
        try:
            return uplink.serve(self._welcomed)
        finally:
            if uplink.used or time.monotonic() - began >= LINK_HELD_SECONDS:
                backoff.reset()  # a relay that only says Welcome is not dialled in a loop
            self._uplink = None
            self._shells.relay_is(False)

    def _welcomed(self, welcome: Welcome) -> None:
        """The relay let this machine in; keep what it gave at enrolment."""
        if welcome.version != PROTOCOL_VERSION:
            raise VersionMismatch(peer=f"the relay {self._server.url}", theirs=welcome.version, ours=PROTOCOL_VERSION)
        if welcome.role not in _ENROLLING:  # the relay may welcome before it has heard what we are
            raise RoleTooLow(what="enrolling a machine", needed=Role.AGENT.value, role=welcome.role)
        if welcome.machine_token and self._key is not None:
            self._enrolment = self._enrol(self._key, welcome)
        self._verdict, self._reason, self._hint = ONLINE, "", ""
        self._shells.relay_is(True)
        _LOG.info("online as %s in workspace %s at %s", self._identity.name, welcome.workspace, self._server.url)
        if self._online is not None:
            self._online()

    def _enrol(self, key: ApiKey, welcome: Welcome) -> Enrolment:
        """Derive and keep this machine's own keys; the API key itself is not kept."""
        machine_id = self._identity.machine_id
        try:
            bytes.fromhex(welcome.machine_token)
        except ValueError as error:
            raise RemoteProtocolError(reason="a machine token that is none") from error
        enrolment = Enrolment(
            server=self._server.url,
            workspace=welcome.workspace,
            machine_token=welcome.machine_token,
            key_id=key.key_id,
            operator_psk=key.machine_psk(Role.OPERATOR, machine_id),
            observer_psk=key.machine_psk(Role.OBSERVER, machine_id),
        )
        enrolment.save(self._home)
        self._key = None  # it would open every machine of the workspace
        self._options = replace(self._options, api_key=None)
        return enrolment

    def _dialling(self) -> Dialling:
        enrolled = self._enrolment
        if enrolled is not None and self._has_token(enrolled):
            credential, label = (
                bearer("machine", self._identity.machine_id, bytes.fromhex(enrolled.machine_token)),
                "of this machine",
            )
        elif self._key is not None:
            credential, label = self._key.bearer, self._key.masked
        else:
            raise NotEnrolled(server=self._server.url)
        return Dialling(self._server, credential, label, way=self._options.way)

    def _has_token(self, enrolled: Enrolment) -> bool:
        """Whether to come with the machine's token: not after another key was given."""
        rekeyed = self._key is not None and self._key.key_id != enrolled.key_id
        return enrolled.server == self._server.url and enrolled is not self._refused and not rekeyed

    def _may_enrol_anew(self) -> bool:
        """Whether it was the token that was refused, and there is a key to enrol with."""
        return self._key is not None and self._enrolment is not None and self._has_token(self._enrolment)

    def _hello(self) -> Hello:
        machine = AgentHello(
            self._identity.machine_id,
            self._identity.hostname,
            self._identity.name,
            public_key(self._identity.static_key),
        )
        return Hello(PROTOCOL_VERSION, f"cmdop {__version__}", "agent", machine)

    # -- sessions ---------------------------------------------------------------------------

    def _open_stream(self, stream_id: int, opened: Open, uplink: AgentUplink) -> AgentStream:
        enrolment = self._enrolment
        if enrolment is None:
            raise RemoteProtocolError(reason="a stream before enrolment")
        psk = enrolment.observer_psk if opened.role == Role.OBSERVER.value else enrolment.operator_psk
        _LOG.info("stream %d opened by %s (%s, %s)", stream_id, opened.operator, opened.role, opened.address)
        # Bound to our own machine id, whatever the relay says the client asked for.
        mine = Open(self._identity.machine_id, opened.role, opened.operator, opened.key_id, opened.address)
        static_key, executions = self._identity.static_key, self._machine.executions
        return AgentStream(stream_id, mine, psk, static_key, uplink, self._admission, executions)

    def _sessions_changed(self) -> None:
        uplink = self._uplink
        if uplink is not None:
            uplink.changed()
