"""Two real ends over real sockets, a certificate authority, and an end without manners."""

from __future__ import annotations

import datetime as dt
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cmdop.transport.accept import AcceptedConnection, Decide, HttpAnswer, UpgradeRequest
from cmdop.transport.address import ServerAddress
from cmdop.transport.dial import DialledConnection, Dialling, dial
from cmdop.transport.listener import Listener
from cmdop.transport.way import Way

UNIT_SECONDS = 1.0
"""Every timeout of these tests is a multiple of this."""
PATIENCE_SECONDS = 10 * UNIT_SECONDS

T = TypeVar("T")


def in_thread(call: Callable[[], T]) -> Future[T]:
    """Run something that blocks; its result or exception is in the future."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, name="test", daemon=True).start()
    return future


def for_ever(step: Callable[[], object]) -> None:
    """Until the connection is closed, which raises."""
    while True:
        step()


def welcome_everybody(request: UpgradeRequest) -> HttpAnswer | None:
    return None


def where(listener: Listener, secure: bool = False, host: str = "127.0.0.1") -> ServerAddress:
    return ServerAddress(secure, host, listener.address[1])


@contextmanager
def listening(tls: ssl.SSLContext | None = None) -> Iterator[Listener]:
    listener = Listener("127.0.0.1", 0, tls)
    try:
        yield listener
    finally:
        listener.close()


@contextmanager
def two_ends(
    decide: Decide = welcome_everybody,
    tls: ssl.SSLContext | None = None,
    ca_file: Path | None = None,
    queue_max_bytes: int = 1 << 20,
) -> Iterator[tuple[DialledConnection, AcceptedConnection]]:
    """A dialled and an accepted connection; both are closed and released at the end."""
    with listening(tls) as listener:
        accepting = in_thread(lambda: listener.accept().upgrade(decide, queue_max_bytes))
        server = where(listener, tls is not None, "localhost" if tls else "127.0.0.1")
        dialled = dial(Dialling(server, "key.a.00", way=Way(ca_file=ca_file)))
        accepted = accepting.result(PATIENCE_SECONDS)
        assert accepted is not None
        try:
            yield dialled, accepted
        finally:
            dialled.close()
            accepted.close()
            dialled.release()
            accepted.release()


@contextmanager
def rude_client(listener: Listener) -> Iterator[socket.socket]:
    """A socket that has upgraded by hand, and then says what it likes."""
    sock = socket.create_connection(listener.address, PATIENCE_SECONDS)
    try:
        sock.sendall(upgrade_request())
        read_head(sock)
        yield sock
    finally:
        sock.close()


def upgrade_request(*more: str, protocol: str = "cmdop.v1") -> bytes:
    lines = [
        "GET /v1 HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def read_head(sock: socket.socket) -> bytes:
    """An HTTP head, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    return head


def read_all(sock: socket.socket) -> bytes:
    """Everything until the other end closes, or cuts it off."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def masked(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A frame as a client has to send it (RFC 6455 §5.2), with a mask of zeros."""
    return _head(opcode, len(payload), fin, 0x80) + bytes(4) + payload


def plain(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A frame as a server has to send it."""
    return _head(opcode, len(payload), fin, 0) + payload


def _head(opcode: int, size: int, fin: bool, mask: int) -> bytes:
    first = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        return first + bytes([mask | size])
    if size < 1 << 16:
        return first + bytes([mask | 126]) + size.to_bytes(2, "big")
    return first + bytes([mask | 127]) + size.to_bytes(8, "big")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"))


class Authority:
    """A certificate authority of the test's own, and a server certificate for localhost, or for other names."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.ca_file = folder / "ca.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's own")])
        ca = _certificate(name, name, key.public_key(), key, x509.BasicConstraints(ca=True, path_length=None))
        self.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        server_key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in names or ("localhost",)])
        certificate = _certificate(subject, name, server_key.public_key(), key, alternatives)
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(folder / "cert.pem", folder / "key.pem")


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(signer, hashes.SHA256())
    )
