"""Why a row was refused, as a closed set of reasons, each with the rule it broke and what to do about it.

Belongs here: the reasons, their remedies, the shape of a rejection, and how long a refused row has been known.
Not here: finding out that a row breaks a rule (`address`, `fields`, `schemas`), or who decides (`screening`).

A rejection names its row by source key and keyed hash, and holds none of the row's values.
"""

from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

from assets.rules import hash_text

MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to be refused: the key of the sync file that asks for it, and the remedy for the source."""

    rule: str
    remedy: str


class Reason(Enum):
    """Every reason code that a rejection can carry; its place in this list is its number in a batch."""

    address_missing = Refusal("email", "Fill the address, or leave rows without one out of the table.")
    address_not_text = Refusal("email", "Make the address column text; it arrives as another type.")
    address_invalid_unicode = Refusal("email", "Mend the encoding: the address is not valid UTF-8.")
    address_invisible_character = Refusal(
        "email", "Remove control, zero-width and text-direction characters, which are often pasted along."
    )
    address_display_name = Refusal(
        "email", "Keep the bare address only: no name, no angle brackets, no 'mailto:'."
    )
    address_several = Refusal("email", "Keep one address per row.")
    address_without_at = Refusal("email", "Write the address as local-part@domain.")
    address_quoted = Refusal("email", "Quoted local parts are refused; ask the person for a plain address.")
    address_local_part = Refusal(
        "email", "Before the @ stand letters, digits, single dots inside, and !#$%&'*+/=?^_`{|}~- only."
    )
    address_local_part_not_ascii = Refusal(
        "email", "Letters before the @ must be ASCII; ask the person for such an address."
    )
    address_local_part_too_long = Refusal("email", "Before the @ stand at most 64 characters.")
    address_too_long = Refusal("email", "An address has at most 254 characters, its domain at most 253.")
    address_domain = Refusal(
        "email", "Domain labels are 1 to 63 letters, digits and inner hyphens, with single dots between them."
    )
    address_ip_literal = Refusal(
        "email", "Use the name of the domain; addresses at an IP number are refused."
    )
    address_top_level_domain = Refusal(
        "email", "The domain ends in a top level domain of two letters or more."
    )
    value_missing = Refusal("required", "Fill the column, give the field a default, or drop 'required'.")
    type_unsupported = Refusal(
        "type", "This column type has no lossless reading as the field's type; cast it."
    )
    text_too_long = Refusal("type", "A text field holds at most 255 characters; shorten the value.")
    text_control_character = Refusal(
        "type", "Remove control characters (NUL, line breaks, tabs, …) or put spaces in their place."
    )
    text_invalid_unicode = Refusal("type", "Mend the encoding: the text is not valid Unicode.")
    integer_invalid = Refusal("type", "Give whole numbers, as numbers or as plain digits like 42.")
    integer_out_of_range = Refusal(
        "type", "Give integers of 64 bits at most; larger ones belong in a text field."
    )
    float_invalid = Refusal("type", "Give numbers, or plain decimal text like 4.25.")
    float_not_finite = Refusal("type", "NaN and infinities are not numbers to Mailtrap; use null.")
    float_inexact = Refusal(
        "type", "The number has more digits than a float keeps; round it, or send it as text."
    )
    boolean_invalid = Refusal("type", "Give booleans, 0 and 1, or the texts true and false.")
    date_invalid = Refusal("type", "Give dates, or text as yyyy-mm-dd, that exist in the calendar.")
    date_with_time = Refusal("type", "The value has a time of day that a date would lose; cast it to a date.")
    date_out_of_range = Refusal("type", "Give dates from 0001-01-01 to 9999-12-31.")
    not_one_of = Refusal("one_of", "Give one of the values that the sync file lists, or list this one there.")
    below_min = Refusal("min", "Raise the value, or lower 'min' in the sync file.")
    above_max = Refusal("max", "Lower the value, or raise 'max' in the sync file.")
    updated_at_invalid = Refusal("updated_at", "Give a timestamp (UTC if it has no zone), or ISO 8601 text.")
    updated_at_in_future = Refusal(
        "updated_at", "The row says it was changed after tomorrow; mend its clock."
    )
    lists_invalid = Refusal("lists.from_column", "Give a list of names, or names with commas between them.")
    lists_unknown = Refusal(
        "lists.from_column",
        "Name lists that Mailtrap has and the sync does not exclude; `create: true` makes those that are missing.",
    )

    @property
    def number(self) -> int:
        """The code in a batch's arrays; 0 there means: nothing wrong."""
        return _NUMBERS[self]


REASONS: tuple[Reason, ...] = tuple(Reason)
_NUMBERS = {reason: number for number, reason in enumerate(REASONS, start=1)}

NAMES = pa.array([reason.name for reason in REASONS])
RULES = pa.array([reason.value.rule for reason in REASONS])
REMEDIES = pa.array([reason.value.remedy for reason in REASONS])

REJECTIONS = pa.schema(
    [
        pa.field("source_key", pa.string()),
        pa.field("address_hash", hash_text.TEXT),
        pa.field("column", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("remedy", pa.string()),
        pa.field("also", pa.list_(pa.string())),
        pa.field("mailtrap_says", pa.string()),
        pa.field("first_seen", MOMENT),
        pa.field("last_seen", MOMENT),
        pa.field("times_seen", pa.int64()),
        pa.field("row_fingerprint", hash_text.TEXT),
    ]
)
