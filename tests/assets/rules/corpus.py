"""Rows that must be accepted, rejected, kept silent, or accounted for either way: written from the promises, not the code.

Belongs here: source rows as text, as a CSV gives them, and by hand what must become of each. It shares nothing with the
product, and its clock stands still. Not here: running them (`test_corpus`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
Cells = dict[str, str | None]


@dataclass(frozen=True)
class Contact:
    """Accepted: under this address, with these fields besides the usual ones, in these lists."""

    email: str | None
    fields: dict[str, Any]
    lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """Refused, for this column."""

    column: str


SILENT, DUPLICATE, EITHER = "silent", "duplicate", "either"
Outcome = Contact | Rejected | str


@dataclass(frozen=True)
class Case:
    """One row, and what may become of it."""

    row: Cells
    outcomes: tuple[Outcome, ...]


def iso(moment: datetime) -> str:
    """As a warehouse writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(days: int = 0, **more: int) -> str:
    """So long before now."""
    return iso(NOW - timedelta(days=days, **more))


def off(moment: datetime, hours: int) -> str:
    """The same moment on a clock so many hours ahead of UTC."""
    return (moment + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S") + f"{hours:+03d}:00"


USUAL: Cells = {
    "consent": "yes", "consented_at": ago(100), "opted_out": None, "evidence": "form", "name": "Name", "note": None, "age": None,
    "big": None, "score": None, "vip": None, "born": None, "plan": None, "level": None, "since": None, "ratio": None,
    "lists": None, "updated_at": ago(50),
}  # fmt: skip
USUAL_FIELDS = {"first_name": "Name", "plan": "free"}
CASES: list[Case] = []


def add(wanted: Outcome | list[Outcome], **cells: str | None) -> None:
    """One more row, with a key and an address of its own."""
    key = f"c{len(CASES) + 1:04d}"
    row = {"id": key, "email": f"corpus{key}@example.com", **USUAL, **cells}
    CASES.append(Case(row, tuple(wanted) if isinstance(wanted, list) else (wanted,)))


def acc(email: str | None = None, lists: tuple[str, ...] = (), **fields: Any) -> Contact:
    """Accepted."""
    return Contact(email, {**USUAL_FIELDS, **fields}, lists)


def rej(column: str) -> Rejected:
    """Rejected."""
    return Rejected(column)


def pair(yes: str, no: str, **cells: str | None) -> None:
    """Two rows of one person, of which the second says no: neither leaves us."""
    add(SILENT, email=yes)
    add(SILENT, email=no, **(cells or {"consent": "no"}))


C = NOW - timedelta(days=20)
ci = iso(C)

# Addresses
good = [
    ("Plain.One@Example.COM", "plain.one@example.com"),
    ("  padded@example.com  ", "padded@example.com"),
    ("plus+tag@example.com", None),
    ("o'neil@example.ie", None),
    ("!#$%&'*+-/=?^_`{|}~@example.com", None),
    ("x" * 64 + "@example.com", None),
    ("lbl@" + "b" * 63 + ".com", None),
    ("y" * 64 + "@" + ".".join(["c" * 63, "c" * 63, "c" * 58, "co"]), None),
    ("1@2.example", None),
    ("-dash@example.com", None),
    ("_under_@example.com", None),
    ("a@b.co", None),
    ("t@1-2-3.example.travel", None),
    ("t2@example.museum", None),
    ("idn1@bücher.example", "idn1@xn--bcher-kva.example"),
    ("idn2@XN--BCHER-KVA.EXAMPLE", "idn2@xn--bcher-kva.example"),
    ("idn3@example.xn--p1ai", None),
    ("idn4@пример.рф", "idn4@xn--e1afmkfd.xn--p1ai"),
    ("idn5@faß.de", "idn5@xn--fa-hia.de"),
    ("percent%x@example.com", None),
    ("a/b@example.com", None),
    ("deep@a.b.c.d.e.f.example.com", None),
    ("digits.123@123.com", None),
    ("idn6@bu\u0308cher.example", "idn6@xn--bcher-kva.example"),
    ("{brace}@example.com", None),
    ("pipe|a@example.com", None),
    ("tick`a@example.com", None),
    ("hash#1@example.com", None),
    ("eq=1@example.com", None),
    ("a.b.c.d@example.com", None),
]
for g, c in good:
    add(acc(c or g), email=g)
bad = [
    "plainaddress",
    "@example.com",
    "ann@",
    "ann@@example.com",
    "a@b@example.com",
    ".ann@example.com",
    "ann.@example.com",
    "ann..lee@example.com",
    "ann lee@example.com",
    "ann@exam ple.com",
    "ann@example",
    "ann@localhost",
    "ann@example.c",
    "ann@example.123",
    "ann@[192.0.2.1]",
    "ann@192.0.2.1",
    "ann@[IPv6:2001:db8::1]",
    '"ann"@exämple.com',
    '"ann lee"@example.com',
    "ann(comment)@example.com",
    "Ann Lee <annlee@example.com>",
    "<annx@example.com>",
    "mailto:annm@example.com",
    "ann1@example.com,bob1@example.com",
    "ann2@example.com; bob2@example.com",
    "ann3@example.com bob3@example.com",
    "ann4@example.com,",
    "ann\u200b5@example.com",
    "ann\u200c6@example.com",
    "ann\u200d7@example.com",
    "ann\u20608@example.com",
    "\ufeffann9@example.com",
    "ann10@example.com\u202e",
    "ann\u202a11@example.com",
    "ann\u206612@example.com\u2069",
    "ann13\u200e@example.com",
    "ann\u061c14@example.com",
    "ann15@exam\xadple.com",
    "ann16\n@example.com",
    "ann\t17@example.com",
    "ann18@example.com\nBcc: x@example.com",
    "z" * 65 + "@example.com",
    "ann@" + "d" * 64 + ".com",
    "q" * 64 + "@" + ".".join(["c" * 63, "c" * 63, "c" * 58, "com"]),
    "ann@-example.com",
    "ann@example-.com",
    "ann@exa_mple.com",
    "ａｎｎ１９@example.com",
    "ann20＠example.com",
    "ann😀@example.com",
    "änn@example.com",
    "ann\\x@example.com",
    "ann@.com",
    "ann21@example.com/path",
    "ann22@example.com?subject=x",
    "ann@exam!ple.com",
    "ann@example,com",
    "http://ann@example.com",
    "ann23@example.com>",
    "'ann24@example.com'",
    ".@example.com",
    "@",
    "a@b",
    "ann@xn--",
    "ann@-.com",
    "ann@example..com",
    "ann25@example.com\x7f",
    "a\u0301nn@example.com",
    "ann26@exa\ufe0fmple.com",
    "ann27@example.com:25",
    "ann@1.2.3.4.5",
    "ann@example.c0m",
    "ann@example.1a",
    "\u2028ann28\u2028x@example.com",
    "аnn29@example.com",
    "ann30@ex*mple.com",
    "ann31 @example.com",
    "ann32@ example.com",
    "ann@$%.com",
    "ann33@example.com#frag",
    "ann34@xn--bücher.example",
    "ann@xn--zzzzzz999999.example",
]
for b in bad:
    add(rej("email"), email=b)
add(rej("email"), email=None)
add(rej("email"), email="   ")
add([rej("email")], email="")
add(rej("email"), email="ann\x00z@example.com")
for e in [
    "tail@example.com.",
    "ann@ab--cd.com",
    "cyr@exаmple.com",
    "wide@ｅｘａｍｐｌｅ.com",
    "dot@example。com",
    "ideo@example.com\u3000",
    "ann@faß.example",
]:
    add([rej("email"), EITHER], email=e)

# Consent, in words and in time
for w in ["Y", "1"]:
    add(acc(), consent=w)
for w in [
    "YES",
    "y",
    " yes",
    "yes ",
    "True ",
    "t",
    "no",
    "0",
    "null",
    "yes\u200b",
    "oui",
    "ｙｅｓ",
    "1.0",
    "on",
    "NaN",
    "2",
    "-1",
    "granted",
    "false",
    "N",
    "yes;no",
    "yes\n",
    "TRUE",
    "01",
]:
    add(SILENT, consent=w)
add(SILENT, consent=None)
add(SILENT, consent=" ")
add(SILENT, consent="")
add(SILENT, consent="true")
add(SILENT, consent=ago(5))
for c in [
    ago(729),
    ago(0, hours=1),
    (NOW - timedelta(days=10)).strftime("%Y-%m-%d"),
    (NOW - timedelta(days=10)).strftime("%Y-%m-%d %H:%M:%S"),
    (NOW - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%S+14:00"),
    (NOW - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%S.123456Z"),
]:
    add(acc(), consented_at=c)
for c in [
    ago(731),
    ago(5000),
    iso(NOW + timedelta(days=1)),
    "soon",
    "2026-02-30",
    "1767225600",
    None,
    "",
    "0000-00-00",
    "2026-13-01T00:00:00Z",
    "9999-12-31",
    "1969-12-31T23:59:59Z",
    "01/02/2026",
    "infinity",
    "2026-01-01T25:00:00Z",
    (NOW + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S"),
    (NOW - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S-12:00"),
    (NOW - timedelta(days=730) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
]:
    add(SILENT, consented_at=c)
for w in [
    iso(C - timedelta(seconds=1)),
    "false",
    "0",
    None,
    "FALSE",
    off(C - timedelta(minutes=30), 2),
    off(C - timedelta(minutes=30), -11),
]:
    add(acc(), consented_at=ci, opted_out=w)
add([acc(), SILENT], consented_at=ci, opted_out="  ")
for w in [
    ci,
    iso(C + timedelta(seconds=1)),
    iso(NOW + timedelta(days=3)),
    "true",
    "1",
    "TRUE",
    "yes",
    "no",
    "never",
    "n/a",
    "NaN",
    "2026-02-30",
    "-",
    "unsubscribed",
    off(C + timedelta(minutes=30), 2),
    off(C + timedelta(minutes=30), -11),
    "t",
    "2",
    "null",
]:
    add(SILENT, consented_at=ci, opted_out=w)

# Conflicts within a person
pair("pa@example.com", "PA@EXAMPLE.com")
pair("pb@bücher.example", "pb@xn--bcher-kva.example")
pair("pc@xn--bcher-kva.example", "pc@BÜCHER.example")
pair("pd@example.com", "  pd@example.com\t")
pair("pe@example.com", "p\u200be@example.com")
pair("pf@example.com", "Pf <pf@example.com>")
pair("pg@example.com", "pg@example.com.")
pair("ph@example.com", "ｐｈ@ｅｘａｍｐｌｅ.com")
pair("pi@example.com", "mailto:pi@example.com")
pair("pj@example.com", '"pj"@example.com')
pair("pk@example.com", "pk(work)@example.com")
pair("pl@bücher.example", "pl@bu\u0308cher.example")
pair("pm@example.com", "pm@example.com", consent="no", updated_at=ago(900))
pair("pn@example.com", "pn@example.com", consent="no", updated_at=None)
pair("po@example.com", "po@example.com", consented_at=ago(800))
pair("pp@example.com", "pp@example.com", consent="maybe")
pair("pq@example.com", "pq@example.com", consent=None)
pair("pr@example.com", "PR@example.com", opted_out="true")
pair("ps@example.com", "ps@example.com", consent="no", age="x")
pair("pt@example.com", "pt@example.com,")
pair("pu@example.com", "'pu@example.com'")
pair("pv@example.com", "pv＠example.com")

pair("px@example.com", "px @example.com")
pair("py@example.com", "py@exam\xadple.com")
pair("pz@example.com", "<pz@example.com>")

# A no and a bad row; people who only look alike
add(SILENT, email="qa@example.com", age="x")
add(SILENT, email="qa@example.com", consent="no")
add(acc("qb+a@example.com"), email="qb+a@example.com")
add(SILENT, email="qb@example.com", consent="no")
add(acc("q.c@gmail.com"), email="q.c@gmail.com")
add(SILENT, email="qc@gmail.com", consent="no")

# Duplicates: the newest sound row
add(DUPLICATE, email="da@example.com", name="Old", updated_at=ago(60))
add(acc("da@example.com", first_name="New"), email="DA@example.com", name="New", updated_at=ago(40))
add(acc("db@example.com", first_name="First"), email="db@example.com", name="First")
add(DUPLICATE, email="db@example.com", name="Second")
add(DUPLICATE, email="dc@example.com", name="None", updated_at=None)
add(acc("dc@example.com", first_name="Dated"), email="dc@example.com", name="Dated", updated_at=ago(9000))
add(acc("dd@example.com", first_name="Good"), email="dd@example.com", name="Good", updated_at=ago(60))
add(rej("age"), email="dd@example.com", age="x", updated_at=ago(1))
add(DUPLICATE, email="de@example.com", name="A", updated_at=off(NOW - timedelta(days=3, hours=1), 13))
add(
    acc("de@example.com", first_name="B"),
    email="de@example.com",
    name="B",
    updated_at=off(NOW - timedelta(days=3), -11),
)
add(DUPLICATE, email="df@bücher.example", name="A", updated_at=ago(9))
add(DUPLICATE, email="DF@xn--bcher-kva.example", name="B", updated_at=ago(8))
add(acc("df@xn--bcher-kva.example", first_name="C"), email=" df@BÜCHER.example", name="C", updated_at=ago(7))
for u in [iso(NOW + timedelta(days=3)), "yesterday", "2026-02-30", "1767225600"]:
    add(rej("updated_at"), updated_at=u)
add(acc(), updated_at=None)

# Text
for v in [
    "x" * 255,
    "é" * 255,
    "=1+1",
    " Ann ",
    "NULL",
    "nan",
    "e\u0301",
    "\u202eabc",
    "�",
    "a\u200bb",
    'O\'Brien "Q" \\ / ,;',
    "日本語",
    "𝒜nn",
    "<script>alert(1)</script>",
    "0",
    "-0",
    "1e5",
    "true",
    "{{first_name}}",
    "\xa0x",
    "\ufeffBOM",
    "👩\u200d👩\u200d👧",
]:
    add(acc(first_name=v), name=v)
add([acc(first_name="😀" * 255), rej("name")], name="😀" * 255)
for v in ["x" * 256, "é" * 256, "😀" * 256, "x" * 100000, "a\x01b", "a\x1fb", "a\x7fb", "a\x85b"]:
    add(rej("name"), name=v)
for v in ["a\tb", "a\nb", "a\r\nb"]:
    add([acc(first_name=v), rej("name")], name=v)
add(rej("name"), name="a\x00b")
add(rej("name"), name=None)
add(rej("name"), name="   ")
add([rej("name")], name="")
add([acc(note=""), acc()], note="")
add(acc(note="  "), note="  ")
add(rej("note"), note="n" * 256)

# Integers as text
for v, w in [("42", 42), ("0", 0), ("130", 130)]:
    add(acc(age=w), age=v)
for v in [
    "131",
    "-1",
    "4.5",
    "x",
    "NaN",
    "true",
    "1,000",
    "0x10",
    "१२",
    "1e400",
    "--1",
    "1 0",
    "９",
    "inf",
    "None",
]:
    add(rej("age"), age=v)
for v, w in [("42.0", 42), (" 42", 42), ("+5", 5), ("007", 7), ("1e2", 100), ("-0", 0), ("4_2", 42)]:
    add([rej("age"), acc(age=w)] if v != "4_2" else rej("age"), age=v)
add([rej("age"), acc()], age="")
for v in [
    "9223372036854775807",
    "-9223372036854775808",
    "9007199254740993",
    "-9007199254740993",
    "999999999999999999",
]:
    add(acc(big=int(v)), big=v)
for v in ["9223372036854775808", "-9223372036854775809", "18446744073709551615", "1" + "0" * 40, "1" * 5000]:
    add(rej("big"), big=v)

# Floats as text
for v, w in [
    ("4.25", 4.25),
    ("1e-3", 0.001),
    ("0.1", 0.1),
    ("-2.5", -2.5),
    ("1e308", 1e308),
    ("5e-324", 5e-324),
    ("0.30000000000000004", 0.30000000000000004),
    ("3", 3.0),
    ("1E5", 100000.0),
    ("0.0", 0.0),
]:
    add(acc(score=w), score=v)
for v in [
    "1e400",
    "-1e400",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "1,5",
    "1_000",
    "٤",
    "1e",
    "0x1p3",
    "--1",
    "x",
    "1.5.2",
    "$5",
    "5%",
]:
    add(rej("score"), score=v)
add(rej("score"), score="1e-400")
add([rej("score")], score="0.123456789012345678901234567890")
add([rej("score")], score="123456789012345678901234567890")
add([rej("score"), acc(score=-0.0), acc(score=0.0)], score="-0.0")
add([rej("score"), acc(score=9007199254740992.0)], score="9007199254740993")
for v, w in [("0", 0.0), ("1", 1.0), ("0.5", 0.5)]:
    add(acc(ratio=w), ratio=v)
for v in ["1.0000001", "-0.0000001", "2", "-1e-300"]:
    add(rej("ratio"), ratio=v)

# Booleans as text
for v, w in [("true", True), ("FALSE", False), ("True", True)]:
    add(acc(vip=w), vip=v)
for v in ["yes", "maybe", "2", "tru", "ｔrue", "NaN", "wahr"]:
    add(rej("vip"), vip=v)
for v, w in [("1", True), ("0", False), ("t", True), ["true", "f"] and (" true", True)]:
    add([rej("vip"), acc(vip=w)], vip=v)

# Dates as text
for v in ["2026-01-31", "2024-02-29", "0001-01-01", "9999-12-31", "1969-12-31", "2000-02-29", "1582-10-10"]:
    add(acc(born=v), born=v)
for v in [
    "2026-02-29",
    "1900-02-29",
    "0000-01-01",
    "10000-01-01",
    "-0001-01-01",
    "2026-13-01",
    "2026-00-10",
    "2026-01-00",
    "31.01.2026",
    "01/31/2026",
    "２０２６-01-31",
    "today",
    "2026-01-31T10:00:00",
    "2026-01-31T10:00:00Z",
    "26-01-31",
    "1769817600",
    "2026-W05-6",
    "infinity",
    "2026-01-32",
]:
    add(rej("born"), born=v)
for v in ["2026-1-31", "2026-01-31T00:00:00", "20260131", "2026-01-31 "]:
    add([rej("born"), acc(born="2026-01-31")], born=v)
for v in ["2000-01-01", "2030-12-31"]:
    add(acc(since=v), since=v)
for v in ["1999-12-31", "2031-01-01"]:
    add(rej("since"), since=v)

# Listed values, defaults, lists
add(acc(plan="pro"), plan="pro")
add(acc(plan="free"), plan=None)
for v in ["Free", "gold", "pro ", "free\u200b"]:
    add(rej("plan"), plan=v)
add([rej("plan"), acc(plan="free")], plan="")
for v in "123":
    add(acc(level=int(v)), level=v)
for v in ["4", "0", "-1", "1.5"]:
    add(rej("level"), level=v)
add(acc(lists=("A",)), lists="A")
add(acc(lists=("A", "B")), lists="A, B")
add(acc(lists=("A", "B")), lists="B,A,A")
add(acc(), lists=" ")
add(acc(lists=("Newsletter2",)), lists="Newsletter2")
add(acc(), lists="Newsletter")
add(rej("name"), name=None, age="x", born="y")
add(SILENT, consent="no", email="nobody", age="x")
