"""What an admin on any client does with the keys of its workspace.

The client makes a key and keeps it; what comes here is its name and the hash of its
relay half, so no whole key is ever on the relay's machine, and no half of one.
"""

from __future__ import annotations

import logging

from cmdop.auth.keys import Role, mask
from cmdop.errors import (
    CmdopError,
    LastAdminKey,
    NoSuchKey,
    NoSuchRecord,
    RoleTooLow,
    StoreUnusable,
    UsageError,
)
from cmdop.limits import KIB
from cmdop.relay import admin
from cmdop.relay.board import Board
from cmdop.relay.gate import REVOKED
from cmdop.relay.peer import Caller, Peer
from cmdop.store.interface import KeyRecord, Store
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import (
    RELAY_MESSAGES,
    AddKey,
    Closed,
    Denied,
    KeyAbout,
    KeyChanged,
    Keys,
    ListKeys,
    RevokeKey,
)

_LOG = logging.getLogger(__name__)
_PAGE_BYTES = 48 * KIB
"""For the keys in one message, which is no longer than any other."""


class KeyDesk:
    """Answers an admin's connection; every other one is refused. Usable from any thread."""

    def __init__(self, store: Store, board: Board) -> None:
        self._store, self._board = store, board

    def answer(self, peer: Peer, asked: AddKey | ListKeys | RevokeKey) -> Message:
        """What is done, or why it is not. Raises StoreUnusable."""
        try:
            if isinstance(asked, ListKeys):
                return self._page(peer, asked)
            changed = self._add(peer, asked) if isinstance(asked, AddKey) else self._revoke(peer, asked)
        except StoreUnusable:
            raise
        except CmdopError as error:
            _LOG.info("%s denied: %s", peer, error.sentence)
            return Denied(error.code, error.sentence)
        done = "added" if isinstance(asked, AddKey) else "revoked"
        _LOG.info("%s %s the key %s (%s, %s)", peer, done, changed.key.key_id, changed.key.label, changed.key.role)
        return changed

    def _add(self, peer: Peer, asked: AddKey) -> KeyChanged:
        caller = _admin(peer, "making keys")
        if asked.role not in [role.value for role in Role]:
            raise UsageError(reason=f"there is no role {asked.role!r}")
        created = self._board.unix_now()
        record = KeyRecord(asked.key_id, caller.workspace, asked.label, asked.role, asked.half_hash, created)
        admin.add_key(self._store, record)
        return KeyChanged(_about(record))

    def _page(self, peer: Peer, asked: ListKeys) -> Keys:
        caller = _admin(peer, "listing keys")
        return page_of([_about(record) for record in self._store.keys(caller.workspace)], asked.first)

    def _revoke(self, peer: Peer, asked: RevokeKey) -> KeyChanged:
        """Its connections are closed, but for that of `peer`, which gets the answer first."""
        caller = _admin(peer, "revoking keys")
        key = self._find(caller, asked.key_id)
        if key.revoked_at is None and not asked.last_admin and self._is_last_admin(key):
            raise LastAdminKey(key=mask(key.key_id), workspace=key.workspace)
        revoked, left = admin.revoke_key(self._store, key.key_id, self._board.unix_now())
        theirs = self._board.peers_with_key(key.key_id)
        for one in theirs:
            if one is not peer:
                self._board.dismiss(one, Closed("key-refused", REVOKED))
        return KeyChanged(_about(revoked), len(theirs), left)

    def _find(self, caller: Caller, text: str) -> KeyRecord:
        try:
            return admin.find_key(self._store, text, caller.workspace)
        except NoSuchRecord as error:
            raise NoSuchKey(key=text) from error

    def _is_last_admin(self, key: KeyRecord) -> bool:
        admins = admin.valid_admin_keys(self._store, key.workspace)
        return [one.key_id for one in admins] == [key.key_id]


def page_of(keys: list[KeyAbout], first: int, room_bytes: int = _PAGE_BYTES) -> Keys:
    """As many of them, from the `first` on, as `room_bytes` hold; at least one, if there is one."""
    used, end = 0, first
    for about in keys[first:]:
        used += len(RELAY_MESSAGES.encode(Keys((about,))))
        if used > room_bytes and end > first:
            break
        end += 1
    return Keys(tuple(keys[first:end]), more=end < len(keys))


def _admin(peer: Peer, what: str) -> Caller:
    if peer.caller.role is not Role.ADMIN:
        raise RoleTooLow(what=what, needed=Role.ADMIN.value, role=peer.caller.role.value)
    return peer.caller


def _about(record: KeyRecord) -> KeyAbout:
    return KeyAbout(
        record.key_id, record.label, record.role, record.created, last_used=record.last_used, revoked=record.revoked_at
    )
