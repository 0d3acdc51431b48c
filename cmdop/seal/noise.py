"""`Noise_XXpsk3_25519_AESGCM_SHA256`: a handshake of three messages, then sealed records.

The only file that imports noiseprotocol (on cryptography). Noise Protocol Framework,
revision 34: the XX pattern of §7.5 with the psk3 modifier of §9. Both ends prove their
static keys and the pre-shared key that only holders of the workspace's secret can
derive; ephemeral keys give each stream forward secrecy.

    client -> agent: e
    agent -> client: e, ee, s, es
    client -> agent: s, se, psk

Nonces count the messages of each direction and are not on the wire, so a message that
was dropped, doubled, reordered or altered fails to open, and nothing after it opens.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from noise.connection import Keypair, NoiseConnection
from noise.constants import MAX_NONCE
from noise.exceptions import NoiseHandshakeError, NoiseInvalidMessage, NoiseMaxNonceError, NoiseValueError

from cmdop.errors import LocalProtocolError, SealRefused
from cmdop.limits import HANDSHAKE_MAX_BYTES, MESSAGE_MAX_BYTES, SUBPROTOCOL

PATTERN = b"Noise_XXpsk3_25519_AESGCM_SHA256"
SEAL_OVERHEAD_BYTES = 16
_NONCE_BYTES = 12

_NOT_GENUINE = (InvalidTag, NoiseInvalidMessage, NoiseMaxNonceError, NoiseValueError, ValueError, IndexError, TypeError)
"""What noiseprotocol raises for bytes that are no message of the other end: it slices them
as they come, so a short one may fail anywhere. ValueError is also cryptography's word for
a public key of low order (RFC 7748 §6.1)."""


def public_key(private_key: bytes) -> bytes:
    """The public half of a static key, both 32 bytes raw (RFC 7748)."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def prologue(machine_id: str, role: str) -> bytes:
    """What both ends must agree on before the first byte (Noise §6): protocol, machine, role."""
    return b"\0".join((SUBPROTOCOL.encode(), machine_id.encode(), role.encode()))


class Handshake:
    """One end of the handshake. Messages alternate; the initiator writes first.

    `static_private` and `psk` are 32 bytes each. After the third message `finished` is
    true, `remote_static` the other end's public key, and `channel()` gives the channel.
    """

    def __init__(self, initiator: bool, static_private: bytes, psk: bytes, prologue: bytes, peer: str) -> None:
        self._peer = peer
        self._refused = False
        self._noise = NoiseConnection.from_name(PATTERN)
        if initiator:
            self._noise.set_as_initiator()
        else:
            self._noise.set_as_responder()
        self._noise.set_psks(psk)
        self._noise.set_prologue(prologue)
        self._noise.set_keypair_from_private_bytes(Keypair.STATIC, static_private)
        self._noise.start_handshake()
        self._state = self._noise.noise_protocol.handshake_state
        self._remote_static: bytes | None = None
        self._keys: tuple[bytes, bytes] | None = None
        """To seal and to open with, once it is over."""

    @property
    def finished(self) -> bool:
        return self._keys is not None

    @property
    def remote_static(self) -> bytes:
        """The other end's public static key, 32 bytes, once its message brought it.

        That message proves that it holds the private one (Noise §7.7, XX): for the initiator
        the second, so it may still go without having told its own. That the other end holds
        the pre-shared key is proven by the first record that opens, and not before.
        """
        return self._remote_static or bytes(self._state.rs.public_bytes)

    def write(self) -> bytes:
        """The next message of ours.

        Raises LocalProtocolError out of turn, and SealRefused when the other end's last
        message held a key that no honest end sends.
        """
        self._check_refused()
        try:
            message = bytes(self._noise.write_message())
        except NoiseHandshakeError as error:
            raise LocalProtocolError(reason="a handshake message out of turn") from error
        except _NOT_GENUINE as error:
            raise self._refuse() from error
        self._settle()
        return message

    def read(self, message: bytes) -> None:
        """Take the other end's next message. Raises SealRefused unless it is genuine.

        One that is not ends the handshake: everything after it raises SealRefused too.
        """
        self._check_refused()
        if len(message) > HANDSHAKE_MAX_BYTES:
            raise self._refuse()
        try:
            payload = self._noise.read_message(message)
        except (*_NOT_GENUINE, NoiseHandshakeError) as error:
            raise self._refuse() from error
        if payload:
            raise self._refuse()
        self._settle()

    def channel(self) -> Channel:
        """The channel that the finished handshake keys. Raises LocalProtocolError before."""
        self._check_refused()
        if self._keys is None:
            raise LocalProtocolError(reason="the handshake is not finished")
        return Channel(*self._keys, self._peer)

    def _settle(self) -> None:
        """Keep what a finished handshake has brought, and nothing else of it: the rest is large,
        holds itself, and would stay until the next full garbage collection."""
        if self._noise.handshake_finished:
            protocol = self._noise.noise_protocol
            self._keys = protocol.cipher_state_encrypt.k, protocol.cipher_state_decrypt.k
            self._remote_static = self.remote_static
            self._noise.noise_protocol = self._state = None

    def _refuse(self) -> SealRefused:
        self._refused = True
        return SealRefused(peer=self._peer)

    def _check_refused(self) -> None:
        if self._refused:
            raise SealRefused(peer=self._peer)


class Channel:
    """Seals and opens, in order. One thread seals at a time, one opens at a time.

    The keys are those of the handshake's Split() (Noise §5.2); the cipher is used directly,
    with the nonces of §12.4 (32 zero bits, then the count, big-endian), because every
    keystroke passes here four times.
    """

    def __init__(self, sealing_key: bytes, opening_key: bytes, peer: str) -> None:
        self._sealing, self._opening = AESGCM(sealing_key), AESGCM(opening_key)
        self._sealed = self._opened = 0
        self._peer = peer
        self._refused = False

    def seal(self, plain: bytes) -> bytes:
        """A message for the other end; `SEAL_OVERHEAD_BYTES` longer than the plain text."""
        number = self._sealed
        if number >= MAX_NONCE:
            raise LocalProtocolError(reason="the stream is too long")
        self._sealed = number + 1
        return self._sealing.encrypt(number.to_bytes(_NONCE_BYTES, "big"), plain, None)

    def open(self, sealed: bytes) -> bytes:
        """The plain text. Raises SealRefused for anything but the next genuine message.

        After that nothing opens any more, the genuine message included: otherwise somebody
        in between could try until something fits.
        """
        if self._refused or not SEAL_OVERHEAD_BYTES <= len(sealed) <= MESSAGE_MAX_BYTES or self._opened >= MAX_NONCE:
            self._refused = True
            raise SealRefused(peer=self._peer)
        try:
            plain = self._opening.decrypt(self._opened.to_bytes(_NONCE_BYTES, "big"), sealed, None)
        except InvalidTag as error:
            self._refused = True
            raise SealRefused(peer=self._peer) from error
        self._opened += 1
        return plain
