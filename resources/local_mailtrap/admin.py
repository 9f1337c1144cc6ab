"""The admin API under /__emulator__/: what a test in another process can do to the local Mailtrap and ask of it.

Belongs here: its calls, its token. Not here: what they do to the world (`engine.py`, `seeding.py`).
"""

import hmac
import re
from collections.abc import Callable
from typing import Any

import msgspec

from resources.local_mailtrap import answers
from resources.local_mailtrap.accounts import DEFAULT_ACCOUNT
from resources.local_mailtrap.engine import Engine
from resources.local_mailtrap.exchange import Answer, Request
from resources.local_mailtrap.seeding import triggers
from resources.local_mailtrap.validation import canonical

PREFIX = "/__emulator__"
Body = dict[str, Any]


def is_admin(path: str) -> bool:
    """Whether a path belongs to the admin API."""
    return path == PREFIX or path.startswith(PREFIX + "/")


def answer(mailtrap: Engine, request: Request) -> Answer:
    """Answer a request to the admin API; a mistake in it is answered 422 with the reason."""
    if not hmac.compare_digest((request.token or "").encode(), mailtrap.admin_token.encode()):
        return answers.json_answer(401, {"error": "give the admin token, as `Authorization: Bearer …`"})
    path = request.path.removeprefix(PREFIX).rstrip("/") or "/"
    for method, pattern, act, _ in CALLS:
        if method == request.method and (match := re.fullmatch(pattern, path)):
            return _act(mailtrap, request, act, match.groups())
    return answers.json_answer(
        404, {"error": "no such admin call", "calls": [f"{each[0]} {PREFIX}{each[1]}" for each in CALLS]}
    )


Act = Callable[[Engine, Body, tuple[str, ...]], Any]


def _act(mailtrap: Engine, request: Request, act: Act, args: tuple[str, ...]) -> Answer:
    try:
        body = msgspec.json.decode(request.body or b"{}")
        if not isinstance(body, dict):
            raise ValueError("the body is a JSON object")
        with mailtrap.lock:
            result = act(mailtrap, {**request.parameters, **body}, args)
    except (ValueError, KeyError, TypeError, re.error) as error:
        return answers.json_answer(422, {"error": f"{type(error).__name__}: {error}"})
    mailtrap.on_change()
    return answers.json_answer(200, result)


def _overview(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    calls = {f"{method} {PREFIX}{pattern}": says for method, pattern, _act, says in CALLS}
    return {"api": mailtrap.api_origin, "storage": mailtrap.storage_origin, "calls": calls}


def _reset(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    mailtrap.reset(body.get("seed"))
    return {"seed": mailtrap.seed_number}


def _seed(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    return mailtrap.seed(body)


def _knobs(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    return mailtrap.knobs.as_dict()


def _turn(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    mailtrap.knobs.turn(body)
    return mailtrap.knobs.as_dict()


def _faults(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    return mailtrap.faults.all()


def _add_fault(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    return mailtrap.faults.add(body).as_dict()


def _clear_faults(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    mailtrap.faults.clear()
    return []


def _remove_fault(mailtrap: Engine, _: Body, args: tuple[str, ...]) -> Any:
    if not mailtrap.faults.remove(int(args[0])):
        raise ValueError("no such fault rule")
    return mailtrap.faults.all()


def _clock(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    return {"now": mailtrap.clock.time(), "virtual": mailtrap.clock.is_virtual}


def _advance(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    return {"now": mailtrap.advance(float(body["seconds"]))}


def _unsubscribe(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    mailtrap.unsubscribe(*body["emails"], account_id=body.get("account", DEFAULT_ACCOUNT))
    return {"unsubscribed": len(body["emails"])}


def _suppress(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    kind, stream = body.get("type", "unsubscription"), body.get("sending_stream", "any")
    mailtrap.suppress(
        *body["emails"], kind=kind, stream=stream, account_id=body.get("account", DEFAULT_ACCOUNT)
    )
    return {"suppressed": len(body["emails"])}


def _requests(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    entries = mailtrap.journal.entries[int(body.get("since", 0)) :]
    return [each.as_dict() for each in entries]


def _clear_requests(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    mailtrap.journal.clear()
    return []


def _peaks(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    return mailtrap.journal.peaks()


def _seen(mailtrap: Engine, body: Body, _: tuple[str, ...]) -> Any:
    """Which requests named these addresses; the answer repeats none of them."""
    emails = [canonical(each) for each in body.get("emails") or [body["email"]]]
    found = [(mailtrap.journal.naming(each), mailtrap.journal.times_sent(each)) for each in emails]
    return [{"requests": [entry.number for entry in entries], "imported": times} for entries, times in found]


def _state(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    return mailtrap.dump()


def _counts(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    return {
        str(each.id): {"contacts": len(each.contacts), "triggers": triggers(each)}
        for each in mailtrap.world.accounts.values()
    }


def _leaks(mailtrap: Engine, _: Body, __: tuple[str, ...]) -> Any:
    return mailtrap.world.leaks


CALLS: tuple[tuple[str, str, Act, str], ...] = (
    ("GET", "/", _overview, "where everything is, and this table"),
    (
        "POST",
        "/reset",
        _reset,
        "a new world: knobs at their defaults, no faults, no journal; `seed` for other ids and dice",
    ),
    (
        "POST",
        "/seed",
        _seed,
        "put accounts, tokens, lists, fields, contacts, suppressions, limits into the world",
    ),
    ("GET", "/knobs", _knobs, "where every knob stands"),
    ("PATCH", "/knobs", _turn, "turn knobs: {name: value}"),
    ("GET", "/faults", _faults, "the rules, and how often each matched and fired"),
    ("POST", "/faults", _add_fault, "add a rule"),
    ("DELETE", "/faults", _clear_faults, "remove all rules"),
    ("DELETE", r"/faults/(\d+)", _remove_fault, "remove one rule"),
    ("GET", "/clock", _clock, "the time"),
    ("POST", "/clock/advance", _advance, "let `seconds` pass; jobs that are then due are done"),
    ("POST", "/people/unsubscribe", _unsubscribe, "`emails` unsubscribe on their own"),
    ("POST", "/people/suppress", _suppress, "`emails` are suppressed, with `type` and `sending_stream`"),
    (
        "GET",
        "/requests",
        _requests,
        "the request journal, from number `since` on; tokens and addresses are masked",
    ),
    ("DELETE", "/requests", _clear_requests, "forget the requests so far"),
    ("GET", "/peaks", _peaks, "the most requests in any 60 s and 10 s, arrived and admitted, by limit"),
    ("POST", "/seen", _seen, "which requests named `emails`, and how often each was imported"),
    ("GET", "/state", _state, "everything that is stored"),
    ("GET", "/counts", _counts, "contacts and automation triggers by account, without the contacts"),
    ("GET", "/leaks", _leaks, "requests that brought a token to the storage host"),
)
