"""Whose size it is: the last one that typed, attached to type or resized."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cmdop.session.arbitration import SizeOwner
from cmdop.winsize import Winsize

SMALL, LARGE = Winsize(24, 80), Winsize(50, 200)


def test_the_size_goes_with_whoever_attached_last() -> None:
    sizes = SizeOwner()
    assert sizes.claim("a", SMALL) == SMALL
    assert sizes.claim("b", LARGE) == LARGE
    assert (sizes.owner, sizes.size) == ("b", LARGE)


def test_typing_takes_the_size_back() -> None:
    sizes = SizeOwner()
    sizes.claim("a", SMALL)
    sizes.claim("b", LARGE)
    assert sizes.claim("a") == SMALL
    assert sizes.claim("a") is None, "it is a's already"


def test_one_who_never_told_a_size_owns_none() -> None:
    sizes = SizeOwner()
    sizes.claim("a", SMALL)
    assert sizes.claim("observer") is None
    assert sizes.owner == "a"


def test_when_the_owner_leaves_the_one_before_has_the_size_again() -> None:
    sizes = SizeOwner()
    sizes.claim("a", SMALL)
    sizes.claim("b", LARGE)
    assert sizes.leave("b") == SMALL
    assert sizes.leave("a") is None, "nobody is left to say, so the PTY keeps it"
    assert sizes.leave("a") is None


names = st.sampled_from("abc")
winsizes = st.builds(Winsize, st.integers(1, 3), st.integers(1, 3))
steps = st.lists(st.tuples(names, st.one_of(winsizes, st.sampled_from(["type", "leave"]))), max_size=40)


@given(steps=steps)
def test_the_pty_is_told_exactly_when_its_size_changes(steps: list[tuple[str, Winsize | str]]) -> None:
    sizes, size = SizeOwner(), None
    claims: list[str] = []
    known: dict[str, Winsize] = {}
    for name, what in steps:
        before = size
        if what == "leave":
            told = sizes.leave(name)
            known.pop(name, None)
        else:
            told = sizes.claim(name, what if isinstance(what, Winsize) else None)
            if isinstance(what, Winsize):
                known[name] = what
        claims = [*claims, name]
        size = next((known[who] for who in reversed(claims) if who in known), None)
        assert sizes.size == size
        assert told == (None if size in (None, before) else size)
        claims = [who for who in claims if who in known]
