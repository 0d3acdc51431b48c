"""The session tokens that this process was given, for every call that it makes afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from cmdop.limits import SESSION_TOKEN_SECONDS, TOKENS_MAX


class TokenCache:
    """Tokens by machine and API key, each for as long as its machine said, at most 24 h. Any thread."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` is Unix time: a computer that sleeps does not make a token live longer."""
        self._clock = clock
        # Guards the tokens.
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}

    def keep(self, machine_id: str, key_id: str, token: str, ttl_seconds: float) -> None:
        """The machine gave this token to who came with that key."""
        until = self._clock() + min(ttl_seconds, SESSION_TOKEN_SECONDS)
        with self._lock:
            self._tokens.pop((machine_id, key_id), None)
            self._tokens[machine_id, key_id] = (token, until)
            if len(self._tokens) > TOKENS_MAX:
                del self._tokens[next(iter(self._tokens))]

    def get(self, machine_id: str, key_id: str) -> str:
        """The token, empty where there is none that is still good."""
        with self._lock:
            token, until = self._tokens.get((machine_id, key_id), ("", 0.0))
            return token if self._clock() < until else ""

    def forget(self, machine_id: str, key_id: str) -> None:
        """The machine knows it no more. Twice is quiet."""
        with self._lock:
            self._tokens.pop((machine_id, key_id), None)


TOKENS: Final = TokenCache()
"""Those of this process."""
