"""Session tokens: what a machine gave to a client, so that it need not prove itself again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from cmdop.limits import SESSION_TOKEN_SECONDS, TOKENS_MAX


class _Given(NamedTuple):
    client_id: str
    operator: str
    until: float


class TokenTable:
    """The tokens that are valid now. Only their hashes are kept. Told Unix time in seconds.

    Guarded by its owner's lock.
    """

    def __init__(self, kept: Iterable[tuple[str, str, str, float]] = ()) -> None:
        """`kept` is what `rows` of another process's table had."""
        self._given = {digest: _Given(client_id, operator, until) for digest, client_id, operator, until in kept}

    def issue(self, client_id: str, operator: str, now: float) -> str:
        """A new token for a client; past `TOKENS_MAX` the oldest ones are revoked."""
        token = os.urandom(32).hex()
        self._given[_digest(token)] = _Given(client_id, operator, now + SESSION_TOKEN_SECONDS)
        while len(self._given) > TOKENS_MAX:
            del self._given[next(iter(self._given))]
        return token

    def valid(self, token: str, operator: str, now: float) -> bool:
        """Whether this operator was given the token, and it has not expired."""
        given = self._given.get(_digest(token))
        return given is not None and given.operator == operator and now < given.until

    def valid_for(self, token: str, client_id: str, operator: str, now: float) -> bool:
        """The same, and for this client."""
        return self.valid(token, operator, now) and self._given[_digest(token)].client_id == client_id

    def revoke_all(self) -> None:
        self._given.clear()

    def rows(self) -> list[tuple[str, str, str, float]]:
        """Everything, for another process of this machine's agent."""
        return [(digest, *given) for digest, given in self._given.items()]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
