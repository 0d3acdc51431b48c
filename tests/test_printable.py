"""Texts from elsewhere, as a terminal may have them."""

from __future__ import annotations

import pytest

from cmdop.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"), [("größe — 日本", "größe — 日本"), ("a\tb\x7f\x9b", "a?b??"), ("\u202eevil", "?evil"), ("", "")]
)
def test_what_is_printable_keeps_letters_and_nothing_that_acts(text: str, shown: str) -> None:
    assert printable(text) == shown
