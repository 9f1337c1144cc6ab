"""Where a table comes from, as files: the module that makes it and the sync file that asks for it, for the UI's links.

Belongs here: places in files. Not here: anything that reads them; what is known when a module is loaded is enough, so
that it costs nothing.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from assets.rules.sync import Sync

ROOT = Path(__file__).parent.parent
KEY = "dagster/code_references"


def with_code(
    made: dg.AssetsDefinition, maker: Callable[..., Any], sync: Sync | None = None
) -> dg.AssetsDefinition:
    """The same tables, with links to the function that makes them and to their sync file."""
    with (
        warnings.catch_warnings()
    ):  # called beta since Dagster 1.8; a line for every table would drown the rest
        warnings.simplefilter("ignore", dg.BetaWarning)
        value = dg.CodeReferencesMetadataValue(code_references=[*_places(maker, sync)])
    return made.map_asset_specs(lambda spec: spec.merge_attributes(metadata={KEY: value}))


def _places(maker: Callable[..., Any], sync: Sync | None) -> Iterator[dg.LocalFileCodeReference]:
    yield _place(Path(maker.__code__.co_filename), line=maker.__code__.co_firstlineno)
    if sync is not None and Path(sync.file).is_file():
        yield _place(Path(sync.file), line=1)


def _place(path: Path, *, line: int) -> dg.LocalFileCodeReference:
    path = path.resolve()
    label = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    return dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)
