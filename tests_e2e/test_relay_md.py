"""The configurations in docs/relay.md: a relay behind a real nginx and a real Caddy, and as a unit of systemd."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from cmdop.limits import HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX, LINK_DEAD_SECONDS, PING_INTERVAL_SECONDS
from tests.test_docs import ROOT, blocks, mistake
from tests.transport.ends import Authority, upgrade_request
from tests_e2e.conftest import User, as_operator, clean_environment, shell
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS, STEP_SECONDS

DOCUMENT = ROOT / "docs/relay.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
CERTIFICATES = "/etc/letsencrypt/live/relay.example.org"
PATH = "/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin:/bin"
"""Debian has nginx where only root looks."""
IDLE_SECONDS = 8
"""After so long nginx is told to close a connection that is silent. By itself it waits for 60 s."""


def shown(info: str) -> list[str]:
    return [block.text for block in blocks(TEXT) if block.info == info]


class Proxy:
    """A proxy that does TLS in front of a relay, set up as the document says."""

    def __init__(self, folder: Path, relay: tuple[str, int]) -> None:
        self.folder, self.authority = folder, Authority(folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"wss://localhost:{self.port}"
        self.relay = f"127.0.0.1:{relay[1]}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        self.process = subprocess.Popen(
            words,
            env={"PATH": PATH, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "proxy.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        until = time.monotonic() + START_SECONDS
        while True:  # nothing tells that it listens
            assert self.process.poll() is None, (self.folder / "proxy.log").read_text()
            try:
                with socket.create_connection(("127.0.0.1", self.port), STEP_SECONDS):
                    return
            except ConnectionRefusedError:
                assert time.monotonic() < until

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(STEP_SECONDS)


def nginx(proxy: Proxy) -> None:
    """Its own file around the one that is shown; the folders that it writes to are the test's."""
    [config] = shown("nginx")
    for before, after in {
        "listen 443 ssl": f"listen 127.0.0.1:{proxy.port} ssl",
        "    listen [::]:443 ssl;\n": f"    proxy_read_timeout {IDLE_SECONDS}s; proxy_send_timeout {IDLE_SECONDS}s;\n",
        "relay.example.org;": "localhost;",
        f"{CERTIFICATES}/fullchain.pem": str(proxy.folder / "cert.pem"),
        f"{CERTIFICATES}/privkey.pem": str(proxy.folder / "key.pem"),
        "127.0.0.1:7420": proxy.relay,
    }.items():
        assert before in config
        config = config.replace(before, after)
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{name}_temp_path {proxy.folder}/{name};" for name in paths)
    (proxy.folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {proxy.folder}/pid; error_log stderr;"
        f"events {{}} http {{ access_log off; {folders}\n{config} }}"
    )
    proxy.start("nginx", "-c", str(proxy.folder / "nginx.conf"), "-p", str(proxy.folder), "-e", "stderr")


def caddy(proxy: Proxy) -> None:
    """The file that is shown, without the port of its administration, with our certificate."""
    [config] = shown("caddyfile")
    tls = f"tls {proxy.folder / 'cert.pem'} {proxy.folder / 'key.pem'}"
    for before, after in {
        "relay.example.org {": f"localhost:{proxy.port} {{\n\tbind 127.0.0.1\n\t{tls}",
        "127.0.0.1:7420": proxy.relay,
    }.items():
        assert before in config
        config = config.replace(before, after)
    options = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {proxy.folder}\n}}\n"
    (proxy.folder / "Caddyfile").write_text(options + config)
    proxy.start("caddy", "run", "--adapter", "caddyfile", "--config", str(proxy.folder / "Caddyfile"))


PROXIES: dict[str, Callable[[Proxy], None]] = {"nginx": nginx, "caddy": caddy}


def proxies(*names: str) -> list[Any]:
    missing = [name for name in names if shutil.which(name, path=PATH) is None]
    skip = pytest.mark.skipif
    return [pytest.param(name, marks=skip(name in missing, reason=f"{name} is not installed")) for name in names]


@pytest.fixture(params=proxies(*PROXIES))
def proxy(
    request: pytest.FixtureRequest, lone_relay: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy, and the agent `alpha` behind it."""
    made = Proxy(tmp_path_factory.mktemp(request.param), lone_relay.address)
    PROXIES[request.param](made)
    lone_relay.env["SSL_CERT_FILE"] = str(made.authority.ca_file)
    lone_relay.start_agent("alpha", server=made.url)
    yield made
    made.close()


@pytest.fixture
def ann(user: User, lone_relay: Stack, proxy: Proxy) -> User:
    as_operator(user, lone_relay)
    user.env |= {"CMDOP_SERVER": proxy.url, "SSL_CERT_FILE": str(proxy.authority.ca_file)}
    return user


def test_an_attach_goes_through_the_proxy_and_seems_to_come_from_it(ann: User, lone_relay: Stack, proxy: Proxy) -> None:
    relay = lone_relay.relay
    assert relay is not None
    job = shell(ann, "alpha")
    ann.terminal.type(b"\x04")
    assert job.wait() == 0
    assert set(re.findall(r"(?:client|agent) (\S+):\d+ ", relay.log)) == {"127.0.0.1"}
    assert "opened by ann (operator, 127.0.0.1:" in lone_relay.agents["alpha"].log


@pytest.mark.parametrize("proxy", proxies("nginx"), indirect=True)
def test_a_connection_on_which_nothing_happens_is_not_silent(ann: User, lone_relay: Stack, proxy: Proxy) -> None:
    relay = lone_relay.relay
    assert relay is not None
    job = shell(ann, "alpha")
    ann.terminal.type(f"sleep {IDLE_SECONDS + 1}; echo a''wake\r".encode())
    ann.terminal.expect_exact(b"awake", IDLE_SECONDS + START_SECONDS)
    assert "disconnected" not in relay.log
    ann.terminal.type(b"\x04")
    assert job.wait() == 0


def test_much_goes_through_byte_for_byte(ann: User, proxy: Proxy) -> None:
    done = subprocess.run(
        [CMDOP, "connect", "exec", "alpha", "--", "head", "-c", "20000000", "/dev/zero"],
        env=ann.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=START_SECONDS,
        check=True,
    )
    assert done.stdout == bytes(20_000_000)


def test_the_address_that_somebody_claims_is_not_believed(lone_relay: Stack, proxy: Proxy) -> None:
    relay = lone_relay.relay
    assert relay is not None
    since = relay.lines
    context = ssl.create_default_context(cafile=str(proxy.authority.ca_file))
    more = ("Authorization: Bearer key.0102030405a6.00", "X-Forwarded-For: 192.0.2.7")
    with socket.create_connection(("127.0.0.1", proxy.port), STEP_SECONDS) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(upgrade_request(*more).replace(b"Host: x", b"Host: localhost"))
            assert b" 401 " in sock.recv(4096).partition(b"\r\n")[0]
    assert relay.wait_line(r"(\S+):\d+ refused", since)[1].endswith("127.0.0.1")
    assert "192.0.2.7" not in relay.log


def test_whether_it_is_there_can_be_asked_through_the_proxy(proxy: Proxy) -> None:
    context = ssl.create_default_context(cafile=str(proxy.authority.ca_file))
    with urlopen(f"https://localhost:{proxy.port}/healthz", timeout=STEP_SECONDS, context=context) as answer:
        assert (answer.status, answer.read().strip()) == (200, b"ok")


# -- what needs no proxy --------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_of_one_s_own_making_is_trusted_by_who_has_its_ca(tmp_path: Path) -> None:
    """As strictly as the newest Python looks at it."""
    (made,) = [block.text for block in blocks(TEXT) if "openssl" in block.text]
    subprocess.run(["sh", "-ec", made], cwd=tmp_path, check=True, capture_output=True, timeout=START_SECONDS)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(down, up, server_hostname="relay.example.org")
    ends = (client, serving.wrap_bio(up, down, server_side=True))
    while client.version() is None or not client.getpeercert():
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0


def test_the_numbers_that_are_told_are_the_real_ones() -> None:
    assert f"nothing happens for {PING_INTERVAL_SECONDS:g} s" in TEXT
    assert f"after {LINK_DEAD_SECONDS:g} s of silence" in TEXT
    assert f"{HANDSHAKES_PER_SOURCE_MAX} at once from one address, and {HANDSHAKES_MAX:,} from" in TEXT


def units() -> dict[str, str]:
    """The unit as it is shown, and with the lines that do TLS."""
    plain, tls = shown("ini")
    kept = [line for line in plain.splitlines() if not line.startswith("ExecStart=")]
    at = kept.index("User=cmdop")
    return {"plain": plain, "tls": "\n".join([*kept[:at], *tls.splitlines(), *kept[at:]]) + "\n"}


@pytest.mark.parametrize("which", ["plain", "tls"])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, which: str) -> None:
    path = tmp_path / "cmdop-relay.service"
    # The user, and the program, are not there; all else is as shown.
    text = units()[which].replace("/usr/local/bin/cmdop", CMDOP).replace("User=cmdop", "User=root")
    path.write_text(text, encoding="utf-8")
    words = ["systemd-analyze", "verify", "--man=no", "--system", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if path.name in line]) == (0, [])


@pytest.mark.parametrize("which", ["plain", "tls"])
def test_what_the_unit_starts_is_a_relay(tmp_path: Path, which: str) -> None:
    found = re.search(r"^ExecStart=(.*)$", units()[which], re.M)
    assert found is not None
    command = found[1]
    assert mistake(command.replace("/usr/local/bin/", "")) is None
    Authority(tmp_path)
    words = [tmp_path if word == "${CREDENTIALS_DIRECTORY}" else word for word in shlex.split(command)]
    words = [str(word).replace("${CREDENTIALS_DIRECTORY}", str(tmp_path)) for word in words]
    words[0], words[words.index("--listen") + 1] = CMDOP, "127.0.0.1:0"
    relay = subprocess.Popen(words, env=clean_environment(tmp_path), stderr=subprocess.PIPE, text=True)
    assert relay.stderr is not None
    watchdog = threading.Timer(START_SECONDS, relay.kill)
    watchdog.start()
    try:
        scheme = "wss" if which == "tls" else "ws"
        assert f"cmdop relay listening on {scheme}://127.0.0.1:" in relay.stderr.readline()
    finally:
        watchdog.cancel()
        relay.terminate()
        relay.wait(STEP_SECONDS)
        relay.stderr.close()
