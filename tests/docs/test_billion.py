"""The plan for a billion rows is what its own arithmetic gives."""

import contextlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "billion.md").read_text(encoding="utf-8")


def test_the_table_is_what_the_block_computes() -> None:
    """Whoever changes a number in one of them changes it in the other."""
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block, "billion.md", "exec"), {})
    computed = [line.split() for line in printed.getvalue().splitlines()]
    [table] = re.findall(r"<!-- computed -->\n(.*?)<!-- end of computed -->", PAGE, re.DOTALL)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert [[row[column] for row in cells] for column in (1, 2)] == computed
