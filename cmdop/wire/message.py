"""Control messages as bytes: msgpack maps, checked against their types and limits.

The only file that imports msgspec. A message is a frozen struct; on the wire it is a
map with its class's name under `is`. Unknown fields are ignored, so a field may be
added with a default; an unknown message is decoded as `Unknown` and may be ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from cmdop.errors import LocalProtocolError, RemoteProtocolError, UsageError
from cmdop.limits import (
    CALL_DATA_MAX_BYTES,
    CLIENTS_PER_SESSION_MAX,
    COMMAND_WORDS_MAX,
    COUNT_MAX,
    IDLE_MAX_SECONDS,
    NAME_MAX_CHARS,
    PADDED_BYTES,
    TEXT_MAX_CHARS,
    WINSIZE_MAX,
)

# What a peer may put into a field: names for people, texts, keys, ids, sizes.
Name = Annotated[str, msgspec.Meta(max_length=NAME_MAX_CHARS)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX_CHARS)]
Key32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
MachineId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\Z")]
SessionId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}\\Z")]
KeyId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}\\Z")]
Command = Annotated[tuple[Text, ...], msgspec.Meta(max_length=COMMAND_WORDS_MAX)]
Cells = Annotated[int, msgspec.Meta(ge=1, le=WINSIZE_MAX)]
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
Data = Annotated[bytes, msgspec.Meta(max_length=CALL_DATA_MAX_BYTES)]
Words = Annotated[tuple[Data, ...], msgspec.Meta(max_length=COMMAND_WORDS_MAX)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
IdleSeconds = Annotated[float, msgspec.Meta(ge=1, le=IDLE_MAX_SECONDS)]
AT_MOST_CLIENTS = msgspec.Meta(max_length=CLIENTS_PER_SESSION_MAX)
"""For a list of one session's clients."""


SECRET_FIELDS = frozenset({"machine_token", "padding", "password", "session_token"})
"""Fields of any message that stand in no log and no traceback; the padding's length tells the password's."""


class Message(msgspec.Struct, frozen=True, omit_defaults=True, tag=True, tag_field="is"):
    """The base of every control message. Its repr shows no secret."""

    def __repr__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = (f"{name}={'...' if name in SECRET_FIELDS else repr(value)}" for name, value in fields)
        return f"{type(self).__name__}({', '.join(shown)})"


class Unknown(Message, frozen=True):
    """A message of a newer cmdop, which this one may ignore."""

    name: str = ""


M = TypeVar("M", bound=Message)
_ENCODER: Final = msgspec.msgpack.Encoder()


def replaced(message: M, **fields: object) -> M:
    """The same message with other fields."""
    return msgspec.structs.replace(message, **fields)


def padded(message: M) -> M:
    """The same message with a `padding` that makes it as long as a multiple of `PADDED_BYTES`.

    Whoever sees only the length of what is sealed learns so much less of the secret in it.
    Raises what `MessageCodec.encode` raises.
    """
    least_bytes = len(_packed(replaced(message, padding=b"")))
    return replaced(message, padding=bytes(-least_bytes % PADDED_BYTES))


def _packed(message: Message) -> bytes:
    """Raises UsageError."""
    try:
        return _ENCODER.encode(message)
    except UnicodeEncodeError as error:  # it may be a password: nothing of it is shown
        raise UsageError(reason="something that was given is no text in UTF-8") from error


class MessageCodec(Generic[M]):
    """Encodes and decodes one explicit list of messages.

    `kinds` are the classes that may come; nothing else is ever decoded.
    """

    def __init__(self, *kinds: type[M]) -> None:
        self.kinds = kinds
        self._names = frozenset(kind.__name__ for kind in kinds)
        self._decoder: msgspec.msgpack.Decoder[Any] | None = None

    def encode(self, message: M) -> bytes:
        """A message as bytes.

        Raises LocalProtocolError for one that is not on the list, and UsageError for half
        characters in it, which are bytes of a command line or a variable that were no text.
        """
        if type(message).__name__ not in self._names:
            raise LocalProtocolError(reason=f"the message {type(message).__name__}")
        return _packed(message)

    def decode(self, data: bytes) -> M | Unknown:
        """The message in these bytes.

        Raises RemoteProtocolError for bytes that are no message, or one whose fields
        have the wrong type or size.
        """
        if self._decoder is None:  # built on first use: it costs a millisecond
            union: Any = self.kinds[0]
            for kind in self.kinds[1:]:
                union = union | kind
            self._decoder = msgspec.msgpack.Decoder(union)
        try:
            decoded: M = self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            unknown = self._unknown(data)
            if unknown is None:
                raise RemoteProtocolError(reason=f"a malformed message ({error})") from error
            return unknown
        return decoded

    def _unknown(self, data: bytes) -> Unknown | None:
        """The message as an unknown one, if it is well formed and not on the list."""
        try:
            fields = msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        name = fields.get("is") if isinstance(fields, dict) else None
        if not isinstance(name, str) or name in self._names or len(name) > NAME_MAX_CHARS:
            return None
        return Unknown(name)
