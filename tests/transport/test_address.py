"""A relay's address in every way that people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import BadServer
from cmdop.limits import DEFAULT_PORT, DEFAULT_SERVER
from cmdop.transport.address import ServerAddress, is_loopback, parse_server

GOOD = {
    "ws://127.0.0.1:7420": ServerAddress(False, "127.0.0.1", 7420),
    "ws://relay.example.com": ServerAddress(False, "relay.example.com", 80),
    "wss://relay.example.com": ServerAddress(True, "relay.example.com", 443),
    "wss://relay.example.com:8443/": ServerAddress(True, "relay.example.com", 8443),
    "wss://relay.example.com/v1": ServerAddress(True, "relay.example.com", 443),
    "http://localhost:80": ServerAddress(False, "localhost", 80),
    "https://relay.example.com": ServerAddress(True, "relay.example.com", 443),
    "relay.example.com": ServerAddress(True, "relay.example.com", 443),
    "relay.example.com:8443": ServerAddress(True, "relay.example.com", 8443),
    "RELAY.Example.COM": ServerAddress(True, "relay.example.com", 443),
    "WSS://relay.example.com": ServerAddress(True, "relay.example.com", 443),
    "localhost": ServerAddress(False, "localhost", DEFAULT_PORT),
    "127.0.0.1": ServerAddress(False, "127.0.0.1", DEFAULT_PORT),
    "127.0.0.1:99": ServerAddress(False, "127.0.0.1", 99),
    "[::1]:7420": ServerAddress(False, "::1", 7420),
    "ws://[::1]": ServerAddress(False, "::1", 80),
    "wss://[2001:db8::1]:8443": ServerAddress(True, "2001:db8::1", 8443),
    "  wss://relay.example.com \n": ServerAddress(True, "relay.example.com", 443),
}
BAD = [
    "",
    "ws://",
    "ftp://relay.example.com",
    "relay.example.com:port",
    "relay.example.com:99999",
    "relay.example.com:-1",
    "ws://relay example.com",
    "ws://relay\texample.com",
    "wss://user@relay.example.com",
    "wss://user:secret@relay.example.com",
    "wss://relay.example.com/other",
    "wss://relay.example.com?x=1",
    "wss://relay.example.com#x",
    "ws://[::1",
    "::1",
    ":7420",
]


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_understood(text: str) -> None:
    assert parse_server(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(BadServer) as refused:
        parse_server(text)
    assert refused.value.details["server"] == text
    assert refused.value.details["reason"]


@pytest.mark.parametrize("address", GOOD.values())
def test_an_address_that_is_shown_is_understood_again(address: ServerAddress) -> None:
    assert parse_server(address.url) == address
    assert parse_server(address.endpoint) == address


@given(text=st.text(max_size=60) | st.from_regex(r"(wss?://)?[\w.\-:\[\]@/?#%]*", fullmatch=True))
def test_any_text_is_an_address_or_is_refused_with_a_sentence(text: str) -> None:
    try:
        address = parse_server(text)
    except BadServer:
        return
    assert address.host
    assert 0 <= address.port < 65536


def test_the_default_is_a_plain_address_on_loopback() -> None:
    assert parse_server(DEFAULT_SERVER) == ServerAddress(False, "127.0.0.1", DEFAULT_PORT)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["relay.example.com", "10.0.0.1", "0.0.0.0", "::", "localhost.example.com", ""])
def test_anything_else_is_a_network(host: str) -> None:
    assert not is_loopback(host)
