"""Where a relay may listen."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmdop.errors import PlainTextRefused, UsageError
from cmdop.relay.listen import listen_address, need_safe, server_tls
from cmdop.transport.address import ServerAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:7420", ("127.0.0.1", 7420)), ("[::1]:0", ("::1", 0)), ("relay.example:443", ("relay.example", 443))],
)
def test_an_address_is_taken_apart(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["", "7420", "host", "host:", ":7420", "host:x", "host:65536", "::1:7420", "h:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        listen_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_it_may_be_plain(host: str) -> None:
    assert need_safe(ServerAddress(False, host, 1), insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.example"])
def test_off_loopback_it_takes_tls_or_a_word(host: str) -> None:
    assert need_safe(ServerAddress(True, host, 1), insecure=False)
    assert not need_safe(ServerAddress(False, host, 1), insecure=True)
    with pytest.raises(PlainTextRefused):
        need_safe(ServerAddress(False, host, 1), insecure=False)


def test_certificate_and_key_go_together(tmp_path: Path) -> None:
    assert server_tls(None, None) is None
    with pytest.raises(UsageError, match="go together"):
        server_tls(tmp_path / "cert", None)


def test_a_certificate_that_is_none_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("no certificate")
    with pytest.raises(UsageError, match="cert"):
        server_tls(tmp_path / "cert", tmp_path / "cert")
    with pytest.raises(UsageError, match="missing"):
        server_tls(tmp_path / "missing", tmp_path / "missing")
