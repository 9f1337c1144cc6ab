"""SipHash-2-4 word by word, as its paper writes it, and what pandas makes of it: what the hash of a column is compared with."""

import hashlib
import uuid

MASK = (1 << 64) - 1


def _turned(word: int, by: int) -> int:
    return ((word << by) | (word >> (64 - by))) & MASK


def siphash(message: bytes, key: bytes) -> int:
    """One message under a key of 16 bytes."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    a, b = low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D
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
    c ^= 0xFF
    mix(4)
    return a ^ b ^ c ^ d


def spread(word: int) -> int:
    """What pandas does to every hash: each word still stands for one other."""
    word ^= word >> 30
    word = word * 0xBF58476D1CE4E5B9 & MASK
    word ^= word >> 27
    word = word * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def words(cell: bytes, key: bytes, count: int) -> list[int]:
    """The words of a cell's hash."""
    keys = hashlib.blake2b(key, digest_size=16 * count).digest()
    return [spread(siphash(cell, keys[16 * place : 16 * place + 16])) for place in range(count)]


def person(text: str, key: bytes) -> uuid.UUID:
    """The hash of an address under CONTACTS_KEY."""
    return uuid.UUID(bytes=b"".join(word.to_bytes(8, "little") for word in words(text.encode(), key, 2)))
