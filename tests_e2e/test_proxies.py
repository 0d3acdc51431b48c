"""Through real proxies to a relay whose name only they know, with a certificate of its own making."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cmdop
from cmdop.errors import ProxyPasswordRefused, RelayUnreachable
from tests.transport.ends import Authority
from tests_e2e.conftest import User, clean_environment
from tests_e2e.proxy_servers import PASSWORD, RELAY_NAME, ProxyServer, missing, proxy_server
from tests_e2e.stack import Running
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import BULK_SECONDS, START_SECONDS, STEP_SECONDS

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "they are there")


@dataclass
class Far:
    """A relay with TLS under a name that nobody here can look up, and its admin's key."""

    folder: Path
    port: int
    key: str
    relay: Running

    @property
    def url(self) -> str:
        return f"wss://{RELAY_NAME}:{self.port}"

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def env(self, who: str, **more: str) -> dict[str, str]:
        home = self.folder / who
        home.mkdir(exist_ok=True)
        named = {"CMDOP_SERVER": self.url, "CMDOP_API_KEY": self.key, "SHELL": "/bin/sh"}
        return {**clean_environment(home), **named, **more}


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    Authority(folder, RELAY_NAME)
    db = ["--db", str(folder / "relay.db")]
    env = clean_environment(folder)
    key = json.loads(run(env, "relay", "workspace", "create", "home", *db, "--json").stdout)["key"]
    tls = ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]
    relay = Running("relay", ["relay", "serve", "--listen", "127.0.0.1:0", *db, *tls], env)
    try:
        yield Far(folder, int(relay.wait_line(r"listening on \S+:(\d+)")[1]), key, relay)
    finally:
        relay.stop()


@pytest.fixture(scope="module", params=["tinyproxy", "microsocks"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyServer]:
    with proxy_server(request.param, tmp_path_factory.mktemp("proxy")) as server:
        yield server


@pytest.fixture(scope="module")
def machine(far: Far, proxy: ProxyServer) -> Iterator[dict[str, str]]:
    """The environment of an agent in the background, `far-KIND`, which came through the proxy."""
    env = far.env(f"agent-{proxy.kind}")
    name = ["--name", f"far-{proxy.kind}", "--ca-file", far.ca_file, "--shell", "/bin/sh"]
    started = run({**env, "ALL_PROXY": proxy.url}, "agent", "start", *name)
    assert f"far-{proxy.kind} is ONLINE" in started.stdout
    proxy.wait_through(far.port)
    yield env
    run(env, "agent", "stop")


def run(env: dict[str, str], *words: str, status: int = 0, given: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [CMDOP, *words], env=env, input=given, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
    return done


def error(env: dict[str, str], *words: str, status: int = 4) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(run(env, *words, "--json", status=status).stdout)["error"]
    assert PASSWORD not in str(said)
    return said


@pytest.fixture
def ann(user: User, far: Far, proxy: ProxyServer, machine: dict[str, str]) -> User:
    """A user behind the proxy, who trusts the relay's authority."""
    user.env |= {"CMDOP_SERVER": far.url, "CMDOP_API_KEY": far.key, "SSL_CERT_FILE": far.ca_file}
    user.env["https_proxy"] = proxy.url
    return user


def test_commands_run_on_a_machine_that_is_behind_a_proxy_as_well(ann: User, far: Far, proxy: ProxyServer) -> None:
    assert proxy.running is not None
    since = proxy.running.lines
    done = run(ann.env, "connect", "exec", f"far-{proxy.kind}", "--", "cat; echo over >&2; exit 3", status=3, given="x")
    assert done.stdout == "x"
    assert done.stderr.endswith("over\n")
    proxy.wait_through(far.port, since)


def test_without_the_proxy_there_is_no_way(ann: User) -> None:
    for change in ({"https_proxy": ""}, {"NO_PROXY": ".cmdop.test"}):
        assert error({**ann.env, **change}, "connect", "--list")["code"] == "relay-unreachable"


def test_an_attach_goes_through_and_back(ann: User, far: Far, proxy: ProxyServer) -> None:
    job = ann.cmdop("connect", "--new", f"far-{proxy.kind}", "--ca-file", far.ca_file)
    ann.terminal.expect_exact(b"Ctrl-C forwards as SIGINT\r\n", START_SECONDS)
    ann.terminal.type(b"echo in the'' shell\r")
    ann.terminal.expect_exact(b"in the shell\r\n")
    ann.terminal.type(b"\x04")
    assert job.wait(STEP_SECONDS) == 0


def test_every_other_verb_goes_through(ann: User, proxy: ProxyServer, tmp_path: Path) -> None:
    name = f"far-{proxy.kind}"
    assert name in run(ann.env, "connect", "--list").stdout
    made = json.loads(run(ann.env, "session", "create", name, "--json").stdout)["session_id"]
    run(ann.env, "session", "send", made, "exit\n")
    run(ann.env, "session", "list")
    assert json.loads(run(ann.env, "connect", "key", "list", "--json").stdout)
    lone = {**ann.env, "CMDOP_HOME": str(tmp_path / "lone")}
    key = lone.pop("CMDOP_API_KEY")
    run(lone, "login", given=key)
    assert name in run(lone, "connect", "--list").stdout


def test_a_program_goes_through(far: Far, proxy: ProxyServer, machine: dict[str, str], tmp_path: Path) -> None:
    about: dict[str, Any] = {"server": far.url, "api_key": far.key, "home": tmp_path, "ca_file": far.ca_file}
    with cmdop.connect(f"far-{proxy.kind}", proxy=proxy.url, **about) as there:
        assert there.execute("echo $((6 * 7))").stdout == b"42\n"
        with there.attach(new=True) as session:
            assert session.session_id
    with pytest.raises(RelayUnreachable):
        cmdop.connect(f"far-{proxy.kind}", **about)
    with pytest.raises(ProxyPasswordRefused):
        cmdop.connect(f"far-{proxy.kind}", proxy=proxy.url.replace(PASSWORD, "wrong"), **about)


def test_the_doctor_names_the_proxy_and_tests_through_it(ann: User, far: Far, proxy: ProxyServer) -> None:
    checks = {one["name"]: one for one in json.loads(run(ann.env, "doctor", "--json").stdout)["checks"]}
    assert checks["proxy"]["detail"] == f"{proxy.shown}, as https_proxy says so"
    assert checks["dns"]["detail"].endswith(f"{RELAY_NAME} is for the proxy to look up")
    assert checks["tcp"]["detail"].startswith("connected to the proxy in")
    assert 'issued by "a test\'s own"' in checks["tls"]["detail"]
    assert checks["round-trip"]["status"] == "ok"
    assert PASSWORD not in str(checks)


def test_who_opens_tls_in_between_is_named(ann: User, far: Far) -> None:
    """For whoever does not trust its authority, a relay of one's own looks like that."""
    env = {name: value for name, value in ann.env.items() if name != "SSL_CERT_FILE"}
    said = error(env, "connect", "--list")
    assert said["code"] == "relay-untrusted"
    assert 'its certificate was issued by "a test\'s own", which is not trusted here' in said["message"]
    assert said["hint"].endswith("--ca-file FILE")
    run({**env, "CMDOP_CA_FILE": far.ca_file}, "connect", "--list")


def test_whom_a_login_trusted_is_trusted_from_then_on(ann: User, far: Far, proxy: ProxyServer) -> None:
    env = {name: value for name, value in ann.env.items() if name not in ("SSL_CERT_FILE", "CMDOP_API_KEY")}
    assert "relay-untrusted" in run(env, "login", "--json", given=far.key, status=4).stdout
    run(env, "login", "--ca-file", far.ca_file, given=far.key)
    name = f"far-{proxy.kind}"
    assert run(env, "connect", "exec", name, "--", "echo here").stdout == "here\n"
    assert json.loads(run(env, "doctor", "--json").stdout)["ok"]
    run(env, "logout")
    run(env, "login", given=far.key)


def test_a_kept_file_that_has_gone_is_replaced_as_the_error_says(ann: User, far: Far, tmp_path: Path) -> None:
    env = {name: value for name, value in ann.env.items() if name != "CMDOP_API_KEY"}
    kept = tmp_path / "ca.pem"
    kept.write_bytes(Path(far.ca_file).read_bytes())
    run(env, "login", "--ca-file", str(kept), given=far.key)
    kept.unlink()
    said = error(env, "connect", "--list", status=2)  # though SSL_CERT_FILE would do
    assert (said["code"], str(kept) in said["message"]) == ("bad-ca-file", True)
    assert "cmdop login --ca-file FILE keeps it with the workspace" in said["hint"]
    run(env, "login", "--ca-file", far.ca_file, given=far.key)
    run(env, "connect", "--list")


def test_a_wrong_password_of_the_proxy_is_said(ann: User, proxy: ProxyServer) -> None:
    wrong = {"https_proxy": proxy.url.replace(PASSWORD, "not-that-one"), "CMDOP_DEBUG": "1"}
    said = error({**ann.env, **wrong}, "connect", "--list")
    traced = Path(ann.env["CMDOP_HOME"], "debug.log").read_text()
    assert "ProxyPasswordRefused" in traced
    assert "not-that-one" not in f"{traced}{said}"
    assert said["code"] == "proxy-password"
    assert said["message"].startswith(f"the proxy {proxy.shown} wants another user and password: ")
    assert "https_proxy" in said["hint"]
    assert error({**ann.env, "https_proxy": proxy.shown}, "connect", "--list")["code"] == "proxy-password"


def test_an_agent_finds_its_way_without_the_environment_that_it_was_started_with(
    ann: User, far: Far, proxy: ProxyServer, machine: dict[str, str]
) -> None:
    before = json.loads(run(machine, "agent", "status", "--json").stdout)
    run(machine, "agent", "restart")
    after = json.loads(run(machine, "agent", "status", "--json").stdout)
    assert after["pid"] != before["pid"]
    assert (after["verdict"], after["proxy"]) == ("ONLINE", proxy.shown)
    run(ann.env, "connect", "exec", f"far-{proxy.kind}", "--", "true")
    for pid in (after["pid"], after["host_pid"]):
        assert PASSWORD.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    files = [path for path in Path(machine["CMDOP_HOME"]).iterdir() if path.is_file()]
    kept = {path.name for path in files if PASSWORD.encode() in path.read_bytes()}
    assert kept == {"agent-proxies.json"}


def test_what_a_shell_gets_of_the_proxy_is_nothing(ann: User, proxy: ProxyServer) -> None:
    done = run(ann.env, "connect", "exec", f"far-{proxy.kind}", "--", "env")
    assert "PROXY" not in done.stdout.upper()


def test_a_session_outlives_the_proxy(ann: User, proxy: ProxyServer) -> None:
    job = ann.cmdop("connect", "--new", f"far-{proxy.kind}")
    ann.terminal.expect_exact(b"Ctrl-C forwards as SIGINT\r\n", START_SECONDS)
    ann.terminal.type(b"before=the''re\r")
    proxy.stop()
    proxy.start()
    ann.terminal.type(b"echo still $before\r")
    ann.terminal.expect_exact(b"still there\r\n", BULK_SECONDS)
    ann.terminal.type(b"exit 7\r")
    assert job.wait(BULK_SECONDS) == 7


def test_a_proxy_that_may_not_lets_nobody_through_and_says_so(far: Far, tmp_path: Path) -> None:
    with proxy_server("tinyproxy", tmp_path, "ConnectPort 443") as strict:
        said = error(far.env("strict", HTTPS_PROXY=strict.url), "connect", "--list")
    assert said["code"] == "proxy-refused"
    assert (
        said["message"]
        == f"the proxy {strict.shown} does not let us through to the relay {far.url}: 403 Access violation"
    )


def test_a_file_that_has_no_certificates_is_a_usage_error(far: Far, tmp_path: Path) -> None:
    said = error(far.env("no-ca"), "connect", "--list", "--ca-file", str(tmp_path / "none.pem"), status=2)
    assert said["code"] == "bad-ca-file"
    assert str(tmp_path / "none.pem") in said["message"]
    assert error(far.env("no-ca", SSL_CERT_FILE=os.devnull), "connect", "--list", status=2)["code"] == "bad-ca-file"
