"""Putting things into the world and reading it back: what tests start from, and what they compare at the end.

Belongs here: the shapes of a seed and of the dumped state. Not here: who may call this (`admin.py`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from resources.local_mailtrap.accounts import DEFAULT_ACCOUNT, FIELD_TYPES, Account, World
from resources.local_mailtrap.knobs import Knobs
from resources.local_mailtrap.validation import canonical, field_changes

SEEDS = {
    "accounts": "[{id, name, access_levels, contact_limit}]: accounts that there are besides, or changes to those there are",
    "tokens": "{token: [account ids]}",
    "account": "the id of the account that what follows belongs to; default: the first",
    "contact_limit": "the plan's cap on contacts; null for none",
    "lists": "[name]",
    "fields": "[{name, data_type, merge_tag, usage}]; `usage` is why the field cannot be deleted",
    "contacts": "[{email, fields, lists, status}]; `lists` by name or id, made when missing; fields with unknown tags are refused",
    "synthetic_contacts": "how many contacts to make up",
    "suppressions": "[{email, type, sending_stream, domain_name}]",
}


def sow(world: World, content: Mapping[str, Any], *, now: float, knobs: Knobs) -> dict[str, int]:
    """Put a seed into the world and count what was put."""
    if unknown := set(content) - set(SEEDS):
        raise ValueError(f"a seed has no {', '.join(sorted(unknown))}; it has {', '.join(SEEDS)}")
    for each in content.get("accounts", ()):
        _sow_account(world, each)
    world.tokens |= {token: tuple(ids) for token, ids in content.get("tokens", {}).items()}
    account = world.accounts[content.get("account", DEFAULT_ACCOUNT)]
    if "contact_limit" in content:
        account.contact_limit = content["contact_limit"]
    for name in content.get("lists", ()):
        _list_id(world, account, name)
    for each in content.get("fields", ()):
        _sow_field(world, account, each)
    now_ms = round(now * 1000)
    for each in content.get("contacts", ()):
        _sow_contact(world, account, each, now_ms=now_ms, knobs=knobs)
    _sow_synthetic(account, content.get("synthetic_contacts", 0), now_ms)
    for each in content.get("suppressions", ()):
        world.add_suppression(
            account, each["email"], now=each.get("created_at", now), kind=each.get("type", "manual import"),
            stream=each.get("sending_stream", "any"), domain=each.get("domain_name", ""),
        )  # fmt: skip
    account.contacts.triggers = type(account.contacts.triggers)()
    counted = {
        name: content[name]
        for name in ("accounts", "lists", "fields", "contacts", "suppressions")
        if name in content
    }
    return {name: len(each) for name, each in counted.items()}


def _sow_account(world: World, wanted: Mapping[str, Any]) -> None:
    account = world.accounts.get(wanted["id"]) or world.add_account(
        wanted["id"], wanted.get("name", "Account")
    )
    account.name = wanted.get("name", account.name)
    account.access_levels = tuple(wanted.get("access_levels", account.access_levels))
    account.contact_limit = wanted.get("contact_limit", account.contact_limit)


def _sow_field(world: World, account: Account, wanted: Mapping[str, Any]) -> None:
    if wanted["data_type"] not in FIELD_TYPES:
        raise ValueError(f"a field's data_type is one of {', '.join(FIELD_TYPES)}")
    found = account.field_by_tag(wanted["merge_tag"])
    if found is None:
        found = world.add_field(
            account,
            wanted.get("name", wanted["merge_tag"]),
            data_type=wanted["data_type"],
            merge_tag=wanted["merge_tag"],
        )
    found.usage = tuple(wanted.get("usage", ()))


def _list_id(world: World, account: Account, wanted: str | int) -> int:
    if isinstance(wanted, int):
        return account.lists[wanted].id
    return (account.list_by_name(wanted) or world.add_list(account, wanted)).id


def _sow_contact(
    world: World, account: Account, wanted: Mapping[str, Any], *, now_ms: int, knobs: Knobs
) -> None:
    email = canonical(wanted["email"])
    changes, errors = field_changes(account, wanted.get("fields"), knobs)
    if errors:
        raise ValueError(f"a seeded contact has fields that the account does not take: {', '.join(errors)}")
    lists = [_list_id(world, account, each) for each in wanted.get("lists", ())]
    row = account.contacts.row(email)
    if row is None:
        row = account.contacts.create(email, [], lists=(), now_ms=now_ms)
    account.contacts.change_values(row, changes)
    account.contacts.change_lists(row, included=lists)
    if wanted.get("status") == "unsubscribed":
        account.unsubscribed.add(email)


def _sow_synthetic(account: Account, count: int, now_ms: int) -> None:
    for number in range(count):
        account.contacts.create(
            f"person{number}@example.com", [f"First{number}", f"Last{number % 977}"], lists=(), now_ms=now_ms
        )


def dump(world: World, *, now: float, knobs: Knobs) -> dict[str, Any]:
    """Everything that is stored, as JSON values."""
    return {
        "now": now,
        "knobs": knobs.as_dict(),
        "accounts": [_dump_account(account, now, knobs) for account in world.accounts.values()],
        "tokens_at_storage": world.leaks,
    }


def _dump_account(account: Account, now: float, knobs: Knobs) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "contact_limit": account.contact_limit,
        "lists": [each.as_json() for each in account.lists.values()],
        "fields": [each.as_json() for each in account.fields.values()],
        "contacts": [account.contact(row, knobs) for row in account.contacts],
        "unsubscribed": sorted(account.unsubscribed),
        "suppressions": _dump_suppressions(account),
        "events": account.events,
        "imports": [
            {"id": each.id, "status": each.status(now), "rows": each.details["rows"], **each.counts}
            for each in account.imports.values()
        ],
        "exports": [
            {"id": each.id, "status": each.status(now), "rows": each.details.get("rows")}
            for each in account.exports.values()
        ],
        "triggers": triggers(account),
    }


def _dump_suppressions(account: Account) -> Iterable[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "email": each.email,
            "type": each.type,
            "sending_stream": each.sending_stream,
            "created_at": each.created_at,
        }
        for each in account.suppressions.values()
    ]


def triggers(account: Account) -> dict[str, Any]:
    """How often automations would have been set off since the last seeding."""
    counted = account.contacts.triggers
    by_position = {each.position: each.merge_tag for each in account.fields.values()}
    return {
        "contact_created": counted.contact_created,
        "field_changed": counted.field_changed,
        "added_to_list": counted.added_to_list,
        "removed_from_list": counted.removed_from_list,
        "by_field": {by_position.get(at, "deleted"): count for at, count in counted.by_position.items()},
        "by_list_added": {str(each): count for each, count in counted.by_list_added.items()},
        "by_list_removed": {str(each): count for each, count in counted.by_list_removed.items()},
    }
