"""The thread that fetches the list of machines while somebody looks at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from cmdop.client.link import RelayLink
from cmdop.client.refresh import News, Refresh
from cmdop.errors import CmdopError, RelayUnreachable
from cmdop.limits import PROTOCOL_VERSION
from cmdop.transport.connection import Connection
from cmdop.transport.memory import memory_pair
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, decode_frame, encode_frame
from cmdop.wire.relay_messages import RELAY_MESSAGES, ListMachines, MachineRecord, Machines, Welcome
from tests.client.test_resolver import machine

TIMEOUT_SECONDS = 10.0
NOW = 0.001
NEVER = 3600.0


class FarRelay:
    """A relay that has the machines it is told to have, and counts who asks."""

    def __init__(self) -> None:
        self.machines: tuple[MachineRecord, ...] = ()
        self.down = False
        self.mute = False
        self.ends: list[Connection] = []
        self.dialled = 0
        self.asked = threading.Event()

    def reach(self) -> RelayLink:
        self.dialled += 1
        if self.down:
            raise RelayUnreachable(server="ws://far", reason="it is down")
        ours, theirs = memory_pair()
        self.ends.append(theirs)
        threading.Thread(target=self._serve, args=(theirs,), name="test->client", daemon=True).start()
        return RelayLink(ours, "ws://far")

    def _serve(self, end: Connection) -> None:
        try:
            while True:
                message = RELAY_MESSAGES.decode(decode_frame(end.receive()).payload)
                answer = Machines(self.machines)
                if isinstance(message, ListMachines):
                    self.asked.set()
                    if self.mute:
                        continue
                    payload = RELAY_MESSAGES.encode(answer)
                else:
                    about = ("r", "production", "anna", "operator")
                    payload = RELAY_MESSAGES.encode(Welcome(PROTOCOL_VERSION, *about, machines=self.machines))
                end.send(encode_frame(FrameKind.CONTROL, CONNECTION_STREAM, payload))
        except CmdopError:
            return

    def cut(self) -> None:
        self.ends[-1].close("cut")


class Looking:
    """Is told, and waits for news that are of a kind."""

    def __init__(self) -> None:
        self._told = threading.Event()

    def tell(self) -> None:
        self._told.set()

    def until(self, refresh: Refresh, wanted: Callable[[News], bool]) -> News:
        while True:
            assert self._told.wait(TIMEOUT_SECONDS)
            self._told.clear()
            news = refresh.take()
            if news is not None and wanted(news):
                return news


@pytest.fixture
def relay() -> FarRelay:
    return FarRelay()


Open = Callable[..., tuple[Refresh, Looking]]


@pytest.fixture
def opened(relay: FarRelay) -> Iterator[Open]:
    open_ones: list[Refresh] = []

    def open_one(link: RelayLink | None, interval_seconds: float = NOW) -> tuple[Refresh, Looking]:
        looking = Looking()
        open_ones.append(Refresh(relay.reach, link, looking.tell, interval_seconds))
        return open_ones[-1], looking

    yield open_one
    for one in open_ones:
        one.close()


def has(machines: Sequence[MachineRecord]) -> Callable[[News], bool]:
    return lambda news: news.error is None and tuple(news.machines) == tuple(machines)


def test_what_the_relay_has_comes_again_and_again_over_one_connection(relay: FarRelay, opened: Open) -> None:
    refresh, looking = opened(relay.reach())
    for count in range(3):
        relay.machines = tuple(machine(f"m{number}") for number in range(count))
        looking.until(refresh, has(relay.machines))
    assert relay.dialled == 1


def test_without_a_connection_it_fetches_at_once(relay: FarRelay, opened: Open) -> None:
    relay.machines = (machine("one"),)
    refresh, looking = opened(None, NEVER)
    looking.until(refresh, has(relay.machines))


def test_news_are_taken_once(relay: FarRelay, opened: Open) -> None:
    refresh, looking = opened(None, NEVER)
    looking.until(refresh, has(()))
    assert refresh.take() is None


def test_a_connection_that_is_lost_is_replaced_and_nobody_hears_of_it(relay: FarRelay, opened: Open) -> None:
    refresh, looking = opened(relay.reach())
    looking.until(refresh, has(()))
    relay.machines = (machine("one"),)
    relay.cut()
    looking.until(refresh, lambda news: has(relay.machines)(news) and relay.dialled == 2)


def test_a_relay_that_is_gone_is_news_and_one_that_is_back_too(relay: FarRelay, opened: Open) -> None:
    refresh, looking = opened(relay.reach())
    relay.down = True
    relay.cut()
    looking.until(refresh, lambda news: isinstance(news.error, RelayUnreachable))
    relay.down = False
    looking.until(refresh, lambda news: news.error is None)


def thread_of(refresh: Refresh) -> threading.Thread:
    thread: threading.Thread = refresh._thread
    assert thread.name == "relay->picker"
    return thread


def test_closing_wakes_it_while_it_waits(relay: FarRelay, opened: Open) -> None:
    refresh, _ = opened(relay.reach(), NEVER)
    refresh.close()
    refresh.close()
    assert not thread_of(refresh).is_alive()
    with pytest.raises(CmdopError):
        relay.ends[0].receive()


def test_closing_wakes_it_while_a_relay_owes_it_an_answer(relay: FarRelay, opened: Open) -> None:
    relay.mute = True
    refresh, _ = opened(relay.reach())
    assert relay.asked.wait(TIMEOUT_SECONDS)
    refresh.close()
    thread_of(refresh).join(TIMEOUT_SECONDS)
    assert not thread_of(refresh).is_alive()
    assert relay.dialled == 1


def test_closing_does_not_wait_for_one_that_dials_and_what_it_opens_is_closed(relay: FarRelay) -> None:
    dialling, go_on = threading.Event(), threading.Event()

    def slowly() -> RelayLink:
        dialling.set()
        assert go_on.wait(TIMEOUT_SECONDS)
        return relay.reach()

    refresh = Refresh(slowly, None, lambda: None)
    assert dialling.wait(TIMEOUT_SECONDS)
    refresh.close()
    assert thread_of(refresh).is_alive()
    go_on.set()
    thread_of(refresh).join(TIMEOUT_SECONDS)
    assert not thread_of(refresh).is_alive()
    with pytest.raises(CmdopError):
        relay.ends[0].receive()
