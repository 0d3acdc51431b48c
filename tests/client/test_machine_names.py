"""What a HOST could become: safe words only, each machine once, and never a long wait."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.client import machine_names as module
from cmdop.client.machine_names import FILE, MachineName, Place, is_plain, machine_names, offered
from cmdop.client.resolver import Resolved, resolve
from cmdop.errors import RelayUnreachable
from cmdop.home import Home
from cmdop.limits import COMPLETION_FRESH_SECONDS, COMPLETION_PLACES_MAX, COMPLETION_RETRY_SECONDS
from cmdop.wire.relay_messages import MachineRecord

NOW = 1_800_000_000.0
PLACE = Place("ws://127.0.0.1:7420", "home")


def machine(number: int, name: str, hostname: str = "", online: bool = True) -> MachineName:
    return MachineName(f"8f23a4b{number}-0000-4000-8000-000000000000", name, hostname)


def record(named: MachineName, online: bool = True) -> MachineRecord:
    return MachineRecord(named.machine_id, named.hostname, named.name, online, 1.0, NOW)


PROD, STAGE = machine(0, "prod", "web-1.example.org"), machine(1, "stage", "web-2.example.org")


def words(beginning: str, *machines: MachineName) -> list[str]:
    return [word for word, _ in offered(machines, beginning)]


# -- what is offered ------------------------------------------------------------------------------


def test_a_machine_is_offered_by_the_first_of_its_names_that_begins_so() -> None:
    assert offered([PROD, STAGE], "") == [("prod", "web-1.example.org"), ("stage", "web-2.example.org")]
    assert offered([PROD, STAGE], "we") == [("web-1.example.org", "prod"), ("web-2.example.org", "stage")]
    assert words("PR", PROD, STAGE) == ["prod"]
    assert words("8f23a4b1", PROD, STAGE) == [STAGE.machine_id]
    assert words("nothing", PROD, STAGE) == []


def test_what_means_two_machines_is_not_offered() -> None:
    twin = machine(2, "Prod", "web-3.example.org")
    assert words("", PROD, twin) == ["web-1.example.org", "web-3.example.org"]
    assert words("pro", PROD, twin) == []


def test_a_machine_with_the_name_of_a_verb_is_offered_otherwise() -> None:
    assert offered([machine(0, "key", "safe")], "", {"key", "exec"}) == [("safe", "key")]


@pytest.mark.parametrize(
    "name", ["a b", "$(reboot)", "`x`", "-rf", "a;b", "*", "~", "a'b", 'a"b', "a\\b", "a|b", "#", ""]
)
def test_a_name_that_a_shell_might_act_on_is_never_offered(name: str) -> None:
    assert not is_plain(name)
    assert words("", machine(0, name, "safe")) == ["safe"]
    assert words("", machine(0, name)) == [machine(0, name).machine_id]


NAMES = st.text(max_size=4) | st.sampled_from(["a", "A", "a.local", "b", "b.Local", machine(0, "").machine_id])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=6), st.text(max_size=2))
def test_whatever_machines_are_called_what_is_offered_is_plain_and_means_one(
    names: list[tuple[str, str]], beginning: str
) -> None:
    machines = [machine(number, *named) for number, named in enumerate(names)]
    records = tuple(record(one) for one in machines)
    found = offered(machines, beginning)
    meant = [resolve(word, records) for word, _ in found]
    assert len({one.machine.machine_id for one in meant if isinstance(one, Resolved)}) == len(found)
    for (word, about), one in zip(found, meant, strict=True):
        assert re.fullmatch(r"[^\s$`;&|<>()*?\[\]{}'\"\\#~!%,:=-][^\s$`;&|<>()*?\[\]{}'\"\\#~!%,:=]*", word)
        assert about.isprintable()
        assert isinstance(one, Resolved)
        assert word in (one.machine.name, one.machine.hostname, one.machine.machine_id)


# -- how it is known ------------------------------------------------------------------------------


class Relay:
    """Lists its machines, and counts how often."""

    def __init__(self, *machines: MachineRecord) -> None:
        self.machines, self.asked, self.down = machines, 0, False

    def __call__(self) -> tuple[MachineRecord, ...]:
        self.asked += 1
        if self.down:
            raise RelayUnreachable(server=PLACE.server, reason="it is down")
        return self.machines


def test_a_relay_is_asked_once_in_a_while_and_machines_that_are_online_come_first(home: Home) -> None:
    relay = Relay(record(PROD, online=False), record(STAGE))
    assert machine_names(home, PLACE, relay, NOW) == (STAGE, PROD)
    relay.machines = (record(PROD),)
    assert machine_names(home, PLACE, relay, NOW + COMPLETION_FRESH_SECONDS - 1) == (STAGE, PROD)
    assert relay.asked == 1
    assert machine_names(home, PLACE, relay, NOW + COMPLETION_FRESH_SECONDS) == (PROD,)
    assert relay.asked == 2


def test_a_clock_that_was_put_back_does_not_keep_a_list_for_ever(home: Home) -> None:
    relay = Relay(record(PROD))
    machine_names(home, PLACE, relay, NOW + 10 * COMPLETION_FRESH_SECONDS)
    machine_names(home, PLACE, relay, NOW)
    assert relay.asked == 2


def test_another_workspace_relay_or_key_has_a_list_of_its_own(home: Home) -> None:
    machine_names(home, PLACE, Relay(record(PROD)), NOW)
    for place in (PLACE._replace(server="ws://[::1]:1"), PLACE._replace(workspace="w"), PLACE._replace(key_id="k")):
        assert machine_names(home, place, Relay(record(STAGE)), NOW) == (STAGE,)
    assert machine_names(home, PLACE, Relay(), NOW) == (PROD,)


def test_a_relay_that_is_down_leaves_what_it_said_last_and_is_asked_again(home: Home) -> None:
    relay = Relay(record(PROD))
    machine_names(home, PLACE, relay, NOW)
    relay.down = True
    for _ in range(2):
        assert machine_names(home, PLACE, relay, NOW + COMPLETION_FRESH_SECONDS) == (PROD,)
    assert relay.asked == 3


def test_who_has_nothing_to_ask_with_gets_nothing_and_nothing_is_written(home: Home) -> None:
    relay = Relay()
    relay.down = True
    assert machine_names(home, PLACE, relay, NOW) == ()
    assert not home.path.exists()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nobody waits for a relay, and one that hangs ends with the test."""
    monkeypatch.setattr(module, "COMPLETION_WAIT_SECONDS", 0.01)
    ended = threading.Event()
    yield ended
    ended.set()


def test_a_relay_that_hangs_is_not_waited_for_and_left_alone_for_a_while(home: Home, stuck: threading.Event) -> None:
    asked = []

    def hang() -> tuple[MachineRecord, ...]:
        asked.append(1)
        stuck.wait()
        return ()

    assert machine_names(home, PLACE, hang, NOW) == ()
    assert machine_names(home, PLACE, hang, NOW + COMPLETION_RETRY_SECONDS - 1) == ()
    assert len(asked) == 1
    assert machine_names(home, PLACE, hang, NOW + COMPLETION_RETRY_SECONDS) == ()
    assert len(asked) == 2


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"[]", b"{}", b'{"places": 1}', b'{"places": [1]}', b'{"places": [{"server": "x"}]}']
    + [
        json.dumps({"places": [{**PLACE._asdict(), "until": until, "machines": machines}]}).encode()
        for until, machines in [("x", []), (1, 1), (1, [["a"]]), (1, [[1, 2, 3]]), (1, [None])]
    ],
)
def test_a_file_that_makes_no_sense_is_as_good_as_none(home: Home, text: bytes) -> None:
    home.write_bytes(FILE, text)
    assert machine_names(home, PLACE, Relay(record(PROD)), NOW) == (PROD,)
    assert machine_names(home, PLACE, Relay(), NOW) == (PROD,)


def test_a_folder_that_cannot_be_written_is_no_reason_to_say_nothing(home: Home) -> None:
    home.path.write_text("a file in its place")
    assert machine_names(home, PLACE, Relay(record(PROD)), NOW) == (PROD,)


def test_only_so_many_lists_are_kept(home: Home) -> None:
    for number in range(COMPLETION_PLACES_MAX + 3):
        machine_names(home, PLACE._replace(workspace=str(number)), Relay(record(PROD)), NOW + number)
    kept = json.loads(home.file(FILE).read_bytes())["places"]
    assert [int(one["workspace"]) for one in kept] == list(range(COMPLETION_PLACES_MAX + 2, 2, -1))
