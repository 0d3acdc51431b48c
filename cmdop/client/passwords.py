"""What this client says to machines that ask for their password: its sources, in order, each once.

The order is that of docs/cli.md: what the command line has, what is kept for the machine,
the environment, and somebody at the terminal, up to `PASSWORD_PROMPTS_MAX` times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cmdop.auth.token_cache import TokenCache
from cmdop.errors import CmdopError
from cmdop.limits import PASSWORD_PROMPTS_MAX
from cmdop.wire.session_messages import AuthSuccess


@dataclass(frozen=True)
class Source:
    """Where a password may be: what the user knows it as, and how to get it for a machine's id.

    `find` raises CmdopError when it cannot look. A source is `of_machine` if what it has
    is meant for that very machine.
    """

    name: str
    find: Callable[[str], str | None] = field(repr=False)
    of_machine: bool = False


@dataclass(frozen=True)
class Offer:
    """A password to try; `source` is None for one that somebody typed."""

    text: str = field(repr=False)
    source: str | None = None


class Told(Protocol):
    """Hears what came of passwords."""

    def wrong(self, host: str, source: str | None) -> None:
        """That was not it; `source` is None for what the user typed."""

    def cannot_look(self, source: str, error: CmdopError) -> None:
        """A source could not be looked at."""

    def waits(self, host: str, seconds: float) -> None:
        """The machine will let the answer wait for so long."""


class Person(Told, Protocol):
    """Somebody to ask, too (cli/passwords.py)."""

    def asked(self) -> None:
        """A machine asks for its password, and nobody but the user can answer. Told once an attempt."""

    def ask(self, host: str) -> str:
        """What the user types. Raises what leaving the question raises."""
        ...


class Nobody:
    """Hears nothing."""

    def wrong(self, host: str, source: str | None) -> None:
        pass

    def cannot_look(self, source: str, error: CmdopError) -> None:
        pass

    def waits(self, host: str, seconds: float) -> None:
        pass


class Passwords:
    """The sources of one process; what was right, what was wrong, and the tokens it brought. Any thread.

    `person` is asked when the other sources have nothing more; None for nobody.
    """

    def __init__(
        self,
        sources: Sequence[Source] = (),
        person: Person | None = None,
        told: Told | None = None,
        tokens: TokenCache | None = None,
    ) -> None:
        self.person = person
        self.told: Told = person or told or Nobody()
        self.tokens = tokens or TokenCache()
        self._sources = tuple(sources)
        # Guards the two below.
        self._lock = threading.Lock()
        self._right: dict[str, str] = {}
        self._wrong: set[tuple[str, str]] = set()

    def proven_only(self, machine_id: str) -> Passwords:
        """The same for who comes back to a machine: what it took before, and nobody is asked."""
        text = self.proven(machine_id)
        return Passwords([Source("this process", lambda _: text)], told=Nobody(), tokens=self.tokens)

    def silent(self, machine_id: str, of_machine_only: bool = False) -> Iterator[Offer]:
        """What may be tried on a machine without asking anybody, as long as it is not known to be wrong.

        With `of_machine_only` nothing that might be meant for another machine.
        """
        proven = self.proven(machine_id)
        if proven is not None:
            yield Offer(proven, "this process")
        for source in self._sources:
            if of_machine_only and not source.of_machine:
                continue
            try:
                text = source.find(machine_id)
            except CmdopError as error:
                self.told.cannot_look(source.name, error)
                continue
            if text and not self._is_wrong(machine_id, text):
                yield Offer(text, source.name)

    def offers(self, machine_id: str, host: str) -> Iterator[Offer]:
        """What may be tried on a machine, at last what its user types."""
        yield from self.silent(machine_id)
        if self.person is None:
            return
        self.person.asked()
        for _ in range(PASSWORD_PROMPTS_MAX):
            yield Offer(self.person.ask(host))

    def proven(self, machine_id: str) -> str | None:
        """The password that this machine took before."""
        with self._lock:
            return self._right.get(machine_id)

    def right(self, machine_id: str, offer: Offer) -> None:
        """The machine took it."""
        with self._lock:
            self._right[machine_id] = offer.text

    def wrong(self, machine_id: str, host: str, offer: Offer) -> None:
        """The machine did not: it is not tried there again."""
        with self._lock:
            self._wrong.add((machine_id, offer.text))
            if self._right.get(machine_id) == offer.text:
                del self._right[machine_id]
        self.told.wrong(host, offer.source)

    def any_wrong(self, machine_id: str) -> bool:
        """Whether the machine was told a wrong one."""
        with self._lock:
            return any(machine == machine_id for machine, _ in self._wrong)

    def _is_wrong(self, machine_id: str, text: str) -> bool:
        with self._lock:
            return (machine_id, text) in self._wrong


class MachinePass:
    """What is shown to one machine with calls: a token, and for a new one passwords that need no question.

    With `of_machine_only` no password is told that might be meant for another machine.
    """

    def __init__(
        self, passwords: Passwords, machine_id: str, key_id: str, host: str, of_machine_only: bool = False
    ) -> None:
        self._passwords, self._machine_id, self._key_id, self._host = passwords, machine_id, key_id, host
        self._of_machine_only = of_machine_only

    @property
    def token(self) -> str:
        """Empty where there is none."""
        return self._passwords.tokens.get(self._machine_id, self._key_id)

    def offers(self) -> Iterator[Offer]:
        """The machine does not take the token, if there was one: what to try."""
        self._passwords.tokens.forget(self._machine_id, self._key_id)
        return self._passwords.silent(self._machine_id, self._of_machine_only)

    def right(self, offer: Offer, success: AuthSuccess) -> None:
        self._passwords.right(self._machine_id, offer)
        self._passwords.tokens.keep(self._machine_id, self._key_id, success.session_token, success.ttl_seconds)

    def wrong(self, offer: Offer) -> None:
        self._passwords.wrong(self._machine_id, self._host, offer)
