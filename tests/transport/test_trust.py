"""Whose certificates are believed, and what is said of a file that has none."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from cmdop.deadline import Deadline
from cmdop.errors import BadCaFile
from cmdop.transport.reaching import connect_to
from cmdop.transport.tls import Tls
from cmdop.transport.trust import judged_by_the_system, trusting
from tests.transport.ends import PATIENCE_SECONDS, Authority, in_thread, listening, welcome_everybody, where


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_is_said_to_be_one(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(BadCaFile) as refused:
        trusting(path)
    assert refused.value.sentence == (f"the certificates in {path} cannot be used: there is no certificate (PEM) in it")
    assert refused.value.exit_status == 2


def test_a_private_key_is_no_certificate(tmp_path: Path) -> None:
    Authority(tmp_path)
    with pytest.raises(BadCaFile, match="there is no certificate"):
        trusting(tmp_path / "key.pem")


def test_a_folder_and_a_file_that_is_not_there_are_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(BadCaFile, match="No such file or directory"):
        trusting(tmp_path / "none.pem")
    with pytest.raises(BadCaFile):
        trusting(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    Authority(tmp_path).ca_file.chmod(0)
    with pytest.raises(BadCaFile, match="Permission denied"):
        trusting(tmp_path / "ca.pem")


def test_a_file_stands_in_place_of_the_system(authority: Authority) -> None:
    known = trusting(authority.ca_file).get_ca_certs()
    assert [dict(pair for part in one["subject"] for pair in part)["commonName"] for one in known] == ["a test's own"]


def handshake(authority: Authority, context: ssl.SSLContext) -> None:
    """TLS with `localhost`, as dialling does it. Raises ssl.SSLError."""
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        server = where(listener, True, "localhost")
        with connect_to(server.host, server.port, Deadline(PATIENCE_SECONDS)) as sock:
            try:
                Tls(sock, context, server.host).handshake(Deadline(PATIENCE_SECONDS))
            finally:
                sock.close()
                arriving.result(PATIENCE_SECONDS)


def test_where_the_system_judges_it_judges_our_handshakes(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What macOS and Windows get; elsewhere truststore asks OpenSSL, over the same steps."""
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, judged_by_the_system())
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    handshake(authority, judged_by_the_system())
