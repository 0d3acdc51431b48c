"""Who this machine is, and what it was given when it was enrolled.

`machine.json` has its id and its friendly name, `machine.key` its static private key
(X25519, RFC 7748 §5: any 32 random bytes), `enrolment.json` the relay's token and the
pre-shared keys of this machine. The API key itself is never kept.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from cmdop.agent.lockfile import LockFile
from cmdop.errors import ConfigCorrupt, UsageError
from cmdop.home import Home
from cmdop.limits import NAME_MAX_CHARS

MACHINE_FILE = "machine.json"
KEY_FILE = "machine.key"
ENROLMENT_FILE = "enrolment.json"
_LOCK_FILE = "machine.lock"
_KEY_BYTES = 32
_PSK_BYTES = 32


@dataclass(frozen=True)
class Identity:
    """A machine: made at first run, the same ever after."""

    machine_id: str
    name: str
    hostname: str
    static_key: bytes = field(repr=False)

    @classmethod
    def load_or_create(cls, home: Home, name: str | None = None) -> Identity:
        """This home's machine. A `name` that is given is kept; the first one is the hostname.

        Two processes at once get the same. Raises UsageError for an impossible name,
        ConfigCorrupt after setting aside a file that makes no sense, HomeUnusable.
        """
        if name is not None:
            name = _checked_name(name)
        kept, key = home.read_json(MACHINE_FILE), _read_key(home)
        if kept is None or key is None or (name is not None and kept.get("name") != name):
            kept, key = _complete(home, name)
        hostname = _hostname()
        return cls(_checked_id(home, kept), _kept_name(home, kept) or hostname, hostname, key)


@dataclass(frozen=True)
class Enrolment:
    """What a machine keeps of its enrolment: enough to come back, and to be attached to.

    `key_id` names the API key it was enrolled with, `machine_token` is hex, as the relay
    gave it; the pre-shared keys are this machine's own.
    """

    server: str
    workspace: str
    machine_token: str = field(repr=False)
    key_id: str
    operator_psk: bytes = field(repr=False)
    observer_psk: bytes = field(repr=False)

    @classmethod
    def load(cls, home: Home) -> Enrolment | None:
        """None before enrolment. Raises ConfigCorrupt after setting aside what makes no sense."""
        kept = home.read_json(ENROLMENT_FILE)
        if kept is None:
            return None
        try:
            return cls(
                server=_text(kept, "server"),
                workspace=_text(kept, "workspace"),
                machine_token=_hex(kept, "machine_token").hex(),
                key_id=_text(kept, "key_id"),
                operator_psk=_hex(kept, "operator_psk", _PSK_BYTES),
                observer_psk=_hex(kept, "observer_psk", _PSK_BYTES),
            )
        except ValueError as error:
            raise home.set_aside(ENROLMENT_FILE, str(error)) from error

    def save(self, home: Home) -> None:
        fields = asdict(self)
        home.write_json(ENROLMENT_FILE, {k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()})

    @staticmethod
    def forget(home: Home) -> None:
        """Be no longer enrolled. That it was not is success."""
        home.remove(ENROLMENT_FILE)


def _text(kept: dict[str, Any], name: str) -> str:
    value = kept.get(name)
    if not isinstance(value, str):
        raise ValueError(f"its {name} is missing")  # noqa: TRY004 - what is wrong is the file, not a call
    return value


def _hex(kept: dict[str, Any], name: str, length: int | None = None) -> bytes:
    value = bytes.fromhex(_text(kept, name))
    if length is not None and len(value) != length:
        raise ValueError(f"its {name} has {len(value)} bytes instead of {length}")
    return value


def _complete(home: Home, name: str | None) -> tuple[dict[str, Any], bytes]:
    """Write what is missing, or another name; what holds now. One process at a time does."""
    lock = LockFile(home, _LOCK_FILE)
    lock.acquire(blocking=True)
    try:
        key = _read_key(home)
        if key is None:
            key = os.urandom(_KEY_BYTES)
            home.write_bytes(KEY_FILE, key)
        kept = home.read_json(MACHINE_FILE)
        wanted = {**(kept or {"machine_id": str(uuid.uuid4())}), **({} if name is None else {"name": name})}
        if wanted != kept:
            home.write_json(MACHINE_FILE, wanted)
        return wanted, key
    finally:
        lock.release()


def _read_key(home: Home) -> bytes | None:
    key = home.read_bytes(KEY_FILE)
    if key is not None and len(key) != _KEY_BYTES:
        raise home.set_aside(KEY_FILE, f"a key has {_KEY_BYTES} bytes, this has {len(key)}")
    return key


def _checked_id(home: Home, kept: dict[str, Any]) -> str:
    try:
        return str(uuid.UUID(kept["machine_id"]))
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise _corrupt(home, "its machine_id is no UUID") from error


def _kept_name(home: Home, kept: dict[str, Any]) -> str:
    try:
        return _checked_name(kept["name"]) if "name" in kept else ""
    except (UsageError, AttributeError) as error:
        raise _corrupt(home, "its name is none") from error


def _corrupt(home: Home, reason: str) -> ConfigCorrupt:
    return home.set_aside(MACHINE_FILE, reason)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_MAX_CHARS or not name.isprintable():
        raise UsageError(reason=f"a machine's name has 1 to {NAME_MAX_CHARS} printable characters")
    return name


def _hostname() -> str:
    named = "".join(char for char in socket.gethostname() if char.isprintable())
    return named[:NAME_MAX_CHARS] or "localhost"
