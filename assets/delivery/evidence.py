"""Consent evidence: for each person that Mailtrap was told about, what they agreed to, when, and where that is written.

Kept in the lake, one file per proven payload. It is also how the address of somebody we told is found again when they
leave the source. Not here: how consent is judged (`rules/consent`).
"""

from datetime import UTC, datetime

import pyarrow as pa

from resources.journal import Delivery, Payload
from resources.lake import Lake

SCHEMA = pa.schema(
    [
        ("address_hash", pa.uuid()),
        ("email", pa.string()),
        ("consent_at", pa.timestamp("us", tz="UTC")),
        ("consent_evidence", pa.string()),
        ("source_key", pa.string()),
        ("partition", pa.string()),
        ("change", pa.string()),
        ("import_id", pa.int64()),
        ("told_at", pa.timestamp("us", tz="UTC")),
    ]
)
REPEATED = ("consent_evidence", "partition", "change", "import_id", "told_at")
PENDING_COLUMNS = [
    *("address_hash", "email", "fingerprint", "as_of", "partition", "change", "source_key", "list_ids"),
    *("consent_at", "consent_evidence"),
]


def folder(sync: str) -> str:
    """Where the evidence of a sync lies."""
    return f"{sync}/evidence"


def keep(lake: Lake, delivery: Delivery, payload: Payload, *, rows: pa.Table) -> None:
    """Write the evidence of a payload; the same payload always writes the same file."""
    told_at = datetime.fromtimestamp(payload.sent_at or 0.0, UTC)
    table = (
        rows.append_column("import_id", pa.repeat(pa.scalar(payload.import_id, pa.int64()), rows.num_rows))
        .append_column("told_at", pa.repeat(pa.scalar(told_at, pa.timestamp("us", tz="UTC")), rows.num_rows))
        .select(SCHEMA.names)
        .cast(SCHEMA)
    )
    about = {key: str(delivery.facts[key]) for key in ("sync_version", "source") if key in delivery.facts}
    path = f"{folder(delivery.sync)}/{payload.id}.parquet"
    with lake.writer(
        path,
        SCHEMA,
        metadata={**about, "sync": delivery.sync, "run_id": delivery.run_id},
        dictionary=REPEATED,
        small=True,
    ) as sink:
        sink.write(table)
