"""One batch of rows, judged row by row: consent, then address, then fields.

Belongs here: what each row is by itself, all columns at once. Not here: what other rows of the same person
change about it (`duplicates`), and where judged rows go (`screening`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.errors
import pyarrow as pa
import pyarrow.compute as pc
from pandera.pandas import DataFrameSchema

from assets.rules import cells
from assets.rules.address import as_uuids, canonical_addresses, hash_addresses, why_no_address
from assets.rules.consent import NO_NAMES, Answers, read_consent
from assets.rules.fields import ARROW_TYPES, coerce
from assets.rules.fingerprint import fingerprints
from assets.rules.lists import read_lists, rows_with_other_lists
from assets.rules.moments import Moments, microseconds, none_known, read_moments
from assets.rules.rejection import MOMENT, NAMES, REJECTIONS, REMEDIES, RULES, Reason
from assets.rules.schemas import EMAIL
from assets.rules.sync import Sync

_A_DAY = 86_400_000_000
_REASONS = {reason.name: reason for reason in Reason}

NO_CONSENT = pa.schema(
    [pa.field("address_hash", pa.uuid()), pa.field("reason", pa.string()), pa.field("as_of", MOMENT)]
)

Columns = Mapping[str, cells.Array]


class ScreeningError(ValueError):
    """The table as a whole cannot be screened: what happened, what it means, what to do."""

    def __init__(
        self, happened: str, meaning: str, remedy: str, *, outcome: Literal["config", "unknown"] = "unknown"
    ) -> None:
        self.happened, self.meaning, self.remedy, self.outcome = happened, meaning, remedy, outcome
        super().__init__(f"{happened} {meaning} {remedy}")


def accepted_schema(sync: Sync) -> pa.Schema:
    """The columns of accepted contacts: the hash, the address, the fields by merge tag, and where they come from."""
    fields = [pa.field(rule.merge_tag, ARROW_TYPES[rule.type]) for rule in sync.fields]
    lists = [pa.field("_lists", pa.list_(pa.string()))] if sync.lists.from_column else []
    return pa.schema(
        [
            *(pa.field("_address_hash", pa.uuid()), pa.field(EMAIL, pa.string()), *fields, *lists),
            *(pa.field("_as_of", MOMENT), pa.field("_source_key", pa.string())),
            *(pa.field("_consent_at", MOMENT), pa.field("_consent_evidence", pa.string())),
            pa.field("_fingerprint", pa.uint64()),
        ]
    )


@dataclass(slots=True)
class Findings:
    """Everything that is wrong with the rows of a batch, in the order of the sync."""

    columns: list[str] = field(default_factory=list)
    _rows: list[cells.Rows] = field(default_factory=list)
    _codes: list[cells.Codes] = field(default_factory=list)
    _places: list[int] = field(default_factory=list)

    def add(self, column: str, rows: cells.Rows, codes: cells.Codes | Reason) -> None:
        """These rows fail in this column, for these reasons."""
        if not len(rows):
            return
        self.columns.append(column)
        self._rows.append(rows)
        self._codes.append(
            np.full(len(rows), codes.number, np.uint8)
            if isinstance(codes, Reason)
            else codes.astype(np.uint8)
        )
        self._places.append(len(rows))

    def add_codes(self, column: str, codes: cells.Codes | None) -> None:
        """Rows with a code other than 0 fail in this column."""
        if codes is not None:
            rows = np.flatnonzero(codes)
            self.add(column, rows, codes[rows])

    def rows(self) -> cells.Rows:
        """The rows that fail, each once, ascending."""
        return np.unique(np.concatenate(self._rows)) if self._rows else np.zeros(0, np.int64)

    def of(self, wanted: cells.Rows) -> pa.Table:
        """Column, rule, reason, remedy and what else failed, for these failing rows."""
        rows = np.concatenate([*self._rows, np.zeros(0, np.int64)])
        order = np.argsort(rows, kind="stable")
        order = order[np.isin(rows[order], wanted)]
        rows = rows[order]
        codes = np.concatenate([*self._codes, np.zeros(0, np.uint8)])[order].astype(np.int64) - 1
        columns = pa.array(self.columns, pa.string()).take(
            pa.array(np.repeat(np.arange(len(self._places)), self._places)[order])
        )
        first = np.concatenate([np.ones(min(1, len(rows)), np.bool_), rows[1:] != rows[:-1]])
        head, tail = pa.array(np.flatnonzero(first)), pa.array(np.flatnonzero(~first))
        reasons = pa.array(codes)
        words = pc.binary_join_element_wise(columns.take(tail), NAMES.take(reasons.take(tail)), ":")
        others = np.add.reduceat(~first, np.flatnonzero(first)) if len(rows) else np.zeros(0, np.int64)
        ends = np.concatenate([[0], np.cumsum(others)]).astype(np.int32)
        primary = reasons.take(head)
        return pa.table(
            {
                "column": columns.take(head),
                "rule": RULES.take(primary),
                "reason": NAMES.take(primary),
                "remedy": REMEDIES.take(primary),
                "also": pa.ListArray.from_arrays(pa.array(ends), words),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A batch after judgement; `hashes` say whom each row is about."""

    sync: Sync
    schema: DataFrameSchema
    columns: Columns
    hashes: cells.Array
    noes: cells.Codes
    consent_at: Moments
    as_of: Moments
    values: dict[str, cells.Array]
    findings: Findings
    first_position: int
    key: bytes

    def no_consent(self, rows: cells.Rows) -> pa.Table:
        """What is kept of rows without consent."""
        reasons = NO_NAMES.take(pa.array(self.noes[rows].astype(np.int64) - 1))
        return pa.table([taken(self.hashes, rows), reasons, _moments(self.as_of, rows)], schema=NO_CONSENT)

    def people(self, rows: cells.Rows) -> cells.Array:
        """Whom these rows are about."""
        return taken(self.hashes, rows)

    def said_at(self, rows: cells.Rows) -> cells.Array:
        """When these rows were last changed, as far as the source says."""
        return _moments(self.as_of, rows)

    def rejections(self, rows: cells.Rows) -> pa.Table:
        """Refused rows with their reasons; when they were seen is not known here."""
        table = self.findings.of(rows)
        held = {name: table[name] for name in table.column_names}
        held["source_key"] = self.source_keys(rows)
        held["address_hash"] = self.people(rows)
        held["row_fingerprint"] = self.row_fingerprints(rows)
        held["mailtrap_says"] = pa.nulls(len(rows), pa.string())
        return pa.table({name: held[name] for name in REJECTIONS.names if name in held})

    def contacts(self, rows: cells.Rows) -> pa.Table:
        """Rows that passed, as accepted contacts, after the schema has had the last word."""
        sync, schema = self.sync, accepted_schema(self.sync)
        where = pa.array(rows)
        checked = pa.table({name: self.values[name].take(where) for name in (EMAIL, *_tags(sync))})
        _last_word(checked, self.schema)
        held = {name: checked[name] for name in checked.column_names}
        held["_address_hash"] = taken(self.hashes, rows)
        held["_as_of"], held["_consent_at"] = _moments(self.as_of, rows), _moments(self.consent_at, rows)
        held["_source_key"] = self.source_keys(rows)
        evidence = sync.consent.evidence
        held["_consent_evidence"] = (
            cells.as_text(self.columns[evidence].take(where))
            if evidence
            else pa.nulls(len(rows), pa.string())
        )
        if sync.lists.from_column:
            held["_lists"] = self.values["_lists"].take(where)
        held["_fingerprint"] = fingerprints(pa.table(held), sync=sync, key=self.key)
        return pa.table([held[name] for name in schema.names], schema=schema)

    def source_keys(self, rows: cells.Rows) -> cells.Array:
        """What names each row to its owner: the key column as text, or the row's position."""
        positions = pa.array(rows + self.first_position).cast(pa.string())
        if self.sync.source.key is None:
            return positions
        keys = cells.as_text(self.columns[self.sync.source.key].take(pa.array(rows)))
        return (
            pc.coalesce(keys, pc.binary_join_element_wise("row", positions, " ")) if keys.null_count else keys
        )

    def row_fingerprints(self, rows: cells.Rows) -> cells.Array:
        """A keyed hash of all that the sync reads of a row, but for its key and the time of its last change."""
        apart = {self.sync.source.key, self.sync.source.updated_at} - {self.sync.email}
        where = pa.array(rows)
        parts = [_spelled(self.columns[name].take(where)) for name in self.sync.columns if name not in apart]
        return hash_addresses(pc.binary_join_element_wise(*parts, b"\x1f"), self.key)


def judge(
    columns: Columns,
    sync: Sync,
    *,
    schema: DataFrameSchema,
    hashes: cells.Array,
    now: datetime,
    key: bytes,
    first_position: int,
) -> Judged:
    """Every row of a batch by itself; nothing is raised for what a row holds."""
    size = len(hashes)
    findings = Findings()
    values = {EMAIL: _email(columns[sync.email], sync, schema, findings)}
    as_of = _as_of(columns, sync, findings, now=now, size=size)
    _fields(columns, sync, schema, values, findings)
    if sync.lists.from_column:
        read = read_lists(columns[sync.lists.from_column])
        values["_lists"] = read.values
        findings.add(sync.lists.from_column, np.flatnonzero(read.unreadable), Reason.lists_invalid)
        unknown = rows_with_other_lists(read.values, known=sync.lists.known, create=sync.create)
        findings.add(sync.lists.from_column, unknown, Reason.lists_unknown)
    answers: Answers = read_consent(columns, sync.consent, now=now, size=size)
    return Judged(
        sync=sync, schema=schema, columns=columns, hashes=hashes, noes=answers.noes, consent_at=answers.at, as_of=as_of,
        values=values, findings=findings, first_position=first_position, key=key,
    )  # fmt: skip


def _email(column: cells.Array, sync: Sync, schema: DataFrameSchema, findings: Findings) -> cells.Array:
    """Canonical addresses; the schema's own check refuses what is none, and the strict rule says why."""
    canonical, problems = canonical_addresses(column)
    findings.add_codes(sync.email, problems)
    for _, bad in _failing(schema, EMAIL, canonical):
        codes = [reason.number for reason in why_no_address(canonical.take(pa.array(bad)).to_pylist())]
        findings.add(sync.email, bad, np.array(codes, np.uint8))
    return canonical


def _as_of(columns: Columns, sync: Sync, findings: Findings, *, now: datetime, size: int) -> Moments:
    name = sync.source.updated_at
    if name is None:
        return none_known(size)
    as_of = read_moments(columns[name])
    findings.add(name, np.flatnonzero(as_of.unreadable), Reason.updated_at_invalid)
    ahead = as_of.known & (as_of.microseconds > microseconds(now) + _A_DAY)
    findings.add(name, np.flatnonzero(ahead), Reason.updated_at_in_future)
    return as_of


def _fields(
    columns: Columns, sync: Sync, schema: DataFrameSchema, values: dict[str, cells.Array], findings: Findings
) -> None:
    for rule in sync.fields:
        found = coerce(columns[rule.column], rule)
        values[rule.merge_tag] = found.values
        findings.add_codes(rule.column, found.problems)
        if rule.required and found.values.null_count:
            missing = (
                cells.nulls(found.values)
                if found.problems is None
                else cells.nulls(found.values) & (found.problems == 0)
            )
            findings.add(rule.column, np.flatnonzero(missing), Reason.value_missing)
        for reason, bad in _failing(schema, rule.merge_tag, found.values):
            findings.add(rule.column, bad, reason)


def _failing(schema: DataFrameSchema, name: str, column: cells.Array) -> Iterator[tuple[Reason, cells.Rows]]:
    """The rows that fail each check of a column of the schema, by the reason that names the check."""
    checks: Iterable[Any] = schema.columns[name].checks
    series = pd.Series(column, dtype=pd.ArrowDtype(column.type))
    for check in checks:
        passed = check(series).check_output
        yield _REASONS[check.name], np.flatnonzero(~passed.to_numpy())


def _last_word(contacts: pa.Table, schema: DataFrameSchema) -> None:
    """The whole schema over what is about to be accepted: a gate against a mistake in this code."""
    if not contacts.num_rows:
        return
    frame = contacts.to_pandas(types_mapper=pd.ArrowDtype)
    failed = 0
    try:
        schema.validate(frame, lazy=True, inplace=True)
    except pandera.errors.SchemaErrors as errors:
        failed = len(errors.schema_errors)
    except pandera.errors.SchemaError:
        failed = 1
    if failed:  # Raised out here: pandera's error holds people's values, and an error keeps its context.
        raise ScreeningError(
            f"The contact schema refused a batch that had passed its {failed} failing checks before.",
            "Nothing of the batch was accepted; this is a mistake in the screening rules, not in the data.",
            "Report it, with the sync file and the versions of pandas, pandera and pyarrow.",
        )


def _tags(sync: Sync) -> Iterator[str]:
    return (rule.merge_tag for rule in sync.fields)


def _moments(moments: Moments, rows: cells.Rows) -> cells.Array:
    return moments.at(rows).as_arrow()


def taken(hashes: cells.Array, rows: cells.Rows) -> cells.Array:
    """Some of the hashes."""
    held = np.frombuffer(hashes.storage.buffers()[1], np.uint8).reshape(-1, 16)
    held = held[hashes.offset : hashes.offset + len(hashes)][rows]
    return as_uuids(held.tobytes(), absent=cells.nulls(hashes.storage)[rows])


def _spelled(column: cells.Array) -> cells.Array:
    """Each cell as bytes with their number in front, so that no two rows read alike; null is a dash."""
    held = cells.as_bytes(column)
    sized = pc.binary_join_element_wise(
        pc.binary_length(held).cast(pa.string()).cast(pa.binary()), held, pa.scalar(b":", pa.binary())
    )
    return sized.fill_null(b"-")
