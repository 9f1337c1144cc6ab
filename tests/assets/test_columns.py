"""Every column of our tables is explained, and none that is not there."""

from assets import columns
from assets.pending import PENDING_SCHEMA
from assets.rules.rejection import REJECTIONS
from assets.rules.screening import schemas
from assets.rules.sync_file import parse_sync

SYNC = parse_sync(
    """
sync: newsletter
source: {table: people, key: id, updated_at: changed}
email: email
consent: {granted: consent, granted_at: consented_at, evidence: form}
fields: {first_name: given, full_name: given}
lists: {from_column: list_names}
""",
    path="newsletter.yaml",
)


def test_every_column_of_a_table_is_explained() -> None:
    """A column that is added without a word, or a word without its column, fails here."""
    accepted = schemas(SYNC).accepted
    assert set(columns.of_accepted(SYNC)) == set(accepted.names)
    assert set(columns.REJECTIONS) == set(REJECTIONS.names)
    assert set(columns.PENDING) == set(PENDING_SCHEMA.names)
    assert set(columns.of_source(SYNC)) == set(SYNC.columns)


def test_a_column_with_two_uses_says_both() -> None:
    """One source column may fill two fields."""
    assert columns.of_source(SYNC)["given"] == "Becomes the field first_name. Becomes the field full_name."


def test_lineage_leads_from_each_contact_column_to_its_source_column() -> None:
    """The UI can follow a field back to the column that it was made from."""
    found = columns.lineage_of_accepted(SYNC).deps_by_column
    assert {name: [each.column_name for each in deps] for name, deps in found.items()} == {
        "email": ["email"],
        "_address_hash": ["email"],
        "first_name": ["given"],
        "full_name": ["given"],
        "_as_of": ["changed"],
        "_source_key": ["id"],
        "_consent_at": ["consented_at"],
        "_consent_evidence": ["form"],
        "_lists": ["list_names"],
    }
