"""A machine's password as it is kept: what fits, what is refused, and when it is another one."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from pathlib import Path

import pytest

from cmdop.auth.machine_password import (
    FILE,
    PasswordFile,
    clear_password,
    load_password,
    new_password,
    set_password,
)
from cmdop.errors import PasswordUnusable, UsageError
from cmdop.home import Home
from cmdop.limits import PASSWORD_MAX_BYTES


def test_only_the_right_words_fit() -> None:
    password = new_password("correct horse", 5.0)
    assert password.matches("correct horse")
    assert not any(password.matches(wrong) for wrong in ("", "correct horse ", "Correct horse", "x" * 5000, "\ud800"))


def test_what_is_composed_on_one_keyboard_and_not_on_another_is_the_same() -> None:
    assert new_password("gr\u00f6\u00dfe", 5.0).matches("gro\u0308\u00dfe")


@pytest.mark.parametrize("text", ["", "x" * (PASSWORD_MAX_BYTES + 1), "ö" * (PASSWORD_MAX_BYTES // 2 + 1), "\ud800"])
def test_what_cannot_be_a_password_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError, match="a password "):
        new_password(text, 5.0)


def test_each_one_has_an_id_of_its_own_and_shows_nothing() -> None:
    one, two = new_password("same", 5.0), new_password("same", 5.0)
    assert one.id != two.id
    assert one.digest != two.digest
    assert one.digest.hex() not in repr(one)
    assert repr(one.digest) not in repr(one)


def test_it_is_kept_in_a_private_file_that_does_not_have_it(home: Home) -> None:
    set_password(home, "correct horse")
    loaded = load_password(home)
    assert loaded is not None
    assert loaded.matches("correct horse")
    assert b"horse" not in home.file(FILE).read_bytes()
    if sys.platform != "win32":
        assert stat.S_IMODE(home.file(FILE).stat().st_mode) == 0o600


def test_cleared_means_none(home: Home) -> None:
    assert load_password(home) is None
    assert not clear_password(home)
    set_password(home, "x")
    assert clear_password(home)
    assert load_password(home) is None


GOOD = {"n": 2, "r": 8, "p": 1, "salt": "00" * 16, "digest": "00" * 32}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"scrypt": 5, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "n": 3}, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "n": 2**40}, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "n": math.inf}, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "n": 2**16, "r": 1}, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "n": 2, "r": 2**20 - 1}, "since": 1}),
        json.dumps({"scrypt": GOOD, "since": 10**400}),
        json.dumps({"scrypt": GOOD, "since": math.nan}),
        json.dumps({"scrypt": {**GOOD, "r": 0}, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "p": 10**9}, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "salt": "zz"}, "since": 1}),
        json.dumps({"scrypt": {**GOOD, "digest": "00"}, "since": 1}),
        json.dumps({"scrypt": GOOD}),
    ],
)
def test_a_file_that_makes_no_sense_opens_nothing_and_stays(home: Home, text: str) -> None:
    home.write_bytes(FILE, text.encode())
    watched = PasswordFile(home)
    for _ in range(2):
        with pytest.raises(PasswordUnusable):
            watched.current()
    assert home.file(FILE).read_text() == text


@pytest.mark.parametrize(
    ("n", "r", "p"), [(2**15, 1, 1), (2**20, 1, 1), (2**14, 100, 1), (2, 2**18, 1), (2**10, 2, 16)]
)
def test_whatever_costs_a_file_may_have_can_be_paid_or_is_refused(home: Home, n: int, r: int, p: int) -> None:
    home.write_json(FILE, {"scrypt": {**GOOD, "n": n, "r": r, "p": p}, "since": 1})
    try:
        kept = load_password(home)
    except PasswordUnusable:
        return
    assert kept is not None
    assert not kept.matches("x")


def test_a_change_is_seen_at_once(home: Home) -> None:
    watched = PasswordFile(home)
    assert watched.current() is None
    set_password(home, "one")
    first = watched.current()
    assert first is not None
    assert watched.current() is first, "it is not read again and again"
    set_password(home, "two")
    second = watched.current()
    assert second is not None
    assert second.id != first.id
    clear_password(home)
    assert watched.current() is None


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="root may read what has no mode")
def test_a_folder_in_its_place_opens_nothing(home: Home) -> None:
    Path(home.folder() / FILE).mkdir()
    with pytest.raises(Exception, match="agent-password"):
        PasswordFile(home).current()
