"""The relay on its network: accepts, lets in or refuses, and hands over to the switch.

Threads: `network->relay` accepts; every arrival gets a thread of its own, named
`ADDRESS->relay`, which shakes hands and then reads that connection until it ends.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections import Counter
from typing import Final

from cmdop.errors import ConnectionClosed, StoreUnusable
from cmdop.limits import DEFAULT_PORT, HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX
from cmdop.relay.gate import Gate, Refusal
from cmdop.relay.peer import Caller
from cmdop.relay.switch import Switch
from cmdop.relay.throttle import source_of
from cmdop.store.interface import Store
from cmdop.transport.accept import Arrival, HttpAnswer, UpgradeRequest
from cmdop.transport.address import ENDPOINT_PATH, WANT_HEADER, WANT_MACHINES, is_loopback
from cmdop.transport.listener import Listener

_LOG = logging.getLogger(__name__)
ACCEPT_RETRY_SECONDS: Final = 1.0
"""A host that is out of descriptors gets this long to find some."""


class RelayServer:
    """A relay over `store`, listening on (host, port); port 0 is any free one.

    With `tls` None it speaks plain text: that this is on loopback only, or wanted, is
    for the caller to see to. The store stays the caller's.
    """

    def __init__(
        self, store: Store, listen: tuple[str, int] = ("127.0.0.1", DEFAULT_PORT), tls: ssl.SSLContext | None = None
    ) -> None:
        self._store, self._listen, self._tls = store, listen, tls
        self._stopping = threading.Event()
        self._handshakes = Handshakes()
        self._listener: Listener | None = None
        self._switch: Switch | None = None

    def start(self) -> None:
        """Listen and accept from now on. Raises AddressInUse."""
        self._listener = Listener(*self._listen, self._tls)
        self._switch = Switch(self._store)
        args = (self._listener, self._switch)
        self._acceptor = threading.Thread(target=self._accept, args=args, name="network->relay", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on. After `start`."""
        assert self._listener is not None
        return self._listener.address

    @property
    def switch(self) -> Switch:
        """What serves the connections. After `start`."""
        assert self._switch is not None
        return self._switch

    def close(self) -> None:
        """Stop listening, end all connections, and wait for that. Twice is quiet."""
        self._stopping.set()
        if self._listener is not None and self._switch is not None:
            self._listener.close()
            self._acceptor.join()
            self._switch.close()

    def _accept(self, listener: Listener, switch: Switch) -> None:
        """Blocks in accept, woken by the listener's end, or for a moment when that fails."""
        while not self._stopping.is_set():
            try:
                arrival = listener.accept()
            except ConnectionClosed as error:
                if not self._stopping.is_set():
                    _LOG.warning("cannot accept a connection: %s", error.details.get("reason"))
                    self._stopping.wait(ACCEPT_RETRY_SECONDS)
                continue
            if not self._handshakes.begin(arrival.remote):
                _LOG.warning("%s turned away: too many others are shaking hands", arrival.remote)
                arrival.close()
                continue
            thread = threading.Thread(target=self._receive, args=(arrival, switch), daemon=True)
            thread.name = f"{arrival.remote}->relay"
            try:
                thread.start()
            except RuntimeError:  # the host has no thread left
                _LOG.warning("%s turned away: no thread for it", arrival.remote)
                self._handshakes.end(arrival.remote)
                arrival.close()

    def _receive(self, arrival: Arrival, switch: Switch) -> None:
        door = Door(switch.gate)
        try:
            connection = arrival.upgrade(door.decide)
        except Exception:  # noqa: BLE001 - whatever it is, it ends one arrival and no more
            _LOG.exception("%s: a mistake in cmdop", arrival.remote)
            return
        finally:
            self._handshakes.end(arrival.remote)
        if connection is not None and door.caller is not None:
            switch.serve(connection, door.caller, wants_list=door.wants_list)


class Handshakes:
    """Counts who is shaking hands, altogether and by source. Usable from any thread.

    A source on loopback is a proxy in front of the relay, which stands for many.
    """

    def __init__(self) -> None:
        # Guards the table.
        self._lock = threading.Lock()
        self._sources: Counter[str] = Counter()

    def begin(self, remote: str) -> bool:
        """Count one in; False when there are too many."""
        source = source_of(remote)
        most = HANDSHAKES_MAX if is_loopback(source) else HANDSHAKES_PER_SOURCE_MAX
        with self._lock:
            if self._sources.total() >= HANDSHAKES_MAX or self._sources[source] >= most:
                return False
            self._sources[source] += 1
            return True

    def end(self, remote: str) -> None:
        """Count one out that was let in."""
        source = source_of(remote)
        with self._lock:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]


class Door:
    """Answers one HTTP request: with plain HTTP, or by letting `caller` in."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.caller: Caller | None = None
        self.wants_list = False

    def decide(self, request: UpgradeRequest) -> HttpAnswer | None:
        """None lets the upgrade happen; `caller` is then who it is."""
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return HttpAnswer(200, "ok\n")
        if path != ENDPOINT_PATH:
            return HttpAnswer(404, "not-found: a cmdop relay has nothing here\n")
        try:
            admitted = self._gate.admit(request.headers.get("authorization", ""), request.remote)
        except StoreUnusable as error:
            _LOG.error("%s", error.sentence)
            return HttpAnswer(503, f"{error.code}: the relay cannot use its records\n")
        if isinstance(admitted, Refusal):
            _LOG.info("%s refused: %s", request.remote, admitted.reason)
            return _refused(admitted)
        self.caller = admitted
        self.wants_list = request.headers.get(WANT_HEADER.lower()) == WANT_MACHINES
        return None


def _refused(refusal: Refusal) -> HttpAnswer:
    """401 (RFC 6750 §3), or 429 (RFC 6585 §4) for who has failed too often."""
    if refusal.wait_seconds:
        body = f"{refusal.code}: {refusal.reason}, and too many were wrong: wait {refusal.wait_seconds} s\n"
        return HttpAnswer(429, body, {"Retry-After": str(refusal.wait_seconds)})
    return HttpAnswer(401, f"{refusal.code}: {refusal.reason}\n", {"WWW-Authenticate": "Bearer"})
