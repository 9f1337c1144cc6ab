"""A picture of where every row went, drawn from the numbers of a summary.

Belongs here: shapes, colours and words of the picture. Not here: any number that the summary does not hold.
Needs matplotlib, which the extra `demo` brings; a production install does without.

    draw([("first sync", summary)], path)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline

from pipelines.places import PLACES, Place, places
from resources.home import private_file

Summary = Mapping[str, Any]
Run = tuple[str, Summary]

INK, FAINT_INK, RULE, PAPER = "#1c2733", "#5b6876", "#d9dee4", "#ffffff"
FONT = "DejaVu Sans"
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 14.0, 9.0, 130


def draw(runs: Sequence[Run], path: Path, *, title: str = "Where every row went") -> Path:
    """Draw the first run as a flow, all of them side by side, and write the PNG whole or not at all."""
    label, summary = runs[0]
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, facecolor=PAPER)
    _head(figure, title, f"{summary['sync']}, {label}: {_rows(_read(summary))} rows read, each counted once")
    _flow(figure.add_axes((0.035, 0.335, 0.60, 0.535)), summary)
    _reasons(figure.add_axes((0.80, 0.37, 0.17, 0.46)), summary)
    if len(runs) > 1:
        _shares(figure.add_axes((0.15, 0.06, 0.42, 0.185)), runs)
    _effort(figure.add_axes((0.635 if len(runs) > 1 else 0.035, 0.06, 0.335, 0.185)), runs)
    with private_file(path) as stream:
        FigureCanvasAgg(figure)
        figure.savefig(stream, format="png", facecolor=PAPER)
    return path


def _head(figure: Figure, title: str, subtitle: str) -> None:
    figure.text(0.035, 0.945, title, fontsize=22, fontweight="bold", color=INK, family=FONT)
    figure.text(0.035, 0.912, subtitle, fontsize=12, color=FAINT_INK, family=FONT, parse_math=False)


# The flow: one bar of rows on the left, a ribbon to each place on the right


@dataclass(frozen=True, slots=True)
class Ribbon:
    """One band of the flow: where it leaves the bar, where it arrives, and where its words stand; 0 is the bottom."""

    place: Place
    rows: int
    left: tuple[float, float]
    right: tuple[float, float]
    words_at: float


BAR = 0.018
ENDS_AT = 0.52


def lay_out(summary: Summary, *, gap: float = 0.030, line: float = 0.088) -> tuple[Ribbon, ...]:
    """Bands in proportion to their rows, with gaps between them, and words that never lie on each other."""
    planned = bool(summary.get("plan"))
    found = [(place, rows) for place in places(planned=planned) if (rows := _count(summary, place.key))]
    whole = sum(rows for _, rows in found) or 1
    scale = 1 - gap * max(len(found) - 1, 0)
    bands, left, right = [], 1.0, 1.0
    for _, rows in found:
        share = rows / whole
        bands.append(((left - share, left), (right - share * scale, right)))
        left, right = left - share, right - share * scale - gap
    words = _spread([sum(band) / 2 for _, band in bands], apart=line)
    return tuple(
        Ribbon(place, rows, *band, words_at)
        for (place, rows), band, words_at in zip(found, bands, words, strict=True)
    )


def _spread(wanted: Sequence[float], *, apart: float) -> list[float]:
    """Positions from top to bottom, as near as can be to those wanted, none nearer to the next than `apart`."""
    down: list[float] = []
    for position in wanted:
        down.append(min(position, down[-1] - apart) if down else position)
    up: list[float] = []
    for position in reversed(down):
        up.append(max(position, up[-1] + apart) if up else max(position, apart / 4))
    return up[::-1]


def _flow(axes: Axes, summary: Summary) -> None:
    _bare(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.04, 1.04)
    axes.add_patch(Rectangle((0, 0), BAR, 1, color=INK, linewidth=0))
    ribbons = lay_out(summary)
    if not ribbons:
        axes.text(0.05, 0.5, "The source has no rows.", fontsize=13, **_WORDS)
    numbers_end_at = (
        ENDS_AT + 0.075 + 0.0135 * max((len(_rows(ribbon.rows)) for ribbon in ribbons), default=0)
    )
    for ribbon in ribbons:
        _band(axes, ribbon)
        _caption(axes, ribbon, numbers_end_at, read=_read(summary))


def _band(axes: Axes, ribbon: Ribbon) -> None:
    (low, high), (far_low, far_high) = ribbon.left, ribbon.right
    bend = (BAR + ENDS_AT) / 2
    points = [
        *((BAR, high), (bend, high), (bend, far_high), (ENDS_AT, far_high)),
        *((ENDS_AT, far_low), (bend, far_low), (bend, low), (BAR, low), (BAR, high)),
    ]
    strokes = [
        Outline.MOVETO,
        *[Outline.CURVE4] * 3,
        Outline.LINETO,
        *[Outline.CURVE4] * 3,
        Outline.CLOSEPOLY,
    ]
    colour = ribbon.place.colour
    axes.add_patch(
        PathPatch(Outline(points, strokes), facecolor=colour, alpha=0.45, linewidth=0.6, edgecolor=colour)
    )
    axes.add_patch(
        Rectangle((ENDS_AT, far_low), BAR, max(far_high - far_low, 0.003), color=colour, linewidth=0)
    )


def _caption(axes: Axes, ribbon: Ribbon, numbers_end_at: float, *, read: int) -> None:
    middle, words_at = sum(ribbon.right) / 2, ribbon.words_at
    start, end = ENDS_AT + BAR + 0.006, ENDS_AT + BAR + 0.045
    axes.plot(
        [start, end - 0.012, end], [middle, words_at, words_at], color=ribbon.place.colour, linewidth=1.1
    )
    axes.text(
        numbers_end_at, words_at, _rows(ribbon.rows), ha="right", fontweight="bold", fontsize=12.5, **_WORDS
    )
    words, share = numbers_end_at + 0.014, ribbon.rows / max(read, 1)
    axes.text(words, words_at + 0.001, ribbon.place.words, ha="left", fontsize=11, **_WORDS)
    axes.text(
        words, words_at - 0.034, _percent(share), ha="left", fontsize=8.5, **{**_WORDS, "color": FAINT_INK}
    )


# The panels around it


def _reasons(axes: Axes, summary: Summary, *, most: int = 14) -> None:
    """Why rows were rejected, the commonest first; what does not fit is summed up."""
    reasons = sorted(summary.get("rejected_by_reason", {}).items(), key=lambda item: (-item[1], item[0]))
    shown, rest = reasons[:most], reasons[most:]
    if rest:
        shown = [*shown, (f"{len(rest)} more reasons", sum(count for _, count in rest))]
    _panel(axes, "Why rows were rejected" if shown else "No row was rejected")
    counts = [count for _, count in shown]
    axes.barh(range(len(shown)), counts, color="#D55E00", height=0.62)
    for position, (reason, count) in enumerate(shown):
        axes.text(-max(counts) * 0.03, position, _spoken(reason), ha="right", fontsize=9, **_WORDS)
        axes.text(count + max(counts) * 0.03, position, _rows(count), ha="left", fontsize=9, **_WORDS)
    axes.set_xlim(0, max(counts, default=1) * 1.15)
    axes.set_ylim(max(len(shown), 8) - 0.4, -0.6)


def _shares(axes: Axes, runs: Sequence[Run]) -> None:
    """Each run as one bar of all its rows, in the colours of the flow."""
    _panel(axes, "Run by run, all rows")
    for position, (label, summary) in enumerate(runs):
        start, read = 0.0, max(_read(summary), 1)
        axes.text(-0.012, position, _cut(label, 18), ha="right", fontsize=10, **_WORDS)
        for place in PLACES:
            share = _count(summary, place.key) / read
            axes.barh(
                position, share, left=start, color=place.colour, height=0.56, edgecolor=PAPER, linewidth=0.5
            )
            if share > 0.045:
                text = f"{place.short} {share:.0%}" if share > 0.17 else f"{share:.0%}"
                _on_colour(axes, start + share / 2, position, place=place, text=text)
            start += share
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(runs), 3) - 0.4, -0.6)


def _on_colour(axes: Axes, across: float, down: float, *, place: Place, text: str) -> None:
    dark = place.colour in ("#0072B2", "#8F4A70", "#3D3D3D", "#6A7885", "#D55E00")
    axes.text(across, down, text, ha="center", fontsize=9, **{**_WORDS, "color": PAPER if dark else INK})


def _effort(axes: Axes, runs: Sequence[Run]) -> None:
    """What each run cost, or a plan would: contacts told, requests, seconds."""
    planned = any(summary.get("plan") for _, summary in runs)
    _panel(axes, "What it would take" if planned else "What it took")
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(runs), 3) + 0.4, -0.6)
    ends = (0.34, 0.50, 0.67, 0.83, 1.0)
    for end, words in zip(
        ends, ("contacts", "payloads", "requests", "retries", "" if planned else "seconds"), strict=True
    ):
        axes.text(end, -0.25, words, ha="right", fontsize=9, **{**_WORDS, "color": FAINT_INK})
    for position, (label, summary) in enumerate(runs):
        row = position + 0.65
        axes.text(0, row, _cut(label, 12), ha="left", fontsize=10, **_WORDS)
        values = (
            _count(summary, "accepted"),
            *(int(summary.get(key) or 0) for key in ("payloads", "requests", "retries")),
        )
        seconds = "" if summary.get("plan") else f"{summary.get('seconds') or 0:.1f}"
        for end, text in zip(ends, (*map(_rows, values), seconds), strict=True):
            axes.text(end, row, text, ha="right", fontsize=10, **{**_WORDS, "fontweight": "bold"})
        axes.plot([0, 1], [row + 0.5, row + 0.5], color=RULE, linewidth=0.8)


def _panel(axes: Axes, title: str) -> None:
    _bare(axes)
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, family=FONT, pad=10, x=0)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_frame_on(False)


_WORDS: dict[str, Any] = {"va": "center", "color": INK, "family": FONT, "parse_math": False}


def _count(summary: Summary, place: str) -> int:
    return int(summary["rows"].get(place) or 0)


def _read(summary: Summary) -> int:
    return _count(summary, "read")


def _rows(count: int) -> str:
    return f"{count:,}"


def _spoken(reason: str) -> str:
    return _cut(reason.replace("_", " ").replace(":", ": "), 32)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"
