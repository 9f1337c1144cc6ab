"""Text that no spreadsheet takes for a formula: the one rule for files that people open in Excel, Calc or Sheets.

A cell that begins like a formula (`=`, `+`, `-`, `@` and their full-width and small forms, also after white space), with
a tab or a line break, or with an apostrophe, gets one apostrophe in front. Taking the first apostrophe off every
cell that has one gives the texts back exactly. Belongs here: that rule. Not here: who writes such files.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_MARKS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u2212"
_SPACES = "\\s\\v\u00a0\u200b\u3000\ufeff"
_BEGINS_LIKE_A_FORMULA = f"^([\\t\\n\\r']|[{_SPACES}]*[{_MARKS}])"


def harmless(texts: Any) -> Any:
    """An Arrow column of text, each cell of it safe to open in a spreadsheet."""
    return pc.replace_substring_regex(texts, _BEGINS_LIKE_A_FORMULA, r"'\1", max_replacements=1)


def as_before(texts: Any) -> Any:
    """The texts that `harmless` was given."""
    return pc.replace_substring_regex(texts, "^'", "", max_replacements=1)


def harmless_table(table: pa.Table) -> pa.Table:
    """A table with every column of text made harmless, and lists of text joined to one; numbers and times stay."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_list(column.type):
            column = pc.binary_join(column, "; ")
        columns[name] = harmless(column) if pa.types.is_string(column.type) else column
    return pa.table(columns)
