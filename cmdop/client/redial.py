"""A lost connection and the way to the next one.

The thread `redial` is started when a connection is lost and ends when there is another
one, or none is to be had. It blocks in name look-up, in connecting, in the handshakes up
to Ready, each within its timeout, and between tries in a wait. `stop` ends the wait, and
nobody waits for the rest: leaving needs no network.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from cmdop.client.bell import Bell
from cmdop.client.connect import Joined, Place
from cmdop.client.events import GracePassed, LinkDown
from cmdop.client.leg import leg_of
from cmdop.client.link import bury
from cmdop.client.outage import Outage
from cmdop.errors import CmdopError, ConnectionClosed, MachineOffline, RelayUnreachable, TimedOut
from cmdop.transport.backoff import Backoff

_LOG = logging.getLogger("cmdop.client")

PASSING: Final = (ConnectionClosed, TimedOut, RelayUnreachable, MachineOffline)
"""What may be otherwise the next time; every other error ends the attach."""


class Fresh(NamedTuple):
    """A connection that took the place of a lost one, from which place on, and after how long."""

    joined: Joined
    place: Place
    down_seconds: float


class Redial:
    """Gets a new connection for an attach each time it lost its own.

    `place` says where the attach is, told whether the screen was spoilt; `rejoin` gets
    there or raises; `failed` is told what cannot be helped. `bell` rings when `take` has
    something. The thread `relay->stdout` loses and takes; main tells the user what is due.
    """

    def __init__(
        self,
        place: Callable[[bool], Place],
        rejoin: Callable[[Place], Joined],
        failed: Callable[[CmdopError], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._place, self._rejoin, self._failed = place, rejoin, failed
        self._backoff = backoff or Backoff()
        self.bell = Bell()
        # Guards the four below; told of every change. Nothing is dialled while it is held.
        self._change = threading.Condition()
        self._outage: Outage | None = None
        self._fresh: Fresh | None = None
        self._hurried = False
        self._stopped = False

    def lost(self, outage: Outage, old: Joined, held: bool) -> None:
        """The connection ended: dial again. `held` says that it was of use while it lasted."""
        with self._change:
            if self._stopped:
                return
            self._outage, self._fresh = outage, None
            if held:
                self._backoff.reset()
        threading.Thread(target=self._redial, args=(outage, old), name="redial", daemon=True).start()

    def take(self) -> Fresh | None:
        """The new connection, once."""
        self.bell.silence()
        with self._change:
            fresh, self._fresh = self._fresh, None
            return fresh

    def hurry(self) -> None:
        """The next try is due now: the computer slept, and whatever it knew is old."""
        with self._change:
            self._hurried = True
            self._backoff.reset()
            self._change.notify_all()

    def stop(self) -> None:
        """Nobody wants a connection any more. Never waits; twice is quiet."""
        with self._change:
            self._stopped = True
            fresh, self._fresh = self._fresh, None
            self._change.notify_all()
        self.bell.ring()
        if fresh is not None:
            fresh.joined.stream.connection.close("detached")

    # -- what the user is to know; asked by main -------------------------------------------

    def due_in_seconds(self) -> float | None:
        """How long until `due` has something; None while nothing is down."""
        with self._change:
            return None if self._outage is None else self._outage.due_in_seconds(time.monotonic())

    def due(self) -> LinkDown | GracePassed | None:
        """What the user is to be told now. Once it is told, the screen counts as spoilt."""
        with self._change:
            return None if self._outage is None else self._outage.due(time.monotonic())

    # -- the thread --------------------------------------------------------------------------

    def _redial(self, outage: Outage, old: Joined) -> None:
        try:
            while self._pause(self._backoff.next_seconds()):
                found = self._try(outage)
                bury(old.stream.connection)
                if found:
                    return
        except CmdopError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a thread must not die alone
            _LOG.exception("redial died")
            self._failed(CmdopError(reason=repr(error)))

    def _pause(self, seconds: float) -> bool:
        """Wait for the next try; False when there is to be none."""
        with self._change:
            self._change.wait_for(lambda: self._stopped or self._hurried, seconds)
            self._hurried = False
            return not self._stopped

    def _try(self, outage: Outage) -> bool:
        """Dial once; whether it is over. Raises what another try does not help against."""
        while True:
            spoilt = outage.told
            place = self._place(spoilt)
            try:
                joined = self._rejoin(place)
            except PASSING as error:
                _LOG.info("redialling: %s", error)
                with self._change:
                    outage.leg = leg_of(error)
                return False
            if self._hand_over(joined, place, spoilt):
                return True
            joined.stream.connection.close("the screen was written over meanwhile")

    def _hand_over(self, joined: Joined, place: Place, spoilt: bool) -> bool:
        """Offer the new connection to who shows; False if the machine was told the wrong thing:
        the user was told of the outage while it was being made, so the screen is spoilt."""
        with self._change:
            if self._stopped:
                joined.stream.connection.close("detached")
                return True
            outage = self._outage
            if outage is None or outage.told != spoilt:
                return False
            down_seconds = outage.down_seconds(time.monotonic())
            self._fresh, self._outage = Fresh(joined, place, down_seconds), None
        self.bell.ring()
        return True
