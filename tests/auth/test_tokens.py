"""Session tokens: for whom, for how long, and under which password."""

from __future__ import annotations

import pytest

from cmdop.auth.tokens import TokenTable
from cmdop.limits import TOKENS_MAX


@pytest.fixture
def table() -> TokenTable:
    return TokenTable()


def test_a_token_is_valid_until_its_time_for_its_operator_and_under_its_password(table: TokenTable) -> None:
    token = table.issue("c1", "anna", "pw", 100.0)
    assert table.valid_until(token, "anna", "pw", 99.9) == 100.0
    assert table.valid_until(token, "anna", "pw", 100.0) is None
    assert table.valid_until(token, "ben", "pw", 1.0) is None
    assert table.valid_until(token, "anna", "another", 1.0) is None
    assert table.valid_until("made up", "anna", "pw", 1.0) is None


def test_another_machine_does_not_know_it(table: TokenTable) -> None:
    token = table.issue("c1", "anna", "pw", 100.0)
    assert TokenTable().valid_until(token, "anna", "pw", 1.0) is None


def test_who_comes_back_is_known_even_if_its_token_is_valid_no_more(table: TokenTable) -> None:
    token = table.issue("c1", "anna", "pw", 100.0)
    assert table.given_to(token, "c1", "anna")
    assert not table.given_to(token, "c2", "anna")
    assert not table.given_to(token, "c1", "ben")
    assert not table.given_to("", "c1", "anna")


def test_only_hashes_are_kept_and_another_process_goes_on_with_them(table: TokenTable) -> None:
    token = table.issue("c1", "anna", "pw", 100.0)
    assert token not in repr(table.rows())
    assert TokenTable(table.rows()).valid_until(token, "anna", "pw", 1.0) == 100.0


def test_the_oldest_goes_when_there_are_too_many(table: TokenTable) -> None:
    first, second = (table.issue("c1", "anna", "", 100.0) for _ in range(2))
    for _ in range(TOKENS_MAX - 1):
        table.issue("c2", "ben", "", 100.0)
    assert table.valid_until(first, "anna", "", 1.0) is None
    assert table.valid_until(second, "anna", "", 1.0) == 100.0
