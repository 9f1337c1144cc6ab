"""All contacts of an account, kept compactly: a million of them in a few hundred megabytes.

Belongs here: where a contact's parts lie and how they change together, and what changes set off (automations).
Not here: what may be sent (`validation.py`), who is unsubscribed (`accounts.py`), HTTP (`contacts.py`).

A contact is a row number. Its field values are one msgpack blob, its lists a tuple shared with everyone in the same
lists, its id is computed from the row number and its time of creation: no object is kept per id.
"""

import uuid
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Action = Literal["created", "updated"]
_62_BITS = (1 << 62) - 1
_SPREAD = 0x1B87_3593_9E37_79B9 | 1
_GATHER = pow(_SPREAD, -1, 1 << 62)
_SHIFT = 0x0123_4567_89AB_CDEF
_decode = msgspec.msgpack.Decoder(list).decode
_encode = msgspec.msgpack.Encoder().encode


def contact_id(row: int, created_ms: int) -> str:
    """The UUIDv7 of a row: its time in front, its number, scattered, behind."""
    scattered = (row * _SPREAD + _SHIFT) & _62_BITS
    number = (created_ms & 0xFFFF_FFFF_FFFF) << 80 | 7 << 76 | (scattered >> 50) << 64 | 2 << 62 | scattered
    return str(uuid.UUID(int=number))


def row_of_id(text: str) -> int | None:
    """The row number in an id, whoever made it; None when the text is no UUID."""
    try:
        number = uuid.UUID(text).int
    except ValueError:
        return None
    return (((number & _62_BITS) - _SHIFT) * _GATHER) & _62_BITS


@dataclass(slots=True)
class Triggers:
    """How often automations would have been set off, and by what."""

    contact_created: int = 0
    field_changed: int = 0
    added_to_list: int = 0
    removed_from_list: int = 0
    by_position: Counter[int] = field(default_factory=Counter)
    by_list_added: Counter[int] = field(default_factory=Counter)
    by_list_removed: Counter[int] = field(default_factory=Counter)

    def lists(self, added: Iterable[int], removed: Iterable[int]) -> None:
        """Count what happened to a contact's lists."""
        for each in added:
            self.added_to_list += 1
            self.by_list_added[each] += 1
        for each in removed:
            self.removed_from_list += 1
            self.by_list_removed[each] += 1

    def field(self, position: int) -> None:
        """Count a changed field."""
        self.field_changed += 1
        self.by_position[position] += 1


class ContactStore:
    """Contacts by canonical address, in the order of their creation."""

    def __init__(self) -> None:
        self.triggers = Triggers()
        self._rows: dict[str, int] = {}
        self._emails: list[str | None] = []
        self._values: list[bytes] = []
        self._lists: list[tuple[int, ...]] = []
        self._created, self._updated = array("q"), array("q")
        self._tuples: dict[tuple[int, ...], tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows.values())

    def rows(self) -> Sequence[int]:
        """Every row number, as they are now."""
        return [*self._rows.values()]

    def row(self, email: str) -> int | None:
        """The row of a canonical address."""
        return self._rows.get(email)

    def row_by_id(self, text: str) -> int | None:
        """The row of an id."""
        row = row_of_id(text)
        if row is None or row >= len(self._emails) or self._emails[row] is None:
            return None
        return row if self.id(row) == text.lower() else None

    def id(self, row: int) -> str:
        """A row's UUIDv7."""
        return contact_id(row, self._created[row])

    def email(self, row: int) -> str | None:
        """A row's address; None when the contact was deleted."""
        return self._emails[row]

    def lists(self, row: int) -> tuple[int, ...]:
        """A row's list ids, sorted."""
        return self._lists[row]

    def values(self, row: int) -> list[Any]:
        """A row's values by field position; short when the last ones are unset."""
        values: list[Any] = _decode(self._values[row])
        return values

    def times(self, row: int) -> tuple[int, int]:
        """When a row was created and last updated, in milliseconds."""
        return self._created[row], self._updated[row]

    def create(self, email: str, values: list[Any], *, lists: Iterable[int], now_ms: int) -> int:
        """Add a contact that does not exist."""
        row = len(self._emails)
        self._rows[email] = row
        self._emails.append(email)
        self._values.append(_encode(values))
        self._lists.append(kept := self._shared(lists))
        self._created.append(now_ms)
        self._updated.append(now_ms)
        self.triggers.contact_created += 1
        if kept:
            self.triggers.lists(kept, ())
        return row

    def change_values(self, row: int, changes: Mapping[int, Any]) -> bool:
        """Set values by position, count those that differ, and say whether any did."""
        values = self.values(row)
        if changes and (missing := max(changes) + 1 - len(values)) > 0:
            values.extend([None] * missing)
        changed = [at for at, value in changes.items() if not _same(values[at], value)]
        for at in changed:
            values[at] = changes[at]
            self.triggers.field(at)
        if changed:
            self._values[row] = _encode(values)
        return bool(changed)

    def change_lists(self, row: int, *, included: Iterable[int] = (), excluded: Iterable[int] = ()) -> bool:
        """Add to lists and remove from lists, and say whether that changed anything."""
        before = self._lists[row]
        after = self._shared((set(before) | set(included)) - set(excluded))
        if after == before:
            return False
        self._lists[row] = after
        self.triggers.lists(set(after) - set(before), set(before) - set(after))
        return True

    def touch(self, row: int, now_ms: int) -> None:
        """Note that a contact was updated now."""
        self._updated[row] = now_ms

    def rename(self, row: int, email: str) -> None:
        """Give a contact another address."""
        former = self._emails[row]
        if former is not None:
            del self._rows[former]
        self._rows[email] = row
        self._emails[row] = email

    def delete(self, row: int) -> None:
        """Remove a contact for good; its row number is not used again."""
        email = self._emails[row]
        if email is not None:
            del self._rows[email]
        self._emails[row], self._values[row], self._lists[row] = None, b"\x90", ()

    def forget_position(self, position: int) -> None:
        """Drop a field's value from every contact."""
        for row in self:
            values = self.values(row)
            if position < len(values) and values[position] is not None:
                values[position] = None
                self._values[row] = _encode(values)

    def forget_list(self, list_id: int) -> None:
        """Take every contact off a list that is gone; no automation starts from that."""
        for row in self:
            if list_id in self._lists[row]:
                self._lists[row] = self._shared(each for each in self._lists[row] if each != list_id)

    def _shared(self, lists: Iterable[int]) -> tuple[int, ...]:
        key = tuple(lists)
        if (known := self._tuples.get(key)) is None:
            ordered = tuple(sorted(set(key)))
            known = self._tuples.setdefault(key, self._tuples.setdefault(ordered, ordered))
        return known


def _same(former: Any, value: Any) -> bool:
    return former == value and isinstance(former, bool) == isinstance(value, bool)
