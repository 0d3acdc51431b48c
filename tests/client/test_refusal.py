"""What a machine refused, in words that say what to do next."""

from __future__ import annotations

import pytest

from cmdop.client.refusal import refusal
from cmdop.errors import CmdopError, PasswordRefused, RoleTooLow, SessionGone
from cmdop.wire.session_messages import Refused

SAID = RoleTooLow(what="typing into a session", needed="operator", role="observer").sentence


@pytest.mark.parametrize(
    ("refused", "kind", "next_step"),
    [
        (
            Refused("role-too-low", SAID),
            RoleTooLow,
            "ask an admin for such a key: cmdop connect key create --role operator",
        ),
        (Refused("wrong-password", "wrong password for the machine"), PasswordRefused, "try again: cmdop connect prod"),
        (Refused("session-gone", "it is gone"), SessionGone, "open a new one: cmdop connect prod"),
    ],
)
def test_the_way_out_names_the_machine_and_the_role(refused: Refused, kind: type[CmdopError], next_step: str) -> None:
    error = refusal(refused, "prod")
    assert type(error) is kind
    assert error.next_step == next_step


def test_the_machine_is_called_what_it_is_called_here() -> None:
    assert refusal(Refused("wrong-password", "wrong password for the machine"), "prod").sentence == (
        "wrong password for prod"
    )


@pytest.mark.parametrize(
    ("refused", "details"),
    [
        (Refused("token-missing", "say the password"), {"host": "prod"}),
        (Refused("role-too-low", SAID), {"host": "prod", "needed": "operator"}),
    ],
)
def test_only_what_an_error_is_about_is_in_its_details(refused: Refused, details: dict[str, str]) -> None:
    assert refusal(refused, "prod").details == {**details, "told": refused.reason}
    assert refusal(refused, "prod", "0123").details == {**details, "told": refused.reason, "session": "0123"}
