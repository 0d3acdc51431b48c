"""`import cmdop` is cheap, and has the whole API all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cmdop
from cmdop import api


def test_what_the_package_offers_is_what_the_api_has() -> None:
    assert cmdop.__all__ == api.__all__
    for name in api.__all__:
        assert getattr(cmdop, name) is getattr(api, name)


def test_the_api_is_imported_when_it_is_first_used() -> None:
    script = "import sys, cmdop; print('cmdop.api' in sys.modules); cmdop.connect; print('cmdop.api' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_what_is_not_there_is_said_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'cmdop' has no attribute 'conect'"):
        cmdop.conect  # type: ignore[attr-defined]  # noqa: B018


def test_everything_public_says_what_it_does() -> None:
    for name in api.__all__:
        thing = getattr(api, name)
        assert thing.__doc__, name
        if isinstance(thing, type):
            members = {key: value for key, value in vars(thing).items() if not key.startswith("_") and callable(value)}
            assert [key for key, value in members.items() if not value.__doc__] == [], name
