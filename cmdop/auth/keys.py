"""API keys and the tree of secrets under them.

A key is `ck_` and 84 base64url characters:

    role (1 byte) · key id (6) · relay half (20) · private half (32) · CRC-32 (4)

The relay half is what the relay checks; it keeps only its SHA-256. The private half is
a secret of the tree and never leaves the user's own machines:

    workspace secret ──HKDF──▶ operator secret ──HKDF──▶ observer secret
                                    │                        │
                               machine's operator PSK   machine's observer PSK

An admin's key carries the workspace secret, an operator's or an agent's the operator
secret, an observer's the observer secret. Derivation goes one way down, so no relay can
make an operator of an observer. HKDF is RFC 5869 with SHA-256; `info` names the step.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import zlib
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cmdop.errors import BadKey, RoleTooLow

PREFIX = "ck_"
KEY_ID_BYTES = 6
RELAY_HALF_BYTES = 20
SECRET_BYTES = 32
_BODY_BYTES = 1 + KEY_ID_BYTES + RELAY_HALF_BYTES + SECRET_BYTES
_TEXT_CHARS = (_BODY_BYTES + 4) // 3 * 4


class Role(Enum):
    """What a key is for; the value is its name everywhere."""

    ADMIN = "admin"
    OPERATOR = "operator"
    OBSERVER = "observer"
    AGENT = "agent"

    @property
    def attaches_as(self) -> Role:
        """The highest role this key may have on a machine. Raises RoleTooLow."""
        if self is Role.AGENT:
            raise RoleTooLow(what="connecting to a machine", needed="operator", role=self.value)
        return Role.OBSERVER if self is Role.OBSERVER else Role.OPERATOR


_CODES = {Role.ADMIN: 1, Role.OPERATOR: 2, Role.OBSERVER: 3, Role.AGENT: 4}
_ROLES = {code: role for role, code in _CODES.items()}


@dataclass(frozen=True, repr=False)
class ApiKey:
    """One key, taken apart. Its `repr` and `masked` show no secret."""

    role: Role
    key_id: str
    relay_half: bytes
    secret: bytes

    @property
    def text(self) -> str:
        """The key as the user keeps it."""
        body = bytes([_CODES[self.role]]) + bytes.fromhex(self.key_id) + self.relay_half + self.secret
        return PREFIX + base64.urlsafe_b64encode(body + _checksum(body)).decode()

    @property
    def masked(self) -> str:
        return mask(self.key_id)

    @property
    def bearer(self) -> str:
        """What is shown to the relay (RFC 6750), without the private half."""
        return bearer("key", self.key_id, self.relay_half)

    def __repr__(self) -> str:
        return f"ApiKey({self.masked}, {self.role.value})"

    def for_role(self, role: Role, key_id: str, relay_half: bytes) -> ApiKey:
        """A key of a role below this one's, minted from this one's secret.

        Raises RoleTooLow unless this is an admin's key.
        """
        if self.role is not Role.ADMIN:
            raise RoleTooLow(what="making keys", needed="admin", role=self.role.value)
        return ApiKey(role, key_id, relay_half, secret_for(role, self.secret))

    def machine_psk(self, role: Role, machine_id: str) -> bytes:
        """The 32-byte pre-shared key for one machine, as operator or as observer.

        Raises RoleTooLow when this key's secret lies below that role.
        """
        return machine_psk(self.role, self.secret, role, machine_id)


def parse_key(text: str) -> ApiKey:
    """The key in a text, white space around it ignored. Raises BadKey."""
    text = text.strip()
    if not text.startswith(PREFIX):
        raise BadKey(reason=f"it does not begin with {PREFIX}")
    if len(text) != len(PREFIX) + _TEXT_CHARS:
        raise BadKey(reason="it is too short" if len(text) < len(PREFIX) + _TEXT_CHARS else "it is too long")
    if "+" in text or "/" in text:  # b64decode takes them for - and _
        raise BadKey(reason="it has characters that no key has")
    try:
        body = base64.b64decode(text[len(PREFIX) :], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey(reason="it has characters that no key has") from error
    body, checksum = body[:-4], body[-4:]
    if checksum != _checksum(body) or body[0] not in _ROLES:
        raise BadKey(reason="a character is wrong somewhere (its checksum does not match)")
    half = 1 + KEY_ID_BYTES
    return ApiKey(
        _ROLES[body[0]],
        body[1:half].hex(),
        body[half : half + RELAY_HALF_BYTES],
        body[half + RELAY_HALF_BYTES :],
    )


def key_id_in(text: str) -> str:
    """The id, or its beginning, in whatever a user has of a key: the id, masked or not, or the whole key.

    An empty text where there is none, so that no part of a mistyped key takes itself for one.
    """
    text = text.strip()
    try:
        return parse_key(text).key_id
    except BadKey:
        wanted = text.removeprefix(PREFIX).rstrip("….").lower()
    is_beginning = len(wanted) <= 2 * KEY_ID_BYTES and all(char in "0123456789abcdef" for char in wanted)
    return wanted if is_beginning else ""


def new_workspace_key() -> ApiKey:
    """The first admin key of a new workspace: everything in it is fresh."""
    return ApiKey(Role.ADMIN, new_key_id(), os.urandom(RELAY_HALF_BYTES), os.urandom(SECRET_BYTES))


def new_key_id() -> str:
    return os.urandom(KEY_ID_BYTES).hex()


def new_relay_half() -> bytes:
    return os.urandom(RELAY_HALF_BYTES)


def half_hash(half: bytes) -> bytes:
    """What the relay keeps of a key's half or of a machine's token."""
    return hashlib.sha256(half).digest()


def half_matches(half: bytes, kept: bytes) -> bool:
    """Whether a half is the one whose hash was kept; takes the same time either way."""
    return hmac.compare_digest(half_hash(half), kept)


def mask(key_id: str) -> str:
    """A key as lists and errors show it."""
    return f"{PREFIX}{key_id}…"


def bearer(kind: str, name: str, half: bytes) -> str:
    """The credential in an Authorization header: `kind` is key or machine."""
    return f"{kind}.{name}.{half.hex()}"


def parse_bearer(text: str) -> tuple[str, str, bytes] | None:
    """Kind, name and half of a credential, or None for anything else."""
    parts = text.split(".")
    if len(parts) != 3 or parts[0] not in ("key", "machine"):
        return None
    try:
        return parts[0], parts[1], bytes.fromhex(parts[2])
    except ValueError:
        return None


def secret_for(role: Role, workspace_secret: bytes) -> bytes:
    """The secret of the tree that a key of this role carries."""
    if role is Role.ADMIN:
        return workspace_secret
    operator = _derive(workspace_secret, b"cmdop/1 operator")
    return _derive(operator, b"cmdop/1 observer") if role is Role.OBSERVER else operator


def machine_psk(held: Role, secret: bytes, role: Role, machine_id: str) -> bytes:
    """A machine's pre-shared key for `role`, from the secret that a `held` key carries."""
    if held is Role.OBSERVER and role is not Role.OBSERVER:
        raise RoleTooLow(what="typing into a session", needed="operator", role=held.value)
    if held is Role.ADMIN:
        secret = secret_for(Role.OPERATOR, secret)
    if role is Role.OBSERVER and held is not Role.OBSERVER:
        secret = _derive(secret, b"cmdop/1 observer")
    return _derive(secret, b"cmdop/1 machine " + machine_id.encode())


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), SECRET_BYTES, salt=None, info=info).derive(secret)


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")
