"""This client device's own key."""

from __future__ import annotations

import os

import pytest

from cmdop.auth.device import FILE, device_key
from cmdop.errors import ConfigCorrupt, HomeUnusable
from cmdop.home import Home
from cmdop.seal.noise import public_key


def test_it_is_made_once_and_is_the_same_ever_after(home: Home) -> None:
    key = device_key(home)
    assert len(key) == 32
    assert device_key(home) == key
    assert len(public_key(key)) == 32


def test_it_is_for_its_owner_only(home: Home) -> None:
    device_key(home)
    if os.name == "posix":
        assert home.file(FILE).stat().st_mode & 0o777 == 0o600


def test_every_home_has_another_one(home: Home) -> None:
    assert device_key(home) != device_key(Home(home.path / "other"))


@pytest.mark.parametrize("content", [b"", b"short", bytes(31), bytes(33)])
def test_a_torn_file_is_set_aside_and_said(home: Home, content: bytes) -> None:
    home.write_bytes(FILE, content)
    with pytest.raises(ConfigCorrupt, match=f"it has {len(content)} bytes"):
        device_key(home)
    assert home.file(f"{FILE}.corrupt-1").read_bytes() == content
    assert len(device_key(home)) == 32


def test_a_home_that_cannot_be_made_is_said(home: Home) -> None:
    home.path.write_bytes(b"a file in its place")
    with pytest.raises(HomeUnusable):
        device_key(home)
