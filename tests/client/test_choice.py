"""Choosing a machine: order, filter, and rows that fit every terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cmdop.client.choice import (
    HEADING,
    PLAIN_MARKS,
    Choosing,
    Marks,
    attached_text,
    column_widths,
    host_of,
    ordered,
)
from cmdop.terminal.cells import width_of
from cmdop.winsize import Winsize
from cmdop.wire.relay_messages import MachineRecord, SessionSummary
from tests.client.test_resolver import API1, API2, BEEF, MAC, machine

SIZE = Winsize(24, 80)


def names(choosing: Choosing) -> list[str]:
    """The first word of each row that is shown."""
    return [row.text.split()[0] for row in choosing.view(SIZE).rows]


def pointed_at(choosing: Choosing) -> str:
    return choosing.pointed_at.name if choosing.pointed_at else ""


def several(count: int) -> list[MachineRecord]:
    return [machine(f"host-{number:03d}", f"node-{number:03d}") for number in range(count)]


# -- the order ------------------------------------------------------------------------------


def test_the_most_recently_used_come_first_then_those_online_then_by_name() -> None:
    away, old, new = machine("a", "Away", online=False), machine("o", "old", online=False), machine("n", "new")
    bee, ant = machine("b", "bee"), machine("c", "Ant")
    used = {old.machine_id: 100.0, new.machine_id: 200.0}
    assert ordered([away, bee, old, ant, new], used) == [new, old, ant, bee, away]


def test_machines_without_a_friendly_name_are_ordered_by_their_hostname() -> None:
    assert ordered([machine("c"), machine("x", "b"), machine("a")], {}) == [
        machine("a"),
        machine("x", "b"),
        machine("c"),
    ]


# -- the filter -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("VPS", ["vps-audi", "vps-bmw"]),
        ("api-2", ["vps-bmw"]),
        ("büro", ["Büro"]),
        ("bu\u0308ro", ["Büro"]),  # composed otherwise
        ("8f23f", ["vps-bmw"]),
        ("8f23ffff1111", ["vps-bmw"]),
        ("1111-4222", ["8f23a4b0", "Büro", "vps-audi", "vps-bmw"]),
        ("audi vps", ["vps-audi"]),
        ("audi bmw", []),
        (" ", ["8f23a4b0", "Büro", "vps-audi", "vps-bmw"]),
    ],
)
def test_every_word_of_the_filter_is_in_a_name_a_hostname_or_an_id(typed: str, found: list[str]) -> None:
    choosing = Choosing([API1, API2, MAC, BEEF], {})
    choosing.typed(typed)
    assert names(choosing) == found
    assert pointed_at(choosing) == (found[0] if found else "")


def test_the_filter_is_rubbed_out_by_letters_by_words_and_as_a_whole() -> None:
    choosing = Choosing([API1, API2], {})
    choosing.typed("vps au")
    choosing.rub_out()
    assert choosing.filter == "vps a"
    choosing.rub_out_word()
    assert choosing.filter == "vps"
    choosing.rub_out_word()
    choosing.rub_out()
    assert choosing.filter == ""
    choosing.typed("x\x1b\n\x07y" + "z" * 1000)
    assert choosing.filter == ("xy" + "z" * 1000)[:255]
    choosing.clear()
    assert len(names(choosing)) == 2


# -- the pointer ---------------------------------------------------------------------------------


def test_the_pointer_goes_round_by_one_and_stops_at_the_ends_by_more() -> None:
    choosing = Choosing(several(5), {})
    moves = [(-1, "node-004"), (1, "node-000"), (10, "node-004"), (10, "node-004"), (-2, "node-002"), (-9, "node-000")]
    for rows, name in moves:
        choosing.move(rows)
        assert pointed_at(choosing) == name


def test_where_nothing_is_left_there_is_nothing_to_point_at() -> None:
    choosing = Choosing(several(2), {})
    choosing.typed("nothing has this")
    choosing.move(1)
    assert choosing.pointed_at is None
    assert choosing.view(SIZE).rows == ()


def test_a_new_list_keeps_the_filter_and_the_machine_that_is_pointed_at() -> None:
    first, second, third = several(3)
    choosing = Choosing([first, second, third], {})
    choosing.typed("node")
    choosing.move(1)
    new = machine("aaa", "node-a")
    choosing.replace([third, new, second])
    assert choosing.filter == "node"
    assert choosing.pointed_at == second
    assert names(choosing) == ["node-001", "node-002", "node-a"]
    choosing.replace([new, third])
    assert pointed_at(choosing) == "node-002"  # the one that took its place
    choosing.replace([])
    assert choosing.pointed_at is None


@given(
    st.integers(0, 60),
    st.lists(
        st.one_of(
            st.tuples(st.just("move"), st.integers(-70, 70)),
            st.tuples(st.just("typed"), st.sampled_from("0123456789n")),
            st.tuples(st.just("rub_out"), st.none()),
            st.tuples(st.just("replace"), st.integers(0, 60)),
        )
    ),
    st.integers(1, 40),
)
def test_whatever_is_pressed_the_machine_that_is_pointed_at_is_seen(
    count: int, keys: list[tuple[str, int | str | None]], rows: int
) -> None:
    choosing = Choosing(several(count), {})
    for name, about in keys:
        if isinstance(about, int) and name == "replace":
            choosing.replace(several(about))
        else:
            method: Callable[..., None] = getattr(choosing, name)
            method(*[] if about is None else [about])
        view = choosing.view(Winsize(rows, 80))
        seen = [row.text.split()[0] for row in view.rows if row.pointed_at]
        assert seen == ([pointed_at(choosing)] if choosing.pointed_at else [])
        assert len(view.rows) <= max(1, rows - 7)


# -- how it looks -----------------------------------------------------------------------------------


def test_a_row_has_mark_name_hostname_age_and_who_is_attached() -> None:
    choosing = Choosing(
        [
            MachineRecord("i1", "db.example.org", "db", True, 3.0, 1e9, session=SessionSummary("s", "anna", 1)),
            MachineRecord("i2", "x.example.org", "", False, 7300.0, 1e9),
            MachineRecord("i3", "new.example.org", "new", False, 9e9, 0.0),
        ],
        {},
    )
    view = choosing.view(SIZE)
    assert view.heading == "    NAME           HOSTNAME         HEARD  ATTACHED"
    assert [f"{row.pointer} {row.mark} {row.text}" for row in view.rows] == [
        "» ● db             db.example.org   3s     anna",
        "  ○ new            new.example.org  never",
        "  ○ x.example.org  x.example.org    2h",
    ]
    assert view.status == "3 machines"


@pytest.mark.parametrize(("clients", "text"), [(0, "anna (left)"), (1, "anna"), (3, "anna +2")])
def test_who_is_attached_is_the_operator_and_how_many_more(clients: int, text: str) -> None:
    assert (
        attached_text(MachineRecord("i", "h", "n", True, 1.0, 1.0, session=SessionSummary("s", "anna", clients)))
        == text
    )


def test_the_status_tells_the_filter_how_many_it_leaves_and_what_is_wrong() -> None:
    choosing = Choosing([API1, API2], {})
    choosing.typed("audi")
    assert choosing.view(SIZE).status == "/ audi  1 of 2"
    choosing.clear()
    choosing.typed("x" * 100)
    assert choosing.view(Winsize(24, 20)).status == "/ " + "x" * 9 + "  0 of 2"  # what is typed last is seen
    choosing.trouble = "cannot reach\x1b the relay"
    assert choosing.view(SIZE).status == "0 of 2, as they were: cannot reach? the relay"
    assert Choosing([machine("a", online=False)], {}).view(SIZE).status == "1 machine, none online"


def test_in_40_columns_wide_names_are_cut_with_an_ellipsis_and_every_column_is_there() -> None:
    wide = MachineRecord("i", "ip-10-20-30-40.eu.internal", "production-database", True, 3.0, 1e9)
    watched = MachineRecord("j", "h", "n", True, 3.0, 1e9, session=SessionSummary("s", "anna", 1))
    view = Choosing([wide, watched], {}).view(Winsize(24, 40))
    assert view.heading == "    NAME      HOSTNAME  HEARD  ATTACHED"
    assert [row.text for row in view.rows] == ["n         h         3s     anna", "product…  ip-10-2…  3s"]


def test_a_column_that_nobody_has_anything_in_gives_way_where_it_is_narrow() -> None:
    wide = MachineRecord("i", "ip-10-20-30-40.eu.internal", "production-database", True, 3.0, 1e9)
    view = Choosing([wide], {}).view(Winsize(24, 40))
    assert view.heading == "    NAME           HOSTNAME       HEARD"
    assert [row.text for row in view.rows] == ["production-d…  ip-10-20-30-…  3s"]
    assert Choosing([wide], {}).view(Winsize(24, 30)).heading == "    NAME      HOSTNAME  HEARD"
    assert Choosing([wide], {}).view(Winsize(24, 20)).heading == "    NAME      HEARD"


TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from("ab-.日本語한글😀👩🏽‍💻é\u0301\u200d\ufe0f\u202e\x1b\x07")), max_size=60
)
RECORDS = st.builds(
    MachineRecord,
    machine_id=st.uuids().map(str),
    hostname=TEXTS,
    name=TEXTS,
    online=st.booleans(),
    heartbeat_age_seconds=st.floats(0, 1e12),
    last_seen=st.sampled_from([0.0, 1e9]),
    session=st.none() | st.builds(SessionSummary, session_id=st.just("s"), operator=TEXTS, clients=st.integers(0, 999)),
)


@given(
    st.lists(RECORDS, max_size=8),
    st.integers(1, 40),
    st.integers(1, 200),
    st.sampled_from([Marks(), PLAIN_MARKS]),
    TEXTS,
)
def test_nothing_is_ever_as_wide_as_the_terminal_and_columns_stand_under_each_other(
    machines: list[MachineRecord], rows: int, cols: int, marks: Marks, typed: str
) -> None:
    choosing = Choosing(machines, {}, marks)
    for filtered in (False, True):
        if filtered:
            choosing.typed(typed)
            choosing.trouble = typed
        view = choosing.view(Winsize(rows, cols))
        lines = [f"{row.pointer} {row.mark} {row.text}" if row.pointer else "" for row in view.rows]
        for line in [view.heading, view.status, *lines]:
            assert width_of(line) < max(cols, 1) or line == ""
            assert line.isprintable()
    columns = [choosing.view(Winsize(rows, cols)).heading.find(word) for word in HEADING]
    for row in view.rows:
        for column in filter(lambda at: at > 4, columns):
            cells = "".join(c + "\0" * (width_of(c) - 1) for c in "    " + row.text if width_of(c))
            assert cells[column - 2 : column].strip() == ""  # the gap before it


@given(st.tuples(*[st.integers(0, 300)] * 4), st.integers(-5, 200))
@example((0, 0, 0, 1), 7)
def test_columns_fit_and_none_is_larger_than_it_needs(natural: tuple[int, ...], room: int) -> None:
    widths = column_widths(natural, room)
    kept = [wide for wide in widths if wide]
    assert sum(kept) + 2 * max(0, len(kept) - 1) <= max(0, room)
    assert all(wide <= most for wide, most in zip(widths, natural, strict=True))
    if sum(natural) + 6 <= room:
        assert widths == natural


@pytest.mark.parametrize("text", ["größe", "日本語", "😀", "e\u0301", "한글", "a-b.c_d", "\uff46\uff55", "●○»…"])
def test_widths_are_those_that_the_question_is_drawn_with(text: str) -> None:
    from prompt_toolkit.utils import get_cwidth

    assert width_of(text) == get_cwidth(text)


# -- what to call it ---------------------------------------------------------------------------------


def test_a_machine_is_called_by_what_means_no_other() -> None:
    twin, other = machine("one", "twin"), machine("two", "twin")
    nameless = machine("", "", "8f23a4b0-9999-4222-8333-444444444444")
    odd = machine("od\x1bd", "od\x07d", "8f23a4b0-8888-4222-8333-444444444444")
    everybody = [twin, other, nameless, odd, API1, MAC]
    assert host_of(API1, everybody) == "vps-audi"
    assert host_of(twin, everybody) == "one"
    assert host_of(nameless, everybody) == nameless.machine_id
    assert host_of(odd, everybody) == odd.machine_id
