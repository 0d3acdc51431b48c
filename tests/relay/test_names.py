"""What may be a name."""

from __future__ import annotations

import pytest

from cmdop.errors import RemoteProtocolError, UsageError
from cmdop.relay.names import check_chosen, check_heard


@pytest.mark.parametrize("name", ["a", "vps-audi", "Anna Müller", "机器", "x" * 255])
def test_good_names_come_back_as_they_are(name: str) -> None:
    assert check_chosen("label", name) == name
    assert check_heard("hostname", name) == name


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("", "it is empty"),
        ("x" * 256, "longer than 255"),
        (" a", "begins or ends with a space"),
        ("a ", "begins or ends with a space"),
        ("a\x1b[2Jb", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("\udcff", "cannot be printed"),
    ],
)
def test_bad_names_are_refused_with_the_reason(name: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        check_chosen("label", name)
    with pytest.raises(RemoteProtocolError, match=wrong):
        check_heard("hostname", name)


def test_the_refusal_itself_can_be_printed() -> None:
    with pytest.raises(UsageError) as caught:
        check_chosen("label", "a\x1b]0;x\x07")
    assert caught.value.sentence.isprintable()
