"""The key contract in a real terminal: what leaves, what goes through, and what is dropped."""

from __future__ import annotations

import pytest

from tests_e2e.conftest import User, attach
from tests_e2e.mock_relay import MockRelay
from tests_e2e.terminal import Job, UserTerminal

Attached = tuple[Job, MockRelay, UserTerminal]

CTRL_D = {
    "byte": b"\x04",
    "kitty": b"\x1b[100;5u",
    "kitty with an event": b"\x1b[100;5:1u",
    "modifyOtherKeys": b"\x1b[27;5;100~",
    "Windows key record": b"\x1b[68;32;4;1;8;1_",
}
PASTE, END_OF_PASTE = b"\x1b[200~", b"\x1b[201~"


def left(attached: Attached) -> None:
    """The client has left: status 0, and the machine was told."""
    job, relay, _ = attached
    assert job.wait() == 0
    relay.wait_detached()


@pytest.mark.parametrize("how", CTRL_D)
def test_ctrl_d_leaves_in_every_encoding(attached: Attached, how: str) -> None:
    attached[2].type(CTRL_D[how])
    left(attached)
    assert attached[1].typed == b""


@pytest.mark.parametrize("how", CTRL_D)
def test_what_was_typed_before_ctrl_d_is_sent_and_what_comes_after_is_dropped(attached: Attached, how: str) -> None:
    attached[2].type(b"before" + CTRL_D[how] + b"after")
    left(attached)
    attached[1].wait_typed(b"before")


@pytest.mark.parametrize("how", [how for how in CTRL_D if how != "byte"])
def test_ctrl_d_leaves_when_its_encoding_comes_in_pieces(attached: Attached, how: str) -> None:
    """As fast as a terminal writes: pieces that are far apart are other keys."""
    for byte in CTRL_D[how]:
        attached[2].type(bytes([byte]))
    left(attached)


def test_ctrl_d_in_a_bracketed_paste_is_data(attached: Attached) -> None:
    _, relay, terminal = attached
    pasted = PASTE + b"a\x04b" + END_OF_PASTE
    terminal.type(pasted)
    relay.wait_typed(pasted)
    terminal.type(b"\x04")
    left(attached)
    assert relay.typed == pasted


def test_ctrl_d_right_behind_a_paste_leaves(attached: Attached) -> None:
    attached[2].type(PASTE + b"x" + END_OF_PASTE + b"\x04")
    left(attached)
    assert attached[1].typed == PASTE + b"x" + END_OF_PASTE


@pytest.mark.parametrize(
    "keys",
    [b"\x03", b"\x1b[99;5u", b"\x1b[27;5;99~", b"\x1b[67;46;3;1;8;1_"],
    ids=["byte", "kitty", "other", "windows"],
)
def test_ctrl_c_goes_through_verbatim_in_every_encoding(attached: Attached, keys: bytes) -> None:
    job, relay, terminal = attached
    terminal.type(keys)
    relay.wait_typed(keys)
    assert job.running


@pytest.mark.parametrize(
    "keys",
    [
        b"\x1b[100;3u",
        b"\x1b[100;7u",
        b"\x1b[100;6u",
        b"\x1b[27;6;100~",
        b"\x1b[1;5D",
        b"\x1b[3~",
        b"\x1bOA",
        b"\x1b",
        b"\x1b\x1b[D",
        b"\x1a",
        b"\x11\x13",
        b"\x00",
        b"\r",
        b"\xc3\xa4\xf0\x9f\x98\x80",
    ],
)
def test_other_keys_go_through_untouched(attached: Attached, keys: bytes) -> None:
    job, relay, terminal = attached
    terminal.type(keys)
    relay.wait_typed(keys)
    assert job.running


def test_all_byte_values_but_the_contracts_go_through_one_by_one(attached: Attached) -> None:
    job, relay, terminal = attached
    typed = b""
    for value in range(256):
        if value == 4:
            continue
        terminal.type(bytes([value]))
        typed += bytes([value])
        relay.wait_typed(typed)
    assert job.running


def test_all_byte_values_go_through_in_one_write_as_a_paste(attached: Attached) -> None:
    _, relay, terminal = attached
    pasted = PASTE + bytes(range(27)) + bytes(range(28, 256)) + END_OF_PASTE
    terminal.type(pasted)
    relay.wait_typed(pasted)


def test_other_detach_keys_leave_and_ctrl_d_is_then_a_byte(ann: User, relay: MockRelay) -> None:
    job = attach(ann, relay, "--detach-keys", "ctrl-p,ctrl-q")
    ann.terminal.type(b"\x04")
    relay.wait_typed(b"\x04")
    ann.terminal.type(b"\x10\x11")
    left((job, relay, ann.terminal))
    assert relay.typed == b"\x04"


def test_the_contract_holds_from_the_moment_the_banner_says_so(ann: User, relay: MockRelay) -> None:
    """Who sees "Ctrl-D to disconnect" may press it: the terminal is raw by then, and eats no key."""
    job = ann.cmdop("connect", "prod-api-1")
    ann.terminal.expect_exact(b"Ctrl-D to disconnect")
    assert ann.terminal.raw
    ann.terminal.type(b"\x03\x13\x11x\x04")
    left((job, relay, ann.terminal))
    assert relay.typed == b"\x03\x13\x11x"


def test_a_large_paste_arrives_whole_and_in_order(attached: Attached) -> None:
    _, relay, terminal = attached
    pasted = PASTE + b"".join(b"%06d " % number for number in range(40_000)) + END_OF_PASTE
    terminal.type(pasted)
    relay.wait_typed(pasted)


def test_detaching_says_how_to_come_back(attached: Attached) -> None:
    _, _, terminal = attached
    terminal.type(b"\x04")
    left(attached)
    assert b"cmdop connect prod-api-1" in terminal.rest()
