"""The sample warehouse counted again by other means: plain Python, one row after the other.

It shares no line with the product, so that both can only agree by being right. It is slow and simple on purpose.
"""

import string
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

Row = dict[str, Any]
LOCAL_LETTERS = set(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~.")
LABEL_LETTERS = set(string.ascii_letters + string.digits + "-")


@dataclass(frozen=True)
class Recount:
    """How many rows of the sample end where, and what each accepted person should look like at Mailtrap."""

    rows: dict[str, int]
    rejected_by_column: dict[str, int]
    contacts: dict[str, dict[str, Any]]


def recount(
    path: Path, now: datetime, *, unsubscribed: Collection[str] = (), suppressed: Collection[str] = ()
) -> Recount:
    """Judge every row by the words of the documentation."""
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.sql("FROM marts.newsletter_subscribers")
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    counts: Counter[str] = Counter(read=len(rows))
    columns: Counter[str] = Counter()
    refusers = {person(row["email_address"]) for row in rows if not agreed(row, now)} - {None}
    people: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        address = canonical(row["email_address"])
        if not agreed(row, now) or person(row["email_address"]) in refusers:
            counts["no_consent"] += 1
        elif wrong := first_wrong_column(row):
            counts["rejected"] += 1
            columns[wrong] += 1
        else:
            people[address].append(row)
    contacts = {}
    for address, same in people.items():
        counts["duplicate"] += len(same) - 1
        if address in unsubscribed:
            counts["unsubscribed"] += 1
        elif address in suppressed:
            counts["suppressed"] += 1
        else:
            counts["accepted"] += 1
            contacts[address] = contact(max(same, key=lambda row: row["updated_at"]))
    return Recount(dict(counts), dict(columns), contacts)


def agreed(row: Row, now: datetime) -> bool:
    """Whether this row alone says a clear, dated, fresh and standing yes."""
    if row["marketing_consent"] not in ("yes", "Y"):
        return False
    given, taken_back = row["consented_at"], row["opted_out_at"]
    if given is None or now.replace(tzinfo=None) - given > timedelta(days=730):
        return False
    return taken_back is None or taken_back < given


def canonical(text: str | None) -> str | None:
    """The address as one person has it, or nothing when it is none."""
    address = (text or "").strip().lower()
    return address if is_address(address) else None


def person(text: str | None) -> str | None:
    """Whom a row is about, also when its address cannot be used: a no beside a misspelled address is heard."""
    if text is None:
        return None
    inside = text.partition("<")[2].partition(">")[0] if "<" in text else text
    readable = "".join(letter for letter in inside if letter.isprintable())
    return canonical(text) or canonical(readable) or text.lower()


def is_address(address: str) -> bool:
    """A plain reading of RFC 5321 for addresses in ASCII, with a top-level domain of two letters or more."""
    if address.count("@") != 1 or len(address) > 254:
        return False
    local, domain = address.split("@")
    if not 0 < len(local) <= 64 or set(local) - LOCAL_LETTERS or "" in local.split("."):
        return False
    labels = domain.split(".")
    for label in labels:
        if not 0 < len(label) <= 63 or set(label) - LABEL_LETTERS or label[0] == "-" or label[-1] == "-":
            return False
    return len(labels) > 1 and len(labels[-1]) >= 2 and not labels[-1].isdigit()


def first_wrong_column(row: Row) -> str | None:
    """The first column, in the order of the sync file, with a value that cannot be used."""
    if canonical(row["email_address"]) is None:
        return "email_address"
    for column in ("given_name", "family_name", "company"):
        text = row[column] or ""
        if len(text) > 255 or any(ord(letter) < 32 for letter in text):
            return column
    age = row["age"]
    if age is not None and not (age.isdecimal() and 16 <= int(age) <= 120):
        return "age"
    if row["plan_code"] not in (None, "free", "starter", "pro", "business"):
        return "plan_code"
    return "created_on" if row["created_on"] is None else None


def contact(row: Row) -> dict[str, Any]:
    """The merge tags of one person; what is empty is left out."""
    fields = {
        "first_name": row["given_name"],
        "last_name": row["family_name"],
        "company": row["company"],
        "age": None if row["age"] is None else int(row["age"]),
        "plan": row["plan_code"] or "free",
        "signed_up": row["created_on"].isoformat(),
    }
    return {tag: value for tag, value in fields.items() if value is not None}
