"""Every setting of the operator, once: its name, its default, what it means, and how it is read.

One table for the code, for `docs/settings.md` and for the descriptions in the Dagster UI. Nothing here knows
Dagster, and nothing here opens, connects or makes anything: settings are checked as text, before any work begins.
"""

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, cast
from urllib.parse import urlsplit

from resources.errors import SettingsError

T = TypeVar("T")
PathStyle = Literal["account", "plain"]
Auth = Literal["bearer", "api-token"]
Logs = Literal["text", "json"]

# "You can import up to 50,000 contacts per request": Mailtrap's API reference, POST /contacts/imports
MOST_ROWS_PER_PAYLOAD = 50_000
_LEAST_BYTES_PER_PAYLOAD = 10_000
_BYTES_PER_UNIT = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "kib": 2**10, "mib": 2**20}


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: what it is called, what stands when it is not set, and what it means."""

    name: str
    default: str
    meaning: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: float


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "MAILTRAP_API_TOKEN",
        "",
        "The API token of the Mailtrap account. Required, unless the local Mailtrap is used.",
        secret=True,
    ),
    Setting(
        "MAILTRAP_ACCOUNT_ID",
        "",
        "The id of the Mailtrap account. Not needed when the token sees exactly one account; otherwise the error "
        "lists id and name of each.",
    ),
    Setting(
        "MAILTRAP_API_URL",
        "https://mailtrap.io",
        "Where the Mailtrap API answers. Plain http:// is accepted for loopback only.",
    ),
    Setting(
        "MAILTRAP_PATH_STYLE",
        "account",
        "How the paths of the API begin: `account` for /api/accounts/{id}/contacts, `plain` for /api/contacts.",
    ),
    Setting(
        "MAILTRAP_AUTH",
        "bearer",
        "How the token is sent: `bearer` for `Authorization: Bearer`, `api-token` for `Api-Token`. Mailtrap takes both.",
    ),
    Setting(
        "MAILTRAP_DOWNLOAD_HOSTS",
        "mailsend-*-mailtrap-tmp-uploads.s3.amazonaws.com, mailsend-*-mailtrap-tmp-uploads.s3.*.amazonaws.com",
        "The hosts from which exports may be downloaded: host or host:port, separated by commas, * stands for "
        "anything but a dot. Downloads carry no credentials and follow no redirect off this list.",
    ),
    Setting(
        "CONTACTS_HOME",
        ".contacts",
        "The folder of everything that is kept: lake, journal, key. Only its owner can read it (0700).",
    ),
    Setting(
        "CONTACTS_LAKE",
        "$CONTACTS_HOME/lake",
        "Where the Parquet files lie: a folder, or a URL that begins with s3://, gs:// or abfs://.",
    ),
    Setting(
        "CONTACTS_JOURNAL",
        "sqlite:///$CONTACTS_HOME/journal.db",
        "The record of what was sent, as an SQLAlchemy URL of SQLite, or of PostgreSQL when several machines work "
        "on one account.",
        secret=True,
    ),
    Setting(
        "CONTACTS_KEY",
        "made once and kept in $CONTACTS_HOME/key",
        "The key of the keyed hashes that stand for addresses, at least 16 characters. Losing it means that every "
        "contact is sent again.",
        secret=True,
    ),
    Setting(
        "CONTACTS_TOMBSTONES",
        "",
        "One more place for the keyed hashes of erased people: a folder, or a URL that begins with s3://, gs:// or "
        "abfs://, that is not in the backup of CONTACTS_HOME. A restored backup gets them back from there.",
    ),
    Setting("CONTACTS_SYNCS", "pipelines/syncs", "The folder of the sync files, one YAML file each."),
    Setting(
        "CONTACTS_WAREHOUSE",
        "duckdb:///.demo/warehouse.duckdb",
        "The warehouse, as a URL; its scheme names the file in resources/warehouses/ that reads it. The default is "
        "the warehouse of the demo.",
        secret=True,
    ),
    Setting(
        "CONTACTS_WRITE_BACK",
        "",
        "A database that is told who opted out at Mailtrap: duckdb:///path or postgresql://…, with a user who may "
        "write CONTACTS_WRITE_BACK_TABLE and nothing else. Not set: nothing is ever written to a warehouse.",
        secret=True,
    ),
    Setting(
        "CONTACTS_WRITE_BACK_TABLE",
        "mailtrap_opt_outs",
        "The table that is told, as table or schema.table; it is made where it does not exist.",
    ),
    Setting(
        "CONTACTS_ROWS_PER_PAYLOAD",
        "50000",
        "Contacts in one import request, at most. 50000 is also the most that Mailtrap takes.",
    ),
    Setting(
        "CONTACTS_BYTES_PER_PAYLOAD",
        "20 MB",
        "Bytes of one import request, at most: a number, or a number with kB, MB, KiB or MiB.",
    ),
    Setting(
        "MAILTRAP_CONTACTS_LIMIT",
        "200/60",
        "Requests per seconds that the account allows over contacts, shared by all processes.",
    ),
    Setting(
        "MAILTRAP_TOKEN_LIMIT",
        "150/10",
        "Requests per seconds that one token allows over the whole API, shared by all processes.",
    ),
    Setting(
        "MAILTRAP_SUPPRESSIONS_LIMIT",
        "10/60",
        "Requests per seconds that Mailtrap allows over suppressions, shared by all processes.",
    ),
    Setting(
        "MAILTRAP_PLAN_CONTACTS",
        "",
        "The contacts that the account's plan allows: a number. `plan` says when a sync would go beyond it.",
    ),
    Setting(
        "CONTACTS_POLL_SECONDS",
        "adaptive",
        "Seconds between two looks at an import or export; `adaptive` learns from how long earlier ones took.",
    ),
    Setting(
        "CONTACTS_JOB_DEADLINE_SECONDS",
        "3600",
        "Seconds after which a run stops waiting for an import or export. The next run asks again.",
    ),
    Setting(
        "CONTACTS_TIMEOUT_SECONDS",
        "60",
        "Seconds that one request may take in all, besides the time that its body needs.",
    ),
    Setting(
        "CONTACTS_ALERT_WEBHOOK",
        "",
        "The URL of an incoming webhook (Slack, Mattermost) that is told of failed runs and failed checks: ids, counts "
        "and sentences, never an address. Plain http:// is accepted for loopback only.",
        secret=True,
    ),
    Setting(
        "CONTACTS_LOGS",
        "text",
        "How a command writes the log of its run: `text` for people, `json` for one JSON object a line on stderr.",
    ),
    Setting(
        "CONTACTS_KEEP_EXTRACTS_DAYS",
        "1",
        "Days that rows of the warehouse are kept in the lake, with the contacts made of them and what was pending; 0: "
        "until the run that made them has ended.",
    ),
    Setting(
        "CONTACTS_KEEP_REJECTIONS_DAYS", "90", "Days that rejections are kept after they were last written."
    ),
    Setting(
        "CONTACTS_KEEP_EXPORTS_DAYS", "90", "Days that exports of Mailtrap's contacts are kept in the lake."
    ),
    Setting(
        "CONTACTS_KEEP_SUMMARIES_DAYS", "365", "Days that the summaries of runs are kept: numbers and ids."
    ),
)

KEEP = ("extracts", "rejections", "exports", "summaries")
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings as values, checked. What is secret stays out of its repr."""

    api_token: str | None = field(repr=False)
    account_id: int | None
    api_url: str
    path_style: PathStyle
    auth: Auth
    download_hosts: tuple[str, ...]
    home: Path
    lake: str
    journal: str = field(repr=False)
    key: str | None = field(repr=False)
    syncs: Path
    warehouse: str = field(repr=False)
    rows_per_payload: int
    bytes_per_payload: int
    contacts_limit: Rate
    token_limit: Rate
    suppressions_limit: Rate
    poll_seconds: float | None
    job_deadline_seconds: float
    timeout_seconds: float
    alert_webhook: str | None = field(default=None, repr=False)
    tombstones: str | None = None
    write_back: str | None = field(default=None, repr=False)
    write_back_table: str = ""
    plan_contacts: int | None = None
    logs: Logs = "text"
    keep_days: Mapping[str, float] = field(default_factory=dict)
    """How long extracts, rejections, exports and summaries are kept."""


class _UnfitError(ValueError):
    """What a value should have been, in words that may be shown: never the value of a secret."""


def read(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` holds, with the defaults of the table; all that is wrong is said at once."""
    given = _Reader(environ)
    home = given.read("CONTACTS_HOME", _folder)
    settings = {
        "api_token": given.read_or_none("MAILTRAP_API_TOKEN", _token),
        "account_id": given.read_or_none("MAILTRAP_ACCOUNT_ID", _whole_number),
        "api_url": given.read("MAILTRAP_API_URL", _api_url),
        "path_style": given.read("MAILTRAP_PATH_STYLE", _path_style),
        "auth": given.read("MAILTRAP_AUTH", _auth),
        "download_hosts": given.read("MAILTRAP_DOWNLOAD_HOSTS", _hosts),
        "home": home,
        "lake": given.read("CONTACTS_LAKE", _lake, home=home),
        "journal": given.read("CONTACTS_JOURNAL", _url, home=home),
        "key": given.read_or_none("CONTACTS_KEY", _key),
        "tombstones": given.read_or_none("CONTACTS_TOMBSTONES", str),
        "syncs": given.read("CONTACTS_SYNCS", _folder),
        "warehouse": given.read("CONTACTS_WAREHOUSE", _url),
        "write_back": given.read_or_none("CONTACTS_WRITE_BACK", _url),
        "write_back_table": given.read("CONTACTS_WRITE_BACK_TABLE", str),
        "rows_per_payload": given.read("CONTACTS_ROWS_PER_PAYLOAD", _rows),
        "bytes_per_payload": given.read("CONTACTS_BYTES_PER_PAYLOAD", _bytes),
        "contacts_limit": given.read("MAILTRAP_CONTACTS_LIMIT", parse_rate),
        "token_limit": given.read("MAILTRAP_TOKEN_LIMIT", parse_rate),
        "suppressions_limit": given.read("MAILTRAP_SUPPRESSIONS_LIMIT", parse_rate),
        "poll_seconds": given.read("CONTACTS_POLL_SECONDS", _seconds_or_adaptive),
        "job_deadline_seconds": given.read("CONTACTS_JOB_DEADLINE_SECONDS", _seconds),
        "timeout_seconds": given.read("CONTACTS_TIMEOUT_SECONDS", _seconds),
        "plan_contacts": given.read_or_none("MAILTRAP_PLAN_CONTACTS", _whole_number),
        "logs": given.read("CONTACTS_LOGS", _logs),
        "alert_webhook": given.read_or_none("CONTACTS_ALERT_WEBHOOK", _webhook),
        "keep_days": {each: given.read(f"CONTACTS_KEEP_{each.upper()}_DAYS", _days) for each in KEEP},
    }
    given.raise_problems()
    return Settings(**settings)  # type: ignore[arg-type]  # each value was made by the reader of its own setting


def misspelt(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that are no settings but look like one, with the name that was probably meant."""
    found = {}
    for name in sorted(set(environ) - set(BY_NAME)):
        if name.startswith(("CONTACTS_", "MAILTRAP_")) and (
            near := difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.85)
        ):
            found[name] = near[0]
    return found


def describe(name: str) -> str:
    """The meaning of a setting with its default: what the field of a resource says in the Dagster UI."""
    setting = BY_NAME[name]
    return f"{setting.meaning} Default: {setting.default}." if setting.default else setting.meaning


def markdown_table() -> str:
    """The table of `docs/settings.md`."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for setting in SETTINGS:
        default = (
            f"`{setting.default}`"
            if setting.default and " kept in " not in setting.default
            else setting.default
        )
        lines.append(f"| `{setting.name}` | {default or '–'} | {setting.meaning} |")
    return "\n".join(lines) + "\n"


def parse_rate(text: str) -> Rate:
    """A limit written as requests/seconds, such as 200/60; a ValueError says what is wrong with it."""
    requests, slash, seconds = text.partition("/")
    try:
        rate = Rate(int(requests), float(seconds))
    except ValueError:
        raise _UnfitError("is not written as requests/seconds, such as 200/60") from None
    if not slash or rate.requests < 1 or not 0 < rate.seconds < math.inf:
        raise _UnfitError("is not written as requests/seconds, both more than zero, such as 200/60")
    return rate


class _Reader:
    """Reads one setting after the other and remembers what is wrong, so that all of it can be said at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def read(self, name: str, parse: Callable[[str], T], *, home: Path | None = None) -> T:
        text = self._environ.get(name, "").strip() or BY_NAME[name].default
        if home is not None:
            text = text.replace("$CONTACTS_HOME", str(home))
        try:
            return parse(text)
        except ValueError as problem:
            words = str(problem) if isinstance(problem, _UnfitError) else "cannot be read"
            self._problems.append(f"{name} {words}.")
            return cast(T, None)  # never seen: raise_problems comes before the value is used

    def read_or_none(self, name: str, parse: Callable[[str], T]) -> T | None:
        return self.read(name, parse) if self._environ.get(name, "").strip() else None

    def raise_problems(self) -> None:
        if self._problems:
            raise SettingsError(
                " ".join(self._problems),
                "Nothing was started: a wrong setting is never guessed at.",
                "Mend the environment of this process; docs/settings.md describes every setting.",
            )


def _token(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise _UnfitError(
            "holds spaces, line breaks or letters that cannot stand in a header; copy the token anew"
        )
    return text


def _key(text: str) -> str:
    if len(text.encode()) < 16:
        raise _UnfitError(
            "is shorter than 16 characters, so that hashes made with it could be reversed by trying"
        )
    return text


def _whole_number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:
        raise _UnfitError("is not a whole number above zero")
    return int(text)


def _rows(text: str) -> int:
    rows = _whole_number(text.replace("_", ""))
    if rows > MOST_ROWS_PER_PAYLOAD:
        raise _UnfitError(f"is above {MOST_ROWS_PER_PAYLOAD}, the most that Mailtrap takes in one import")
    return rows


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([kmi]*b?)", text.lower())
    if match is None or match[2] not in _BYTES_PER_UNIT:
        raise _UnfitError("is not a size such as 20 MB or 20000000")
    size = round(float(match[1]) * _BYTES_PER_UNIT[match[2]])
    if size < _LEAST_BYTES_PER_PAYLOAD:
        raise _UnfitError(
            f"is below {_LEAST_BYTES_PER_PAYLOAD} bytes, too little for one contact with long fields"
        )
    return size


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise _UnfitError("is not a number of seconds") from None
    if not 0 < seconds < math.inf:
        raise _UnfitError("is not a number of seconds above zero")
    return seconds


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        raise _UnfitError("is not a number of days") from None
    if not 0 <= days < 36_500:
        raise _UnfitError("is not a number of days from 0 on")
    return days


def _seconds_or_adaptive(text: str) -> float | None:
    return None if text.lower() == "adaptive" else _seconds(text)


def _path_style(text: str) -> PathStyle:
    if text not in ("account", "plain"):
        raise _UnfitError("is neither `account` nor `plain`")
    return cast(PathStyle, text)


def _auth(text: str) -> Auth:
    if text not in ("bearer", "api-token"):
        raise _UnfitError("is neither `bearer` nor `api-token`")
    return cast(Auth, text)


def _logs(text: str) -> Logs:
    if text not in ("text", "json"):
        raise _UnfitError("is neither `text` nor `json`")
    return cast(Logs, text)


def _folder(text: str) -> Path:
    if "://" in text or "\0" in text:
        raise _UnfitError("is not a folder of this machine")
    return Path(text).expanduser()


def _url(text: str) -> str:
    if not re.match(r"[a-z][a-z0-9+.-]*:", text):
        raise _UnfitError("is not a URL: it does not begin with a scheme such as duckdb:// or postgresql://")
    return text


def _api_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise _UnfitError("is not a URL such as https://mailtrap.io") from None
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
        raise _UnfitError("is not a URL such as https://mailtrap.io")
    if parts.username or parts.password:
        raise _UnfitError(
            "holds a user or a password, which would end in logs; the token has a setting of its own"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise _UnfitError(
            "is plain http:// to another machine, which would show the token and the addresses on the way"
        )
    return text.rstrip("/")


def _webhook(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise _UnfitError("is not a URL such as https://hooks.example.org/services/…") from None
    if parts.scheme not in ("https", "http") or not host or not re.fullmatch(r"[!-~]+", text):
        raise _UnfitError("is not a URL such as https://hooks.example.org/services/…")
    if parts.username or parts.password:
        raise _UnfitError("holds a user or a password; give a webhook whose secret is in its path")
    if parts.scheme == "http" and not is_loopback(host):
        raise _UnfitError("is plain http:// to another machine, which would show its secret on the way")
    return text


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine, decided without asking a name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _lake(text: str) -> str:
    if "://" in text and "@" in urlsplit(text).netloc:
        raise _UnfitError(
            "holds credentials, which a URL shows to whoever sees it; give them in the environment, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or by the machine's role"
        )
    return text


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for host in hosts:
        if not re.fullmatch(r"(\[[0-9a-f:]+\]|[a-z0-9*][a-z0-9*.-]*)(:[0-9*]{1,5})?", host):
            raise _UnfitError("is not a list of hosts such as *.s3.amazonaws.com, files.example.com:8443")
        if re.fullmatch(r"[*.]+(:.*)?", host):
            raise _UnfitError("allows every host, and so protects nothing")
    return hosts
