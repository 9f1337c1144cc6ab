"""The client: every call of Mailtrap's contacts API, within the budget, and never mistaking "maybe" for "done".

Each call is three lines: which path, which windows and lane, how to read the answer. What an answer means is decided
in `wire`, when to repeat a request in `retries`, how long to wait for a job in `polls`, how a file is fetched in
`downloads`. Knows nothing of Dagster, of syncs, or of consent.

Three kinds of request:
    asked   GET, PATCH, DELETE: harmless twice, so repeated when that can help
    told    POST of imports, exports, events, contacts: repeated only after a certain refusal (429, or nothing was
            sent); a lost answer is an `OutcomeUnknown` for the caller to resolve
    named   POST of lists and fields: told, and a lost answer is resolved at once by looking for the name
"""

import random as random_module
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import httpx

from resources.errors import MailtrapError, RefusedError, SettingsError, UnavailableError, UnfinishedError
from resources.mailtrap import complaints, polls, wire
from resources.mailtrap.budget import Budget, Lane, Limits, Window
from resources.mailtrap.connection import Body, Connection, Request, check_origin
from resources.mailtrap.downloads import Downloader, Sink
from resources.mailtrap.retries import Answer, NoAnswer, may_have_been_processed, may_repeat, pause_seconds
from resources.mailtrap.retries import retry_after_seconds as read_retry_after
from resources.settings import Auth

T = TypeVar("T")
J = TypeVar("J", bound=polls.Job)
Meanwhile = Callable[[float], object]
"""Does something useful for about so many seconds, or nothing."""
DEFAULT_URL = "https://mailtrap.io"
# Where Mailtrap puts exports: buckets of its own at S3 (seen: mailsend-us-mailtrap-tmp-uploads.s3.amazonaws.com).
DEFAULT_DOWNLOAD_HOSTS = (
    "mailsend-*-mailtrap-tmp-uploads.s3.amazonaws.com",
    "mailsend-*-mailtrap-tmp-uploads.s3.*.amazonaws.com",
)
_PAGES_AT_MOST = 100_000


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a client needs to know; `session.py` makes it from the settings, `settings.py` from Dagster's."""

    token: str = field(repr=False)
    account_id: int | None = None
    url: str = DEFAULT_URL
    path_style: wire.PathStyle = "account"
    auth: Auth = "bearer"
    download_hosts: tuple[str, ...] = DEFAULT_DOWNLOAD_HOSTS
    limits: Limits = field(default_factory=Limits)
    timeout_seconds: float = 60.0
    poll_seconds: float | None = None
    job_deadline_seconds: float = 3600.0
    attempts: int = 5


@dataclass(frozen=True, slots=True)
class Counts:
    """What a client has sent so far: `requests` includes `retries`; downloads are not requests to the API."""

    requests: int = 0
    retries: int = 0


class MailtrapClient:
    """Mailtrap's contacts API; safe to share between threads."""

    def __init__(
        self,
        settings: ClientSettings,
        budget: Budget,
        *,
        transport: httpx.BaseTransport | None = None,
        download_transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        if not settings.token.strip() or not settings.token.isascii() or not settings.token.isprintable():
            raise SettingsError(
                "MAILTRAP_API_TOKEN is empty or is not a token.",
                "Mailtrap answers nothing without one.",
                "Set MAILTRAP_API_TOKEN to a token of the account, without spaces or line breaks.",
            )
        self.settings = settings
        self._origin = check_origin(settings.url, setting="MAILTRAP_API_URL")
        self._budget = budget
        self._clock, self._monotonic, self._sleep, self._random = clock, monotonic, sleep, random
        self._connection = Connection(
            self._origin,
            _credentials(settings),
            timeout_seconds=settings.timeout_seconds,
            transport=transport,
            monotonic=monotonic,
        )
        self._downloader = Downloader(
            settings.download_hosts,
            timeout_seconds=settings.timeout_seconds,
            deadline_seconds=settings.job_deadline_seconds,
            transport=download_transport,
            monotonic=monotonic,
        )
        self._token_window = settings.limits.token_window(self._origin, settings.token.strip())
        self._account_id = settings.account_id
        self._merge_tags: frozenset[str] = frozenset()
        self._requests = self._retries = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MailtrapClient({self._origin}, account {self._account_id})"

    def __enter__(self) -> "MailtrapClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._connection.close()
        self._downloader.close()

    @property
    def usage_counts(self) -> Counts:
        """How many requests this client has sent, and how many of them were repetitions."""
        with self._lock:
            return Counts(self._requests, self._retries)

    # ── the account ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def account_id(self) -> int:
        """The account: the setting, else the only one that the token can see, asked for once."""
        if self._account_id is None:
            self._account_id = _only(self.accounts()).id
        return self._account_id

    def accounts(self) -> tuple[wire.Account, ...]:
        """The accounts that the token can see."""
        request = Request("GET", wire.ACCOUNTS_PATH)
        return self._ask(request, wire.read_accounts, "read the accounts", windows=(self._token_window,))

    def usage(self) -> dict[str, Any]:
        """Plans and counts of the billing cycle, as Mailtrap gives them."""
        request = Request("GET", self._paths.usage())
        return self._ask(request, wire.read_usage, "read the usage", windows=(self._token_window,))

    # ── lists ──────────────────────────────────────────────────────────────────────────────────────────────────

    def lists(self, search: str | None = None) -> tuple[wire.ContactList, ...]:
        """The lists of the account; `search` is the beginning of a name."""
        request = Request("GET", self._paths.lists(), query={"search": search} if search else {})
        return self._ask(request, wire.read_lists, "read the lists")

    def get_list(self, list_id: int) -> wire.ContactList | None:
        """One list; None when there is none."""
        return self._find(Request("GET", self._paths.lists(list_id)), wire.read_list, "read a list")

    def create_list(self, name: str) -> wire.ContactList:
        """A new list; after a lost answer the one that carries the name now."""
        request = Request("POST", self._paths.lists(), body=wire.to_json({"name": name}))
        found = self._tell(request, wire.read_list, "create a list")
        if not isinstance(found, wire.OutcomeUnknown):
            return found
        return self._named(found, (item for item in self.lists() if item.name == name), "list")

    def rename_list(self, list_id: int, name: str) -> wire.ContactList:
        """Give a list another name."""
        request = Request("PATCH", self._paths.lists(list_id), body=wire.to_json({"name": name}))
        return self._ask(request, wire.read_list, "rename a list")

    def delete_list(self, list_id: int) -> bool:
        """Delete a list; False when there was none."""
        return self._delete(Request("DELETE", self._paths.lists(list_id)), "delete a list")

    # ── fields ─────────────────────────────────────────────────────────────────────────────────────────────────

    def fields(self) -> tuple[wire.Field, ...]:
        """The custom fields of the account."""
        found = self._ask(Request("GET", self._paths.fields()), wire.read_fields, "read the fields")
        self._merge_tags = frozenset(item.merge_tag for item in found)
        return found

    def get_field(self, field_id: int) -> wire.Field | None:
        """One field; None when there is none."""
        return self._find(Request("GET", self._paths.fields(field_id)), wire.read_field, "read a field")

    def create_field(self, name: str, data_type: wire.DataType, *, merge_tag: str) -> wire.Field:
        """A new field; after a lost answer the one that carries the merge tag now."""
        body = wire.to_json({"name": name, "data_type": data_type, "merge_tag": merge_tag})
        found = self._tell(
            Request("POST", self._paths.fields(), body=body), wire.read_field, "create a field"
        )
        if not isinstance(found, wire.OutcomeUnknown):
            return found
        return self._named(found, (item for item in self.fields() if item.merge_tag == merge_tag), "field")

    def rename_field(
        self, field_id: int, *, name: str | None = None, merge_tag: str | None = None
    ) -> wire.Field:
        """Give a field another name or merge tag; its type cannot be changed (Mailtrap ignores it in silence)."""
        new = {key: value for key, value in (("name", name), ("merge_tag", merge_tag)) if value is not None}
        request = Request("PATCH", self._paths.fields(field_id), body=wire.to_json(new))
        return self._ask(request, wire.read_field, "rename a field")

    def delete_field(self, field_id: int) -> bool:
        """Delete a field, and its values on every contact; False when there was none."""
        return self._delete(Request("DELETE", self._paths.fields(field_id)), "delete a field")

    # ── contacts ───────────────────────────────────────────────────────────────────────────────────────────────

    def get_contact(self, identifier: str, *, lane: Lane = "import") -> wire.Contact | None:
        """One contact by id or address; None when Mailtrap has none."""
        request = Request("GET", self._paths.contact(identifier))
        return self._find(request, wire.read_contact, "read a contact", lane=lane)

    def create_contact(
        self,
        email: str,
        *,
        fields: Mapping[str, wire.Scalar] | None = None,
        list_ids: Sequence[int] = (),
        lane: Lane = "import",
    ) -> wire.Contact | wire.OutcomeUnknown:
        """A new contact. `upsert_contact` does the same and is harmless twice: prefer it."""
        body = wire.create_contact_body(email, fields=fields, list_ids=list_ids)
        request = Request("POST", self._paths.contacts(), body=body)
        return self._tell(request, wire.read_contact, "create a contact", lane=lane)

    def upsert_contact(
        self,
        identifier: str,
        *,
        email: str,
        fields: Mapping[str, wire.Scalar] | None = None,
        list_ids_included: Sequence[int] = (),
        list_ids_excluded: Sequence[int] = (),
        unsubscribed: bool = False,
        lane: Lane = "import",
    ) -> wire.Upserted:
        """Change a contact, or make it. `unsubscribed=False` says nothing: we resubscribe nobody."""
        body = wire.upsert_contact_body(
            email,
            fields=fields,
            list_ids_included=list_ids_included,
            list_ids_excluded=list_ids_excluded,
            unsubscribed=unsubscribed,
        )
        request = Request("PATCH", self._paths.contact(identifier), body=body)
        return self._ask(request, wire.read_upserted, "change a contact", lane=lane)

    def delete_contact(self, identifier: str, *, lane: Lane = "erasure") -> bool:
        """Delete a contact for good; False when Mailtrap had none."""
        return self._delete(Request("DELETE", self._paths.contact(identifier)), "delete a contact", lane=lane)

    # ── imports ────────────────────────────────────────────────────────────────────────────────────────────────

    def create_import(
        self,
        body: Body,
        *,
        before_send: Callable[[], None] | None = None,
        before_end: Callable[[], None] | None = None,
        uploaded: Callable[[], None] | None = None,
        lane: Lane = "import",
    ) -> wire.ImportOutcome:
        """Submit a payload.

        Of each try, `before_send` runs when the budget is granted, right before the first byte; `before_end` before the
        last of it, and what either raises leaves nothing submitted; `uploaded` when all of it is on its way.
        """
        request = Request("POST", self._paths.imports(), body=body, before_end=before_end, uploaded=uploaded)
        answer = self._until_settled(
            request,
            (wire.read_import,),
            safe=False,
            lane=lane,
            windows=self._contacts_windows,
            before=before_send,
        )
        if isinstance(answer, Answer) and answer.status == 413:
            return wire.BodyTooLarge()
        if isinstance(answer, Answer) and answer.status in (409, 422):
            told = complaints.import_problems(_json_or_none(answer.body), self._merge_tags)
            return wire.ImportRefused(told.rows, told.base)
        read = self._told(answer, wire.read_import, "submit an import")
        return read if isinstance(read, wire.OutcomeUnknown) else wire.ImportAccepted(read)

    def get_import(self, import_id: int, *, lane: Lane = "poll") -> wire.ImportJob | None:
        """An import job as it stands; None when Mailtrap knows none (a just-made one may take a moment)."""

        def read(body: bytes) -> wire.ImportJob:
            return wire.read_import(body, import_id=import_id)

        return self._find(Request("GET", self._paths.imports(import_id)), read, "read an import", lane=lane)

    def wait_for_import(
        self, import_id: int, *, rows: int, plan: polls.PollPlan | None = None
    ) -> wire.ImportJob:
        """Poll one import until it is finished or failed; `UnfinishedError` after the deadline.

        Several jobs at once are better polled by a loop of one's own over `polls.PollPlan`.
        """
        return self._wait(
            lambda: self.get_import(import_id), rows=rows, plan=plan, what=f"Import {import_id}"
        )

    # ── exports ────────────────────────────────────────────────────────────────────────────────────────────────

    def create_export(
        self, filters: Sequence[Mapping[str, object]] = (), *, before_send: Callable[[], None] | None = None
    ) -> wire.ExportOutcome:
        """Ask for an export of everyone, or of those whom `wire.export_filters` name."""
        body = wire.to_json({"filters": [dict(item) for item in filters]} if filters else {})
        request = Request("POST", self._paths.exports(), body=body)
        answer = self._until_settled(
            request,
            (wire.read_export,),
            safe=False,
            lane="export",
            windows=self._contacts_windows,
            before=before_send,
        )
        if isinstance(answer, Answer) and answer.status in (409, 422):
            told = _json_or_none(answer.body)
            busy = complaints.says_busy(told)
            return (
                wire.ExportBusy() if busy else wire.ExportRefused(complaints.problems(told, self._merge_tags))
            )
        read = self._told(answer, wire.read_export, "start an export")
        return read if isinstance(read, wire.OutcomeUnknown) else wire.ExportStarted(read)

    def get_export(self, export_id: int, *, lane: Lane = "poll") -> wire.Export | None:
        """An export as it stands, with a fresh URL when it is done; None when Mailtrap knows none."""

        def read(body: bytes) -> wire.Export:
            return wire.read_export(body, export_id=export_id)

        return self._find(Request("GET", self._paths.exports(export_id)), read, "read an export", lane=lane)

    def wait_for_export(
        self, export_id: int, *, plan: polls.PollPlan | None = None, meanwhile: Meanwhile | None = None
    ) -> wire.Export:
        """Poll one export until its file can be fetched; `UnfinishedError` after the deadline.

        Before each poll `meanwhile` may use the time until then; what it leaves is slept through.
        """
        what = f"Export {export_id}"
        found = self._wait(
            lambda: self.get_export(export_id), rows=0, plan=plan, what=what, meanwhile=meanwhile
        )
        if found.failed:
            raise UnavailableError(
                f"Mailtrap gave up on export {export_id}.",
                "It gives no reason, and there is no file.",
                "Start the export again; ask Mailtrap's support when it happens every time.",
            )
        return found

    def download(self, url: str, sink: Sink) -> int:
        """Fetch an export's file into a sink, as it is; never with credentials, never off the allow-list."""
        return self._downloader.download(url, sink)

    # ── events, suppressions ───────────────────────────────────────────────────────────────────────────────────

    def create_event(
        self, identifier: str, name: str, *, params: Mapping[str, wire.Scalar], lane: Lane = "event"
    ) -> wire.EventOutcome:
        """Record an event of a contact. Mailtrap knows no key for it: twice is two events."""
        body = wire.to_json({"name": name, "params": dict(params)})
        request = Request("POST", self._paths.events(identifier), body=body)
        answer = self._until_settled(
            request, (wire.read_event,), safe=False, lane=lane, windows=self._contacts_windows
        )
        if isinstance(answer, Answer) and answer.status in (404, 422):
            told = complaints.problems(_json_or_none(answer.body), self._merge_tags)
            return wire.EventRefused(answer.status, told)
        return self._told(answer, wire.read_event, "record an event")

    def suppressions(
        self, start_time: datetime | None = None, email: str | None = None, *, lane: Lane = "export"
    ) -> Iterator[tuple[wire.Suppression, ...]]:
        """The suppressions, page by page, each one once; a cursor that does not move ends in an error, not in a loop."""
        windows = (
            self._token_window,
            self.settings.limits.suppressions_window(self._origin, self.account_id),
        )
        query = {"start_time": wire.moment_text(start_time)} if start_time else {}
        query |= {"email": email} if email else {}
        seen: set[str] = set()
        doubtful = True
        for _ in range(_PAGES_AT_MOST):
            request = Request("GET", self._paths.suppressions(), query=query)
            page = self._ask(
                request, wire.read_suppressions, "read the suppressions", lane=lane, windows=windows
            )
            fresh = tuple({item.id: item for item in page if item.id not in seen}.values())
            if fresh:
                yield fresh
            if wire.is_last_page(len(page), fresh=len(fresh), of_one=email is not None, doubtful=doubtful):
                return
            if page and not fresh:
                raise _stuck_cursor()
            doubtful = len(page) >= wire.SUPPRESSIONS_PER_PAGE
            seen.update(item.id for item in fresh)
            query = {**query, "last_id": page[-1].id} if page else query
        raise _stuck_cursor()

    # ── how each kind of request is made ───────────────────────────────────────────────────────────────────────

    @property
    def _paths(self) -> wire.Paths:
        return wire.Paths(self.account_id, self.settings.path_style)

    @property
    def _contacts_windows(self) -> tuple[Window, ...]:
        contacts = self.settings.limits.contacts_window(self._origin, self.account_id)
        return (self._token_window, contacts)

    def _ask(
        self,
        request: Request,
        read: Callable[[bytes], T],
        doing: str,
        *,
        lane: Lane = "import",
        windows: tuple[Window, ...] | None = None,
    ) -> T:
        """A harmless request, repeated while that can help."""
        found = self._find(request, read, doing, lane=lane, windows=windows)
        if found is None:
            raise _refused(404, None, doing)
        return found

    def _find(
        self,
        request: Request,
        read: Callable[[bytes], T],
        doing: str,
        *,
        lane: Lane = "import",
        windows: tuple[Window, ...] | None = None,
    ) -> T | None:
        windows = windows or self._contacts_windows
        answer = self._until_settled(request, (read,), safe=True, lane=lane, windows=windows)
        if (
            isinstance(answer, Answer)
            and answer.status == 404
            and isinstance(_json_or_none(answer.body), dict)
        ):
            return None  # a 404 in HTML is not Mailtrap's, and says nothing about what we look for
        if isinstance(answer, Answer) and answer.status < 300:
            return read(answer.body)
        raise self._unsettled(answer, doing)

    def _tell(
        self, request: Request, read: Callable[[bytes], T], doing: str, *, lane: Lane = "import"
    ) -> T | wire.OutcomeUnknown:
        """A request that must not be carried out twice."""
        windows = self._contacts_windows
        return self._told(
            self._until_settled(request, (read,), safe=False, lane=lane, windows=windows), read, doing
        )

    def _told(
        self, answer: Answer | NoAnswer, read: Callable[[bytes], T], doing: str
    ) -> T | wire.OutcomeUnknown:
        if isinstance(answer, Answer) and answer.status < 300:
            return read(answer.body)
        if may_have_been_processed(answer):
            return wire.OutcomeUnknown(
                answer.reason if isinstance(answer, NoAnswer) else f"status {answer.status}"
            )
        raise self._unsettled(answer, doing)

    def _delete(self, request: Request, doing: str, *, lane: Lane = "import") -> bool:
        """A DELETE; gone is gone, whoever did it, and a 404 after a lost answer was most likely us."""
        before = self.usage_counts.retries
        answer = self._until_settled(request, (), safe=True, lane=lane, windows=self._contacts_windows)
        if isinstance(answer, Answer) and answer.status < 300:
            return True
        if isinstance(answer, Answer) and answer.status == 404 and self._says_gone(answer, request):
            return self.usage_counts.retries > before
        raise self._unsettled(answer, doing)

    def _until_settled(
        self,
        request: Request,
        reads: Sequence[Callable[[bytes], object]],
        *,
        safe: bool,
        lane: Lane,
        windows: tuple[Window, ...],
        before: Callable[[], None] | None = None,
    ) -> Answer | NoAnswer:
        """Send until the answer is final or the attempts are used up."""
        attempt = 1
        while True:
            result = _checked(self._send(request, lane=lane, windows=windows, before=before), reads)
            if not may_repeat(result, safe=safe) or attempt >= self.settings.attempts:
                return result
            pause = pause_seconds(result, attempt, now=self._clock(), chance=self._random())
            if not (isinstance(result, Answer) and result.status == 429):
                self._sleep(pause)
            attempt += 1
            with self._lock:
                self._retries += 1

    def _send(
        self, request: Request, *, lane: Lane, windows: tuple[Window, ...], before: Callable[[], None] | None
    ) -> Answer | NoAnswer:
        """One request within the budget; its place falls free one window after its answer."""
        patience = self._connection.longest_seconds(request.body)
        grant = self._budget.acquire(windows, lane=lane, patience_seconds=patience)
        granted_at = self._monotonic()
        try:
            if before is not None:
                before()
        except BaseException:
            grant.unsent()
            raise
        if self._monotonic() - granted_at > patience:
            # This process was stopped for so long that its place may be another's.
            grant.unsent()
            grant = self._budget.acquire(windows, lane=lane, patience_seconds=patience)
        with self._lock:
            self._requests += 1
        try:
            result = self._connection.exchange(request)
        finally:
            grant.answered()
        if isinstance(result, Answer) and result.status == 429:
            asked = read_retry_after(result.headers, now=self._clock())
            self._budget.close(_overfull(windows, result.headers), retry_after=asked)
        return result

    def _wait(
        self,
        look: Callable[[], J | None],
        *,
        rows: int,
        plan: polls.PollPlan | None,
        what: str,
        meanwhile: Meanwhile | None = None,
    ) -> J:
        """Poll one job to its end."""
        plan = plan or polls.PollPlan.of(self.settings)
        started, count = self._monotonic(), 0
        while True:
            waited = self._monotonic() - started
            pause = plan.next_poll_seconds(rows=rows, waited_seconds=waited, polls=count)
            pause = max(0.0, min(pause, plan.deadline_seconds - waited))
            if meanwhile is not None:
                meanwhile(pause)
            self._sleep(max(0.0, started + waited + pause - self._monotonic()))
            job, count = look(), count + 1
            waited = self._monotonic() - started
            verdict = plan.verdict(job, waited_seconds=waited)
            if job is not None and verdict in ("done", "failed"):
                return job
            if verdict in ("lost", "overdue"):
                raise _unfinished(what, waited, verdict)

    def _unsettled(self, answer: Answer | NoAnswer, doing: str) -> MailtrapError:
        if isinstance(answer, NoAnswer):
            return _unavailable(doing, answer.reason)
        if answer.status == 429 or answer.status == 408 or answer.status >= 500:
            return _unavailable(doing, f"status {answer.status}")
        return _refused(answer.status, _json_or_none(answer.body), doing, self._merge_tags)

    def _says_gone(self, answer: Answer, request: Request) -> bool:
        """Whether a 404 means that the thing is gone, and not that we asked in the wrong place.

        For a contact Mailtrap says so in words of its own (`{"errors": "Contact(s) not found"}`), and nothing less
        counts: a wrong account must not look like an erasure that is done.
        """
        told = _json_or_none(answer.body)
        if not isinstance(told, dict):
            return False
        is_contact = not request.path.startswith((self._paths.lists(), self._paths.fields()))
        return not is_contact or "contact" in complaints.sentence(told).lower()

    def _named(self, lost: wire.OutcomeUnknown, found: Iterator[T], what: str) -> T:
        for item in found:
            return item
        raise _unavailable(f"create a {what}", lost.reason)


def _credentials(settings: ClientSettings) -> dict[str, str]:
    """What every request to the API carries: one of the two headers that Mailtrap takes, never both."""
    token = settings.token.strip()
    credentials = (
        {"Api-Token": token} if settings.auth == "api-token" else {"Authorization": f"Bearer {token}"}
    )
    return {"Accept": "application/json", **credentials}


def _checked(result: Answer | NoAnswer, reads: Sequence[Callable[[bytes], object]]) -> Answer | NoAnswer:
    """A success that cannot be read is no success: the answer is as good as lost."""
    if isinstance(result, Answer) and result.status < 300:
        try:
            for read in reads:
                read(result.body)
        except wire.MalformedError as error:
            return NoAnswer("lost", str(error))
    return result


def _overfull(windows: tuple[Window, ...], headers: Mapping[str, str]) -> Window:
    """Which window a 429 is about: X-Ratelimit-Remaining speaks of the token's alone; else it is the account's."""
    return windows[0] if headers.get("x-ratelimit-remaining", "").strip() == "0" else windows[-1]


def _json_or_none(body: bytes) -> object:
    try:
        return wire.from_json(body)
    except wire.MalformedError:
        return None


def _only(accounts: tuple[wire.Account, ...]) -> wire.Account:
    if len(accounts) == 1:
        return accounts[0]
    seen = ", ".join(f"{account.id} ({account.name})" for account in accounts) or "none"
    raise SettingsError(
        f"The token can see {len(accounts)} accounts: {seen}.",
        "Which one is meant cannot be guessed.",
        "Set MAILTRAP_ACCOUNT_ID to the id of the right one." if accounts else "Use a token of an account.",
    )


_REFUSALS = {
    401: (
        "It does not accept the token.",
        "Set MAILTRAP_API_TOKEN to a valid token; tokens expire and can be reset.",
    ),
    403: (
        "The token may not do this, or the account's plan does not allow it.",
        "Check MAILTRAP_ACCOUNT_ID, the token's access to it, and the plan.",
    ),
    404: (
        "There is no such thing, or it is in another account.",
        "Check MAILTRAP_ACCOUNT_ID, MAILTRAP_PATH_STYLE and the id.",
    ),
    413: ("The request is too large for it.", "Lower CONTACTS_BYTES_PER_PAYLOAD."),
    422: ("It does not accept what was sent.", "Correct what it names, then try again."),
}


def _refused(status: int, told: object, doing: str, merge_tags: frozenset[str] = frozenset()) -> RefusedError:
    words = complaints.sentence(told, merge_tags)
    meaning, remedy = _REFUSALS.get(
        status, ("A retry would change nothing.", "Check the request and the account.")
    )
    if 300 <= status < 400:
        meaning = "Mailtrap's API does not redirect, and our credentials follow nobody."
        remedy = "Check MAILTRAP_API_URL: something else answers there."
    return RefusedError(
        f"Mailtrap refused to {doing} (status {status}{': ' + words if words else ''}).",
        meaning,
        remedy,
        status=status,
    )


def _unavailable(doing: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"Mailtrap could not be reached to {doing} ({reason}).",
        "It was asked as often as is sensible, and nothing is known to be wrong with the request.",
        "Try again later; look at Mailtrap's status page and at the network when it stays so.",
    )


def _unfinished(what: str, waited: float, verdict: str) -> UnfinishedError:
    found = "is unknown to Mailtrap" if verdict == "lost" else "is not finished"
    return UnfinishedError(
        f"{what} {found} after {waited:.0f} s.",
        "We stopped waiting; Mailtrap may still be at work on it.",
        "Run again: it is asked for again first. CONTACTS_JOB_DEADLINE_SECONDS sets how long we wait.",
    )


def _stuck_cursor() -> UnavailableError:
    return UnavailableError(
        "The pages of suppressions do not come to an end.",
        "The same page came twice, so that the list is not known whole, and nobody may be taken as not suppressed.",
        "Try again later; report it to Mailtrap when it stays so.",
    )
