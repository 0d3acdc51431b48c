"""The official Noise test vector of our suite, run through noiseprotocol as we use it.

The data in tests/vectors/noise_xxpsk3.json is the entry Noise_XXpsk3_25519_AESGCM_SHA256 of
vectors/cacophony.txt in github.com/haskell-cryptography/cacophony (commit 8ee9d41), which
snow uses as well; the format is that of the Noise wiki's page "Test vectors".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from noise.connection import Keypair, NoiseConnection

from cmdop.seal.noise import PATTERN

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "noise_xxpsk3.json").read_text())
HANDSHAKE_MESSAGES = 3


def end(side: str) -> NoiseConnection:
    """The initiator (`init`) or the responder (`resp`), with the vector's keys."""
    noise = NoiseConnection.from_name(PATTERN)
    noise.set_as_initiator() if side == "init" else noise.set_as_responder()
    noise.set_psks(psks=[bytes.fromhex(psk) for psk in VECTOR[f"{side}_psks"]])
    noise.set_prologue(bytes.fromhex(VECTOR[f"{side}_prologue"]))
    noise.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(VECTOR[f"{side}_static"]))
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, bytes.fromhex(VECTOR[f"{side}_ephemeral"]))
    with pytest.warns(UserWarning, match="ephemeral"):
        noise.start_handshake()
    return noise


def test_the_vector_is_the_one_for_our_pattern() -> None:
    assert VECTOR["protocol_name"].encode() == PATTERN
    assert len(VECTOR["messages"]) > HANDSHAKE_MESSAGES, "it has transport messages too"


def test_both_ends_write_and_read_what_the_official_vector_says() -> None:
    ends = [end("init"), end("resp")]
    for number, message in enumerate(VECTOR["messages"]):
        writer, reader = ends if number % 2 == 0 else reversed(ends)
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        if number < HANDSHAKE_MESSAGES:
            assert writer.write_message(payload) == ciphertext
            assert reader.read_message(ciphertext) == payload
        else:
            assert writer.encrypt(payload) == ciphertext
            assert reader.decrypt(ciphertext) == payload


def test_both_ends_reach_the_handshake_hash_of_the_official_vector() -> None:
    ends = [end("init"), end("resp")]
    for number, message in enumerate(VECTOR["messages"][:HANDSHAKE_MESSAGES]):
        writer, reader = ends if number % 2 == 0 else reversed(ends)
        reader.read_message(bytes(writer.write_message(bytes.fromhex(message["payload"]))))
    assert {noise.get_handshake_hash().hex() for noise in ends} == {VECTOR["handshake_hash"]}
