"""Faults: rules that say which requests go wrong, and how.

Belongs here: the table of known faults, matching rules to requests, and what fired. Not here: carrying a fault out
(the noun that it concerns, `engine.py` for answers, `server.py` and `transport.py` for the wire).
"""

import itertools
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Action = Mapping[str, Any]
# Every word that an action's `do` can be; the docs list the same.
DEEDS = {
    "answer": "answer with `status`, `json` or `text`, and `headers`, without doing anything",
    "reset_before": "reset the connection before the body is read",
    "reset_after": "do what was asked, then reset the connection instead of answering",
    "hang_after": "do what was asked, then stay silent for `seconds`",
    "wait": "answer only after `seconds`",
    "drip": "send the answer a few bytes at a time, over `seconds`",
    "alter": "change the JSON of the answer: `set` keys, `drop` keys",
    "mangle": "cut the JSON of the answer at half (`cut`), or make it malformed",
    "job": "an import or export that is `slow_seconds` late, is `stuck` as created or started, `fails`, or whose counts are `counts_off`",
    "over_limit": "the first `rows` contacts of an import are over the plan's limit",
    "refuse_rows": "refuse an import: for its first `rows` contacts or for `emails`, with `errors`; or as a whole, with `base`",
    "export_busy": "another export is running",
    "expired": "the link to a file has expired",
    "file": "damage a downloaded file: `kind`",
    "csv": "write an export's CSV in another way: `kinds`",
    "suppressions": "pages of suppressions that misbehave: `kind`",
    "drop": "delete the `field` with this merge tag or the `list` of this name (or the newest) just before the request is judged",
    "skew": "the Date header is `seconds` off",
    "body_limit": "answer 413 to a body of more than `bytes`",
}


def _answer(status: int, content: Any, **headers: str) -> Action:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"do": "answer", "status": status, "json": content, "headers": named}


def _html(status: int, title: str) -> Action:
    page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center><hr><center>cloudflare</center></body></html>"
    headers = {"Content-Type": "text/html; charset=UTF-8", "Server": "cloudflare"}
    return {"do": "answer", "status": status, "text": page, "headers": headers, "bare": True}


def _access_denied() -> Action:
    return {"do": "expired"}


_BUSY = {"errors": "Rate limit exceeded"}
_ANY, _IMPORTS, _EXPORTS, _FILE = "^/api/", "/contacts/imports$", "/contacts/exports$", "^/data_exports/"
_IMPORT, _EXPORT, _JOB, _SUPPRESSIONS = (
    r"/contacts/imports/\d+$",
    r"/contacts/exports/\d+$",
    r"/contacts/(imports|exports)(/\d+)?$",
    "/suppressions$",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A known way to go wrong: where it strikes by default, in which variants, and what a client proves by bearing it."""

    code: str
    name: str
    method: str | None
    path: str
    variants: Mapping[str, Action]
    proves: str

    def action(self, variant: str | None) -> Action:
        """The action of a variant; of the first when none is named."""
        if variant is None:
            return next(iter(self.variants.values()))
        if variant not in self.variants:
            raise ValueError(
                f"fault {self.code} has no variant {variant!r}: it has {', '.join(self.variants)}"
            )
        return self.variants[variant]


FAULTS = (
    Fault("F-01", "429 without Retry-After", None, _ANY, {"plain": _answer(429, _BUSY)}, "backs off by the size of the window"),
    Fault(
        "F-02",
        "429 with Retry-After",
        None,
        _ANY,
        {
            "seconds": _answer(429, _BUSY, Retry_After="2"),
            "http_date": _answer(429, _BUSY, Retry_After="http_date:2"),
            "huge": _answer(429, _BUSY, Retry_After="86400000"),
            "negative": _answer(429, _BUSY, Retry_After="-5"),
            "garbage": _answer(429, _BUSY, Retry_After="soon"),
        },
        "reads the header, and does not believe everything",
    ),
    Fault(
        "F-03",
        "server error",
        None,
        _ANY,
        {
            "500": _answer(500, {"errors": "Unexpected error"}),
            "502": _html(502, "502 Bad Gateway"),
            "503": _html(503, "503 Service Temporarily Unavailable"),
            "504": _html(504, "504 Gateway Time-out"),
            "520": _html(520, "520: Web server is returning an unknown error"),
            "521": _html(521, "521: Web server is down"),
            "522": _html(522, "522: Connection timed out"),
            "523": _html(523, "523: Origin is unreachable"),
            "524": _html(524, "524: A timeout occurred"),
        },
        "retries what is safe to retry, and survives HTML",
    ),
    Fault("F-04", "reset before the body is read", None, _ANY, {"reset": {"do": "reset_before"}}, "retries safely"),
    Fault(
        "F-05",
        "import accepted, answer lost",
        "POST",
        _IMPORTS,
        {"reset": {"do": "reset_after"}, "timeout": {"do": "hang_after", "seconds": 3600}},
        "loses no row, and sends at most one more copy",
    ),
    Fault(
        "F-06",
        "export accepted, answer lost",
        "POST",
        _EXPORTS,
        {"reset": {"do": "reset_after"}, "timeout": {"do": "hang_after", "seconds": 3600}},
        "waits for the slot that an unknown export holds",
    ),
    Fault(
        "F-07",
        "slow or stuck job",
        "POST",
        "/contacts/(imports|exports)$",
        {
            "slow": {"do": "job", "slow_seconds": 120},
            "stuck_started": {"do": "job", "stuck": "started"},
            "stuck_created": {"do": "job", "stuck": "created"},
        },
        "polls within a budget, gives up at a deadline, and goes on by id",
    ),
    Fault("F-08", "import fails", "POST", _IMPORTS, {"failed": {"do": "job", "fails": True}}, "marks that payload failed, and no other"),
    Fault("F-09", "over the plan's limit", "POST", _IMPORTS, {"rows": {"do": "over_limit", "rows": 1}}, "tells who was left out"),
    Fault(
        "F-10",
        "some contacts refused",
        "POST",
        _IMPORTS,
        {
            "some": {"do": "refuse_rows", "rows": 1},
            "other_case": {"do": "refuse_rows", "rows": 1, "other_case": True},
            "base": {"do": "refuse_rows", "base": "is invalid"},
        },
        "takes out who was named, sends the rest, and stops when nobody was",
    ),
    Fault(
        "F-11",
        "422 in another shape",
        "POST",
        _IMPORTS,
        {
            "flat": _answer(422, {"errors": {"name": ["is invalid"]}}),
            "nested": _answer(422, {"errors": {"name": [["is invalid", "is too long"]]}}),
            "string": _answer(422, {"errors": "is invalid"}),
            "error_key": _answer(422, {"error": "is invalid"}),
            "dict": _answer(422, {"errors": {"name": {"first": "is invalid"}}}),
            "list": _answer(422, {"errors": ["is invalid", "is too long"]}),
        },
        "reads errors in every shape",
    ),
    Fault("F-12", "another export is running", "POST", _EXPORTS, {"busy": {"do": "export_busy"}}, "waits, then goes on"),
    Fault("F-13", "link expired", "GET", _FILE, {"expired": _access_denied()}, "asks for a new link, not for the old one for ever"),
    Fault(
        "F-14",
        "damaged download",
        "GET",
        _FILE,
        {kind: {"do": "file", "kind": kind} for kind in ("truncated", "wrong_length", "reset", "not_gzip", "html", "empty", "empty_gzip", "bad_checksum")},
        "keeps no part of a broken file",
    ),
    Fault(
        "F-15",
        "CSV in another layout",
        "POST",
        _EXPORTS,
        {
            kind: {"do": "csv", "kinds": [kind]}
            for kind in (
                "renamed", "reordered", "extra", "missing", "bom", "crlf", "quoted_newlines", "escapes", "formula",
                "duplicate_headers", "header_only", "odd_byte", "mixed_integers", "booleans_as_digits", "dates_with_time",
            )
        },
        "reads what it can and says what is new",
    ),
    Fault(
        "F-16",
        "no longer allowed",
        None,
        _ANY,
        {
            "revoked": {
                **_answer(401, {"error": "Incorrect API token"}, WWW_Authenticate='Token realm="Application"'),
            },
            "forbidden": _answer(403, {"errors": "Account access forbidden"}),
            "plan": _answer(403, {"errors": "Unavailable on your plan"}),
        },
        "stops at once, and can go on later",
    ),
    Fault(
        "F-17",
        "unknown words and missing keys",
        "GET",
        r"/contacts/(imports|exports)/\d+$",
        {
            "unknown_status": {"do": "alter", "set": {"status": "queued"}},
            "missing_keys": {"do": "alter", "drop": ["status"]},
            "extra_keys": {"do": "alter", "set": {"progress": {"percent": 50}}},
            "counts_as_text": {"do": "alter", "set": {"created_contacts_count": "1", "updated_contacts_count": "0"}},
            "counts_as_null": {"do": "alter", "set": {"created_contacts_count": None, "updated_contacts_count": None}},
        },
        "takes what it does not know for 'not yet'",
    ),
    Fault("F-18", "job not found yet", "GET", r"/contacts/(imports|exports)/\d+$", {"missing": _answer(404, {"error": "Not Found"})}, "is patient with a job that was just made"),
    Fault(
        "F-19",
        "broken JSON",
        None,
        _JOB,
        {"cut": {"do": "mangle", "cut": True}, "malformed": {"do": "mangle"}},
        "retries a GET, and takes a POST for one whose answer was lost",
    ),
    Fault("F-20", "counts do not add up", "POST", _IMPORTS, {"more": {"do": "job", "counts_off": 7}, "fewer": {"do": "job", "counts_off": -1}}, "notices"),
    Fault(
        "F-21",
        "pages that misbehave",
        "GET",
        _SUPPRESSIONS,
        {kind: {"do": "suppressions", "kind": kind} for kind in ("repeat_page", "same_last", "empty_page", "insert")},
        "ends, and counts everyone once",
    ),
    Fault(
        "F-22",
        "slow answer",
        None,
        "^/",
        {"drip": {"do": "drip", "seconds": 2}, "silence": {"do": "wait", "seconds": 3600}},
        "has a timeout for each phase",
    ),
    Fault("F-23", "413 above a size", "POST", _IMPORTS, {"limit": {"do": "body_limit", "bytes": 1_000_000}}, "halves the payload"),
    Fault(
        "F-24",
        "field or list deleted meanwhile",
        "POST",
        _IMPORTS,
        {"field": {"do": "drop", "field": None}, "list": {"do": "drop", "list": None}},
        "reads the fields and lists again",
    ),
    Fault("F-25", "clocks differ", None, "^/", {"ahead": {"do": "skew", "seconds": 7200}, "behind": {"do": "skew", "seconds": -7200}}, "trusts ids, not clocks"),
)  # fmt: skip
BY_CODE = {fault.code: fault for fault in FAULTS}


@dataclass(frozen=True, slots=True)
class Effects:
    """The actions that fired for one request."""

    actions: tuple[Action, ...] = ()
    rules: tuple[int, ...] = ()

    def of(self, do: str) -> Action | None:
        """The action of this kind, if one fired."""
        return next((action for action in self.actions if action["do"] == do), None)


@dataclass(slots=True)
class Rule:
    """Which requests an action strikes: all that match, the nth of them, some of them by chance, so many times."""

    id: int
    action: Action
    method: str | None = None
    path: str = "^/"
    nth: tuple[int, ...] = ()
    probability: float = 1.0
    times: int | None = 1
    label: str = ""
    matched: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    def strikes(self, method: str, path: str, *, chance: Callable[[], float]) -> bool:
        """Whether the action strikes this request; matching requests are counted either way."""
        if self.method not in (None, method) or not re.search(self.path, path):
            return False
        self.matched += 1
        spent = self.times is not None and self.fired >= self.times
        if spent or (self.nth and self.matched not in self.nth):
            return False
        if self.probability < 1 and chance() >= self.probability:
            return False
        self.fired += 1
        return True

    def as_dict(self) -> dict[str, Any]:
        """The rule and how often it matched and fired."""
        return {
            "id": self.id, "fault": self.label, "action": dict(self.action),
            "match": {"method": self.method, "path": self.path, "nth": [*self.nth], "probability": self.probability},
            "times": self.times, "matched": self.matched, "fired": self.fired,
        }  # fmt: skip


class Faults:
    """All rules, in the order in which they were added."""

    def __init__(self, seed: int = 0) -> None:
        self._rules: dict[int, Rule] = {}
        self._numbers = itertools.count(1)
        self._chance = random.Random(seed).random  # noqa: S311 - the same script shall see the same faults

    def add(self, wanted: Mapping[str, Any]) -> Rule:
        """Add a rule: {fault, variant, with} or {action}; then match {method, path, nth, probability} and times."""
        unknown = set(wanted) - {"fault", "variant", "with", "action", "match", "times"}
        match = dict(wanted.get("match") or {})
        unknown |= set(match) - {"method", "path", "nth", "probability"}
        if unknown:
            raise ValueError(f"a fault rule has no {', '.join(sorted(unknown))}")
        action, method, path = _chosen(wanted)
        nth = match.get("nth") or ()
        rule = Rule(
            next(self._numbers),
            action,
            match.get("method", method),
            match.get("path", path),
            (nth,) if isinstance(nth, int) else tuple(nth),
            match.get("probability", 1.0),
            wanted.get("times", None if nth or "probability" in match else 1),
            str(wanted.get("fault", "")),
        )
        re.compile(rule.path)
        self._rules[rule.id] = rule
        return rule

    def remove(self, rule_id: int) -> bool:
        """Remove one rule."""
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def all(self) -> list[dict[str, Any]]:
        """Every rule, with how often it matched and fired."""
        return [rule.as_dict() for rule in self._rules.values()]

    def meet(self, method: str, path: str) -> Effects:
        """What strikes this request."""
        plain = unquote(path)
        struck = [rule for rule in self._rules.values() if rule.strikes(method, plain, chance=self._chance)]
        return Effects(tuple(rule.action for rule in struck), tuple(rule.id for rule in struck))


def _chosen(wanted: Mapping[str, Any]) -> tuple[Action, str | None, str]:
    if ("fault" in wanted) == ("action" in wanted):
        raise ValueError("a fault rule has either a fault (F-01 to F-25) or an action")
    if "action" in wanted:
        action, method, path = dict(wanted["action"]), None, "^/"
    else:
        if wanted["fault"] not in BY_CODE:
            raise ValueError(f"no such fault: {wanted['fault']}; there are F-01 to F-25")
        fault = BY_CODE[wanted["fault"]]
        action, method, path = dict(fault.action(wanted.get("variant"))), fault.method, fault.path
    action |= wanted.get("with") or {}
    if action.get("do") not in DEEDS:
        raise ValueError(f"an action's `do` is one of {', '.join(DEEDS)}")
    return action, method, path
