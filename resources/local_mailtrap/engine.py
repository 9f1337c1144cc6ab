"""The local Mailtrap itself: answers requests, lets time pass, and can be told to misbehave. No sockets here.

Belongs here: the order in which a request is judged (faults, route, token, limits, account, body), and what a test or
an admin can do to the world. Not here: what single calls do (a file per noun), how bytes travel (`server.py` over
loopback, `transport.py` in process).
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

import msgspec

from resources.local_mailtrap import answers, imports, routes, storage
from resources.local_mailtrap.accounts import DEFAULT_ACCOUNT, Account, World
from resources.local_mailtrap.call import BadJSONError, Call
from resources.local_mailtrap.clock import Clock, VirtualClock
from resources.local_mailtrap.exchange import Answer, Request
from resources.local_mailtrap.faults import Effects, Faults, Rule
from resources.local_mailtrap.jobs import Queue
from resources.local_mailtrap.knobs import Knobs, Value
from resources.local_mailtrap.limits import Limiter, Pool
from resources.local_mailtrap.request_journal import RequestJournal
from resources.local_mailtrap.seeding import dump, sow

IN_PROCESS_API = "https://mailtrap.io"
IN_PROCESS_STORAGE = "https://storage.local-mailtrap.test"
LOCAL_TOKEN = "local-mailtrap-token"  # noqa: S105 - opens nothing but a Mailtrap made of memory


_NOTHING = Answer(0, ending="reset", bare=True)


class Engine:
    """A Mailtrap in memory. Without a clock it runs on virtual time, which each request moves by a millisecond."""

    def __init__(
        self, *, token: str = LOCAL_TOKEN, admin_token: str | None = None, clock: Clock | None = None, seed: int = 0,
        knobs: Mapping[str, Value] | None = None,
    ) -> None:  # fmt: skip
        self.token, self.admin_token = token, admin_token or secrets.token_urlsafe(24)
        self.clock = clock or VirtualClock()
        self.knobs = Knobs(knobs)
        self.lock = threading.RLock()
        self.api_origin, self.storage_origin = IN_PROCESS_API, IN_PROCESS_STORAGE
        self.works_in_background = False
        self.on_change: Callable[[], None] = lambda: None
        self._start(seed)

    def _start(self, seed: int) -> None:
        self.seed_number = seed
        self.world, self.faults = World(seed, self.token), Faults(seed)
        self.journal, self.queue = RequestJournal(), Queue()

    # What a test or an admin can do

    @property
    def state(self) -> World:
        """The accounts and all that they hold."""
        return self.world

    @property
    def account(self) -> Account:
        """The account that there is without any seeding."""
        return self.world.accounts[DEFAULT_ACCOUNT]

    def reset(self, seed: int | None = None) -> None:
        """A new world; knobs at their defaults, no faults, no journal. The clock goes on."""
        with self.lock:
            self.knobs.reset()
            self._start(self.seed_number if seed is None else seed)

    def seed(self, content: Mapping[str, Any]) -> dict[str, int]:
        """Put accounts, lists, fields, contacts, suppressions and limits into the world; the counts of what was put."""
        with self.lock:
            return sow(self.world, content, now=self.clock.time(), knobs=self.knobs)

    def turn(self, **knobs: Value) -> None:
        """Turn knobs."""
        with self.lock:
            self.knobs.turn(knobs)

    def fault(self, fault: str | None = None, /, **rule: Any) -> Rule:
        """Add a fault rule: `fault("F-05", match={"nth": 2})`, or `fault(action={…}, match={…}, times=3)`."""
        with self.lock:
            return self.faults.add({**rule, **({"fault": fault} if fault else {})})

    def advance(self, seconds: float) -> float:
        """Let time pass, and do the jobs that are due by then."""
        with self.lock:
            now = self.clock.advance(seconds)
            self.settle(now)
        return now

    def settle(self, now: float | None = None) -> None:
        """Do all jobs that are due."""
        with self.lock:
            while self.queue.step(self.clock.time() if now is None else now):
                pass

    def unsubscribe(self, *emails: str, account_id: int = DEFAULT_ACCOUNT) -> None:
        """People unsubscribe on their own."""
        with self.lock:
            account = self.world.accounts[account_id]
            for each in emails:
                account.unsubscribed.add(each.strip().lower())

    def suppress(
        self,
        *emails: str,
        kind: str = "unsubscription",
        stream: str = "any",
        account_id: int = DEFAULT_ACCOUNT,
    ) -> None:
        """People are suppressed: they unsubscribed, complained, or their mail bounced."""
        with self.lock:
            for each in emails:
                self.world.add_suppression(
                    self.world.accounts[account_id], each, now=self.clock.time(), kind=kind, stream=stream
                )

    def dump(self) -> dict[str, Any]:
        """The whole state as JSON values."""
        with self.lock:
            return dump(self.world, now=self.clock.time(), knobs=self.knobs)

    # How a request is answered

    def meet(self, method: str, path: str) -> Effects:
        """The faults that strike a request, as soon as its first line is known."""
        with self.lock:
            return self.faults.meet(method, path)

    def parse_import(self, request: Request) -> imports.Parsed | None:
        """Read the body of an import beside other requests; None when it is not one, or not allowed in."""
        with self.lock:
            found = routes.find(request.method, request.path)
            account = self._account(request, found.account_id) if found else None
        return imports.parse(request.body, account, self.knobs) if isinstance(account, Account) else None

    def api(
        self, request: Request, effects: Effects | None = None, *, parsed: imports.Parsed | None = None
    ) -> Answer:
        """Answer a request to the API."""
        with self.lock:
            effects = self.meet(request.method, request.path) if effects is None else effects
            now = self._arrive()
            judged = _Judged()
            answer = self._judge(request, effects, now=now, into=judged, parsed=parsed)
            answer = _after(answer, effects)
            answer = self._dress(answer, request, now=now, effects=effects)
            self.journal.add(
                request, answer, at=now, origin="api", account_id=judged.account_id, pool=judged.pool,
                notes=judged.notes, faults=effects.rules,
            )  # fmt: skip
        self.on_change()
        return answer

    def storage(self, request: Request, effects: Effects | None = None) -> Answer:
        """Answer a request to the storage host."""
        with self.lock:
            effects = self.meet(request.method, request.path) if effects is None else effects
            now = self._arrive()
            answer = self._before(request, effects, now) or storage.answer(
                request, world=self.world, knobs=self.knobs, now=now, effects=effects
            )
            answer = _after(answer, effects)
            self.journal.add(
                request,
                answer,
                at=now,
                origin="storage",
                account_id=None,
                pool=None,
                notes={},
                faults=effects.rules,
            )
        return answer

    def _arrive(self) -> float:
        if self.clock.is_virtual:
            self.clock.advance(self.knobs["latency_seconds"])
        now = self.clock.time()
        if not self.works_in_background:
            self.settle(now)
        return now

    def _before(self, request: Request, effects: Effects, now: float) -> Answer | None:
        if effects.of("reset_before") is not None:
            return _NOTHING
        limit = effects.of("body_limit")
        if limit is not None and len(request.body) > limit["bytes"]:
            return answers.too_large()
        return _faulty(action, now) if (action := effects.of("answer")) is not None else None

    def _judge(
        self,
        request: Request,
        effects: Effects,
        *,
        now: float,
        into: "_Judged",
        parsed: imports.Parsed | None,
    ) -> Answer:
        found = routes.find(request.method, request.path)
        if found is None:
            return self._before(request, effects, now) or answers.not_found()
        account = self._account(request, found.account_id)
        into.pool, into.account_id = found.route.pool, account.id if isinstance(account, Account) else None
        if effects.of("reset_before") is not None:
            return _NOTHING
        refused = self._admit(request, account, found.route.pool, now=now)
        if refused is not None:
            into.notes["limited"] = refused.status == 429
            return refused
        if (faulty := self._before(request, effects, now)) is not None:
            return faulty
        if not isinstance(account, Account):
            return account
        if request.method != "GET" and not account.may_write:
            return answers.forbidden()
        call = Call(
            request, self.world, self.knobs, self.queue, now, effects, self.storage_origin, found.args, account,
            parsed, into.notes,
        )  # fmt: skip
        return self._do(call, found.route.handler)

    def _admit(self, request: Request, account: Account | Answer, pool: Pool, *, now: float) -> Answer | None:
        """Why a request is not let in: its token, or a limit."""
        if request.token not in self.world.tokens:
            return answers.unauthorized()
        refused = self._limited(self._token_limiter(request), "token", now)
        if refused is not None or isinstance(account, Answer):
            return refused
        return self._pooled(account, pool, now)

    def _do(self, call: Call, handler: Callable[[Call], Answer]) -> Answer:
        limit = self.knobs["body_limit_bytes"]
        if limit is not None and len(call.request.body) > limit:
            return answers.too_large()
        if (drop := call.effects.of("drop")) is not None:
            _drop(call, drop)
        try:
            return handler(call)
        except BadJSONError:
            return answers.bad_request(self.knobs)

    def _account(self, request: Request, account_id: str | None) -> Account | Answer:
        mine = {each.id: each for each in self.world.reachable(request.token)}
        if account_id is None:
            several = len(mine) > 1 and self.knobs["plain_path_account"] == "refuse"
            return next(iter(mine.values())) if mine and not several else answers.forbidden()
        if account_id.isdecimal() and int(account_id) in mine:
            return mine[int(account_id)]
        return answers.forbidden() if self.knobs["foreign_account"] == 403 else answers.not_found()

    # Limits

    def _token_limiter(self, request: Request) -> Limiter:
        return self.world.token_limiters.setdefault(request.token or "", Limiter())

    def _pooled(self, account: Account, pool: Pool, now: float) -> Answer | None:
        if pool == "token":
            return None
        limiter = account.contacts_limiter if pool == "contacts" else account.suppressions_limiter
        return self._limited(limiter, pool, now)

    def _limited(self, limiter: Limiter, pool: Pool, now: float) -> Answer | None:
        window, fixed = self.knobs[f"{pool}_window_seconds"], self.knobs["limit_window"] == "fixed"
        full = limiter.used(now, window_seconds=window, fixed=fixed) >= self.knobs[f"{pool}_limit"]
        if not full or self.knobs["refused_requests_count"]:
            limiter.add(now)
        if not full:
            return None
        wait = limiter.wait_seconds(now, window_seconds=window, fixed=fixed)
        return answers.too_many_requests(self.knobs, now=now, wait_seconds=wait)

    def _dress(self, answer: Answer, request: Request, *, now: float, effects: Effects) -> Answer:
        window, fixed = self.knobs["token_window_seconds"], self.knobs["limit_window"] == "fixed"
        limiter = self.world.token_limiters.get(request.token or "")
        used = limiter.used(now, window_seconds=window, fixed=fixed) if limiter else 0
        limit, skew = int(self.knobs["token_limit"]), effects.of("skew") or {}
        return answers.dressed(
            answer, date=now + skew.get("seconds", 0), request_id=self.world.uuid(),
            runtime=self.world.random.uniform(0.01, 0.1), limit=limit, remaining=max(0, limit - used),
        )  # fmt: skip


class _Judged:
    """What was learned about a request while it was judged, for the journal."""

    def __init__(self) -> None:
        self.account_id: int | None = None
        self.pool: Pool | None = None
        self.notes: dict[str, Any] = {}


def _faulty(action: Mapping[str, Any], now: float) -> Answer:
    headers = dict(action.get("headers") or {})
    for name, value in headers.items():
        if str(value).startswith("http_date:"):
            headers[name] = formatdate(now + float(str(value).partition(":")[2]), usegmt=True)
    pairs = tuple((name, str(value)) for name, value in headers.items())
    if "json" in action:
        return answers.json_answer(action["status"], action["json"], *pairs)
    return Answer(
        action["status"], str(action.get("text", "")).encode(), pairs, bare=bool(action.get("bare"))
    )


def _after(answer: Answer, effects: Effects) -> Answer:
    if (alter := effects.of("alter")) is not None and answer.status < 400:
        answer = _altered(answer, alter)
    if (mangle := effects.of("mangle")) is not None and answer.status < 400:
        half = answer.body[: len(answer.body) // 2]
        answer = answer.but(body=half if mangle.get("cut") else b"<" + answer.body + b"}")
    if effects.of("reset_after") is not None:
        return answer.but(ending="reset")
    if (silence := effects.of("hang_after")) is not None:
        return answer.but(ending="hang", wait_seconds=silence["seconds"])
    if (drip := effects.of("drip")) is not None:
        return answer.but(ending="drip", wait_seconds=drip["seconds"])
    wait = effects.of("wait")
    return answer if wait is None else answer.but(wait_seconds=wait["seconds"])


def _altered(answer: Answer, alter: Mapping[str, Any]) -> Answer:
    content = msgspec.json.decode(answer.body)
    if not isinstance(content, dict):
        return answer
    kept = {key: value for key, value in content.items() if key not in alter.get("drop", ())}
    return answer.but(body=msgspec.json.encode(kept | dict(alter.get("set", {}))))


def _drop(call: Call, drop: Mapping[str, Any]) -> None:
    """Delete a field or a list under the feet of a request."""
    account, call.parsed = call.account, None
    if "field" in drop:
        found = (
            account.field_by_tag(drop["field"])
            if drop["field"]
            else max(account.fields.values(), key=lambda each: each.id, default=None)
        )
        if found is not None:
            del account.fields[found.id]
            account.contacts.forget_position(found.position)
    if "list" in drop:
        gone = (
            account.list_by_name(drop["list"])
            if drop["list"]
            else max(account.lists.values(), key=lambda each: each.id, default=None)
        )
        if gone is not None:
            del account.lists[gone.id]
            account.contacts.forget_list(gone.id)
