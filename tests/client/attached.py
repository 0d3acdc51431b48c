"""An attach under test: the terminal before it, the machine behind it, and ways back to it."""

from __future__ import annotations

import queue
import threading

from cmdop.client.attach import Attach
from cmdop.client.connect import Joined, Place
from cmdop.client.events import Event
from cmdop.client.keys import KeyMachine
from cmdop.client.outcome import Failed, Outcome
from cmdop.errors import CmdopError
from cmdop.wire.relay_messages import MachineRecord
from cmdop.wire.session_messages import Ready
from tests.client.fake_terminal import FakeTerminal
from tests.client.far_end import READY, TIMEOUT_SECONDS, FarEnd

MACHINE = MachineRecord("8f23a4b0-0000-4000-8000-000000000001", "prod-api-1", "prod", True, 3.0, 0.0)
OPENING = b"\x1b[22;0t"


class WaysBack:
    """Dials in the place of the network. A dial hangs until the test says what comes of it."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.before: list[Joined] = []
        self._coming: queue.SimpleQueue[Joined | Exception] = queue.SimpleQueue()
        # Guards both lists; told of every change.
        self._change = threading.Condition()

    def __call__(self, before: Joined, place: Place) -> Joined:
        with self._change:
            self.places.append(place)
            self.before.append(before)
            self._change.notify_all()
        comes = self._coming.get()
        if isinstance(comes, Exception):
            raise comes
        return comes

    def leads_to(self, far: FarEnd, ready: Ready = READY, token: str = "token 2") -> None:
        self._coming.put(Joined(far.stream, ready, MACHINE, token))

    def fails(self, error: Exception) -> None:
        self._coming.put(error)

    def until_dialled(self, times: int = 1) -> Place:
        """Wait until it was dialled so often; the place that was asked for."""
        with self._change:
            assert self._change.wait_for(lambda: len(self.places) >= times, TIMEOUT_SECONDS), self.places
            return self.places[times - 1]


class Attached:
    """An attach on a thread of its own."""

    def __init__(
        self,
        terminal: FakeTerminal | None = None,
        far: FarEnd | None = None,
        ready: Ready = READY,
        read_only: bool = False,
    ) -> None:
        self.terminal, self.far = terminal or FakeTerminal(), far or FarEnd()
        self.ways = WaysBack()
        joined = Joined(self.far.stream, ready, MACHINE, "token 1")
        self.attach = Attach(joined, self.terminal, KeyMachine(), self.ways, read_only=read_only, tell=self._told)
        self.events: list[Event] = []
        # Guards `events`; told of every change.
        self._change = threading.Condition()
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="test attach", daemon=True)
        self._thread.start()
        self.terminal.until_raw()

    def _run(self) -> None:
        try:
            self._outcomes.put(self.attach.run(lambda: self.terminal._note("attached")))
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self._outcomes.put(error)

    def _told(self, event: Event) -> None:
        with self._change:
            self.events.append(event)
            self._change.notify_all()

    def until_told(self, kind: type[Event], times: int = 1) -> Event:
        """Wait until something of this kind was told so often; the last one."""
        with self._change:
            happened = lambda: [event for event in self.events if isinstance(event, kind)]  # noqa: E731
            assert self._change.wait_for(lambda: len(happened()) >= times, TIMEOUT_SECONDS), self.events
            return happened()[times - 1]

    def cut(self) -> None:
        """The connection that is there ends, and a way back is looked for."""
        self.far.connection.close("the network is gone")

    def come_back(self, far: FarEnd, ready: Ready = READY) -> None:
        """The way back leads there; from now on it is the machine."""
        self.ways.leads_to(far, ready)
        self.far = far

    def outcome(self) -> Outcome:
        """How it ended, with the terminal put back and the connection closed."""
        outcome = self.left()
        assert self.far.client_connection._ended
        return outcome

    def left(self) -> Outcome:
        """How it ended, with the terminal put back, whatever the network does."""
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive(), self.terminal.log
        outcome = self._outcomes.get_nowait()
        if isinstance(outcome, BaseException):
            raise outcome
        self.is_put_back()
        return outcome

    def is_put_back(self) -> None:
        log = self.terminal.log
        assert log.count("restored") == 1
        assert "reading" not in log[log.index("restored") :]

    def error(self) -> CmdopError:
        outcome = self.outcome()
        assert isinstance(outcome, Failed)
        return outcome.error

    def left_error(self) -> CmdopError:
        outcome = self.left()
        assert isinstance(outcome, Failed)
        return outcome.error
