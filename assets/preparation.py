"""Before the first row leaves: the lists and fields that a sync names exist at Mailtrap, with the right types.

Asks Mailtrap each time, so that what changed between `check` and sending stops the run. Makes what is missing only
where the sync says `create: true`. Not here: what is wrong with them (`rules/preflight`).
"""

from collections.abc import Sequence

from assets.rules.payload import ListIds
from assets.rules.preflight import Preflight, preflight
from assets.rules.sync import Sync
from resources.errors import SettingsError
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.wire import ContactList


def inspected(client: MailtrapClient, sync: Sync) -> tuple[Preflight, tuple[ContactList, ...]]:
    """What Mailtrap has of what the sync names; changes nothing."""
    lists = client.lists()
    return preflight(sync, fields=client.fields(), lists=lists), lists


def prepare(client: MailtrapClient, sync: Sync, *, names: Sequence[str] = ()) -> ListIds:
    """The ids of the sync's lists, after making what is missing; `names` are those that its rows mention."""
    found, lists = inspected(client, sync)
    refuse(sync, found)
    for field in found.to_create_fields:
        client.create_field(field.name, field.data_type, merge_tag=field.merge_tag)
    by_name = {each.name: each.id for each in lists}
    for name in found.to_create_lists:
        by_name[name] = client.create_list(name).id
    return list_ids(sync, by_name, names=names)


def refuse(sync: Sync, found: Preflight) -> None:
    """Raise when Mailtrap's lists and fields do not fit the sync."""
    if found.problems:
        raise SettingsError(
            " ".join(str(each) for each in found.problems),
            f"Nothing was sent for {sync.name}.",
            "Mend the sync file or the account, then run again.",
        )


def list_ids(sync: Sync, by_name: dict[str, int], *, names: Sequence[str] = ()) -> ListIds:
    """Names and ids of a sync file as ids."""
    return ListIds(
        include=tuple(sorted({_id(each, by_name) for each in sync.lists.include})),
        exclude=tuple(sorted({_id(each, by_name) for each in sync.lists.exclude})),
        by_name=by_name if sync.lists.from_column else {name: by_name[name] for name in names},
    )


def _id(each: str | int, by_name: dict[str, int]) -> int:
    return each if isinstance(each, int) else by_name.get(each, 0)
