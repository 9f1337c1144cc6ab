"""Which Arrow types leave a warehouse: eight plain ones, so that no rule need know where a row came from.

    text · int64 · double · bool · date32 · timestamp[us] · timestamp[us, UTC] · list of text

Here: which plain type an Arrow type becomes, the conversion of whole columns, and even batches. What Arrow
cannot hold or this module refuses (intervals, structs, maps) is cast to text in the warehouse's own SQL.
Exact numbers stay exact: a decimal becomes an integer when it is one of at most 18 digits, else text.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import pyarrow as pa

from resources.errors import WarehouseError
from resources.warehouses.contract import Batches

TEXT, INTEGER, FLOAT, BOOLEAN = pa.string(), pa.int64(), pa.float64(), pa.bool_()
DATE, TIMESTAMP, INSTANT = pa.date32(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")
TEXTS = pa.list_(pa.field("item", TEXT))
PLAIN_TYPES = (TEXT, INTEGER, FLOAT, BOOLEAN, DATE, TIMESTAMP, INSTANT, TEXTS)
DIGITS_OF_INT64 = 18

FieldType = Literal["text", "integer", "float", "boolean", "date"]
_SOURCES_OF: dict[str, tuple[pa.DataType, ...]] = {
    "text": (TEXT, INTEGER, FLOAT, BOOLEAN, DATE, TIMESTAMP, INSTANT),
    "integer": (TEXT, INTEGER, FLOAT),
    "float": (TEXT, INTEGER, FLOAT),
    "boolean": (TEXT, INTEGER, BOOLEAN),
    "date": (TEXT, DATE, TIMESTAMP, INSTANT),
}


def can_become(data_type: pa.DataType, field_type: FieldType) -> bool:
    """Whether values of a plain type can become a Mailtrap field of this type, as far as the types say."""
    return data_type in _SOURCES_OF[field_type]


def plain_field(name: str, data_type: pa.DataType, *, warehouse_type: str) -> pa.Field:
    """A column of `Warehouse.columns`: our type, and in the metadata the name that the warehouse has for it."""
    return pa.field(name, data_type, metadata={"warehouse_type": warehouse_type})


def plain_type(data_type: pa.DataType) -> pa.DataType:
    """The plain type that an Arrow type becomes; text for all that has no better one."""
    if pa.types.is_dictionary(data_type) or pa.types.is_run_end_encoded(data_type):
        return plain_type(data_type.value_type)
    for is_kind, becomes in _KINDS:
        if is_kind(data_type):
            return becomes
    if pa.types.is_decimal(data_type):
        whole = data_type.scale == 0 and data_type.precision <= DIGITS_OF_INT64
        return INTEGER if whole else TEXT
    if pa.types.is_timestamp(data_type):
        return TIMESTAMP if data_type.tz is None else INSTANT
    return TEXT


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of `Warehouse.columns` for what an Arrow-speaking driver or file has."""
    return pa.schema(
        plain_field(field.name, plain_type(field.type), warehouse_type=str(field.type)) for field in schema
    )


def stream(batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, rows_per_batch: int) -> Batches:
    """The batches in the plain types of `schema`, by position, in even batches and with its names."""
    bare = schema.remove_metadata()
    bare = pa.schema([pa.field(field.name, field.type) for field in bare])
    return Batches(bare, even(convert(batches, bare), rows_per_batch=rows_per_batch))


def convert(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Each batch in the types and names of `schema`, by position."""
    for batch in batches:
        columns = [plain_array(column, field) for column, field in zip(batch.columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def even(batches: Iterable[pa.RecordBatch], *, rows_per_batch: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly `rows_per_batch`, but for the last; empty batches vanish."""
    kept: list[pa.RecordBatch] = []
    room = rows_per_batch
    for batch in batches:
        while batch.num_rows:
            kept.append(batch.slice(0, room))
            batch = batch.slice(kept[-1].num_rows)
            room -= kept[-1].num_rows
            if room == 0:
                yield _joined(kept)
                kept, room = [], rows_per_batch
    if kept:
        yield _joined(kept)


def plain_array(array: pa.Array, field: pa.Field) -> pa.Array:
    """A column in the plain type of `field`; refused when it would lose more than fractions of a microsecond."""
    if array.type == field.type:
        return array
    if isinstance(array.type, pa.UuidType):
        array = pa.array([None if each is None else str(each) for each in array.to_pylist()], TEXT)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    try:
        return _cast(_decoded(array), field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise _misfit(field, array.type) from None


def _decoded(array: pa.Array) -> pa.Array:
    if not pa.types.is_dictionary(array.type):
        return array
    if array.type.value_type == pa.string_view():  # polars' categories, which Arrow cannot look up
        array = pa.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(TEXT))
    return array.dictionary_decode()


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if wanted == FLOAT and pa.types.is_float32(array.type):
        # Straight to double, 0.1 becomes 0.10000000149011612, and so it would stand in the contact.
        return array.cast(TEXT).cast(FLOAT)
    if pa.types.is_timestamp(wanted) and pa.types.is_timestamp(array.type):
        return array.cast(wanted, safe=False) if array.type.unit == "ns" else array.cast(wanted)
    if wanted == INTEGER and pa.types.is_decimal(array.type):
        return array.cast(wanted, safe=True)
    if wanted == TEXTS and pa.types.is_list(array.type):
        return array.cast(pa.list_(array.type.value_type)).cast(TEXTS)
    return array.cast(wanted)


def _misfit(field: pa.Field, data_type: pa.DataType) -> WarehouseError:
    return WarehouseError(
        f"Column {field.name} holds {data_type} that cannot be read as {field.type}.",
        "A value does not fit, or the type has no plain form.",
        "Cast the column to text in a view or in `query:`.",
        outcome="data",
    )


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _is_list(data_type: pa.DataType) -> bool:
    return isinstance(data_type, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pa.types.is_boolean, BOOLEAN),
    (pa.types.is_uint64, TEXT),
    (pa.types.is_integer, INTEGER),
    (pa.types.is_floating, FLOAT),
    (pa.types.is_date, DATE),
    (_is_list, TEXTS),
)
