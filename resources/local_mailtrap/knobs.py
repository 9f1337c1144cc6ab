"""The points that Mailtrap's documentation leaves open, and the limits of a plan: each a knob with a default.

Belongs here: the table of knobs and a checked set of their values. Not here: what a knob changes (the noun that
reads it), faults (`faults.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Knob:
    """One open point: its name, its default, what else it can be, and what it decides."""

    name: str
    default: Value
    allowed: tuple[Value, ...] | str
    decides: str

    def check(self, value: Value) -> Value:
        """The value, if the knob can be turned there."""
        if isinstance(self.allowed, tuple):
            if any(type(value) is type(each) and value == each for each in self.allowed):
                return value
            raise ValueError(f"knob {self.name} is one of {', '.join(map(repr, self.allowed))}")
        if value is None and self.allowed.endswith("or null"):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"knob {self.name} is a number: {self.allowed}")
        return value


YES_NO: tuple[Value, ...] = (True, False)
COUNT, SECONDS, RATE = "a count", "seconds", "requests in the window"
KNOBS = (
    # Who may ask
    Knob("foreign_account", 403, (403, 404), "the answer to an account id that the token has no access to"),
    Knob("plain_path_account", "first", ("first", "refuse"), "/api/contacts… with a token of several accounts: the first one, or 403"),
    # How fast
    Knob("token_limit", 150, RATE, "requests of one token in `token_window_seconds`"),
    Knob("token_window_seconds", 10, SECONDS, "the window of the token's limit"),
    Knob("contacts_limit", 200, RATE, "requests of one account to the contacts API in `contacts_window_seconds`"),
    Knob("contacts_window_seconds", 60, SECONDS, "the window of the contacts limit"),
    Knob("suppressions_limit", 10, RATE, "requests of one account to suppressions in `suppressions_window_seconds`"),
    Knob("suppressions_window_seconds", 60, SECONDS, "the window of the suppressions limit"),
    Knob("limit_window", "sliding", ("sliding", "fixed"), "whether a limit looks back from now, or at windows of the clock"),
    Knob("refused_requests_count", False, YES_NO, "whether a request answered 429 uses up the limit too"),
    Knob("retry_after", "absent", ("absent", "seconds", "http_date"), "the Retry-After header of a 429"),
    Knob("latency_seconds", 0.001, SECONDS, "how far a virtual clock moves with each request; a real one is not held up"),
    # Bodies
    Knob("bad_json", "json", ("json", "empty_html"), 'a body that is not JSON: 400 {"error":"Bad Request"}, or 400 without a body'),
    Knob("body_limit_bytes", None, "bytes, or null", "a larger body is answered 413"),
    Knob("error_nesting", "documented", ("documented", "flat", "nested"), "422: as the documents show each call, or all flat, or all nested"),
    # Contacts
    Knob("dup_create", 422, (422, 409, 201), "creating a contact that exists: refused, refused as before May 2026, or taken as an update"),
    Knob("resubscribe", "ignore", ("ignore", "allow", "reject"), "PATCH with unsubscribed: false"),
    Knob("unsubscribe_adds_suppression", False, YES_NO, "PATCH with unsubscribed: true also adds a suppression"),
    Knob("suppressions_unsubscribe", "any", ("any", "bulk"), "which sending streams' suppressions make a contact unsubscribed"),
    Knob("patch_list_ids", "ignore", ("ignore", "replace"), "list_ids in a PATCH"),
    Knob("put_contact", 404, (404, "as_patch"), "PUT of a contact"),
    Knob("contacts_index", False, YES_NO, "GET /contacts pages through all contacts; else 404"),
    Knob("unset_fields", "null", ("null", "absent"), "a contact's fields that have no value: shown as null, or left out"),
    Knob("email_max_length", 254, COUNT, "a longer address is invalid"),
    Knob("unicode_emails", "reject", ("reject", "accept"), "addresses with letters outside ASCII"),
    Knob("null_values", "clear", ("clear", "ignore"), "a field whose value is null"),
    Knob("unknown_fields", "reject", ("reject", "ignore"), "a merge tag that the account does not have"),
    Knob("unknown_lists", "reject", ("reject", "ignore"), "a list id that the account does not have"),
    Knob("numbers_in_text", "reject", ("reject", "accept"), "a number or a boolean in a text field"),
    Knob("text_numbers", "reject", ("reject", "accept"), "a numeric field given as text, a boolean as 'true' or 'false'"),
    Knob("long_text", "reject", ("reject", "truncate"), "text longer than `text_max_length`"),
    Knob("text_max_length", 255, COUNT, "characters in a text field"),
    Knob("integer_range", "int64", ("int64", "int32"), "how large an integer may be"),
    # Lists and fields
    Knob("max_lists", 50, COUNT, "lists of an account"),
    Knob("max_fields", 40, COUNT, "fields of an account"),
    Knob("unique_lists", True, YES_NO, "whether two lists may not have the same name"),
    # Imports
    Knob("import_max_contacts", 50_000, COUNT, "contacts in one import"),
    Knob("import_base_error", "without_email", ("without_email", "first_email", "object"), "how a refusal of the whole import is written"),
    Knob("empty_import", "reject", ("reject", "accept"), "an import of no contacts"),
    Knob("import_duplicates", "merge", ("merge", "reject"), "the same address twice in one import"),
    Knob("import_partial", False, YES_NO, "an import with refused rows: nothing is kept, or the good rows are (and no id is told)"),
    Knob("plan_limit", "count", ("count", "refuse"), "contacts over the plan: counted when finished, or refused at once"),
    Knob("import_times", True, YES_NO, "whether import answers carry created_at and updated_at"),
    Knob("import_start_seconds", 0.05, SECONDS, "how long an import stays `created`"),
    Knob("import_seconds_per_1000_rows", 0.004, SECONDS, "how long it stays `started`"),
    # Exports
    Knob("export_layout", "merge_tags", ("merge_tags", "display_names", "with_id", "list_names", "list_ids", "bom"), "the columns of the CSV; the real ones are not documented"),
    Knob("export_snapshot", "start", ("start", "finish"), "the moment that an export shows"),
    Knob("export_start_seconds", 0.05, SECONDS, "how long an export stays `created`"),
    Knob("export_seconds_per_1000_rows", 0.002, SECONDS, "how long it stays `started`"),
    Knob("export_url_seconds", 86_400, SECONDS, "how long the link to the file is good"),
    Knob("empty_filters", "all", ("all", "reject"), "an export without filters"),
    Knob("storage_refuses_auth", True, YES_NO, "the storage host answers 400 when it is sent an Authorization header"),
    # Suppressions
    Knob("suppressions_page", 1000, COUNT, "suppressions in one answer"),
    Knob("suppressions_order", "newest", ("newest", "oldest"), "the order of suppressions"),
    Knob("suppression_unset", "empty", ("empty", "null"), "what a suppression has where nothing is known"),
    # Accounts
    Knob("billing_marketing", False, YES_NO, "billing usage has the marketing block of newer accounts"),
)  # fmt: skip
BY_NAME = {knob.name: knob for knob in KNOBS}


class Knobs:
    """Where each knob stands; reading and turning one that does not exist is an error."""

    def __init__(self, turned: Mapping[str, Value] | None = None) -> None:
        self._turned: dict[str, Value] = {}
        self.turn(turned or {})

    def turn(self, turned: Mapping[str, Value]) -> None:
        """Turn some knobs: all of them, or, when one value is wrong, none."""
        unknown = sorted(set(turned) - set(BY_NAME))
        if unknown:
            raise ValueError(f"no such knob: {', '.join(unknown)}")
        self._turned |= {name: BY_NAME[name].check(value) for name, value in turned.items()}

    def reset(self) -> None:
        """Back to the defaults."""
        self._turned.clear()

    def __getitem__(self, name: str) -> Any:
        return self._turned.get(name, BY_NAME[name].default)

    def as_dict(self) -> dict[str, Value]:
        """Every knob and where it stands."""
        return {knob.name: self[knob.name] for knob in KNOBS}
