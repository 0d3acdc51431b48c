"""The relay over real sockets: the door, and what a network can do to it."""

from __future__ import annotations

import gc
import http.client
import logging
import queue
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cmdop.auth.keys import ApiKey, Role, bearer
from cmdop.errors import AddressInUse, KeyRefused, StoreUnusable
from cmdop.limits import AGENT_QUEUE_MAX_BYTES, CLIENT_QUEUE_MAX_BYTES, FREE_FAILURES_MAX
from cmdop.relay import admin, server
from cmdop.relay.listen import server_tls
from cmdop.relay.server import RelayServer
from cmdop.store.interface import Store
from cmdop.transport.accept import Arrival
from cmdop.transport.address import parse_server
from cmdop.transport.dial import Dialling, dial
from cmdop.transport.listener import Listener
from cmdop.transport.way import Way
from cmdop.wire.relay_messages import Open
from tests.relay.talker import MACHINE_ID, TIMEOUT_SECONDS, Talker


@pytest.fixture
def relay(store: Store) -> Iterator[RelayServer]:
    relay = RelayServer(store, ("127.0.0.1", 0))
    relay.start()
    yield relay
    relay.close()
    relay.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "network->relay"] == []


@pytest.fixture
def key(store: Store) -> ApiKey:
    return admin.create_workspace(store, "home", "anna", 1.0)


@pytest.fixture
def connect(relay: RelayServer) -> Iterator[Callable[..., Talker]]:
    talkers: list[Talker] = []

    def connect(credential: str, headers: dict[str, str] | None = None) -> Talker:
        host, port = relay.address
        to = Dialling(parse_server(f"ws://{host}:{port}"), credential, headers=headers or {})
        talkers.append(Talker(dial(to)))
        return talkers[-1]

    yield connect
    for talker in talkers:
        talker.connection.close()


def get(relay: RelayServer, path: str, headers: dict[str, str] | None = None) -> tuple[int, str, dict[str, str]]:
    web = http.client.HTTPConnection(*relay.address, timeout=TIMEOUT_SECONDS)
    web.request("GET", path, headers=headers or {})
    answer = web.getresponse()
    body = answer.read().decode()
    web.close()
    return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}


def upgrade(credential: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {credential}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "cmdop.v1",
    }


def test_client_and_agent_meet_over_the_network(connect: Callable[..., Talker], key: ApiKey, store: Store) -> None:
    agent_key = admin.create_key(store, key, "home", "machines", Role.AGENT, 1.0)
    agent = connect(agent_key.bearer)
    agent.hello_agent()
    token = agent.hear_welcome().machine_token
    client = connect(key.bearer, {"Cmdop-Want": "machines"})
    client.hello_client()
    machines = client.hear_welcome().machines
    assert machines is not None
    assert [machine.online for machine in machines] == [True]
    client.open(1)
    asked = agent.hear(Open, 1)
    assert asked.address.startswith("127.0.0.1:")
    payload = bytes(range(256)) * 200
    client.say_sealed(1, payload)
    assert agent.hear_sealed() == (1, payload)
    agent.say_sealed(1, payload)
    assert client.hear_sealed() == (1, payload)
    agent.connection.close()
    client.hear_closed("machine-offline", 1)
    back = connect(bearer("machine", MACHINE_ID, bytes.fromhex(token)))
    assert back.hear_welcome().role == "agent"


@pytest.mark.parametrize("goes", ["client", "agent"])
def test_a_connection_that_is_over_does_not_wait_for_the_garbage_collector(
    relay: RelayServer, connect: Callable[..., Talker], key: ApiKey, store: Store, goes: str
) -> None:
    agent = connect(admin.create_key(store, key, "home", "machines", Role.AGENT, 1.0).bearer)
    agent.hello_agent()
    agent.hear_welcome()
    client = connect(key.bearer)
    client.hello_client()
    client.hear_welcome()
    client.open(1)
    agent.hear(Open, 1)
    client.say_sealed(1, b"x")
    agent.hear_sealed()
    forgotten = threading.Event()
    (connection,) = (
        peer.connection for peer in relay.switch._board.peers() if bool(peer.machine_id) is (goes == "agent")
    )
    weakref.finalize(connection, forgotten.set)
    del connection
    gc.disable()
    try:
        (agent if goes == "agent" else client).connection.close()
        assert forgotten.wait(TIMEOUT_SECONDS)
    finally:
        gc.enable()


def test_only_who_has_proved_to_be_a_machine_has_a_machine_s_queue(
    relay: RelayServer, connect: Callable[..., Talker], key: ApiKey, store: Store
) -> None:
    """What waits in the relay's memory for somebody who does not read is bounded by what that one is."""
    agent = connect(admin.create_key(store, key, "home", "machines", Role.AGENT, 1.0).bearer)
    client = connect(key.bearer, {"Cmdop-Want": "machines"})
    peers = relay.switch._board.peers
    client.hear_welcome()
    assert {peer.connection.queue_max_bytes for peer in peers()} == {CLIENT_QUEUE_MAX_BYTES}
    agent.hello_agent()
    agent.hear_welcome()
    client.hello_client()
    client.all_answered()
    limits = {peer.caller.role: peer.connection.queue_max_bytes for peer in peers()}
    assert limits == {Role.AGENT: AGENT_QUEUE_MAX_BYTES, Role.ADMIN: CLIENT_QUEUE_MAX_BYTES}


def test_over_tls_nothing_is_different(store: Store, key: ApiKey, tmp_path: Path) -> None:
    certificate, private = make_certificate(tmp_path)
    relay = RelayServer(store, ("127.0.0.1", 0), server_tls(certificate, private))
    relay.start()
    to = Dialling(parse_server(f"wss://127.0.0.1:{relay.address[1]}"), key.bearer, way=Way(ca_file=certificate))
    client = Talker(dial(to))
    client.hello_client()
    assert client.hear_welcome().operator == "anna"
    relay.close()
    client.hear_closed("relay-stopping")
    client.hear_end()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its private key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def test_health_needs_no_credential(relay: RelayServer) -> None:
    status, body, _ = get(relay, "/healthz")
    assert (status, body) == (200, "ok\n")


@pytest.mark.parametrize("path", ["/", "/v2", "/v1/x", "/healthz/x"])
def test_there_is_nothing_else(relay: RelayServer, path: str) -> None:
    assert get(relay, path)[0] == 404


def test_a_refusal_is_one_line_with_its_code(relay: RelayServer, key: ApiKey, store: Store) -> None:
    status, body, headers = get(relay, "/v1", upgrade("key.000000000000.00"))
    assert (status, body) == (401, "key-refused: it is not known here\n")
    assert headers["www-authenticate"] == "Bearer"
    store.revoke_key(key.key_id, 1.0)
    assert get(relay, "/v1", upgrade(key.bearer))[:2] == (401, "key-refused: it was revoked\n")
    assert get(relay, "/v1")[:2] == (401, "key-refused: no API key was shown\n")


def test_a_dialled_refusal_is_the_error_the_user_reads(connect: Callable[..., Talker], key: ApiKey) -> None:
    with pytest.raises(KeyRefused, match="it is not known here"):
        connect(bearer("key", key.key_id, b"x" * 20))


def test_who_guesses_is_told_to_wait_and_the_right_key_is_not(
    relay: RelayServer, connect: Callable[..., Talker], key: ApiKey
) -> None:
    for _ in range(FREE_FAILURES_MAX):
        assert get(relay, "/v1", upgrade("key.x.00"))[0] == 401
    status, body, headers = get(relay, "/v1", upgrade("key.x.00"))
    assert (status, headers["retry-after"]) == (429, "1")
    assert body.startswith("key-refused: it is not known here")
    client = connect(key.bearer, {"Cmdop-Want": "machines"})
    client.hear_welcome()


def test_records_that_fail_are_an_answer(relay: RelayServer, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreUnusable(path="/secret/place", reason="broken")

    monkeypatch.setattr(store, "key", broken)
    status, body, _ = get(relay, "/v1", upgrade("key.x.00"))
    assert (status, body) == (503, "store-unusable: the relay cannot use its records\n")


def test_a_mistake_of_ours_at_the_door_is_in_the_log_and_ends_nobody_else(
    relay: RelayServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: queue.SimpleQueue[str] = queue.SimpleQueue()
    monkeypatch.setattr("cmdop.relay.server._LOG.exception", lambda text, *about: logged.put(text % about))

    def broken(*_: object) -> None:
        raise LookupError("by mistake")

    monkeypatch.setattr(store, "key", broken)
    with pytest.raises(http.client.RemoteDisconnected):
        get(relay, "/v1", upgrade("key.x.00"))
    assert get(relay, "/healthz")[0] == 200
    assert logged.get(timeout=TIMEOUT_SECONDS).endswith(": a mistake in cmdop")


def test_garbage_on_the_port_harms_nobody(relay: RelayServer) -> None:
    for noise in (b"", b"\x00" * 100, b"GET", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x02\x00" + b"x" * 600):
        with socket.create_connection(relay.address, TIMEOUT_SECONDS) as sock:
            sock.sendall(noise)
    assert get(relay, "/healthz")[0] == 200


def test_who_only_knocks_is_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "HANDSHAKES_MAX", 1)
    relay = RelayServer(store, ("127.0.0.1", 0))
    relay.start()
    with caplog.at_level(logging.WARNING):
        silent = socket.create_connection(relay.address, TIMEOUT_SECONDS)
        turned_away = socket.create_connection(relay.address, TIMEOUT_SECONDS)
        assert turned_away.recv(1) == b""
    assert "turned away" in caplog.text
    silent.close()
    turned_away.close()
    relay.close()


def test_a_host_without_descriptors_is_no_end_of_the_relay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real_accept, failures = Listener.accept, iter([1, 2])

    def accept(listener: Listener) -> Arrival:
        if next(failures, None):
            from cmdop.errors import ConnectionClosed

            raise ConnectionClosed(reason="Too many open files")
        return real_accept(listener)

    monkeypatch.setattr(Listener, "accept", accept)
    monkeypatch.setattr(server, "ACCEPT_RETRY_SECONDS", 0.001)
    relay = RelayServer(store, ("127.0.0.1", 0))
    relay.start()
    assert get(relay, "/healthz")[0] == 200
    relay.close()


def test_a_port_that_is_taken_is_an_error(relay: RelayServer, store: Store) -> None:
    with pytest.raises(AddressInUse):
        RelayServer(store, relay.address).start()


def test_at_the_end_everybody_is_told(relay: RelayServer, connect: Callable[..., Talker], key: ApiKey) -> None:
    client = connect(key.bearer, {"Cmdop-Want": "machines"})
    client.hello_client()
    client.hear_welcome()
    client.all_answered()
    relay.close()
    client.hear_closed("relay-stopping")
    client.hear_end()


def test_no_secret_is_logged(
    relay: RelayServer, connect: Callable[..., Talker], key: ApiKey, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        agent = connect(key.bearer)
        agent.hello_agent()
        token = agent.hear_welcome().machine_token
        agent.all_answered()
        wrong = bearer("key", key.key_id, b"w" * 20)
        get(relay, "/v1", upgrade(wrong))
        relay.close()
    assert "connected" in caplog.text
    assert "refused" in caplog.text
    for secret in (key.relay_half.hex(), key.secret.hex(), key.text, token, (b"w" * 20).hex()):
        assert secret not in caplog.text
