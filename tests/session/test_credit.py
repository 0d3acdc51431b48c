"""Credit: nothing is sent without it, nothing stands still for want of it, and it fits the path."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import OFFSET_MAX, WINDOW_FLOOR_BYTES, WINDOW_MAX_BYTES
from cmdop.session.credit import ReceiveWindow, SendCredit

MIB = 1024 * 1024
offsets = st.integers(0, OFFSET_MAX)


@given(grants=st.lists(st.integers(-5, OFFSET_MAX + 5)))
def test_a_limit_never_goes_back_and_never_leaves_the_range_of_offsets(grants: list[int]) -> None:
    credit = SendCredit()
    for limit in grants:
        before = credit.limit
        assert credit.grant(limit) == (before < limit <= OFFSET_MAX)
        assert credit.limit == (limit if before < limit <= OFFSET_MAX else before)


@given(limit=offsets, offset=offsets)
def test_what_may_be_sent_ends_at_the_limit_and_is_never_negative(limit: int, offset: int) -> None:
    assert SendCredit(limit).spendable(offset) == max(0, limit - offset)


@given(
    start=st.integers(0, 2**40),
    steps=st.lists(st.tuples(st.integers(0, MIB), st.floats(0, 0.5), st.floats(0, 2)), max_size=50),
    skips=st.lists(st.integers(0, 4 * MIB), max_size=50),
)
def test_sender_and_receiver_never_overrun_and_never_stand_still(
    start: int, steps: list[tuple[int, float, float]], skips: list[int]
) -> None:
    window, credit = ReceiveWindow(start), SendCredit()
    sent, now = start, 0.0
    credit.grant(window.limit)
    for number, (wanted, pause, round_trip) in enumerate(steps):
        size = min(wanted, credit.spendable(sent))
        sent, now = sent + size, now + pause
        granted = window.wrote(size, now, round_trip)
        if number < len(skips) and skips[number]:
            if granted is not None:
                credit.grant(granted)
            sent += skips[number]
            granted = window.skipped_to(sent)
        if granted is not None:
            assert credit.grant(granted), "a grant that is sent allows more"
        assert credit.spendable(sent) > 0, "everything is written out, so there is room"
        assert credit.spendable(sent) <= WINDOW_MAX_BYTES
        assert WINDOW_FLOOR_BYTES <= window.window_bytes <= WINDOW_MAX_BYTES


def test_grants_come_in_quarters_of_the_window_and_not_for_each_write() -> None:
    window = ReceiveWindow()
    grants = [window.wrote(1024, 0.0, 0.0) for _ in range(1024)]
    assert 0 < sum(grant is not None for grant in grants) <= 17


def test_the_last_grant_ends_where_offsets_end() -> None:
    assert ReceiveWindow(OFFSET_MAX - 10).limit == OFFSET_MAX
