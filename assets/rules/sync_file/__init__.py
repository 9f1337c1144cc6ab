"""Sync files, read: text in, a frozen `Sync` out, or every problem at once with line, key and remedy.

tree      YAML with line numbers, and nothing of YAML that surprises
shapes    what a value may look like
keys      every key of a sync file: shape, default, meaning (the one place)
mixes     what cannot go together
reading   the way through: text, tree, shapes, mixes, Sync
schema    the same keys, for editors and for the docs
"""

from assets.rules.sync_file.reading import load_syncs, parse_sync

__all__ = ["load_syncs", "parse_sync"]
