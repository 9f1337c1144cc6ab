"""Windows over rows that are already here, for sources that cannot filter by themselves: files and frames.

Here: days and buckets by DuckDB, batch by batch, so that they are the same as in every other warehouse. Not here:
windows as SQL for a warehouse (`statement.py`).
"""

from collections.abc import Iterable, Iterator

import duckdb
import pyarrow as pa

from resources.warehouses import complaints, plain, statement
from resources.warehouses.contract import Days, Window
from resources.warehouses.duckdb import GRAMMAR
from resources.warehouses.statement import Column

_MOMENT = "moment of the window"


def inside(batches: Iterable[pa.RecordBatch], window: Window, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of the window; `batches` have the plain types of `schema`, and text is read as a moment of UTC."""
    column = Column(window.column, "text", schema.field(window.column).type)
    source = "batch"
    if isinstance(window, Days) and column.plain == plain.TEXT:
        name = statement.quoted(column.name, "duckdb")
        column = Column(_MOMENT, "text", plain.INSTANT)
        moment = statement.quoted(_MOMENT, "duckdb")
        source = f"(SELECT *, CAST(nullif(trim({name}), '') AS TIMESTAMPTZ) AS {moment} FROM batch)"
    listed = ", ".join(statement.quoted(name, "duckdb") for name in schema.names)
    sql = f"SELECT {listed} FROM {source}{statement.where(window, column, GRAMMAR)}"
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for batch in batches:
            cursor = connection.cursor()
            cursor.register("batch", pa.Table.from_batches([batch]))
            try:
                found = cursor.sql(sql).to_arrow_table()
            except duckdb.ConversionException as error:
                raise complaints.values_refused("The window by day", complaints.code_of(error)) from None
            yield from found.cast(schema).to_batches()
            cursor.close()
