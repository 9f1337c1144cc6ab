"""Before the first row leaves: the lists and fields that a sync names exist at Mailtrap, with the right types.

Asks Mailtrap each time, so that what changed between `check` and sending stops the run. Makes what is missing only
where the sync says `create: true`, one run after the other. Not here: what is wrong with them (`rules/preflight`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from assets.rules.account_limits import MAX_LISTS
from assets.rules.payload import ListIds
from assets.rules.preflight import Preflight, preflight
from assets.rules.sync import Sync
from resources.errors import SettingsError
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.wire import ContactList
from resources.store.store import Store

WAIT_SECONDS = 600.0
"""For others who make lists and fields; some of them may wait for Mailtrap's limits."""


def inspected(client: MailtrapClient, sync: Sync) -> tuple[Preflight, tuple[ContactList, ...]]:
    """What Mailtrap has of what the sync names; changes nothing."""
    lists = client.lists()
    return preflight(sync, fields=client.fields(), lists=lists), lists


def knowing_lists(client: MailtrapClient, sync: Sync) -> Sync:
    """The sync, with the lists that its rows may name; Mailtrap is asked only when rows name lists at all."""
    if not sync.lists.from_column:
        return sync
    lists = client.lists()
    excluded = {str(each) for each in sync.lists.exclude}
    ids = by_name_of(lists)
    known = {name for name, id_ in ids.items() if not excluded & {name, str(id_)}}
    named = {str(each) for each in sync.lists.include}
    return replace(sync, lists=replace(sync.lists, known=frozenset(known | named) - excluded))


def by_name_of(lists: Iterable[ContactList]) -> dict[str, int]:
    """What a row may call a list: its id, or its name where only one list has it."""
    names = Counter(each.name for each in lists)
    return {str(each.id): each.id for each in lists} | {
        each.name: each.id for each in lists if names[each.name] == 1
    }


def prepare(client: MailtrapClient, store: Store, sync: Sync, *, names: Sequence[str] = ()) -> ListIds:
    """The ids of the sync's lists, after making what is missing; `names` are those that its rows mention."""
    found, lists = inspected(client, sync)
    refuse(sync, found)
    if not found.to_create_fields and not new_lists(sync, found, lists, names=names):
        return list_ids(sync, by_name_of(lists))
    with store.journal.lease(f"making:{client.account_id}", wait_seconds=WAIT_SECONDS):
        return _made(client, sync, names=names)


def _made(client: MailtrapClient, sync: Sync, *, names: Sequence[str]) -> ListIds:
    """Make what is missing now: a run beside this one may have made it a moment ago, and nobody wants two of it."""
    found, lists = inspected(client, sync)
    refuse(sync, found)
    new = new_lists(sync, found, lists, names=names)
    for field in found.to_create_fields:
        client.create_field(field.name, field.data_type, merge_tag=field.merge_tag)
    by_name = by_name_of(lists) | {name: client.create_list(name).id for name in new}
    return list_ids(sync, by_name)


def new_lists(
    sync: Sync, found: Preflight, lists: Sequence[ContactList], *, names: Sequence[str]
) -> tuple[str, ...]:
    """The lists to be made, for the sync file and for its rows; raises when they must not be, or cannot."""
    by_rows = sorted(set(names) - set(by_name_of(lists)) - set(found.to_create_lists))
    room = MAX_LISTS - len(lists) - len(found.to_create_lists)
    if by_rows and (not sync.create or len(by_rows) > room):
        raise SettingsError(
            f"The rows of {sync.name} name {len(by_rows)} lists that Mailtrap does not have"
            + (f", and there is room for {max(room, 0)}." if sync.create else " any more."),
            "Nothing was sent.",
            f"Look at the column {sync.lists.from_column}, or make the lists at Mailtrap; then run again.",
        )
    return (*found.to_create_lists, *by_rows)


def refuse(sync: Sync, found: Preflight) -> None:
    """Raise when Mailtrap's lists and fields do not fit the sync."""
    if found.problems:
        raise SettingsError(
            " ".join(str(each) for each in found.problems),
            f"Nothing was sent for {sync.name}.",
            "Mend the sync file or the account, then run again.",
        )


def still_fits(client: MailtrapClient, sync: Sync, *, lists: Collection[int]) -> None:
    """Raise when Mailtrap has lost fields or lists of the sync since its contacts were written down for these lists."""
    found, theirs = inspected(client, sync)
    refuse(sync, found)
    lost = len(set(lists) - {each.id for each in theirs})
    if lost or found.to_create_lists or found.to_create_fields:
        raise SettingsError(
            f"Mailtrap has no longer all lists and fields that {sync.name} had when its contacts were compared: "
            f"{max(lost, len(found.to_create_lists))} lists and {len(found.to_create_fields)} fields are missing.",
            "Mailtrap refused an import for it; no row is blamed, and nothing more was sent.",
            "Run again: what the sync file may create is made anew, and the contacts are offered again.",
        )


def list_ids(sync: Sync, by_name: Mapping[str, int]) -> ListIds:
    """Names and ids of a sync file as ids."""
    return ListIds(
        include=tuple(sorted({_id(each, by_name) for each in sync.lists.include})),
        exclude=tuple(sorted({_id(each, by_name) for each in sync.lists.exclude})),
        by_name=by_name if sync.lists.from_column else None,
        known=tuple(sorted(set(by_name.values()))),
    )


def _id(each: str | int, by_name: Mapping[str, int]) -> int:
    return each if isinstance(each, int) else by_name.get(each, 0)
