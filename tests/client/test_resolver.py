"""How a HOST becomes a machine: the six rules, their order, and what is said when they fail."""

from __future__ import annotations

import time
import uuid
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.client.resolver import (
    Nothing,
    Resolved,
    Several,
    age_text,
    display_name,
    format_candidates,
    one,
    require_online,
    resolve,
)
from cmdop.errors import AmbiguousMachine, HostMissing, MachineOffline, NoSuchMachine
from cmdop.wire.relay_messages import MachineRecord

NOW = 1_700_000_000.0


def machine(
    hostname: str,
    name: str = "",
    machine_id: str = "",
    online: bool = True,
    last_seen: float = NOW,
    stopped_cleanly: bool = False,
) -> MachineRecord:
    return MachineRecord(
        machine_id=machine_id or str(uuid.uuid5(uuid.NAMESPACE_DNS, hostname + name)),
        hostname=hostname,
        name=name,
        online=online,
        heartbeat_age_seconds=1.0,
        last_seen=last_seen,
        stopped_cleanly=stopped_cleanly,
    )


API1 = machine("prod-api-1", "vps-audi", "8f23a4b0-1111-4222-8333-444444444444")
API2 = machine("prod-api-2", "vps-bmw", "8f23ffff-1111-4222-8333-444444444444")
MAC = machine("Studio.local", "Büro", "0badcafe-1111-4222-8333-444444444444")
BEEF = machine("beef", "8f23a4b0", "12345678-1111-4222-8333-444444444444")
ALL = [API1, API2, MAC, BEEF]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("8f23a4b0-1111-4222-8333-444444444444", API1),
        ("8F23A4B0-1111-4222-8333-444444444444", API1),
        ("prod-api-1", API1),
        ("PROD-API-1", API1),
        ("prod-api-1.local", API1),
        ("studio", MAC),
        ("studio.local", MAC),
        ("STUDIO.LOCAL", MAC),
        (" studio ", MAC),
        ("vps-audi", API1),
        ("VPS-Audi", API1),
        ("BÜRO", MAC),
        ("Bu\u0308ro", MAC),  # the same letter in two characters, as macOS writes it
        ("8f23a4", API1),
        ("8F23A4", API1),
        ("8f23a4b0-11", API1),
        ("8f23a4b011", API1),
        ("0bad", MAC),
        ("stu", MAC),
        ("vps-a", API1),
        ("audi", API1),
        ("api-2", API2),
        ("io.lo", MAC),
    ],
)
def test_a_query_finds_its_machine(query: str, found: MachineRecord) -> None:
    assert resolve(query, ALL) == Resolved(found)
    assert one(query, ALL) is found


def test_a_name_comes_before_an_id_prefix() -> None:
    assert resolve("8f23a4b0", ALL) == Resolved(BEEF)


def test_a_hostname_comes_before_a_name() -> None:
    by_host, by_name = machine("web", "one"), machine("other", "web")
    assert resolve("web", [by_name, by_host]) == Resolved(by_host)


def test_an_id_prefix_comes_before_a_name_prefix() -> None:
    by_name = machine("0badger", "")
    assert resolve("0bad", [by_name, MAC]) == Resolved(MAC)


def test_a_prefix_comes_before_a_part() -> None:
    begins, contains = machine("db-main"), machine("old-db-main")
    assert resolve("db-", [contains, begins]) == Resolved(begins)


def test_a_full_uuid_is_compared_with_ids_only() -> None:
    full = "99999999-1111-4222-8333-444444444444"
    assert resolve(full, [machine(full, full)]) == Nothing(full)


@pytest.mark.parametrize(
    ("query", "candidates", "rule"),
    [
        ("prod", (API1, API2), "prefix"),
        ("8f23", (API1, API2), "id prefix"),
        ("api-", (API1, API2), "substring"),
        ("vps", (API1, API2), "prefix"),
    ],
)
def test_a_query_that_matches_several_is_ambiguous(
    query: str, candidates: tuple[MachineRecord, ...], rule: str
) -> None:
    assert resolve(query, ALL) == Several(query, candidates, rule)


def test_two_machines_of_one_hostname_are_ambiguous_and_not_guessed() -> None:
    twins = [machine("web", "a"), machine("web", "b"), machine("webmail")]
    assert resolve("web", twins) == Several("web", (twins[0], twins[1]), "hostname")


def test_an_ambiguous_machine_is_an_error_with_the_candidates() -> None:
    with pytest.raises(AmbiguousMachine) as caught:
        one("prod", [API1, machine("prod-x", "", "8f23a4b0-2222-4222-8333-444444444444", online=False)])
    assert caught.value.sentence == 'ambiguous machine "prod"'
    assert caught.value.next_step == (
        "type more characters or use the UUID:\n"
        "  8f23a4b0-1  prod-api-1  vps-audi  online\n"
        "  8f23a4b0-2  prod-x                offline"
    )
    assert [each["hostname"] for each in caught.value.details["machines"]] == ["prod-api-1", "prod-x"]
    assert caught.value.exit_status == 3


def test_a_long_list_of_candidates_is_cut() -> None:
    lines = format_candidates([machine(f"web-{number}") for number in range(50)]).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "  and 30 more: cmdop connect --list"


def test_names_from_elsewhere_cannot_act_on_the_terminal() -> None:
    evil = machine("web\x1b]0;x\x07", "we\u202eb\n")
    assert "\x1b" not in format_candidates([evil])
    assert display_name(evil) == "we?b?"
    assert display_name(machine("host")) == "host"


def test_no_machine_is_an_error_with_the_nearest_names() -> None:
    with pytest.raises(NoSuchMachine) as caught:
        one("prod-apl-1", ALL)
    assert caught.value.sentence == 'no machine matches "prod-apl-1"'
    assert caught.value.next_step.startswith("did you mean prod-api-1 or prod-api-2?")
    assert resolve("studoi", ALL) == Nothing("studoi", ("Studio.local",))


def test_a_query_like_nothing_at_all_points_to_the_list() -> None:
    with pytest.raises(NoSuchMachine) as caught:
        one("zzzzzzzz", ALL)
    assert "cmdop connect --list" in caught.value.next_step


def test_an_empty_workspace_says_how_to_add_a_machine() -> None:
    with pytest.raises(NoSuchMachine) as caught:
        one("prod", [])
    assert "cmdop agent start" in caught.value.next_step


def test_a_single_character_is_no_prefix_but_may_be_a_name() -> None:
    assert resolve("s", ALL) == Nothing("s", (), too_short=True)
    with pytest.raises(NoSuchMachine) as caught:
        one("s", ALL)
    assert "two or more" in caught.value.next_step
    short = machine("x", "y")
    assert resolve("X", [short]) == resolve("y", [short]) == Resolved(short)


@pytest.mark.parametrize("query", ["", "  ", "\t\n"])
def test_an_empty_query_names_no_machine(query: str) -> None:
    assert resolve(query, [machine("a"), machine("b", " ")]) == Nothing("")
    with pytest.raises(HostMissing):
        one(query, ALL)


def test_three_hex_characters_are_no_id_prefix() -> None:
    assert resolve("8f2", [API1]) == Nothing("8f2")
    assert resolve("8f23", [API1]) == Resolved(API1)
    assert isinstance(resolve("-", [API1]), Nothing)


def test_only_a_trailing_local_is_ignored() -> None:
    assert resolve(".local", [machine(".local")]) == Resolved(machine(".local"))
    assert isinstance(resolve("prod-api.local", [API1, API2]), Nothing)


def test_matches_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Resolved(API1).machine = API2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ago", "cleanly", "text"),
    [
        (180, True, "last heard 3 min ago, it stopped cleanly"),
        (12, False, "last heard 12 s ago, then its connection broke off or it vanished"),
        (7300, True, "last heard 2 h ago, it stopped cleanly"),
        (5 * 86400, False, "last heard 5 d ago, then its connection broke off or it vanished"),
        (-5, True, "last heard 0 s ago, it stopped cleanly"),
    ],
)
def test_an_offline_machine_says_when_it_was_last_heard(ago: float, cleanly: bool, text: str) -> None:
    with pytest.raises(MachineOffline) as caught:
        require_online(machine("h", "vps-audi", online=False, last_seen=NOW - ago, stopped_cleanly=cleanly), NOW)
    assert caught.value.sentence == 'machine "vps-audi" is offline'
    assert caught.value.details["last_heard"] == text
    assert caught.value.next_step == f"{text}; on that machine, look at: cmdop agent status"
    assert caught.value.exit_status == 4


def test_a_machine_that_was_never_heard_says_so() -> None:
    with pytest.raises(MachineOffline) as caught:
        require_online(machine("h", online=False, last_seen=0), NOW)
    assert caught.value.details["last_heard"] == "it was never heard"


def test_an_online_machine_is_returned() -> None:
    assert require_online(API1, NOW) is API1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (3.9, "3s"),
        (59.9, "59s"),
        (60, "1m"),
        (240, "4m"),
        (3599, "59m"),
        (7200, "2h"),
        (86399, "23h"),
        (432000, "5d"),
        (-1, "0s"),
    ],
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


NAMES = st.text(alphabet=st.sampled_from("aAbBdDeEfF0189-.ßéıİ lo"), max_size=6) | st.text(max_size=8)
IDS = st.uuids().map(str)
MACHINES = st.lists(
    st.builds(machine, NAMES, NAMES, IDS, st.booleans()), max_size=8, unique_by=lambda each: each.machine_id
)


@given(NAMES, MACHINES)
def test_every_query_has_an_answer_that_names_known_machines(query: str, machines: list[MachineRecord]) -> None:
    match = resolve(query, machines)
    if isinstance(match, Resolved):
        assert match.machine in machines
    elif isinstance(match, Several):
        assert len(match.candidates) > 1
        assert all(candidate in machines for candidate in match.candidates)
    assert resolve(query, machines) == match


@given(MACHINES, st.data())
def test_a_full_id_always_finds_its_machine(machines: list[MachineRecord], data: st.DataObject) -> None:
    for each in machines:
        assert resolve(each.machine_id.upper(), machines) == Resolved(each)


@given(MACHINES)
def test_a_hostname_finds_its_machine_or_is_ambiguous(machines: list[MachineRecord]) -> None:
    for each in machines:
        match = resolve(each.hostname, machines)
        if each.hostname.strip() == each.hostname != "":
            assert match == Resolved(each) or (isinstance(match, Several) and each in match.candidates)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-.", max_size=8), MACHINES)
def test_case_never_matters(query: str, machines: list[MachineRecord]) -> None:
    def meaning(text: str) -> object:
        match = resolve(text, machines)
        return (
            match.machine if isinstance(match, Resolved) else match.candidates if isinstance(match, Several) else None
        )

    assert meaning(query) == meaning(query.upper())


@given(NAMES, MACHINES)
def test_the_order_of_the_machines_does_not_matter(query: str, machines: list[MachineRecord]) -> None:
    one_way, other_way = resolve(query, machines), resolve(query, machines[::-1])
    if isinstance(one_way, Several):
        assert isinstance(other_way, Several)
        assert one_way.candidates == other_way.candidates[::-1]
    elif isinstance(one_way, Resolved):
        assert other_way == one_way


def test_a_thousand_machines_resolve_at_once() -> None:
    machines = [machine(f"web-{number:04}.example.org", f"customer {number:04}") for number in range(1000)]
    start = time.process_time()
    assert resolve("customer 0999", machines) == Resolved(machines[999])
    assert isinstance(resolve("costumer-0999", machines), Nothing)
    assert time.process_time() - start < 2
