"""The key contract: cases for every encoding, and that nothing but the key is touched."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.client.key_encoding import is_silent, legacy_byte
from cmdop.client.keys import DEFAULT_DETACH_KEYS, KeyMachine, Typed, parse_detach_keys
from cmdop.errors import UsageError

CTRL_D_ENCODINGS = [
    b"\x04",
    b"\x1b[100;5u",
    b"\x1b[100;5:1u",
    b"\x1b[100;5:2u",
    b"\x1b[100:68;5u",
    b"\x1b[100:68:100;5u",
    b"\x1b[100::100;5u",
    b"\x1b[100;69u",  # caps lock
    b"\x1b[100;133u",  # num lock
    b"\x1b[100;197:1u",  # both
    b"\x1b[100;5;100u",
    b"\x1b[100;5:1;4u",
    b"\x1b[100;5;u",
    b"\x1b[1074::100;5u",  # the key in the place of D on a Russian keyboard
    b"\x1b[68;5u",  # xterm, formatOtherKeys=1, caps lock
    b"\x1b[27;5;100~",
    b"\x1b[27;5;68~",  # caps lock
    b"\x1b[68;32;4;1;8;1_",
    b"\x1b[68;32;4;1;4;1_",
    b"\x1b[68;32;4;1;8_",
    b"\x1b[68;32;4;1;232;3_",  # caps, num and scroll lock on, held down
]

NOT_CTRL_D = [
    b"\x1b[100;5:3u",  # its release
    b"\x1b[100;6u",  # with shift
    b"\x1b[100:68;6u",
    b"\x1b[100;7u",  # with alt
    b"\x1b[100;13u",  # with super
    b"\x1b[100;1u",
    b"\x1b[100u",
    b"\x1b[99;5u",  # Ctrl-C
    b"\x1b[27;5;99~",
    b"\x1b[67;46;3;1;8;1_",
    b"\x1b[101::100;5u",  # Ctrl-E of a Dvorak keyboard, where a US one has D
    b"\x1b[100;5v",
    b"\x1b[100;5;4;4u",
    b"\x1b[1000;5u",
    b"\x1b[10;5u",
    b"\x1b[27;6;68~",
    b"\x1b[27;7;100~",
    b"\x1b[27;5;100;1~",
    b"\x1b[28;5;100~",
    b"\x1b[68;32;4;0;8;1_",  # its release
    b"\x1b[68;32;4;1;24;1_",  # with shift
    b"\x1b[68;32;4;1;10;1_",  # with alt
    b"\x1b[68;32;100;1;0;1_",
    b"\x1b[0;0;4;1;0;1_",  # a pasted 0x04
    b"\x1b[A",
    b"\x1b[1;5D",
    b"\x1bOP",
    b"\x1b[M !!",
    b"\x1b[<0;100;5M",
    b"\x1b[100;5R",  # where the cursor is
    b"\x1b[?62;4c",
    b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1bd",
    b"\x9b100;5u",
    "Û100;5u".encode(),
    b"\x03",
    b"\x1a",
    b"\x00",
]


def typed(machine: KeyMachine, *reads: bytes) -> Typed:
    """What several reads come to, without a pause between them."""
    forward = bytearray()
    for read in reads:
        result = machine.feed(read)
        forward += result.forward
        if result.detach:
            return Typed(bytes(forward), True)
    return Typed(bytes(forward), False)


def typed_out(machine: KeyMachine, *reads: bytes) -> Typed:
    """The same, and then a pause, and the end of input."""
    result = typed(machine, *reads)
    if result.detach:
        return result
    late = machine.flush()
    return Typed(result.forward + late.forward + machine.finish(), late.detach)


# -- the default key -----------------------------------------------------------------------


@pytest.mark.parametrize("key", CTRL_D_ENCODINGS)
def test_ctrl_d_leaves_in_every_encoding(key: bytes) -> None:
    assert KeyMachine().feed(b"ab" + key + b"cd") == Typed(b"ab", True)


@pytest.mark.parametrize("key", CTRL_D_ENCODINGS)
def test_ctrl_d_is_found_at_every_split(key: bytes) -> None:
    for split in range(1, len(key)):
        assert typed(KeyMachine(), b"ab" + key[:split], key[split:] + b"cd") == Typed(b"ab", True)
    assert typed(KeyMachine(), *(key[at : at + 1] for at in range(len(key)))) == Typed(b"", True)


@pytest.mark.parametrize("key", CTRL_D_ENCODINGS)
def test_a_key_that_a_slow_line_tears_apart_leaves_all_the_same(key: bytes) -> None:
    machine = KeyMachine()
    detached = False
    for at in range(len(key)):
        detached = machine.feed(key[at : at + 1]).detach or machine.flush().detach
        assert not machine.held
    assert detached


@pytest.mark.parametrize("other", NOT_CTRL_D)
def test_other_keys_and_answers_pass_untouched(other: bytes) -> None:
    assert typed_out(KeyMachine(), b"ab" + other + b"cd") == Typed(b"ab" + other + b"cd", False)
    assert typed_out(KeyMachine(), *(other[at : at + 1] for at in range(len(other)))) == Typed(other, False)


@pytest.mark.parametrize("other", NOT_CTRL_D)
def test_ctrl_d_leaves_right_after_any_other_key(other: bytes) -> None:
    for key in CTRL_D_ENCODINGS:
        assert KeyMachine().feed(other + key) == Typed(other, True)


@pytest.mark.parametrize(
    "torn", [b"\x1b", b"\x1b[", b"\x1b[1", b"\x1b]11;rgb", b"\x1bP", b"\x1bO", b"\x1b[M", b"\x1b\x1b"]
)
def test_no_unfinished_sequence_locks_a_user_in(torn: bytes) -> None:
    for key in CTRL_D_ENCODINGS:
        assert KeyMachine().feed(torn + key) == Typed(torn, True)


@pytest.mark.parametrize(
    "beginning", [b"\x1b", b"\x1b[", b"\x1b[1", b"\x1b[10", b"\x1b[100", b"\x1b[100;", b"\x1b[2", b"\x1b[27;5"]
)
def test_the_beginning_of_the_key_is_held_back_and_flushed(beginning: bytes) -> None:
    machine = KeyMachine()
    assert machine.feed(b"x" + beginning) == Typed(b"x", False)
    assert machine.held
    assert machine.flush() == Typed(beginning, False)
    assert not machine.held
    assert machine.flush() == Typed(b"", False)


@pytest.mark.parametrize(
    "other", [b"\x1bO", b"\x1b[?", b"\x1b[<", b"\x1b[15;", b"\x1b[99;", b"\x1b[200~", b"\x1b]", b"\x1bx"]
)
def test_what_cannot_become_the_key_is_not_held_back(other: bytes) -> None:
    assert KeyMachine().feed(other) == Typed(other, False)


def test_an_endless_sequence_is_not_held_back() -> None:
    assert KeyMachine().feed(b"\x1b[100;" + b"5" * 1000) == Typed(b"\x1b[100;" + b"5" * 1000, False)


def test_a_bracketed_paste_is_data() -> None:
    paste = b"\x1b[200~" + b"a\x04b\x1b[100;5u\x1b[201" + b"\x1b[201~"
    assert KeyMachine().feed(paste + b"x") == Typed(paste + b"x", False)
    assert KeyMachine().feed(paste + b"x\x04y") == Typed(paste + b"x", True)


def test_a_bracketed_paste_is_data_at_every_split() -> None:
    paste = b"\x1b[200~\x04\x1b[201~"
    for split in range(len(paste) + 1):
        assert typed(KeyMachine(), paste[:split], paste[split:]) == Typed(paste, False)
        assert typed(KeyMachine(), paste[:split], paste[split:], b"\x04") == Typed(paste, True)
    assert typed(KeyMachine(), *(paste[at : at + 1] for at in range(len(paste))), b"\x04") == Typed(paste, True)


def test_the_paste_end_is_not_pieced_together_from_before_the_paste() -> None:
    assert KeyMachine().feed(b"\x1b[200~[201~\x04") == Typed(b"\x1b[200~[201~\x04", False)


@pytest.mark.parametrize("bracketed", [True, False])
def test_a_megabyte_of_paste_costs_milliseconds(bracketed: bool) -> None:
    data = b"a line of text that somebody pastes\n" * 30_000
    if bracketed:
        data = b"\x1b[200~" + data + b"\x1b[201~"
    machine = KeyMachine()
    start = time.process_time()
    forwarded = b"".join(machine.feed(data[at : at + 65536]).forward for at in range(0, len(data), 65536))
    assert time.process_time() - start < 0.25  # byte by byte it would be several times that
    assert forwarded == data


# -- other keys ----------------------------------------------------------------------------


def test_with_another_key_ctrl_d_is_a_byte_like_any_other() -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-x"))
    for key in CTRL_D_ENCODINGS:
        assert machine.feed(key) == Typed(key, False)
    assert machine.feed(b"a\x18b") == Typed(b"a", True)


CTRL_P = [b"\x10", b"\x1b[112;5u", b"\x1b[27;5;112~", b"\x1b[80;25;16;1;8;1_"]
CTRL_Q = [b"\x11", b"\x1b[113;5u", b"\x1b[27;5;113~", b"\x1b[81;16;17;1;8;1_"]


@pytest.mark.parametrize("first", CTRL_P)
@pytest.mark.parametrize("second", CTRL_Q)
def test_a_sequence_of_keys_leaves_in_every_encoding(first: bytes, second: bytes) -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-p,ctrl-q"))
    assert machine.feed(b"a" + first) == Typed(b"a", False)
    assert not machine.held, "people need more than the hold time from one key to the next"
    assert machine.flush() == Typed(b"", False)
    assert machine.feed(second + b"b") == Typed(b"", True)


def test_an_incomplete_sequence_is_forwarded_with_the_key_that_breaks_it() -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-p,ctrl-q"))
    assert machine.feed(b"\x10") == Typed(b"", False)
    assert machine.feed(b"x") == Typed(b"\x10x", False)
    assert machine.feed(b"\x10\x1b[A") == Typed(b"\x10\x1b[A", False)
    assert machine.feed(b"\x10\x1b[200~\x11") == Typed(b"\x10\x1b[200~\x11", False)


def test_the_first_key_twice_still_begins_the_sequence() -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-p,ctrl-q"))
    assert machine.feed(b"\x10\x10") == Typed(b"\x10", False)
    assert machine.feed(b"\x11") == Typed(b"", True)


def test_releases_and_modifiers_do_not_break_a_sequence() -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-p,ctrl-q"))
    between = b"\x1b[112;5:3u\x1b[57442;5:3u\x1b[57442;5u"
    assert typed(machine, b"\x1b[112;5u", between, b"\x1b[113;5u") == Typed(b"", True)
    assert typed(machine, b"\x1b[112;5u", between, b"x") == Typed(b"\x1b[112;5u" + between + b"x", False)
    windows = b"\x1b[80;25;16;0;8;1_\x1b[17;29;0;0;0;1_\x1b[17;29;0;1;8;1_"
    assert typed(machine, b"\x1b[80;25;16;1;8;1_", windows, b"\x1b[81;16;17;1;8;1_") == Typed(b"", True)


def test_endless_releases_between_two_keys_are_not_kept_for_ever() -> None:
    release = b"\x1b[112;5:3u"
    result = KeyMachine(parse_detach_keys("ctrl-p,ctrl-q")).feed(b"\x10" + release * 1000)
    assert result == Typed(b"\x10" + release * 1000, False)


def test_the_end_of_input_gives_back_what_was_held() -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-p,ctrl-q"))
    assert machine.feed(b"\x10\x1b[1") == Typed(b"", False)
    assert machine.finish() == b"\x10\x1b[1"
    assert machine.finish() == b""


def test_a_printable_key_inside_an_escape_sequence_is_not_that_key() -> None:
    machine = KeyMachine(parse_detach_keys("A"))
    for other in [
        b"\x1b[A",
        b"\x1bOA",
        b"\x1b[[A",
        b"\x1b[M AA",
        b"\x1bA",
        b"\x1b]52;c;AAAA\x07",
        b"\x1bPA\x1b\\",
        b"\x1b[1;2A",
    ]:
        assert machine.feed(other) == Typed(other, False)
    assert machine.feed(b"xA") == Typed(b"x", True)
    for key in [b"\x1b[97:65;2u", b"\x1b[65;30;65;1;16;1_", b"\x1b[97;2;65u"]:
        assert machine.feed(key) == Typed(b"", True)


def test_escape_as_the_key_leaves_once_it_is_known_to_stand_alone() -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-["))
    assert machine.feed(b"\x1b[A\x1bOA") == Typed(b"\x1b[A\x1bOA", False)
    assert machine.feed(b"\x1b") == Typed(b"", False)
    assert machine.flush() == Typed(b"", True)
    assert machine.feed(b"\x1b\x1b") == Typed(b"", True)
    assert machine.feed(b"\x1b[91;5u") == Typed(b"", True)


def test_escape_then_a_character_by_hand_is_no_escape_sequence() -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-[,q"))
    assert machine.feed(b"\x1b") == Typed(b"", False)
    assert machine.flush() == Typed(b"", False)
    assert machine.feed(b"q") == Typed(b"", True)
    machine = KeyMachine(parse_detach_keys("O"))
    assert (machine.feed(b"\x1b"), machine.flush()) == (Typed(b"", False), Typed(b"\x1b", False))
    assert machine.feed(b"O") == Typed(b"", True)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-d", DEFAULT_DETACH_KEYS),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("Ctrl-P,q", b"\x10q"),
        ("a,B,~", b"aB~"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
    ],
)
def test_detach_keys_are_written_as_docker_writes_them(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize(
    "text", ["", ",", "a,", "ctrl-", "ctrl-1", "ctrl-pq", "ab", "é", "ctrl-é", "alt-x", " ", "\x04", "a," * 20 + "a"]
)
def test_detach_keys_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_detach_keys(text)


# -- for any bytes and any split ---------------------------------------------------------------

# Pieces that meet each other in all orders, besides any bytes at all.
PIECES = [
    *CTRL_D_ENCODINGS,
    *NOT_CTRL_D,
    *CTRL_P,
    *CTRL_Q,
    b"\x1b[200~",
    b"\x1b[201~",
    b"\x1b",
    b"\x1b[",
    b"\x1b[10",
    b"\x07",
    b"\x10\x10",
]
INPUT = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=12).map(b"".join)

REFERENCE = re.compile(
    rb"(?P<paste>\x1b\[200~.*?(?:\x1b\[201~|\Z))|(?P<key>\x04|\x1b\[[0-9:;]*[u~_])|.",
    re.DOTALL,
)


def reference(data: bytes) -> Typed:
    """The contract for Ctrl-D on the whole input at once, with a regular expression for a machine."""
    for found in REFERENCE.finditer(data):
        key = found["key"]
        if key is not None and (key == b"\x04" or legacy_byte(key) == 4):
            return Typed(data[: found.start()], True)
    return Typed(data, False)


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


@given(INPUT, st.lists(st.integers(min_value=0), max_size=8))
def test_any_split_comes_to_the_same_as_the_whole(data: bytes, cuts: list[int]) -> None:
    assert typed_out(KeyMachine(), *split_at(data, cuts)) == reference(data)


@given(
    INPUT,
    st.lists(st.integers(min_value=0), max_size=8),
    st.sampled_from(["ctrl-p,ctrl-q", "ctrl-p,ctrl-p,q", "u", "ctrl-[,ctrl-["]),
)
def test_any_split_comes_to_the_same_with_other_keys(data: bytes, cuts: list[int], keys: str) -> None:
    parsed = parse_detach_keys(keys)
    assert typed_out(KeyMachine(parsed), *split_at(data, cuts)) == typed_out(KeyMachine(parsed), data)


@given(INPUT, st.lists(st.integers(min_value=0), max_size=8), st.lists(st.booleans(), min_size=10, max_size=10))
def test_pauses_lose_and_reorder_nothing(data: bytes, cuts: list[int], pauses: list[bool]) -> None:
    machine = KeyMachine(parse_detach_keys("ctrl-p,ctrl-q,ctrl-r"))
    out = bytearray()
    for read, pause in zip(split_at(data, cuts), pauses, strict=False):
        out += machine.feed(read).forward
        if pause:
            out += machine.flush().forward
            assert not machine.held
    assert bytes(out) + machine.finish() == data


@given(st.binary(max_size=80))
def test_no_bytes_are_too_strange_to_be_looked_at(data: bytes) -> None:
    for sequence in (data, b"\x1b[" + data, b"\x1b[" + data + b"u"):
        legacy_byte(sequence)
        is_silent(sequence)


@given(st.lists(st.integers(min_value=0, max_value=70000), max_size=6), st.sampled_from([b"u", b"~", b"_"]))
def test_no_numbers_are_too_large_to_be_looked_at(numbers: list[int], final: bytes) -> None:
    sequence = b"\x1b[" + b";".join(str(number).encode() for number in numbers) + final
    value = legacy_byte(sequence)
    assert value is None or 0 <= value < 0x7F
    is_silent(sequence)


@given(INPUT)
def test_without_a_leaving_key_everything_is_forwarded_at_once(data: bytes) -> None:
    machine = KeyMachine(b"")
    for piece in [data, *CTRL_D_ENCODINGS, b"\x1b", b"\x1b[200~"]:
        assert machine.feed(piece) == Typed(piece, False)
        assert not machine.held
    assert machine.flush() == Typed(b"", False)
    assert machine.finish() == b""
