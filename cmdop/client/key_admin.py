"""Keys of a workspace, made and revoked by its admin's client.

A key is made here, whole. What the relay gets is its id, its label, its role and the
hash of its relay half.
"""

from __future__ import annotations

from cmdop.auth.keys import ApiKey, Role, half_hash, key_id_in, new_key_id, new_relay_half
from cmdop.client.link import RelayLink
from cmdop.errors import NoSuchKey, RemoteProtocolError, RoleTooLow
from cmdop.limits import KEYS_PER_WORKSPACE_MAX
from cmdop.wire.relay_messages import AddKey, KeyAbout, KeyChanged, Keys, ListKeys, RevokeKey


def need_admin(key: ApiKey, what: str) -> None:
    """Raises RoleTooLow for any key but an admin's; `what` is what it is needed for."""
    if key.role is not Role.ADMIN:
        raise RoleTooLow(what=what, needed=Role.ADMIN.value, role=key.role.value)


def create_key(link: RelayLink, admin: ApiKey, label: str, role: Role) -> ApiKey:
    """A new key that the relay knows. Raises RoleTooLow, UsageError, TooManyKeys."""
    made = admin.for_role(role, new_key_id(), new_relay_half())
    link.ask(AddKey(made.key_id, label, role.value, half_hash(made.relay_half)), KeyChanged)
    return made


def all_keys(link: RelayLink) -> list[KeyAbout]:
    """The workspace's keys, revoked ones included, oldest first. Raises RoleTooLow."""
    found: list[KeyAbout] = []
    while True:
        answer = link.ask(ListKeys(len(found)), Keys)
        found += answer.keys
        if not answer.more:
            return found
        if not answer.keys or len(found) > KEYS_PER_WORKSPACE_MAX:
            raise RemoteProtocolError(reason="keys without end")


def revoke_key(link: RelayLink, text: str, last_admin: bool = False) -> KeyChanged:
    """Revoke the key that a text names; its connections are closed when this returns.

    Raises RoleTooLow, NoSuchKey, UsageError when several ids begin so, and LastAdminKey
    unless `last_admin` says that it may be. Of a whole key only the id is sent.
    """
    wanted = key_id_in(text)
    if not wanted:
        raise NoSuchKey(key=f"{text.strip()[:12]}…")
    return link.ask(RevokeKey(wanted, last_admin), KeyChanged)
