"""Session tokens: what a machine gave to a client, so that it need not prove itself again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from cmdop.limits import TOKENS_MAX

Row = tuple[str, str, str, float, str]
"""A token's digest, the client's id, its operator, until when it is valid, and under which password."""


class _Given(NamedTuple):
    client_id: str
    operator: str
    until: float
    password_id: str


class TokenTable:
    """The tokens that were given. Only their hashes are kept. Told Unix time in seconds.

    Each is valid only as long as the machine has the password (`password_id`, empty for
    none) that it had then: another password revokes all at once. Guarded by its owner's lock.
    """

    def __init__(self, kept: Iterable[Row] = ()) -> None:
        """`kept` is what `rows` of another process's table had."""
        self._given = {row[0]: _Given(row[1], row[2], row[3], row[4]) for row in kept}

    def issue(self, client_id: str, operator: str, password_id: str, until: float) -> str:
        """A new token for a client; past `TOKENS_MAX` the oldest ones are revoked."""
        token = os.urandom(32).hex()
        self._given[_digest(token)] = _Given(client_id, operator, until, password_id)
        while len(self._given) > TOKENS_MAX:
            del self._given[next(iter(self._given))]
        return token

    def valid_until(self, token: str, operator: str, password_id: str, now: float) -> float | None:
        """Until when, for this operator and under this password; None if it is not."""
        given = self._given.get(_digest(token))
        if given is None or (given.operator, given.password_id) != (operator, password_id):
            return None
        return given.until if now < given.until else None

    def given_to(self, token: str, client_id: str, operator: str) -> bool:
        """Whether this very client got it, valid or no more: who comes back is known by it."""
        given = self._given.get(_digest(token))
        return given is not None and (given.client_id, given.operator) == (client_id, operator)

    def rows(self) -> list[Row]:
        """Everything, for another process of this machine's agent."""
        return [(digest, *given) for digest, given in self._given.items()]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
