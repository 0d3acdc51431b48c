"""Real proxies: tinyproxy (HTTP, basic auth) and microsocks (SOCKS5, user and password), on loopback.

They know a name that nobody else does: nss_wrapper answers for it in their processes alone.
So whoever reaches that name has come through them.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests_e2e.account import NSS_WRAPPER, has_nss_wrapper
from tests_e2e.stack import Running
from tests_e2e.timing import STEP_SECONDS

RELAY_NAME: Final = "relay.cmdop.test"
"""Of a top-level domain that is nobody's (RFC 6761 §6.2)."""
USER, PASSWORD = "ann", "hush-hush"

_TINYPROXY_CONF: Final = """\
Port {port}
Listen 127.0.0.1
Timeout 600
Allow 127.0.0.1
LogLevel Connect
BasicAuth {user} {password}
{more}
"""


def missing() -> str:
    """What it takes to run them and is not here, or an empty text."""
    found = [program for program in ("tinyproxy", "microsocks") if shutil.which(program) is None]
    found += [] if has_nss_wrapper() else [f"{NSS_WRAPPER} (Linux)"]
    return f"not installed: {', '.join(found)}; ./dev test installs them" if found else ""


@dataclass
class ProxyServer:
    """One that runs; it may be stopped and started again."""

    kind: str
    folder: Path
    port: int
    more: str = ""
    running: Running | None = None

    @property
    def url(self) -> str:
        """As HTTPS_PROXY has it."""
        return self.shown.replace("://", f"://{USER}:{PASSWORD}@")

    @property
    def shown(self) -> str:
        return f"{'http' if self.kind == 'tinyproxy' else 'socks5'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        hosts = self.folder / "hosts"
        hosts.write_text(f"127.0.0.1 {RELAY_NAME}\n")
        env = {"HOME": str(self.folder), "LD_PRELOAD": NSS_WRAPPER, "NSS_WRAPPER_HOSTS": str(hosts)}
        self.running = Running(self.kind, self._words(), env, shutil.which(self.kind) or self.kind)
        self._until_it_listens()

    def _words(self) -> list[str]:
        if self.kind == "microsocks":
            return ["-i", "127.0.0.1", "-p", str(self.port), "-u", USER, "-P", PASSWORD]
        conf = self.folder / f"tinyproxy-{self.port}.conf"
        conf.write_text(_TINYPROXY_CONF.format(port=self.port, user=USER, password=PASSWORD, more=self.more))
        return ["-d", "-c", str(conf)]

    def _until_it_listens(self) -> None:
        """microsocks does not say when it does, so it is looked at."""
        until = time.monotonic() + STEP_SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.running is not None
            assert self.running.process.poll() is None, self.running.log
            assert time.monotonic() < until, self.running.log

    def wait_through(self, port: int, since: int = 0) -> None:
        """Until its log says that somebody went through to the relay's name."""
        assert self.running is not None
        pattern = rf"CONNECT {RELAY_NAME}:{port} " if self.kind == "tinyproxy" else f"connected to {RELAY_NAME}:{port}"
        self.running.wait_line(pattern, since)

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None


@contextmanager
def proxy_server(kind: str, folder: Path, more: str = "") -> Iterator[ProxyServer]:
    """`kind` is its program. `more` goes into tinyproxy's configuration."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        server = ProxyServer(kind, folder, free.getsockname()[1], more)
    try:
        server.start()
        yield server
    finally:
        server.stop()
