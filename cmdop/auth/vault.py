"""Where secrets are kept: the system's keyring, or a 0600 file where there is none.

The only file that imports keyring, and only when a secret goes into it or comes out of
it, as that takes a tenth of a second. `secrets.json` says of each secret where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from cmdop.errors import KeyringUnusable
from cmdop.home import Home

FILE: Final = "secrets.json"
_SERVICE: Final = "cmdop"


class Vault:
    """The secrets of one CMDOP_HOME, by name."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def keep(self, name: str, secret: str) -> str:
        """Keep a secret under a name; where it went: `keyring` or `file`.

        Raises HomeUnusable or KeyringUnusable; what was there before then stays.
        """
        index = self._index()
        if _keyring_works():
            _set(self._account(name), secret)
            index[name] = {"in": "keyring"}
        else:
            index[name] = {"in": "file", "secret": secret}
        self._home.write_json(FILE, index)
        return str(index[name]["in"])

    def get(self, name: str) -> str | None:
        """The secret, or None. Raises KeyringUnusable or ConfigCorrupt."""
        entry = self._index().get(name)
        if not isinstance(entry, dict):
            return None
        secret = _get(self._account(name)) if entry.get("in") == "keyring" else entry.get("secret")
        return secret if isinstance(secret, str) else None

    def forget(self, name: str) -> bool:
        """Forget a secret; whether there was one."""
        index = self._index()
        entry = index.pop(name, None)
        if entry is None:
            return False
        if isinstance(entry, dict) and entry.get("in") == "keyring":
            _delete(self._account(name))
        self._home.write_json(FILE, index)
        return True

    def _account(self, name: str) -> str:
        """The keyring is one for all homes: the folder keeps them apart."""
        return f"{self._home.path}:{name}"

    def _index(self) -> dict[str, Any]:
        return self._home.read_json(FILE) or {}


@contextmanager
def _translated() -> Iterator[None]:
    """Raises KeyringUnusable for whatever a backend raises.

    Backends are plugins: beside keyring's own errors come those of D-Bus, of an import,
    of a configuration file.
    """
    try:
        yield
    except Exception as error:
        raise KeyringUnusable(reason=str(error) or type(error).__name__) from error


def _keyring_works() -> bool:
    """Whether this machine has a keyring that can keep something."""
    with _translated():
        import keyring
        from keyring.backends import fail, null

        backend = keyring.get_keyring()
        return not isinstance(backend, fail.Keyring | null.Keyring) and backend.priority > 0


def _set(account: str, secret: str) -> None:
    with _translated():
        import keyring

        keyring.set_password(_SERVICE, account, secret)


def _get(account: str) -> str | None:
    with _translated():
        import keyring

        return keyring.get_password(_SERVICE, account)


def _delete(account: str) -> None:
    with _translated():
        import keyring
        from keyring.errors import PasswordDeleteError

        with suppress(PasswordDeleteError):  # already gone is success
            keyring.delete_password(_SERVICE, account)
