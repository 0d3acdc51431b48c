"""Keyrings that do what a test tells them."""

from __future__ import annotations

import threading

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError


class MemoryKeyring(KeyringBackend):
    """A keyring that works."""

    priority = 5.0

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.fails: BaseException | None = None
        self.hangs: threading.Event | None = None

    def _check(self) -> None:
        if self.hangs is not None:
            self.hangs.wait()
        if self.fails is not None:
            raise self.fails

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")


class WeakKeyring(MemoryKeyring):
    """One that can give and forget, and is not to keep anything."""

    priority = 0.0

    def __init__(self, other: MemoryKeyring) -> None:
        super().__init__()
        self.kept = other.kept


class Unviable(KeyringBackend):
    """A keyring whose system is not there: asking how good it is raises."""

    @property
    def priority(self) -> float:
        raise RuntimeError("Secret Service is not available")

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("Secret Service is not available")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError("Secret Service is not available")
