"""What a Mailtrap account allows: how many lists and fields, and which merge tags.

From Mailtrap's API description and documentation: 50 lists and 40 custom fields per account, merge tags
and field names of at most 80 characters, list names of at most 255. The names of a contact's own data
(its e-mail, status, ids and times) cannot be custom fields.
"""

import re
from typing import Final

MAX_LISTS: Final = 50
MAX_LIST_NAME: Final = 255
MAX_FIELDS: Final = 40
MAX_MERGE_TAG_CHARACTERS: Final = 80
MAX_EVENT_NAME_CHARACTERS: Final = 255
RESERVED_MERGE_TAGS: Final = frozenset(
    ("email", "status", "created_at", "updated_at", "subscribed", "id", "list_ids")
)
_SHAPE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def merge_tag_fault(name: str) -> tuple[str, str] | None:
    """Why `name` cannot be a merge tag, and what to do; None when it can."""
    if name.lower() in RESERVED_MERGE_TAGS:
        return (
            "is a name that Mailtrap keeps for a contact's own data.",
            f"Choose another merge tag, like `{name.lower()}_here`; the address comes from the key `email`.",
        )
    return _name_fault(name, "merge tag", max_characters=MAX_MERGE_TAG_CHARACTERS)


def param_fault(name: str) -> tuple[str, str] | None:
    """Why `name` cannot be the name of an event's parameter, and what to do; None when it can."""
    if name.lower() == "email":
        return "is the contact's address, which an event has anyway.", "Remove it, or choose another name."
    return _name_fault(name, "parameter", max_characters=MAX_EVENT_NAME_CHARACTERS)


def _name_fault(name: str, what: str, *, max_characters: int) -> tuple[str, str] | None:
    if len(name) > max_characters:
        return f"has {len(name)} characters; a {what} has at most {max_characters}.", "Shorten it."
    if name.startswith("_"):
        return "begins with an underscore, which names our own columns.", "Begin with a letter."
    if not _SHAPE.fullmatch(name):
        return (
            f"is not the shape of a {what}.",
            "Use letters, digits and underscores, a letter first: `first_name`.",
        )
    return None
