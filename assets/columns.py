"""What each column of our tables means, and which source column it was made from: for the UI's schemas and lineage.

Belongs here: words about columns. Not here: their types (`rules/schemas`, `pending`), nor any value that is in them.
"""

from collections.abc import Mapping

import dagster as dg

from assets.rules.sync import Sync

REJECTIONS: Mapping[str, str] = {
    "source_key": "Names the row in the source: the value of source.key, or its position.",
    "address_hash": "Keyed hash of the address, or of what stands in its place; null where there is none.",
    "column": "The source column that broke the rule.",
    "rule": "The key of the sync file that asks for it.",
    "reason": "The reason code; docs/screening.md has them all.",
    "remedy": "What to do about it, in the source or in the sync file.",
    "also": "What else is wrong with the row, as column:reason.",
    "mailtrap_says": "Mailtrap's own words, where it was Mailtrap that refused.",
    "first_seen": "When the row was first refused.",
    "last_seen": "When it was last refused.",
    "times_seen": "How many runs have refused it.",
    "row_fingerprint": "Keyed hash of the row's mapped values: the same row is recognised, its values are not shown.",
}

PENDING: Mapping[str, str] = {
    "address_hash": "Keyed hash of the canonical address; joins the ledger.",
    "email": "The canonical address.",
    "fingerprint": "Hash of the values that Mailtrap would hold; null: it shall hold this person no longer.",
    "as_of": "The row's updated_at.",
    "partition": "The partition that the row came from.",
    "change": "new, changed, or gone.",
    "source_key": "Names the row in the source.",
    "list_ids": "The lists that the contact shall be in.",
    "consent_at": "When consent was given.",
    "consent_evidence": "Where consent was given, kept beside each payload.",
    "json": "The contact as it is sent.",
    "json_bytes": "How long it is: payloads are cut by it.",
}


def of_source(sync: Sync) -> dict[str, str]:
    """What the sync takes each source column for."""
    source, consent = sync.source, sync.consent
    roles = [
        (source.key, "Names the row in rejections."),
        (source.updated_at, "When the row last changed: of two rows of a person, the newest counts."),
        (sync.email, "The address."),
        (consent.granted, "Consent: whether, or when, it was given."),
        (consent.withdrawn, "Consent: whether, or when, it was taken back."),
        (consent.granted_at, "Consent: when it was given."),
        (consent.evidence, "Consent: where it was given."),
        *((rule.column, f"Becomes the field {rule.merge_tag}.") for rule in sync.fields),
        (sync.lists.from_column, "The lists that the contact shall be in."),
    ]
    found: dict[str, str] = {}
    for column, role in roles:
        if column:
            found[column] = f"{found[column]} {role}" if column in found else role
    return found


def of_accepted(sync: Sync) -> dict[str, str]:
    """What an accepted contact's columns hold."""
    fields = {
        rule.merge_tag: f"Field {rule.merge_tag} ({rule.type}), from {rule.column}." for rule in sync.fields
    }
    return {
        "email": f"The canonical address, from {sync.email}.",
        **fields,
        "_address_hash": "Keyed hash of the canonical address; joins the ledger.",
        "_lists": "Lists that the row names.",
        "_as_of": "The row's updated_at.",
        "_source_key": "Names the row in the source.",
        "_consent_at": "When consent was given.",
        "_consent_evidence": "Where consent was given.",
        "_fingerprint": "Hash of the fields and lists that Mailtrap would hold.",
    }


def lineage_of_accepted(sync: Sync) -> dg.TableColumnLineage:
    """Which source column each column of an accepted contact was made from."""
    source, consent = dg.AssetKey([sync.name, "source_rows"]), sync.consent
    made_from = {
        "email": (sync.email,),
        "_address_hash": (sync.email,),
        **{rule.merge_tag: (rule.column,) for rule in sync.fields},
        "_as_of": (sync.source.updated_at,),
        "_source_key": (sync.source.key,),
        "_consent_at": (consent.granted_at or consent.granted,),
        "_consent_evidence": (consent.evidence,),
        "_lists": (sync.lists.from_column,),
    }
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(source, each) for each in columns if each]
            for column, columns in made_from.items()
            if any(columns)
        }
    )
