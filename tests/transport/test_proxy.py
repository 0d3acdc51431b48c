"""Which proxy it is: decided from variables alone, as users of curl and git expect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import BadProxy
from cmdop.transport.address import parse_server
from cmdop.transport.no_proxy import excepting
from cmdop.transport.proxy import (
    SYSTEM_EXCEPTIONS,
    SYSTEM_SECURE,
    SYSTEM_SOCKS,
    VARIABLES,
    Proxy,
    Said,
    choose,
    names_proxies,
    parse_proxy,
    proxies_in,
    variables_of,
)

RELAY = "wss://relay.example.org"


def chosen(url: str, **environment: str) -> str:
    """The proxy for a relay, or why there is none."""
    choice = choose(proxies_in(environment), parse_server(url))
    return choice.proxy.url if choice.proxy else choice.why


# -- which variable -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        (RELAY, {"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        (RELAY, {"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "http://b:1"),
        (RELAY, {"ALL_PROXY": "socks5://a", "HTTPS_PROXY": "http://b:1"}, "http://b:1"),
        (RELAY, {"ALL_PROXY": "socks5://a"}, "socks5://a:1080"),
        (RELAY, {"all_proxy": "socks5h://a:9", "ALL_PROXY": "socks5://b"}, "socks5h://a:9"),
        (RELAY, {"HTTP_PROXY": "http://a:1"}, "no proxy is set"),
        ("ws://relay.example.org", {"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "http://a:1"),
        ("ws://relay.example.org", {"HTTPS_PROXY": "http://b:1"}, "no proxy is set"),
        (RELAY, {"HTTPS_PROXY": "", "https_proxy": "", "ALL_PROXY": ""}, "no proxy is set"),
        (RELAY, {"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, "http://a:1"),
        (RELAY, {SYSTEM_SECURE: "http://a:1", SYSTEM_SOCKS: "socks5://b"}, "http://a:1"),
        (RELAY, {SYSTEM_SECURE: "http://a:1", "ALL_PROXY": "http://b:1"}, "http://b:1"),
        (RELAY, {SYSTEM_SECURE: "http://a:1", SYSTEM_EXCEPTIONS: "*.org"}, f"{SYSTEM_EXCEPTIONS} has *.org"),
    ],
)
def test_the_variable_is_the_one_that_curl_takes(url: str, environment: dict[str, str], expected: str) -> None:
    assert chosen(url, **environment) == expected


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_a_relay_on_this_machine_has_no_proxy_whatever_is_set(host: str) -> None:
    assert chosen(f"wss://{host}:7420", ALL_PROXY="http://a:1") == "it stays on this machine"
    assert chosen(f"ws://{host}:7420", ALL_PROXY="http://a:1") == "it stays on this machine"


def test_a_proxy_on_this_machine_is_one_as_any_other() -> None:
    assert chosen(RELAY, HTTPS_PROXY="http://127.0.0.1:3128") == "http://127.0.0.1:3128"


def test_an_empty_variable_says_that_there_is_to_be_none() -> None:
    assert names_proxies({"HTTPS_PROXY": ""})
    assert names_proxies({"all_proxy": "x"})
    assert not names_proxies({"NO_PROXY": "*", "PATH": "/bin"})
    environment = {"HTTPS_PROXY": "", "https_proxy": "x", "NO_PROXY": "y", "PATH": "/bin"}
    assert variables_of(environment) == {"https_proxy": "x", "NO_PROXY": "y"}


# -- NO_PROXY -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("no_proxy", "host", "entry"),
    [
        ("*", "relay.example.org", "*"),
        ("a, *", "192.0.2.1", "*"),
        ("example.org", "relay.example.org", "example.org"),
        ("example.org", "example.org", "example.org"),
        (".example.org", "example.org", ".example.org"),
        (".example.org", "relay.example.org", ".example.org"),
        ("*.example.org", "relay.example.org", "*.example.org"),
        ("Example.ORG.", "RELAY.example.org.", "Example.ORG."),
        ("ample.org", "relay.example.org", ""),
        ("relay.example.org.evil", "relay.example.org", ""),
        ("other,relay.example.org", "relay.example.org", "relay.example.org"),
        ("other relay.example.org", "relay.example.org", "relay.example.org"),
        ("other;relay.example.org", "relay.example.org", "relay.example.org"),
        ("relay.example.org:443", "relay.example.org", "relay.example.org:443"),
        ("relay.example.org:7420", "relay.example.org", ""),
        ("*:443", "relay.example.org", "*:443"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1", "192.0.2.1:443"),
        ("192.0.2.0/24", "192.0.2.77", "192.0.2.0/24"),
        ("192.0.2.9/24", "192.0.2.77", "192.0.2.9/24"),
        ("192.0.2.0/28", "192.0.2.77", ""),
        ("192.0.2.*", "192.0.2.77", "192.0.2.*"),
        ("2.1", "192.0.2.1", ""),
        ("2001:db8::/32", "2001:db8::7", "2001:db8::/32"),
        ("[2001:db8::7]:443", "2001:DB8:0::7", "[2001:db8::7]:443"),
        ("2001:db8::7", "2001:db8:0::7", "2001:db8::7"),
        ("192.0.2.0/24", "2001:db8::7", ""),
        ("10.0.0.0/8", "relay.example.org", ""),
        ("<local>", "relay", "<local>"),
        ("<local>", "relay.example.org", ""),
        ("rel*.example.org", "relay.example.org", "rel*.example.org"),
        ("rel*.example.org", "other.example.org", ""),
        ("", "relay", ""),
        (" , .,*.", "relay", ""),
    ],
)
def test_no_proxy_is_read_as_curl_does(no_proxy: str, host: str, entry: str) -> None:
    assert excepting(no_proxy, host, 443) == entry


@given(st.text(max_size=60), st.sampled_from(["relay.example.org", "192.0.2.1", "2001:db8::1", "x..y", "1.2"]))
def test_no_list_is_too_odd(no_proxy: str, host: str) -> None:
    entry = excepting(no_proxy, host, 443)
    assert entry in no_proxy


@given(st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1, max_size=4))
def test_a_name_means_itself_and_all_below_it_and_no_other(labels: list[str]) -> None:
    name = ".".join(labels)
    assert excepting(name, name, 443) == excepting(name, f"www.{name}", 443) == name
    assert excepting(name, f"x{name}", 443) == ""
    assert excepting(f"below.{name}", name, 443) == ""


# -- a proxy's URL --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy:3128", Proxy("http", "proxy", 3128, "X")),
        ("proxy:3128", Proxy("http", "proxy", 3128, "X")),
        ("HTTP://Proxy/", Proxy("http", "proxy", 80, "X")),
        ("ann:hush@proxy:3128", Proxy("http", "proxy", 3128, "X", "ann", "hush")),
        ("http://ann:a%40b%3Ac@proxy", Proxy("http", "proxy", 80, "X", "ann", "a@b:c")),
        ("http://ann:a@b/c#d?e:f@proxy:1", Proxy("http", "proxy", 1, "X", "ann", "a@b/c#d?e:f")),
        ("http://ann@proxy", Proxy("http", "proxy", 80, "X", "ann")),
        ("http://gr%C3%BCn:%C3%9F@proxy", Proxy("http", "proxy", 80, "X", "grün", "ß")),
        ("socks5://[2001:db8::1]:9", Proxy("socks5", "2001:db8::1", 9, "X")),
        ("socks5h://ann:hush@proxy", Proxy("socks5h", "proxy", 1080, "X", "ann", "hush")),
        ("socks4a://proxy", Proxy("socks4a", "proxy", 1080, "X")),
    ],
)
def test_a_proxy_is_read_from_its_url(text: str, proxy: Proxy) -> None:
    assert parse_proxy(Said("X", text)) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "https://ann:hush@proxy:3128",
        "ftp://ann:hush@proxy",
        "ann:hush://proxy",
        "http://",
        "http://ann:hush@",
        "http://ann:hush@proxy:port",
        "http://ann:hush@proxy:0",
        "http://ann:hush@proxy:99999",
        "http://ann:hush@[::1",
        "http://ann:hush@a b",
        "socks5://ann:%C3%9Fhush@proxy",
        f"socks5://ann:{'hush' * 64}@proxy",
    ],
)
def test_what_is_no_proxy_is_said_with_its_variable_and_nothing_of_it(text: str) -> None:
    with pytest.raises(BadProxy) as refused:
        parse_proxy(Said("HTTPS_PROXY", text))
    said = f"{refused.value.sentence} {refused.value.next_step} {refused.value.details}"
    assert said.startswith("the proxy in HTTPS_PROXY cannot be used: ")
    assert "hush" not in said


SECRET = st.text(alphabet="abcdefg@:/#?%[]", min_size=8, max_size=20)


@given(
    st.sampled_from(["", "http://", "socks5://", "https://", "x:/"]), SECRET, st.sampled_from(["proxy:1", "", "[::"])
)
def test_no_password_is_ever_shown(scheme: str, password: str, place: str) -> None:
    proxies = proxies_in({"HTTPS_PROXY": f"{scheme}ann:{password}@{place}"})
    try:
        choice = choose(proxies, parse_server(RELAY))
        shown = f"{choice} {choice.proxy and choice.proxy.url} {proxies}"
    except BadProxy as error:
        shown = f"{error.sentence} {error.next_step} {error.details} {error!r}"
    assert password not in shown


def test_every_variable_is_on_the_list() -> None:
    assert {"HTTPS_PROXY", "http_proxy", "ALL_PROXY", "no_proxy"} <= VARIABLES
