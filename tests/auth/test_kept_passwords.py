"""The machine passwords that a client remembers."""

from __future__ import annotations

from cmdop.auth.kept_passwords import FILE, KeptPassword, KeptPasswords
from cmdop.auth.vault import Vault
from cmdop.home import Home


def test_a_password_is_kept_for_its_machine_and_listed_by_name(home: Home) -> None:
    kept = KeptPasswords(home)
    assert kept.keep("id-2", "prod", "correct horse") == "file"
    kept.keep("id-1", "Alpha", "battery staple")
    assert (kept.get("id-2"), kept.get("id-3")) == ("correct horse", None)
    assert kept.all() == [KeptPassword("id-1", "Alpha", "file"), KeptPassword("id-2", "prod", "file")]
    assert b"horse" not in home.file(FILE).read_bytes()


def test_a_new_one_takes_the_place_of_the_old_one_and_of_its_name(home: Home) -> None:
    kept = KeptPasswords(home)
    kept.keep("id", "old", "one")
    kept.keep("id", "new", "two")
    assert kept.get("id") == "two"
    assert kept.all() == [KeptPassword("id", "new", "file")]


def test_what_is_forgotten_is_gone(home: Home) -> None:
    kept = KeptPasswords(home)
    kept.keep("id", "prod", "one")
    assert kept.forget("id")
    assert not kept.forget("id")
    assert kept.get("id") is None
    assert kept.all() == []
    assert b"prod" not in home.file(FILE).read_bytes()


def test_other_secrets_are_no_passwords(home: Home) -> None:
    Vault(home).keep("workspace:default", "ck_")
    assert KeptPasswords(home).all() == []


def test_a_name_that_was_lost_is_no_reason_to_hide_it(home: Home) -> None:
    kept = KeptPasswords(home)
    kept.keep("id", "prod", "one")
    home.remove(FILE)
    assert kept.all() == [KeptPassword("id", "id", "file")]
