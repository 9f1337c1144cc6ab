"""What Mailtrap says when it says no, in words that are safe to keep.

Every error shape ends here: a string, a list, a list of lists, a dict, under `error` or `errors`. Words that do not
belong to Mailtrap's own vocabulary are blotted out, because an answer may quote a person's data, and what is read here
ends in messages, logs and files. Which exception a refusal becomes is said in `client.py`.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

BLOT = "…"
_LONGEST_WORDS = 300
_MOST_PROBLEMS = 200_000
_DEEPEST = 12
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}\Z")
_PIECE = re.compile(r"[\w'@.+%:/\\~=&#$^*<>{}\[\]|-]+")
# Every word of the messages in https://github.com/mailtrap/mailtrap-openapi (contacts, suppressions, account errors),
# and plain words of the same kind. A name, an address, a number or a value of a row is none of them.
_WORDS = """
a about access are account accounts action active again all allowed already an and any api array at automation
automations auth authentication authorization bad base be been being blank boolean both but by campaign campaigns
bulk can cannot can't character characters columns completed conditions contact contacts contain contains could count
create created data date deleted denied doesn't does domain domains duplicate duplicated email emails empty
enough entity error errors exceed exceeded exceeds exclude excluded exist exists expired export exports failed
field fields filter filters float following for forbidden format found free from greater has hash have i id ids
import imports in include included incorrect initiated integer internal invalid is it item items json key keys
large least length less level limit limited list list_id list_id_excluded list_id_included list_ids
list_ids_excluded list_ids_included lists long looks many maximum maintenance merge_tag merge minimum missing
more most must name names no not notified null number object of on once one only operator or other page param
params permission permissions permitted plan please plus previous process provide rate reached read record
reached request requests required reserved resource retry s same scheduled segment segments sent server service
short should size something specified started status steps stream string subscribed subscription
subscription_status supported suppressed suppression tag taken temporarily text than that the there this timeout
to token too top transactional try type unable unauthenticated unauthorized unavailable unexpected unknown unprocessable
unsubscribed unsupported update updated usage use used user valid value values we went when will with wrong yes
you your
"""
_VOCABULARY = frozenset(_WORDS.split())
_NUMBERS = frozenset({"0", "1", "2", "40", "50", "80", "100", "255", "500", "1000", "50000", "50,000"})
_BUSY = "previous export"
_WHOLE_REQUEST = ("cannot import more than",)


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint: the column it is about ("base" when it is about all of it), in words without anyone's data."""

    column: str
    words: str


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One complaint about one contact of an import; the address never shows in a repr."""

    email: str = field(repr=False)
    column: str
    words: str


@dataclass(frozen=True, slots=True)
class ImportProblems:
    """The complaints of a refused import: those that name a contact, and those about the request as a whole."""

    rows: tuple[RowProblem, ...]
    base: tuple[str, ...]


def safe_words(text: str, merge_tags: Collection[str] = ()) -> str:
    """Mailtrap's words with everything blotted out that could be data: names, addresses, numbers, values."""

    def keep(match: re.Match[str]) -> str:
        piece = match.group()
        core = piece.strip(".:'")
        known = core.lower() in _VOCABULARY or core in _NUMBERS or core in merge_tags
        return piece if known else BLOT

    clean = _PIECE.sub(keep, text[:_LONGEST_WORDS].replace("’", "'"))
    return re.sub(rf"{BLOT}(?:[\s,;'\"()!?`-]*{BLOT})+", BLOT, " ".join(clean.split()))


def problems(answer: object, merge_tags: Collection[str] = ()) -> tuple[Problem, ...]:
    """Every complaint in an error body, whatever its shape; an empty tuple when there is none to be read."""
    told = _told(answer)
    return tuple(Problem(column, safe_words(text, merge_tags)) for column, text in _flat(told))


def sentence(answer: object, merge_tags: Collection[str] = (), *, most: int = 5) -> str:
    """The first few complaints in one line for a message, without anyone's data."""
    found = problems(answer, merge_tags)
    told = "; ".join(p.words if p.column == "base" else f"{p.column}: {p.words}" for p in found[:most])
    return told + (f"; and {len(found) - most} more" if len(found) > most else "")


def import_problems(answer: object, merge_tags: Collection[str] = ()) -> ImportProblems:
    """The complaints of a 422 on an import: an array of {email, errors}; other shapes are about the whole request."""
    rows: list[RowProblem] = []
    base: list[str] = []
    known: dict[str, str] = {}  # the same few words, fifty thousand times
    for email, column, text in _entries(_told(answer)):
        words = known.get(text) or known.setdefault(text, safe_words(text, merge_tags))
        if email and not any(phrase in text.lower() for phrase in _WHOLE_REQUEST):
            rows.append(RowProblem(email, column, words))
        else:
            base.append(words if column == "base" else f"{column}: {words}")
    return ImportProblems(tuple(rows), tuple(dict.fromkeys(base)))


def says_busy(answer: object) -> bool:
    """Whether the complaint is that another export of the account is still under way."""
    return any(_BUSY in text.lower() for _, text in _flat(_told(answer)))


def _told(answer: object) -> object:
    """What stands under `errors`, `error` or `message`; both of the first when both are there."""
    if not isinstance(answer, dict):
        return answer
    both = [answer[key] for key in ("errors", "error") if answer.get(key) is not None]
    return (both if len(both) > 1 else both[0]) if both else answer.get("message")


def _entries(told: object) -> Iterator[tuple[str, str, str]]:
    for item in told if isinstance(told, list) else [told]:
        if isinstance(item, dict) and isinstance(item.get("email"), str) and "errors" in item:
            yield from ((item["email"], column, text) for column, text in _flat(item["errors"]))
        elif isinstance(item, dict) and any("@" in str(key) for key in item):
            for key, value in item.items():
                yield from ((str(key) if "@" in str(key) else "", *pair) for pair in _flat(value))
        else:
            yield from (("", column, text) for column, text in _flat(item))


def _flat(told: object) -> Iterator[tuple[str, str]]:
    """Depth first, without recursion: an error body may be nested deeper than Python's stack."""
    waiting: list[tuple[str, object, int]] = [("base", told, 0)]
    found = 0
    while waiting and found < _MOST_PROBLEMS:
        column, value, depth = waiting.pop()
        if isinstance(value, str):
            found += 1
            yield column, value
        elif isinstance(value, dict) and depth < _DEEPEST:
            inner = [(_column(key, column), part, depth + 1) for key, part in value.items()]
            waiting.extend(reversed(inner))
        elif isinstance(value, list) and depth < _DEEPEST:
            waiting.extend((column, part, depth + 1) for part in reversed(value))


def _column(key: object, outer: str) -> str:
    name = str(key)
    if name in ("errors", "error", "message"):
        return outer
    return name if _COLUMN.match(name) else BLOT
