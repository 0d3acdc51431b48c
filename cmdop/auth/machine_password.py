"""A machine's own password, as the machine keeps it: salted, through scrypt (RFC 7914).

Text is compared in NFC (RFC 8265 §4.2.1), so that what one keyboard composes and another
one sends in parts is the same password. Each password that is set has an id of its own,
also when the words are those of the one before: what was proven under another is void.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final

from cmdop.errors import HomeUnusable, PasswordUnusable, UsageError
from cmdop.home import Home, json_fields
from cmdop.limits import PASSWORD_MAX_BYTES, SCRYPT_MEMORY_MAX_BYTES, SCRYPT_N, SCRYPT_P, SCRYPT_R

FILE: Final = "agent-password.json"
_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True)
class MachinePassword:
    """A password as it is kept; `n`, `r` and `p` are scrypt's, `since` is Unix time."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    n: int
    r: int
    p: int
    since: float

    @property
    def id(self) -> str:
        """Which password it is; no other one has it, on no machine."""
        return self.salt.hex()

    def matches(self, text: str) -> bool:
        """Whether that is it; takes about a tenth of a second, and `128 * n * r` bytes."""
        try:
            given = _octets(text)
        except UsageError:
            return False
        return hmac.compare_digest(_scrypt(given, self.salt, self.n, self.r, self.p), self.digest)


def new_password(text: str, now: float) -> MachinePassword:
    """This text as a password from now on. Raises UsageError for one that cannot be."""
    salt = os.urandom(_SALT_BYTES)
    digest = _scrypt(_octets(text), salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return MachinePassword(salt, digest, SCRYPT_N, SCRYPT_R, SCRYPT_P, now)


def set_password(home: Home, text: str) -> None:
    """Give the machine this password; a running agent acts on it at once.

    Raises UsageError for one that cannot be, and HomeUnusable.
    """
    made = new_password(text, time.time())
    scrypt = {"n": made.n, "r": made.r, "p": made.p, "salt": made.salt.hex(), "digest": made.digest.hex()}
    home.write_json(FILE, {"scrypt": scrypt, "since": made.since})


def clear_password(home: Home) -> bool:
    """Leave the machine without one; whether it had one. Raises HomeUnusable."""
    had = home.read_bytes(FILE) is not None
    home.remove(FILE)
    return had


def load_password(home: Home) -> MachinePassword | None:
    """The machine's password, None where none was set. Raises HomeUnusable.

    Raises PasswordUnusable for a file that makes no sense, and leaves it there: without it
    the machine would be open.
    """
    data = home.read_bytes(FILE)
    if data is None:
        return None
    try:
        return _parse(json_fields(data))
    except (ValueError, KeyError, TypeError) as error:
        raise PasswordUnusable(path=home.file(FILE), reason="it is not what was written there") from error


class PasswordFile:
    """The password of a home as it is now, read again when the file is another one. Any thread."""

    def __init__(self, home: Home) -> None:
        self._home = home
        # Guards both below.
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._password: MachinePassword | None = None

    def current(self) -> MachinePassword | None:
        """As `load_password`."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen or stamp is None:
                self._password = load_password(self._home)
                self._seen = stamp
            return self._password

    def _stamp(self) -> tuple[int, int, int] | None:
        """What tells one file from the next, which took its place; None where there is none."""
        try:
            found = self._home.file(FILE).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeUnusable(path=self._home.file(FILE), reason=error.strerror) from error
        return found.st_ino, found.st_mtime_ns, found.st_size


def _octets(text: str) -> bytes:
    """A password as scrypt gets it. Raises UsageError for one that cannot be."""
    try:
        octets = unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError as error:
        raise UsageError(reason="a password is a text in UTF-8") from error
    if not 0 < len(octets) <= PASSWORD_MAX_BYTES:
        raise UsageError(reason=f"a password has 1 to {PASSWORD_MAX_BYTES} bytes, and not {len(octets)}")
    return octets


def _scrypt(octets: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(octets, salt=salt, n=n, r=r, p=p, maxmem=SCRYPT_MEMORY_MAX_BYTES, dklen=_DIGEST_BYTES)


def _parse(fields: dict[str, Any]) -> MachinePassword:
    """Raises ValueError, KeyError or TypeError."""
    scrypt = fields["scrypt"]
    n, r, p = (int(scrypt[name]) for name in ("n", "r", "p"))
    salt, digest = bytes.fromhex(scrypt["salt"]), bytes.fromhex(scrypt["digest"])
    # What OpenSSL refuses, too: RFC 7914 §2 for n and r, and all that it takes in memory.
    if n < 2 or n & (n - 1) or not 1 <= p <= 16 or r < 1 or n.bit_length() > 16 * r:
        raise ValueError("its costs are none")
    if 128 * r * (n + p + 2) > SCRYPT_MEMORY_MAX_BYTES:
        raise ValueError("it costs more than is allowed")
    if len(salt) != _SALT_BYTES or len(digest) != _DIGEST_BYTES:
        raise ValueError("its sizes are wrong")
    return MachinePassword(salt, digest, n, r, p, float(fields["since"]))
