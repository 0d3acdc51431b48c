"""Which passwords are tried, in which order, and how a machine that asks for one is entered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from cmdop.auth.token_cache import TokenCache
from cmdop.client.entering import Entered, enter
from cmdop.client.passwords import Offer, Passwords, Source
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    KeyringUnusable,
    PasswordMissing,
    PasswordRefused,
    RemoteProtocolError,
)
from cmdop.limits import PROTOCOL_VERSION, SESSION_TOKEN_SECONDS
from cmdop.wire.message import Message, padded
from cmdop.wire.session_messages import AuthChallenge, AuthResponse, Notice, Refused, Register
from tests.client.far_end import READY, TIMEOUT_SECONDS, WELCOME_IN, FarEnd

REGISTER = Register(PROTOCOL_VERSION, "test", "a" * 16, 24, 80)
MACHINE = "machine"


class Typing:
    """Somebody who types these passwords, and remembers what was said."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.said: list[str] = []
        self.before_typing: Callable[[], None] = lambda: None

    def asked(self) -> None:
        self.said.append("asked")

    def ask(self, host: str) -> str:
        self.before_typing()
        self.said.append(f"Password for {host}:")
        return self.texts.pop(0)

    def wrong(self, host: str, source: str | None) -> None:
        self.said.append(f"wrong {source}")

    def cannot_look(self, source: str, error: CmdopError) -> None:
        self.said.append(f"{source}: {error.code}")

    def waits(self, host: str, seconds: float) -> None:
        self.said.append(f"waits {seconds:g}")


class Password:
    """A machine that has one, and answers at most so often."""

    def __init__(self, right: str, wait_seconds: float = 0.0) -> None:
        self.far = FarEnd()
        self.tried: list[str] = []
        self.answers: list[AuthResponse] = []
        self._right, self._wait_seconds = right, wait_seconds
        threading.Thread(target=self._serve, name="test machine asks", daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(AssertionError, CmdopError):  # nobody says it any more
            self._ask()

    def _ask(self) -> None:
        self.far.until_said(Register)
        for number in range(1, 10):
            self.far.say(AuthChallenge(("password",), 6, self._wait_seconds))
            answers = self.far.until_said(AuthResponse, number)
            self.tried.append(answers[-1].password)
            self.answers.append(answers[-1])
            if self.tried[-1] == self._right:
                break
        self.far.say(WELCOME_IN)
        self.far.say(READY)

    def enter(self, passwords: Passwords) -> Entered:
        return enter(self.far.stream, MACHINE, REGISTER, passwords)


def source(text: str | None, name: str = "a source", of_machine: bool = False) -> Source:
    return Source(name, lambda _: text, of_machine)


def no_keyring(_: str) -> str | None:
    raise KeyringUnusable(reason="it is locked")


# -- which ones -----------------------------------------------------------------------------------


def test_all_sources_are_tried_in_their_order_and_then_somebody_is_asked() -> None:
    machine, typing = Password("fifth"), Typing("fourth", "fifth")
    entered = machine.enter(Passwords([source("one", "1"), source(None), source("2", "2"), source("3", "3")], typing))
    assert entered == Entered(READY, WELCOME_IN)
    assert machine.tried == ["one", "2", "3", "fourth", "fifth"]
    asked, prompt = "asked", "Password for prod:"
    assert typing.said == ["wrong 1", "wrong 2", "wrong 3", asked, prompt, "wrong None", prompt]


def test_the_same_password_from_two_sources_is_tried_once() -> None:
    machine = Password("right")
    machine.enter(Passwords([source("same"), source("same"), source("right")]))
    assert machine.tried == ["same", "right"]


def test_somebody_is_asked_three_times() -> None:
    machine, typing = Password("right"), Typing("a", "b", "c", "right")
    with pytest.raises(PasswordRefused) as refused:
        machine.enter(Passwords(person=typing))
    assert refused.value.sentence == "wrong password for prod"
    assert machine.tried == ["a", "b", "c"]


def test_a_source_that_cannot_be_looked_at_is_said_and_passed_over() -> None:
    machine, typing = Password("right"), Typing("right")
    machine.enter(Passwords([Source("the keyring", no_keyring)], typing))
    assert typing.said[0] == "the keyring: keyring-unusable"
    assert machine.tried == ["right"]


def test_nobody_to_ask_and_nothing_to_say_fails_at_once() -> None:
    machine = Password("right")
    with pytest.raises(PasswordMissing) as missing:
        machine.enter(Passwords([source(None)]))
    assert missing.value.exit_status == 5
    assert "--password-file" in missing.value.next_step
    assert machine.tried == []


def test_a_wrong_one_is_not_tried_again_on_this_machine() -> None:
    passwords = Passwords([source("wrong")])
    with pytest.raises(PasswordRefused):
        Password("right").enter(passwords)
    again = Password("right")
    with pytest.raises(PasswordRefused):
        again.enter(passwords)
    assert again.tried == []
    assert [offer.text for offer in passwords.silent("another machine")] == ["wrong"]


def test_what_a_machine_took_before_is_what_a_client_comes_back_with() -> None:
    passwords = Passwords([source("wrong")], Typing("right"))
    Password("right").enter(passwords)
    again = Password("right")
    again.enter(passwords.proven_only(MACHINE))
    assert again.tried == ["right"]
    with pytest.raises(PasswordMissing):
        Password("right").enter(passwords.proven_only("another machine"))


def test_what_may_be_another_machine_s_can_be_left_out() -> None:
    passwords = Passwords([source("any"), source("its own", of_machine=True)])
    assert [offer.text for offer in passwords.silent(MACHINE, of_machine_only=True)] == ["its own"]


def test_an_answer_does_not_tell_how_long_the_password_is() -> None:
    machine, texts = Password("right"), ["x", "x" * 100, "right"]
    machine.enter(Passwords([source(text) for text in texts]))
    assert machine.answers == [padded(AuthResponse("password", text)) for text in texts]


def test_nothing_shows_a_password() -> None:
    secret = "correct horse"
    passwords = Passwords([source(secret)])
    passwords.right(MACHINE, Offer(secret))
    assert secret not in repr([Offer(secret), source(secret), passwords, AuthResponse("password", secret)])


def test_how_long_an_answer_waits_is_said() -> None:
    machine, typing = Password("right", wait_seconds=32.0), Typing("right")
    machine.enter(Passwords(person=typing))
    assert typing.said[-1] == "waits 32"


# -- while somebody types -------------------------------------------------------------------------


def test_the_relay_s_pings_are_answered_while_somebody_types() -> None:
    machine, typing = Password("right"), Typing("right")
    answered = threading.Event()

    def ping_and_wait() -> None:
        machine.far.ping()
        machine.far.until(lambda far: far.pongs == 1)
        answered.set()

    typing.before_typing = ping_and_wait
    machine.enter(Passwords(person=typing))
    assert answered.is_set()


def while_typing(*happens: Callable[[FarEnd], None]) -> CmdopError:
    """What entering raises when this happens while somebody types."""
    machine, typing = Password("right"), Typing("right")

    def happen() -> None:
        for one in happens:
            one(machine.far)
        listening = [thread for thread in threading.enumerate() if thread.name == "relay->prompt"]
        listening[-1].join(TIMEOUT_SECONDS)  # those before it are of other tests

    typing.before_typing = happen
    with pytest.raises(CmdopError) as raised:
        machine.enter(Passwords(person=typing))
    return raised.value


def say(message: Message) -> Callable[[FarEnd], None]:
    return lambda far: far.say(message)


def test_a_connection_that_ends_while_somebody_types_is_said() -> None:
    assert isinstance(while_typing(lambda far: far.connection.close("gone")), ConnectionClosed)


def test_a_refusal_while_somebody_types_is_said() -> None:
    assert while_typing(say(Refused("timed-out", "too slow"))).code == "timed-out"


def test_a_machine_that_does_not_wait_for_the_answer_breaks_the_protocol() -> None:
    assert isinstance(while_typing(say(READY)), RemoteProtocolError)


def test_what_a_newer_machine_says_meanwhile_is_ignored() -> None:
    machine, typing = Password("right"), Typing("right")
    typing.before_typing = lambda: machine.far.send(1, 0, b"\x81\xa2is\xa6Future")
    assert machine.enter(Passwords(person=typing)).ready == READY


def test_another_way_to_ask_is_one_that_we_do_not_know() -> None:
    far = FarEnd()
    far.say(AuthChallenge(("fingerprint",)))
    with pytest.raises(RemoteProtocolError):
        enter(far.stream, MACHINE, REGISTER, Passwords([source("right")]))
    assert not [message for message in far.messages if isinstance(message, AuthResponse)]


def test_data_before_the_session_breaks_the_protocol() -> None:
    far = FarEnd()
    far.say(Notice("hello"))
    with pytest.raises(RemoteProtocolError):
        enter(far.stream, MACHINE, REGISTER, Passwords())


# -- tokens ---------------------------------------------------------------------------------------


def test_a_token_is_good_for_its_machine_and_key_and_for_its_time() -> None:
    now = 1000.0
    cache = TokenCache(lambda: now)
    cache.keep(MACHINE, "key", "t0ken", 60.0)
    assert cache.get(MACHINE, "key") == "t0ken"
    assert cache.get("another machine", "key") == cache.get(MACHINE, "another key") == ""
    now += 59.9
    assert cache.get(MACHINE, "key") == "t0ken"
    now += 0.1
    assert cache.get(MACHINE, "key") == ""


def test_no_machine_makes_a_token_last_longer_than_a_day() -> None:
    now = 1000.0
    cache = TokenCache(lambda: now)
    cache.keep(MACHINE, "key", "t0ken", 1e12)
    now += SESSION_TOKEN_SECONDS
    assert cache.get(MACHINE, "key") == ""


def test_a_token_can_be_forgotten_twice() -> None:
    cache = TokenCache()
    cache.keep(MACHINE, "key", "t0ken", 60.0)
    for _ in range(2):
        cache.forget(MACHINE, "key")
        assert cache.get(MACHINE, "key") == ""
