"""Where secrets are kept: in the keyring that there is, or in a private file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.errors import KeyringLocked

from cmdop.auth import vault as vault_module
from cmdop.auth.vault import FILE, Vault
from cmdop.errors import ConfigCorrupt, HomeUnusable, KeyringUnusable
from cmdop.home import Home
from tests.auth.keyrings import MemoryKeyring, Unviable, WeakKeyring

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _the_same_keyring_afterwards() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


@pytest.fixture
def ring() -> MemoryKeyring:
    ring = MemoryKeyring()
    keyring.set_keyring(ring)
    return ring


@pytest.fixture
def vault(home: Home) -> Vault:
    return Vault(home)


def test_with_a_keyring_the_secret_is_there_and_not_in_the_file(home: Home, vault: Vault, ring: MemoryKeyring) -> None:
    assert vault.keep("api-key:home", "secret") == "keyring"
    assert list(ring.kept) == [("cmdop", f"{home.path}:api-key:home")]
    assert b"secret" not in home.file(FILE).read_bytes().replace(b"secrets", b"")
    assert vault.get("api-key:home") == "secret"


def test_without_a_keyring_the_secret_is_in_a_file_of_its_owner(home: Home, vault: Vault) -> None:
    assert vault.keep("api-key:home", "secret") == "file"
    assert json.loads(home.file(FILE).read_bytes()) == {"api-key:home": {"in": "file", "secret": "secret"}}
    if os.name == "posix":
        assert home.file(FILE).stat().st_mode & 0o777 == 0o600
        assert home.path.stat().st_mode & 0o777 == 0o700
    assert vault.get("api-key:home") == "secret"


def test_a_secret_is_replaced_and_others_stay(vault: Vault) -> None:
    vault.keep("one", "1")
    vault.keep("two", "2")
    vault.keep("one", "1b")
    assert (vault.get("one"), vault.get("two"), vault.get("three")) == ("1b", "2", None)


def test_a_secret_that_moves_into_the_keyring_leaves_the_file(home: Home, vault: Vault) -> None:
    vault.keep("name", "in the file")
    keyring.set_keyring(MemoryKeyring())
    vault.keep("name", "in the ring")
    assert b"in the file" not in home.file(FILE).read_bytes()
    assert vault.get("name") == "in the ring"


def test_a_secret_that_moves_into_the_file_leaves_the_keyring(home: Home, vault: Vault, ring: MemoryKeyring) -> None:
    vault.keep("name", "in the ring")
    keyring.set_keyring(WeakKeyring(ring))
    assert vault.keep("name", "in the file") == "file"
    assert ring.kept == {}
    assert vault.get("name") == "in the file"


def test_it_is_told_of_every_secret_where_it_is(vault: Vault) -> None:
    vault.keep("one", "1")
    keyring.set_keyring(MemoryKeyring())
    vault.keep("two", "2")
    assert vault.places() == {"one": "file", "two": "keyring"}


def test_a_home_behind_a_link_has_the_same_secrets(tmp_path: Path, ring: MemoryKeyring) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    Vault(Home(tmp_path / "link")).keep("name", "secret")
    assert Vault(Home(tmp_path / "real")).get("name") == "secret"


def test_where_the_file_cannot_be_written_the_keyring_has_nothing_more(
    home: Home, vault: Vault, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else nobody would ever find it there, and forget it."""
    vault.keep("old", "1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(HomeUnusable):
            vault.keep("new", "2")
        assert list(ring.kept.values()) == ["1"]
        vault.keep("old", "1b")
    assert (vault.get("old"), vault.get("new")) == ("1b", None)


def test_homes_do_not_see_each_other_s_secrets(tmp_path: Path, ring: MemoryKeyring) -> None:
    one, two = Vault(Home(tmp_path / "one")), Vault(Home(tmp_path / "two"))
    one.keep("name", "1")
    assert two.get("name") is None
    two.keep("name", "2")
    assert one.get("name") == "1"


@pytest.mark.parametrize("in_keyring", [True, False])
def test_what_is_forgotten_is_gone_and_twice_is_told(home: Home, vault: Vault, in_keyring: bool) -> None:
    ring = MemoryKeyring()
    if in_keyring:
        keyring.set_keyring(ring)
    vault.keep("name", "secret")
    assert vault.forget("name")
    assert vault.get("name") is None
    assert ring.kept == {}
    assert b'"secret"' not in home.file(FILE).read_bytes()
    assert not vault.forget("name")


def test_what_is_gone_from_the_keyring_already_is_forgotten(vault: Vault, ring: MemoryKeyring) -> None:
    vault.keep("name", "secret")
    ring.kept.clear()
    assert vault.get("name") is None
    assert vault.forget("name")


FAILURES = {
    "locked": KeyringLocked("it is locked"),
    "gone": OSError(5, "Input/output error"),
    "D-Bus": RuntimeError("org.freedesktop.DBus.Error.NoReply"),
    "silent": ValueError(),
    "an exit": SystemExit(7),
    "a panic": type("PanicException", (BaseException,), {})("the keyring panicked"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_whatever_a_keyring_raises_is_said_as_one_error(vault: Vault, ring: MemoryKeyring, what: str) -> None:
    vault.keep("name", "secret")
    ring.fails = FAILURES[what]
    for action in (lambda: vault.get("name"), lambda: vault.forget("name"), lambda: vault.keep("name", "other")):
        with pytest.raises(KeyringUnusable) as caught:
            action()
        assert caught.value.__cause__ is FAILURES[what]
        assert "{" not in caught.value.sentence
        assert caught.value.sentence != "the system's keyring does not work: "
    ring.fails = None
    assert vault.get("name") == "secret"


def test_a_ctrl_c_while_the_keyring_asks_something_is_a_ctrl_c(vault: Vault, ring: MemoryKeyring) -> None:
    ring.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        vault.keep("name", "secret")
    ring.fails = None
    assert vault.get("name") is None


def test_a_keyring_that_hangs_is_given_up_and_nobody_waits_behind_it(
    home: Home, vault: Vault, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.keep("name", "secret")
    monkeypatch.setattr(vault_module, "KEYRING_TIMEOUT_SECONDS", 0.05)
    ring.hangs = threading.Event()
    for action in (lambda: vault.get("name"), lambda: vault.forget("name"), lambda: vault.keep("name", "other")):
        with pytest.raises(KeyringUnusable, match=r"it did not answer within 0\.05 s"):
            action()
    ring.hangs.set()
    ring.hangs = None
    with home.locked(FILE):  # which those who gave up have given back
        assert vault.places() == {"name": "keyring"}


def test_a_keyring_that_cannot_even_be_asked_is_said(home: Home, vault: Vault) -> None:
    keyring.set_keyring(Unviable())
    with pytest.raises(KeyringUnusable, match="Secret Service is not available"):
        vault.keep("name", "secret")
    assert not home.file(FILE).exists()


def test_a_keyring_that_is_configured_and_not_there_is_said(home: Home) -> None:
    """The environment names a backend that is not installed."""
    code = "from cmdop.auth.vault import Vault; from cmdop.home import Home; import sys\n"
    code += "from cmdop.errors import KeyringUnusable\n"
    code += "try: Vault(Home(__import__('pathlib').Path(sys.argv[1]))).keep('a', 'b')\n"
    code += "except KeyringUnusable as e: print(e.code)"
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "nowhere.Keyring", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(home.path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("keyring-unusable\n", "")


@pytest.mark.parametrize(
    "content", [{"name": "text"}, {"name": {"in": "file"}}, {"name": {"in": "file", "secret": 5}}, {"name": {}}]
)
def test_an_entry_that_makes_no_sense_is_no_secret(home: Home, vault: Vault, content: dict[str, Any]) -> None:
    home.write_json(FILE, content)
    assert vault.get("name") is None
    vault.keep("name", "secret")
    assert vault.get("name") == "secret"


def test_a_file_that_makes_no_sense_is_set_aside_and_said(home: Home, vault: Vault) -> None:
    home.write_bytes(FILE, b"{")
    with pytest.raises(ConfigCorrupt):
        vault.get("name")
    assert vault.get("name") is None
    assert home.file(f"{FILE}.corrupt-1").read_bytes() == b"{"


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HomeUnusable):
        Vault(Home(tmp_path / "file" / "home")).keep("name", "secret")


def test_reading_what_is_in_the_file_does_not_import_keyring(home: Home, vault: Vault) -> None:
    """That takes a tenth of a second."""
    vault.keep("name", "secret")
    code = "import sys, pathlib; from cmdop.auth.vault import Vault; from cmdop.home import Home\n"
    code += "print(Vault(Home(pathlib.Path(sys.argv[1]))).get('name'), 'keyring' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "secret False\n"
