"""The machine passwords that this client remembers: by machine id, in the vault, with a name for lists."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from cmdop.auth.vault import Vault
from cmdop.home import Home, json_bytes, json_fields

FILE: Final = "machine-passwords.json"
"""Which machines, and what they were called; the passwords are not in it."""
_KEPT_UNDER: Final = "machine password of "


class KeptPassword(NamedTuple):
    """A machine whose password is kept, and where: `keyring` or `file`."""

    machine_id: str
    name: str
    where: str


class KeptPasswords:
    """The passwords of one CMDOP_HOME. Each method raises HomeUnusable, KeyringUnusable or ConfigCorrupt."""

    def __init__(self, home: Home) -> None:
        self._home, self._vault = home, Vault(home)

    def get(self, machine_id: str) -> str | None:
        """The password that is kept for a machine."""
        return self._vault.get(_KEPT_UNDER + machine_id)

    def keep(self, machine_id: str, name: str, password: str) -> str:
        """Keep a machine's password; where it went: `keyring` or `file`."""
        where = self._vault.keep(_KEPT_UNDER + machine_id, password)
        self._name(machine_id, name)
        return where

    def forget(self, machine_id: str) -> bool:
        """Forget a machine's password; whether there was one."""
        had = self._vault.forget(_KEPT_UNDER + machine_id)
        self._name(machine_id, None)
        return had

    def all(self) -> list[KeptPassword]:
        """Every machine whose password is kept, by name. Asks no keyring."""
        names = self._home.read_json(FILE) or {}
        places = self._vault.places().items()
        ids = ((key.removeprefix(_KEPT_UNDER), where) for key, where in places if key.startswith(_KEPT_UNDER))
        return sorted(
            (KeptPassword(machine_id, str(names.get(machine_id, machine_id)), where) for machine_id, where in ids),
            key=lambda kept: (kept.name.casefold(), kept.machine_id),
        )

    def _name(self, machine_id: str, name: str | None) -> None:
        with self._home.locked(FILE) as file:
            before: dict[str, Any] = file.read(json_fields) or {}
            names = {**before, machine_id: name}
            file.write(json_bytes({key: value for key, value in names.items() if value is not None}))
