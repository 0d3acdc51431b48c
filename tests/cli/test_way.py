"""How the options and the environment of a verb become a way to its relay."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from cmdop.api import connect
from cmdop.auth.keys import new_workspace_key
from cmdop.auth.workspaces import KnownRelay, changing_workspaces
from cmdop.cli import way
from cmdop.cli.completion import answer
from cmdop.cli.root import run
from cmdop.cli.system_proxies import from_macos, from_windows, system_proxies
from cmdop.cli.way import the_way, told_of_proxies
from cmdop.client import link
from cmdop.errors import RelayUnreachable
from cmdop.home import Home
from cmdop.transport import probe
from cmdop.transport.address import ServerAddress, parse_server
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling
from cmdop.transport.no_proxy import LOCAL_NAMES
from cmdop.transport.proxy import SYSTEM_EXCEPTIONS, SYSTEM_PLAIN, SYSTEM_SECURE, SYSTEM_SOCKS, choose, proxies_in
from cmdop.transport.way import Way

RELAY = parse_server("wss://relay.example.org")


KEY = new_workspace_key()
VERBS = (
    "connect prod",
    "connect --list",
    "connect exec prod -- true",
    "connect key list",
    "connect key create --label bob --role operator",
    "connect key revoke 0123456789abcdef",
    "connect machine accept prod",
    "connect password set prod",
    "session list",
    "session create prod",
    "session attach abcd1234",
    "session send abcd1234 x",
    "session read abcd1234",
    "session resize abcd1234 24 80",
    "session signal abcd1234 INT",
    "session close abcd1234",
    "login",
    "doctor",
)
"""All that dial a relay, but for those that need a terminal."""


@pytest.fixture
def dialled(home: Home, monkeypatch: pytest.MonkeyPatch) -> list[Dialling]:
    """What was to be dialled; nothing is. There are a relay, a key, a password, and a proxy."""
    found: list[Dialling] = []

    def dial(to: Dialling) -> Connection:
        found.append(to)
        raise RelayUnreachable(server=to.server.url, reason="nothing is dialled here")

    def ask_upgrade(server: ServerAddress, credential: str, timeout_seconds: float, way: Way) -> probe.Answer:
        found.append(Dialling(server, credential, way=way))
        raise RelayUnreachable(server=server.url, reason="nothing is dialled here")

    monkeypatch.setattr(link, "dial", dial)
    for step in ("look_up", "reach", "shake_hands"):
        monkeypatch.setattr(probe, step, lambda *_: ask_upgrade(RELAY, "", 0.0, _[-1]))
    for name, value in (
        ("CMDOP_HOME", str(home.path)),
        ("CMDOP_SERVER", RELAY.url),
        ("CMDOP_API_KEY", KEY.text),
        ("HTTPS_PROXY", "http://proxy.example.org:3128"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY.text}\n"))
    return found


@pytest.mark.parametrize("line", VERBS)
def test_every_verb_that_dials_a_relay_goes_the_way_that_was_said(line: str, dialled: list[Dialling]) -> None:
    words, dashes, command = line.partition(" -- ")
    assert run([*words.split(), "--ca-file", "own.pem", "--insecure", *(["--", command] if dashes else [])]) != 0
    assert [to.way.insecure for to in dialled] == [True] * len(dialled)
    assert {to.way.ca_file for to in dialled} == {Path("own.pem")}
    assert {to.way.first(to.server).host for to in dialled} == {"proxy.example.org"}


@pytest.mark.parametrize("line", VERBS)
def test_every_verb_trusts_whom_its_workspace_trusts(
    line: str, dialled: list[Dialling], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/env.pem")
    with changing_workspaces(home) as file:
        file.known = file.known.with_relay("home", KnownRelay(RELAY.url, Path("/kept.pem")))
    run(line.split())
    assert {to.way.trusted for to in dialled} == {Path("/kept.pem")}
    dialled.clear()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY.text}\n"))
    monkeypatch.setenv("CMDOP_SERVER", "wss://another.example.org")
    run(line.split())
    assert {to.way.trusted for to in dialled} == {Path("/env.pem")}


@pytest.mark.parametrize(
    "server", ["relay.example.org", "https://Relay.Example.ORG:443/", "wss://relay.example.org/v1"]
)
@pytest.mark.parametrize("line", ["connect --list", "session list", "connect key list", "login", "doctor"])
def test_a_relay_is_the_same_in_every_spelling(line: str, server: str, dialled: list[Dialling], home: Home) -> None:
    with changing_workspaces(home) as file:
        file.known = file.known.with_relay("home", KnownRelay(RELAY.url, Path("/kept.pem")))
    run([*line.split(), "--server", server])
    assert {to.way.trusted for to in dialled} == {Path("/kept.pem")}


def test_a_relay_without_a_key_is_looked_at_with_whom_it_is_trusted_by(
    dialled: list[Dialling], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CMDOP_API_KEY")
    with changing_workspaces(home) as file:
        file.known = file.known.with_relay("home", KnownRelay(RELAY.url, Path("/kept.pem")))
    run(["doctor", "--server", RELAY.url])
    assert {to.way.trusted for to in dialled} == {Path("/kept.pem")}


@pytest.mark.parametrize("verb", ["exec prod -- true", "key list", "machine accept prod", "password set prod"])
def test_what_stands_before_the_verb_holds_for_it(verb: str, dialled: list[Dialling]) -> None:
    run(["connect", "--ca-file", "before.pem", "--insecure", *verb.split()])
    assert [(to.way.insecure, to.way.ca_file) for to in dialled] == [(True, Path("before.pem"))]


def test_what_stands_behind_the_verb_comes_first(dialled: list[Dialling], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDOP_CA_FILE", "env.pem")
    run(["connect", "key", "list"])
    run(["connect", "--ca-file", "before.pem", "key", "list"])
    run(["connect", "--ca-file", "before.pem", "key", "list", "--ca-file", "behind.pem"])
    assert [str(to.way.ca_file) for to in dialled] == ["env.pem", "before.pem", "behind.pem"]


def test_who_completes_a_host_goes_the_same_way(dialled: list[Dialling], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("COMP_WORDS", "cmdop connect --ca-file own.pem --insecure pr"),
        ("COMP_CWORD", "5"),
    ):
        monkeypatch.setenv(name, value)
    answer("bash_complete")
    assert [(to.way.insecure, to.way.ca_file) for to in dialled] == [(True, Path("own.pem"))]
    assert dialled[0].way.first(RELAY).host == "proxy.example.org"


def test_who_completes_a_host_and_a_program_know_the_relay_in_every_spelling(
    dialled: list[Dialling], monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    with changing_workspaces(home) as file:
        file.known = file.known.with_relay("home", KnownRelay(RELAY.url, Path("/kept.pem")))
    monkeypatch.setenv("COMP_WORDS", f"cmdop connect --server {RELAY.host} pr")
    monkeypatch.setenv("COMP_CWORD", "4")
    answer("bash_complete")
    with pytest.raises(RelayUnreachable):
        connect("prod", server=RELAY.host, api_key=KEY.text, home=home.path)
    assert [to.way.trusted for to in dialled] == [Path("/kept.pem")] * 2


@pytest.mark.parametrize("proxy", ["http://ann:hush@proxy:3128", None])
def test_a_program_says_its_own_way(
    proxy: str | None, dialled: list[Dialling], monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    monkeypatch.setenv("CMDOP_CA_FILE", "env.pem")
    with pytest.raises(RelayUnreachable):
        connect("prod", server=RELAY.url, api_key=KEY.text, home=home.path, ca_file="own.pem", proxy=proxy)
    assert dialled[0].way.ca_file == Path("own.pem")
    assert dialled[0].way.first(RELAY).host == ("proxy" if proxy else RELAY.host)


def test_without_anything_it_is_straight() -> None:
    assert the_way(False, None) == Way()


def test_the_environment_stands_behind_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/env.pem")
    assert the_way(False, None).trusted == Path("/env.pem")
    assert the_way(False, Path("given.pem")).trusted == Path("given.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert the_way(False, None).trusted is None


def test_proxies_are_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    proxy = the_way(False, None).choice(RELAY).proxy
    assert proxy is not None
    assert (proxy.host, proxy.variable) == ("proxy", "HTTPS_PROXY")


def test_the_systems_settings_stand_behind_an_environment_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way, "system_proxies", lambda: {SYSTEM_SECURE: "http://system"})
    assert proxies_in(told_of_proxies()).secure == (SYSTEM_SECURE, "http://system")
    monkeypatch.setenv("HTTPS_PROXY", "")
    assert proxies_in(told_of_proxies()).secure is None


# -- macOS and Windows ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="here it may say something")
def test_elsewhere_the_system_says_nothing() -> None:
    assert system_proxies() == {}


def test_the_settings_of_macos_are_read() -> None:
    proxies = {"http": "http://p:1", "https": "http://p:2", "socks": "http://s:3", "ftp": "http://f:4"}
    found = from_macos(proxies, {"exclude_simple": True, "exceptions": ("*.local", "10.0.0.0/8", None)})
    assert found == {
        SYSTEM_PLAIN: "http://p:1",
        SYSTEM_SECURE: "http://p:2",
        SYSTEM_SOCKS: "socks5://s:3",
        SYSTEM_EXCEPTIONS: f"*.local,10.0.0.0/8,{LOCAL_NAMES}",
    }
    assert from_macos({}, {"exclude_simple": True}) == {}
    assert from_macos({"socks": "http://s:3"}, {}) == {SYSTEM_SOCKS: "socks5://s:3"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"ProxyEnable": 0, "ProxyServer": "p:1"}, {}),
        ({"ProxyEnable": 1, "ProxyServer": ""}, {}),
        ({"ProxyEnable": 1, "ProxyServer": "p:1"}, {SYSTEM_PLAIN: "http://p:1", SYSTEM_SECURE: "http://p:1"}),
        (
            {
                "ProxyEnable": 1,
                "ProxyServer": "http=p:1;https=http://q:2; socks=s:3;ftp=f:4",
                "ProxyOverride": "<local>;a.*",
            },
            {
                SYSTEM_PLAIN: "http://p:1",
                SYSTEM_SECURE: "http://q:2",
                SYSTEM_SOCKS: "socks5://s:3",
                SYSTEM_EXCEPTIONS: "<local>,a.*",
            },
        ),
    ],
)
def test_the_settings_of_windows_are_read(values: dict[str, object], expected: dict[str, str]) -> None:
    assert from_windows(values) == expected


def test_what_the_system_says_is_a_proxy_with_a_name_for_where_it_stands() -> None:
    found = from_windows({"ProxyEnable": 1, "ProxyServer": "socks=s:3", "ProxyOverride": "*.example.com"})
    chosen = choose(proxies_in(found), RELAY)
    assert chosen.proxy is not None
    assert (chosen.proxy.url, chosen.why) == ("socks5://s:3", f"{SYSTEM_SOCKS} says so")
    assert choose(proxies_in(found), parse_server("wss://a.example.com")).proxy is None
