"""What an e-mail address is to us, in which one form it is kept, and the keyed hash that stands for it.

Belongs here: the strict rule, the canonical form, the fast path through RE2, the hash.
Not here: consent, duplicates, or what else a row must have.

The rule is narrower than the standards on purpose, because Mailtrap refuses "is invalid" and "top level
domain is too short", and because an address that only some servers take is a bounce:
RFC 5321 4.1.2 dot-strings (no quoted ones), 4.5.3.1 lengths, 2.3.5 domain names (no IP literals);
RFC 5890 labels; RFC 6531 is not assumed, so the local part is ASCII and a Unicode domain becomes its A-label.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import idna
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells
from assets.rules.keyed_hash import keyed_hashes
from assets.rules.rejection import Reason

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_FAST = rf"^{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z][a-z]+$"
_FAST_BYTES = 68
"""Up to here no part can be too long (68 = 64 + "@a.bb" - 1 = "a@" + 63 + ".bb"), so RE2 needs no bounded
repeats, which it expands, and which accept more than they say when an address is cut in the middle."""

_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*", re.ASCII)
_DOMAIN_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_TOP_LABEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]*[a-z0-9]", re.ASCII)
_IP_LITERAL = re.compile(r"\[.*\]?|[0-9.]+", re.ASCII | re.DOTALL)
_WHITESPACE = " \t\n\r\v\f\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_ASCII_LOWER = str.maketrans({chr(letter): chr(letter + 32) for letter in range(ord("A"), ord("Z") + 1)})
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE = frozenset(
    map(
        chr,
        [
            0x34F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            0x3164,
            0xFFA0,
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
        ],
    )
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
_ASCII_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_COMMENT = re.compile(r"\([^()]*\)")
_MAILTO = re.compile(r"mailto:([^?<>]*)(?:\?[^<>]*)?", re.IGNORECASE)
_BLANKS = re.compile(r"\s+(?=@)|(?<=@)\s+")
_AROUND = " .,;:'<>()[]‘’‚‛“”„‟‹›«»。"
_TOO_LONG_TO_LOOK = 1000


class Addresses(NamedTuple):
    """A column of addresses: canonical where there is one, else null with the number of a reason."""

    canonical: cells.Array
    problems: cells.Codes


def canonical_address(text: str) -> str | Reason:
    """The one form in which we keep this address, or why it is none."""
    return _strict(text)


def canonical_addresses(column: cells.Array) -> Addresses:
    """The canonical form of every address, without a verdict on the ordinary ones: `is_address` judges those."""
    problems = np.where(cells.nulls(column), Reason.address_missing.number, 0).astype(np.uint8)
    if not pa.types.is_string(column.type):
        return _canonical_by_kind(column, problems)
    lowered, rare = _lowered(column)
    if not len(rare):
        return Addresses(lowered, problems)
    read = [_strict_bytes(cell) for cell in cells.binary(column).take(pa.array(rare)).to_pylist()]
    problems[rare] = [found.number if isinstance(found, Reason) else 0 for found in read]
    canonical = [None if isinstance(found, Reason) else found for found in read]
    return Addresses(_put(lowered, rare, pa.array(canonical, pa.string())), problems)


def is_address(column: cells.Array) -> cells.Mask:
    """Which texts are canonical addresses: one RE2 expression, and the strict rule for what it does not clear."""
    clear = cells.to_mask(
        pc.and_(
            pc.match_substring_regex(column, _FAST),
            pc.less_equal(pc.binary_length(column), _FAST_BYTES),
        )
    )
    rest = np.flatnonzero(~clear & ~cells.nulls(column))
    clear[rest] = [_strict(text) == text for text in column.take(pa.array(rest)).to_pylist()]
    return clear


def why_no_address(texts: list[str]) -> list[Reason]:
    """The reasons for texts that `is_address` refused."""
    found = [_strict(text) for text in texts]
    return [reason if isinstance(reason, Reason) else Reason.address_domain for reason in found]


def persons(column: cells.Array) -> cells.Array:
    """Whom each row is about, as bytes to be hashed: the canonical address, or what comes nearest to it.

    A refused spelling still points at its person, so that a "no" beside it is heard: invisible and full-width
    characters are looked through; names, quotes, comments, `mailto:` and dots at the end are looked past. What
    holds no address at all stands for itself.
    """
    if not pa.types.is_string(column.type):
        return _persons_by_kind(column)
    lowered, rare = _lowered(column)
    if not len(rare):
        return cells.binary(lowered)
    raw = cells.binary(column).take(pa.array(rare)).to_pylist()
    return _put(cells.binary(lowered), rare, pa.array([_person(cell) for cell in raw], pa.binary()))


def hash_addresses(addresses: cells.Array, key: bytes) -> cells.Array:
    """The keyed hash of each address, as UUIDs; null stays null."""
    column = cells.plain(addresses)
    return as_uuids(keyed_hashes(column, key).tobytes(), absent=cells.nulls(column))


def as_uuids(held: bytes, *, absent: cells.Mask | None = None) -> cells.Array:
    """16 bytes a row as Arrow UUIDs."""
    valid = None if absent is None or not absent.any() else pa.array(~absent).buffers()[1]
    storage = pa.Array.from_buffers(pa.binary(16), len(held) // 16, [valid, pa.py_buffer(held)])
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def _lowered(column: cells.Array) -> tuple[cells.Array, cells.Rows]:
    """The column lower-cased and trimmed, and the rows that need a closer look."""
    lowered, rare = pc.ascii_lower(column), _rare(column)
    if not len(rare):
        return lowered, rare
    trimmed = pc.ascii_trim(lowered.take(pa.array(rare)), characters=" \t\n\r\v\f")
    strange = _rare(trimmed)
    plain = np.setdiff1d(np.arange(len(rare)), strange, assume_unique=True)
    if len(plain):
        lowered = _put(lowered, rare[plain], trimmed.take(pa.array(plain)))
    return lowered, rare[strange]


def _rare(column: cells.Array) -> cells.Rows:
    """Rows with white space, control or non-ASCII bytes, or with what surrounds an address but is no part of it."""
    strange = cells.rows_with_bytes_outside(column, 0x21, 0x7E, also='"(,:;<>[]')
    ends = pc.or_(pc.ends_with(column, "."), pc.ends_with(column, "'"))
    return np.union1d(strange, np.flatnonzero(cells.to_mask(ends))) if pc.any(ends).as_py() else strange


def _put(column: cells.Array, rows: cells.Rows, values: cells.Array) -> cells.Array:
    mask = np.zeros(len(column), np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), values)


def _canonical_by_kind(column: cells.Array, problems: cells.Codes) -> Addresses:
    texts: list[str | None] = [None] * len(column)
    for part, rows in cells.kinds(column):
        place = np.arange(len(column)) if rows is None else rows
        if pa.types.is_string(part.type):
            found = canonical_addresses(part)
            problems[place] = found.problems
            for row, text in zip(place.tolist(), found.canonical.to_pylist(), strict=True):
                texts[row] = text
        elif not pa.types.is_null(part.type):
            problems[place[~cells.nulls(part)]] = Reason.address_not_text.number
    return Addresses(pa.array(texts, pa.string()), problems)


def _persons_by_kind(column: cells.Array) -> cells.Array:
    held: list[bytes | None] = [None] * len(column)
    for part, rows in cells.kinds(column):
        place = range(len(column)) if rows is None else rows.tolist()
        if pa.types.is_string(part.type):
            found = persons(part).to_pylist()
        else:
            found = cells.as_bytes(part).to_pylist()
        for row, person in zip(place, found, strict=True):
            held[row] = person
    return pa.array(held, pa.binary())


def _strict_bytes(cell: bytes | None) -> str | Reason:
    if cell is None:
        return Reason.address_missing
    try:
        return _strict(cell.decode())
    except UnicodeDecodeError:
        return Reason.address_invalid_unicode


@lru_cache(maxsize=1 << 15)
def _strict(text: str) -> str | Reason:
    text = text.strip(_WHITESPACE)
    if not text:
        return Reason.address_missing
    if len(text) > _TOO_LONG_TO_LOOK:
        return Reason.address_too_long
    return _strange(text) or _parts(text)


def _strange(text: str) -> Reason | None:
    """What is no bare address at all, told apart because the remedies differ."""
    if _ASCII_CONTROL.search(text) or (not text.isascii() and any(map(_invisible, text))):
        return Reason.address_invisible_character
    if "<" in text or ">" in text or text[:7].lower() == "mailto:":
        return Reason.address_display_name
    if "@" not in text:
        return Reason.address_without_at
    if text.startswith('"'):
        return Reason.address_quoted
    if text.count("@") > 1:
        return Reason.address_several
    return None


def _invisible(letter: str) -> bool:
    return letter in _INVISIBLE or unicodedata.category(letter) in _INVISIBLE_CATEGORIES


def _parts(text: str) -> str | Reason:
    local, _, domain = text.translate(_ASCII_LOWER).rpartition("@")
    if not local.isascii():
        return Reason.address_local_part_not_ascii
    if not _LOCAL_PART.fullmatch(local):
        return Reason.address_local_part
    if len(local) > 64:
        return Reason.address_local_part_too_long
    if _IP_LITERAL.fullmatch(domain):
        return Reason.address_ip_literal if domain.strip(".") else Reason.address_domain
    name = _domain(domain)
    if isinstance(name, Reason):
        return name
    canonical = f"{local}@{name}"
    return canonical if len(canonical) <= 254 else Reason.address_too_long


def _domain(domain: str) -> str | Reason:
    if not domain.isascii() or "--" in domain:
        try:
            domain = idna.encode(domain, uts46=True, std3_rules=True, transitional=False).decode()
        except (idna.IDNAError, UnicodeError, IndexError):
            return Reason.address_domain
    labels = domain.split(".")
    if not all(_DOMAIN_LABEL.fullmatch(label) and len(label) <= 63 for label in labels):
        return Reason.address_domain
    if len(labels) < 2 or not _TOP_LABEL.fullmatch(labels[-1]):
        return Reason.address_top_level_domain
    return domain if len(domain) <= 253 else Reason.address_too_long


def _person(cell: bytes | None) -> bytes | None:
    if cell is None:
        return None
    found = _strict_bytes(cell)
    if isinstance(found, Reason):
        found = _strict(_address_inside(cell.decode(errors="replace")[:_TOO_LONG_TO_LOOK]))
    return cell if isinstance(found, Reason) else found.encode()


def _address_inside(text: str) -> str:
    """A text without what people and programs put around an address."""
    plain = text.isascii() and text.isprintable()
    seen = text if plain else "".join(letter for letter in text if not _invisible(letter))
    whole = unicodedata.normalize("NFKC", seen).replace('"', "")
    outside = _COMMENT.sub("", _COMMENT.sub("", whole))  # comments have comments
    bare = _BLANKS.sub("", _MAILTO.sub(r"\1", outside if "@" in outside else whole))
    inside = re.search(r"<([^<>]*)>", bare)
    return (inside[1] if inside else bare).strip(_AROUND)
