"""Which addresses, field values and list ids Mailtrap takes, and the words with which it refuses the others.

Belongs here: one value at a time, pure. Not here: whole bodies (`imports.py`, `contacts.py`).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, TypeGuard

from resources.local_mailtrap.accounts import Account, Field
from resources.local_mailtrap.answers import Errors
from resources.local_mailtrap.knobs import Knobs

# Rejected words: https://docs.mailtrap.io, Contacts, "Import contacts", 422
INVALID, SHORT_TLD = "is invalid", "top level domain is too short"
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(
    rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z0-9](?:[a-z0-9\-]{{0,61}}[a-z0-9])"
).fullmatch
_SHORT = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z0-9]").fullmatch
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}").fullmatch
_WIDE = re.compile(r"[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+").fullmatch


def canonical(email: str) -> str:
    """How Mailtrap keeps an address."""
    return email.strip().lower()


def is_plain(email: str) -> bool:
    """Whether a canonical address is one that no knob could refuse but by its length; quick."""
    return _ADDRESS(email) is not None and len(email) <= 64


def address_errors(email: object, knobs: Knobs) -> list[str]:
    """Why an address is refused; empty when it is taken."""
    if not isinstance(email, str) or not email.strip():
        return ["can't be blank"] if email in (None, "") else [INVALID]
    text = canonical(email)
    if len(text) > knobs["email_max_length"] or len(text.partition("@")[0]) > 64:
        return [INVALID]
    if _ADDRESS(text) or (not text.isascii() and knobs["unicode_emails"] == "accept" and _WIDE(text)):
        return []
    return [SHORT_TLD] if _SHORT(text) else [INVALID]


def field_value(field: Field, value: Any, knobs: Knobs) -> tuple[Any, bool]:
    """The value as it is kept, and whether it is taken at all."""
    if value is None:
        return None, True
    if field.data_type == "text":
        return _text(value, knobs)
    if isinstance(value, str) and field.data_type != "date" and knobs["text_numbers"] == "accept":
        value = _from_text(field, value)
    return value, _TAKES[field.data_type](value, knobs)


def _text(value: Any, knobs: Knobs) -> tuple[Any, bool]:
    if isinstance(value, bool | int | float) and knobs["numbers_in_text"] == "accept":
        value = str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(value, str):
        return value, False
    longest = knobs["text_max_length"]
    if len(value) > longest and knobs["long_text"] == "truncate":
        value = value[:longest]
    return value, len(value) <= longest


def _from_text(field: Field, text: str) -> Any:
    try:
        if field.data_type == "boolean":
            return {"true": True, "false": False}.get(text.strip().lower(), text)
        return int(text) if field.data_type == "integer" else float(text)
    except ValueError:
        return text


def _is_integer(value: Any, knobs: Knobs) -> bool:
    bits = 63 if knobs["integer_range"] == "int64" else 31
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << bits) <= value < 1 << bits


def _is_float(value: Any, _: Knobs) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def _is_boolean(value: Any, _: Knobs) -> bool:
    return isinstance(value, bool)


def _is_date(value: Any, _: Knobs) -> bool:
    if not isinstance(value, str) or not _DATE(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


_TAKES = {"integer": _is_integer, "float": _is_float, "boolean": _is_boolean, "date": _is_date}


def field_changes(account: Account, fields: object, knobs: Knobs) -> tuple[dict[int, Any], Errors]:
    """Values by position, and the errors by attribute: unknown tags under `fields`, bad values under their tag."""
    if fields is None:
        return {}, {}
    if not isinstance(fields, Mapping):
        return {}, {"fields": [INVALID]}
    by_tag = {each.merge_tag: each for each in account.fields.values()}
    changes: dict[int, Any] = {}
    errors: Errors = {}
    unknown = [tag for tag in fields if tag not in by_tag]
    if unknown and knobs["unknown_fields"] == "reject":
        errors["fields"] = [f"contains invalid values: {', '.join(unknown)}"]
    for tag in fields.keys() & by_tag.keys():
        kept, taken = field_value(by_tag[tag], fields[tag], knobs)
        if not taken:
            errors[tag] = [INVALID]
        elif kept is not None or knobs["null_values"] == "clear":
            changes[by_tag[tag].position] = kept
    return changes, errors


def list_errors(included: object, excluded: object, *, known: Collection[int], knobs: Knobs) -> Errors:
    """Why list ids are refused: not integers, unknown, or in both."""
    errors: Errors = {}
    for key, given in (("list_id_included", included), ("list_id_excluded", excluded)):
        if given is None:
            continue
        if not _are_ids(given) or (knobs["unknown_lists"] == "reject" and not set(given) <= set(known)):
            errors[key] = ["contains invalid data"]
    if not errors and (both := sorted(set(ids(included)) & set(ids(excluded)))):
        named = ", ".join(map(str, both[:-1])) + (" and " if both[1:] else "") + str(both[-1])
        errors["base"] = [f"same list_ids {named} are specified both as included and excluded"]
    return errors


def ids(given: object) -> tuple[int, ...]:
    """List ids as a tuple; nothing when they were not given."""
    return tuple(given) if _are_ids(given) else ()


def _are_ids(given: object) -> TypeGuard[Sequence[int]]:
    return isinstance(given, list | tuple) and all(
        isinstance(each, int) and not isinstance(each, bool) for each in given
    )


def known_only(given: Iterable[int], known: Collection[int]) -> tuple[int, ...]:
    """The ids of lists that exist."""
    return tuple(each for each in given if each in known)
