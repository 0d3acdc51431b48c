"""Where secrets are kept: the system's keyring, or a 0600 file where there is none.

The only file that imports keyring, and only when a secret goes into it or comes out of
it, as that takes a tenth of a second. `secrets.json` says of each secret where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from cmdop.errors import HomeUnusable, KeyringUnusable
from cmdop.home import Home, LockedFile, json_bytes, json_fields
from cmdop.limits import KEYRING_TIMEOUT_SECONDS

FILE: Final = "secrets.json"
KEYRING: Final = "keyring"
IN_FILE: Final = "file"
_SERVICE: Final = "cmdop"

T = TypeVar("T")


class Vault:
    """The secrets of one CMDOP_HOME, by name.

    A secret changes together with what `secrets.json` says of it, under that file's lock:
    who waits for it while the keyring asks its user something needs the same keyring.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def keep(self, name: str, secret: str) -> str:
        """Keep a secret under a name; where it went: `keyring` or `file`.

        Raises HomeUnusable or KeyringUnusable; what was there before then stays.
        """
        in_keyring = _keyring_works()
        with self._home.locked(FILE) as file:
            index = file.read(json_fields) or {}
            if in_keyring:
                self._keep_in_keyring(file, index, name, secret)
                return KEYRING
            in_keyring_before = _place(index.get(name)) == KEYRING
            file.write(json_bytes({**index, name: {"in": IN_FILE, "secret": secret}}))
        if in_keyring_before:
            with suppress(KeyringUnusable):  # it does not work any more; that is why we are here
                _delete(self._account(name))
        return IN_FILE

    def get(self, name: str) -> str | None:
        """The secret, or None. Raises KeyringUnusable or ConfigCorrupt."""
        entry = self._index().get(name)
        if not isinstance(entry, dict):
            return None
        secret = _get(self._account(name)) if _place(entry) == KEYRING else entry.get("secret")
        return secret if isinstance(secret, str) else None

    def forget(self, name: str) -> bool:
        """Forget a secret; whether there was one. Raises KeyringUnusable: then it stays."""
        if name not in self._index():
            return False
        with self._home.locked(FILE) as file:
            index = file.read(json_fields) or {}
            entry = index.pop(name, None)
            if _place(entry) == KEYRING:
                _delete(self._account(name))
            file.write(json_bytes(index))
        return entry is not None

    def places(self) -> dict[str, str]:
        """The name of every secret, and where it is: `keyring` or `file`. Raises ConfigCorrupt."""
        return {name: _place(entry) for name, entry in self._index().items()}

    def _keep_in_keyring(self, file: LockedFile, index: dict[str, Any], name: str, secret: str) -> None:
        _set(self._account(name), secret)
        if index.get(name) == {"in": KEYRING}:
            return
        try:
            file.write(json_bytes({**index, name: {"in": KEYRING}}))
        except HomeUnusable:
            with suppress(KeyringUnusable):  # nobody would ever find it there
                _delete(self._account(name))
            raise

    def _account(self, name: str) -> str:
        """The keyring is one for all homes: the folder keeps them apart, by whatever link one comes to it."""
        return f"{self._home.path.resolve()}:{name}"

    def _index(self) -> dict[str, Any]:
        return self._home.read_json(FILE) or {}


def _place(entry: object) -> str:
    """Where an entry of the index says that its secret is."""
    return KEYRING if isinstance(entry, dict) and entry.get("in") == KEYRING else IN_FILE


def _asked(call: Callable[[], T]) -> T:
    """What a keyring answers. Raises KeyringUnusable for whatever a backend raises, and for none in time.

    Backends are plugins: beside keyring's own errors come those of D-Bus, of an import, of a
    configuration file, and some are no Exception at all: a Rust program's panic, an exit. The
    thread `keyring` asks, so that one which hangs can be left alone; nothing else wakes it.
    """
    import queue  # for who needs it
    import threading

    answers: queue.SimpleQueue[tuple[T] | BaseException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(),))
        except BaseException as error:  # noqa: BLE001 - raised where it was asked
            answers.put(error)

    threading.Thread(target=ask, name="keyring", daemon=True).start()
    try:
        answer = answers.get(timeout=KEYRING_TIMEOUT_SECONDS)
    except queue.Empty:
        raise KeyringUnusable(reason=f"it did not answer within {KEYRING_TIMEOUT_SECONDS:g} s") from None
    if isinstance(answer, KeyboardInterrupt):  # the user's own, while the keyring asks for something
        raise answer
    if isinstance(answer, BaseException):
        raise KeyringUnusable(reason=str(answer) or type(answer).__name__) from answer
    return answer[0]


def keyring_backend() -> str | None:
    """What this machine's keyring calls itself; None where there is none that can keep something.

    Raises KeyringUnusable.
    """

    def name() -> str | None:
        import keyring
        from keyring.backends import fail, null

        backend = keyring.get_keyring()
        works = not isinstance(backend, fail.Keyring | null.Keyring) and backend.priority > 0
        return str(backend.name) if works else None

    return _asked(name)


def _keyring_works() -> bool:
    """Whether this machine has a keyring that can keep something."""
    return keyring_backend() is not None


def _set(account: str, secret: str) -> None:
    def keep() -> None:
        import keyring

        keyring.set_password(_SERVICE, account, secret)

    _asked(keep)


def _get(account: str) -> str | None:
    def find() -> str | None:
        import keyring

        return keyring.get_password(_SERVICE, account)

    return _asked(find)


def _delete(account: str) -> None:
    def forget() -> None:
        import keyring
        from keyring.errors import PasswordDeleteError

        with suppress(PasswordDeleteError):  # already gone is success
            keyring.delete_password(_SERVICE, account)

    _asked(forget)
