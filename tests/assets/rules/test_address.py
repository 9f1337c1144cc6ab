"""The strict rule for addresses, and its fast path: against tables of cases and a library."""

import idna
import numpy as np
import pyarrow as pa
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.rules import address, cells
from assets.rules.address import (
    canonical_address,
    canonical_addresses,
    is_address,
    persons,
)
from assets.rules.rejection import Reason

LONG_LABEL = "a" * 63
LONGEST_LOCAL = "a" * 64
LONGEST_DOMAIN = ".".join([LONG_LABEL] * 2 + ["a" * 58, "co"])

GOOD = {
    # given: canonical                                       where it comes from
    "ann@example.com": "ann@example.com",  # RFC 5321 2.3.11
    "Ann@Example.COM": "ann@example.com",  # Mailtrap shows imported addresses in lower case
    "  ann@example.com\t\n": "ann@example.com",
    "\u00a0ann@example.com\u3000": "ann@example.com",  # no-break and ideographic space are white space
    "ann.lee+tag@example.com": "ann.lee+tag@example.com",  # RFC 5321 4.1.2 Dot-string
    "!#$%&'*+-/=?^_`{|}~@example.com": "!#$%&'*+-/=?^_`{|}~@example.com",  # RFC 5322 3.2.3 atext
    "o'neil@example.ie": "o'neil@example.ie",
    "1@2.example": "1@2.example",
    "a@b.co": "a@b.co",
    "a@1-2-3.example.travel": "a@1-2-3.example.travel",
    f"{LONGEST_LOCAL}@example.com": f"{LONGEST_LOCAL}@example.com",  # RFC 5321 4.5.3.1.1
    f"a@{LONG_LABEL}.com": f"a@{LONG_LABEL}.com",  # RFC 1035 2.3.4
    f"{LONGEST_LOCAL}@{LONGEST_DOMAIN}": f"{LONGEST_LOCAL}@{LONGEST_DOMAIN}",  # 254 in all: RFC 3696 erratum 1690
    "ann@bücher.example": "ann@xn--bcher-kva.example",  # RFC 5891
    "ann@BÜCHER.example": "ann@xn--bcher-kva.example",
    "ann@faß.de": "ann@xn--fa-hia.de",  # UTS 46 nontransitional: ß is not ss
    "ann@例え.テスト": "ann@xn--r8jz45g.xn--zckzah",  # the IDN test domains of IANA
    "ann@XN--BCHER-KVA.example": "ann@xn--bcher-kva.example",
    "ann@example。com": "ann@example.com",  # UTS 46: the ideographic full stop is a dot
    "ann@example.xn--p1ai": "ann@example.xn--p1ai",
}

BAD = {
    "": Reason.address_missing,
    "   ": Reason.address_missing,
    "\u00a0": Reason.address_missing,
    "ann": Reason.address_without_at,
    "ann.example.com": Reason.address_without_at,
    "ann＠example.com": Reason.address_without_at,  # a full-width at is no at
    "@example.com": Reason.address_local_part,
    "ann@": Reason.address_domain,
    "ann@example": Reason.address_top_level_domain,
    "ann@localhost": Reason.address_top_level_domain,
    "ann@example.c": Reason.address_top_level_domain,  # Mailtrap: top level domain is too short
    "ann@example.123": Reason.address_top_level_domain,  # RFC 3696 2: not all numeric
    "ann@example.c0m": Reason.address_top_level_domain,
    "ann@example.com.": Reason.address_domain,
    "ann@.example.com": Reason.address_domain,
    "ann@example..com": Reason.address_domain,
    "ann@-example.com": Reason.address_domain,  # RFC 1123 2.1
    "ann@example-.com": Reason.address_domain,
    "ann@exa_mple.com": Reason.address_domain,
    "ann@exam ple.com": Reason.address_domain,
    "ann@example.com extra": Reason.address_domain,
    "ann@ab--cd.com": Reason.address_domain,  # RFC 5891 4.2.3.1: reserved labels
    "ann@xn--a.example": Reason.address_domain,  # no valid A-label
    "ann@xn--.example": Reason.address_domain,
    f"ann@{'a' * 64}.com": Reason.address_domain,
    ".ann@example.com": Reason.address_local_part,
    "ann.@example.com": Reason.address_local_part,
    "ann..lee@example.com": Reason.address_local_part,
    "ann lee@example.com": Reason.address_local_part,
    "ann(comment)@example.com": Reason.address_local_part,  # RFC 5322 3.2.2 comments
    "ann,lee@example.com": Reason.address_local_part,
    "a\\@b@example.com": Reason.address_several,
    '"ann lee"@example.com': Reason.address_quoted,  # RFC 5321 Quoted-string
    '"a@b"@example.com': Reason.address_quoted,
    f"{'a' * 65}@example.com": Reason.address_local_part_too_long,
    f"{LONGEST_LOCAL}@{LONGEST_DOMAIN}m": Reason.address_too_long,
    "a" * 5000: Reason.address_too_long,
    "ann@[192.0.2.1]": Reason.address_ip_literal,  # RFC 5321 4.1.3
    "ann@[IPv6:2001:db8::1]": Reason.address_ip_literal,
    "ann@192.0.2.1": Reason.address_ip_literal,
    "Ann <ann@example.com>": Reason.address_display_name,  # RFC 5322 3.4
    "<ann@example.com>": Reason.address_display_name,
    "mailto:ann@example.com": Reason.address_display_name,
    "MAILTO:ann@example.com": Reason.address_display_name,
    "ann@example.com,bob@example.com": Reason.address_several,
    "ann@example.com;bob@example.com": Reason.address_several,
    "ann@@example.com": Reason.address_several,
    "änn@example.com": Reason.address_local_part_not_ascii,  # RFC 6531 is not assumed
    "\u212aate@example.com": Reason.address_local_part_not_ascii,  # the Kelvin sign does not become a k
    "аnn@example.com": Reason.address_local_part_not_ascii,  # a Cyrillic а
    "an\u200bn@example.com": Reason.address_invisible_character,  # zero-width space
    "ann@exam\u00adple.com": Reason.address_invisible_character,  # soft hyphen, which UTS 46 would drop
    "\ufeffann@example.com": Reason.address_invisible_character,  # byte order mark
    "ann@example.com\u202e": Reason.address_invisible_character,  # right-to-left override
    "ann@exam\ufe0fple.com": Reason.address_invisible_character,  # variation selector
    "ann\x00@example.com": Reason.address_invisible_character,
    "ann\n@example.com": Reason.address_invisible_character,
    "ann@example.com\nbcc: bob@example.com": Reason.address_invisible_character,  # header injection
    "ann@example.com\x7f": Reason.address_invisible_character,
    "ann@exa\u0300\u0300\u2028mple.com": Reason.address_invisible_character,
}


@pytest.mark.parametrize(("text", "canonical"), GOOD.items(), ids=range(len(GOOD)))
def test_a_good_address_has_one_canonical_form(text: str, canonical: str) -> None:
    """By itself, in a column, and when it is read again."""
    assert canonical_address(text) == canonical
    assert canonical_address(canonical) == canonical
    assert _column([text]) == ([canonical], [True])


@pytest.mark.parametrize(("text", "reason"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_address_is_refused_with_its_reason(text: str, reason: Reason) -> None:
    """By itself, and in a column by either path."""
    assert canonical_address(text) == reason
    assert _column([text])[1] == [False]


def test_bytes_that_are_no_utf8_are_refused_and_named() -> None:
    """Lone surrogates reach Arrow as invalid bytes; they neither raise nor pass."""
    found = canonical_addresses(cells.text_of(["ann\ud800@example.com", "bob@example.com"]))
    assert found.canonical.to_pylist() == [None, "bob@example.com"]
    assert found.problems.tolist() == [Reason.address_invalid_unicode.number, 0]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([7, None]),
        pa.array([1.5, None]),
        pa.array([True, None]),
        pa.array([b"ann@example.com", None]),
        pa.array([["ann@example.com"], None]),
    ],
    ids=lambda column: str(column.type),
)
def test_an_address_column_of_another_type_is_refused_row_by_row(column: pa.Array) -> None:
    """A drift of the table costs rows, never a crash, and null stays missing."""
    found = canonical_addresses(column)
    assert found.problems.tolist() == [Reason.address_not_text.number, Reason.address_missing.number]


def test_null_and_empty_columns_have_no_addresses() -> None:
    """Columns without a type, and without rows."""
    assert canonical_addresses(pa.nulls(2)).problems.tolist() == [Reason.address_missing.number] * 2
    assert len(canonical_addresses(pa.array([], pa.string())).canonical) == 0
    assert is_address(pa.array([], pa.string())).tolist() == []


ATEXT = st.sampled_from("abcxyzABCXYZ0189!#$%&'*+-/=?^_`{|}~")
LOCALS = st.one_of(
    st.lists(st.text(ATEXT, min_size=1, max_size=8), min_size=1, max_size=4).map(".".join),
    st.text(st.sampled_from('ab.A0+-_ "(),:;<>@[\\]äК\u200b\t'), max_size=12),
    st.integers(60, 68).map("a".__mul__),
)
LABELS = st.one_of(
    st.text(st.sampled_from("abcXYZ0189"), min_size=1, max_size=6),
    st.text(st.sampled_from("ab0-_é例ßA. \u00ad"), max_size=6),
    st.integers(61, 65).map("b".__mul__),
    st.text(st.sampled_from("bücher例えпочта"), min_size=1, max_size=5).map(lambda label: f"xn--{label}"),
)
DOMAINS = st.tuples(
    st.lists(LABELS, min_size=0, max_size=4),
    st.sampled_from(["com", "co", "c", "c0m", "рф", "travel", "123", ""]),
).map(lambda parts: ".".join([*parts[0], parts[1]]))
ADDRESSES = st.one_of(st.tuples(LOCALS, DOMAINS).map("@".join), st.text(max_size=20))


@settings(max_examples=300, deadline=None)
@given(ADDRESSES)
@example("a@b--c.com")
def test_what_we_accept_a_well_kept_library_accepts_too(text: str) -> None:
    """email-validator as the oracle: we may refuse more, never accept more, and the canonical form is its own."""
    found = canonical_address(text)
    if isinstance(found, str):
        checked = validate_email(
            found, check_deliverability=False, allow_smtputf8=False, test_environment=True, strict=True
        )
        assert checked.ascii_email == found


@settings(max_examples=300, deadline=None)
@given(ADDRESSES)
def test_what_the_library_accepts_we_refuse_only_for_reasons_we_name(text: str) -> None:
    """Nobody is lost by accident: each deliberate difference from the library stands here."""
    stripped = text.strip()
    found = canonical_address(stripped)
    try:
        checked = validate_email(
            stripped, check_deliverability=False, allow_smtputf8=False, test_environment=True, strict=True
        )
    except EmailNotValidError:
        return
    deliberate = {
        Reason.address_invisible_character,  # soft hyphens and the like, that UTS 46 maps away
        Reason.address_top_level_domain,  # the library lets 'localhost'-like and digit-bearing ones through in tests
    }
    assert found in deliberate or found == checked.ascii_email.lower()


@settings(max_examples=150, deadline=None)
@given(st.lists(ADDRESSES, max_size=8))
def test_the_fast_path_and_the_strict_rule_agree(texts: list[str]) -> None:
    """A column gives exactly what each of its texts gives alone, wherever it stands."""
    canonical, accepted = _column(texts)
    alone = [canonical_address(text) for text in texts]
    assert accepted == [isinstance(found, str) for found in alone]
    assert [text for text, good in zip(canonical, accepted, strict=True) if good] == [
        found for found in alone if isinstance(found, str)
    ]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=0x80, max_codepoint=0x2FFF), min_size=1, max_size=6))
def test_a_canonical_domain_reads_back_as_a_domain_name(label: str) -> None:
    """Every A-label we make is one that IDNA 2008 knows how to show."""
    found = canonical_address(f"ann@{label}.example")
    if isinstance(found, str):
        assert idna.encode(idna.decode(found.partition("@")[2])).decode() == found.partition("@")[2]


def test_a_refused_spelling_still_points_at_its_person() -> None:
    """So that a no beside an invisible character, a display name or white space reaches the contact."""
    spellings = [
        "ann@example.com", " Ann@Example.com ", "Ann <ann@example.com>", "an\u200bn@example.com", "<ann@example.com>",
        "\ufeffann@example.com", "ann@example.com\x00", "mailto:ann@example.com", "ann@example.com.", "ann@example.com,",
        '"ann"@example.com', "'ann@example.com'", "ann(at work)@example.com", "ann @ example.com", "ann＠example.com",
        "ａｎｎ@ｅｘａｍｐｌｅ.com", "Ann <MAILTO:ann@exam\u00adple.com>",
        "ann (at work)@example.com", "ann@ (new) example.com", "ann@example.com (work (old))", "(ann@example.com)", "<ann@example.com",
        "ann@example.com>", "[ann@example.com]", "mailto:ann@example.com?subject=Stop", "“ann@example.com”", "«ann@example.com»",
        "‘Ann@example.com’", "ann@example.com。",
    ]  # fmt: skip
    assert set(persons(pa.array(spellings)).to_pylist()) == {b"ann@example.com"}
    nobody = ["no one at all", "mary ann@example.com", "ann@example.com, bob@example.com", None]
    assert persons(pa.array(nobody)).to_pylist() == [each and each.encode() for each in nobody]


def test_slices_of_a_column_are_read_as_what_they_are() -> None:
    """Arrow hands out slices that share a buffer; the cheap looks at bytes must not see beyond them."""
    whole = pa.array(["\u200b@x.com", "ann@example.com", "änn@x.com", "bob@example.com "])
    assert is_address(whole[1:2]).tolist() == [True]
    assert canonical_addresses(whole[1:2]).problems.tolist() == [0]
    assert canonical_addresses(whole[3:]).canonical.to_pylist() == ["bob@example.com"]


def test_the_strict_rule_is_only_asked_for_what_the_fast_path_does_not_clear() -> None:
    """Ordinary addresses never reach Python one by one."""
    address._strict.cache_clear()
    is_address(pa.array([f"person.{number}@company-{number}.example.com" for number in range(1000)]))
    assert address._strict.cache_info().misses == 0


def _column(texts: list[str]) -> tuple[list[str | None], list[bool]]:
    column = cells.text_of(["pad@example.com", *texts])[1:]
    found = canonical_addresses(column)
    return found.canonical.to_pylist(), (
        (found.problems == 0) & np.asarray(is_address(found.canonical))
    ).tolist()
