"""SipHash-2-4-128 word by word, as its paper writes it: what the hash of a column is compared with."""

import hashlib
import uuid

MASK = (1 << 64) - 1


def _turned(word: int, by: int) -> int:
    return ((word << by) | (word >> (64 - by))) & MASK


def siphash(message: bytes, key: bytes) -> bytes:
    """One message under a key of 16 bytes."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    a, b = low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D ^ 0xEE
    c, d = low ^ 0x6C7967656E657261, high ^ 0x7465646279746573

    def mix(rounds: int) -> None:
        nonlocal a, b, c, d
        for _ in range(rounds):
            a, b = (a + b) & MASK, _turned(b, 13)
            b, a = b ^ a, _turned(a, 32)
            c, d = (c + d) & MASK, _turned(d, 16)
            d ^= c
            a, d = (a + d) & MASK, _turned(d, 21)
            d ^= a
            c, b = (c + b) & MASK, _turned(b, 17)
            b, c = b ^ c, _turned(c, 32)

    padded = message + b"\0" * (7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for place in range(0, len(padded), 8):
        word = int.from_bytes(padded[place : place + 8], "little")
        d ^= word
        mix(2)
        a ^= word
    halves = []
    for end in (0xEE, 0xDD):
        if end == 0xEE:
            c ^= end
        else:
            b ^= end
        mix(4)
        halves.append((a ^ b ^ c ^ d).to_bytes(8, "little"))
    return b"".join(halves)


def person(text: str, key: bytes) -> uuid.UUID:
    """The hash of an address under CONTACTS_KEY; texts longer than any address have BLAKE2b."""
    cell, short_key = text.encode(), hashlib.blake2b(key, digest_size=16).digest()
    if len(cell) > 1_024:
        return uuid.UUID(bytes=hashlib.blake2b(cell, key=short_key, digest_size=16).digest())
    return uuid.UUID(bytes=siphash(cell, short_key))
