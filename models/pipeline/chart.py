"""A picture of the confusion that changed between two models, as SVG written by hand.

    Path("changed.svg").write_text(draw(report, {"n01443537": "goldfish"}))

Left, the classes that gained and lost right answers; right, which wrong answers became fewer or more.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.compare import ClassChange, Confusion, Report

# Okabe and Ito's colors, told apart also by those who see no red or no green.
BETTER = "#0072b2"
WORSE = "#d55e00"
INK = "#24292f"
FAINT = "#6e7781"
GRID = "#e3e6ea"

FONTS = "system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
WIDTH = 1200
MARGIN = 40
TOP = 150  # of the first row; above it title, subtitle and the panels' titles
ROW = 24
MOST_ROWS = 12  # of each kind: what fits on a screen beside the other kind
LABEL = 210  # pixels for a class' name, about 28 letters
LETTERS = 27
BAR = 110  # pixels of the longest bar, to each side
RIGHT = 640  # where the right panel begins
PAIR = 330  # pixels for the names of a confusion
DOTS = 150  # pixels of the axis on which its counts lie


def draw(report: "Report", labels: dict[str, str]) -> str:
    """The SVG of a comparison; `labels` says what a person calls a class."""
    lost = [row for row in report.classes if row.new_hits < row.old_hits][:MOST_ROWS]
    gained = [row for row in reversed(report.classes) if row.new_hits > row.old_hits][:MOST_ROWS]
    fewer = [row for row in report.confusions if row.new < row.old][:MOST_ROWS]
    more = [row for row in report.confusions if row.new > row.old][:MOST_ROWS]
    rows = max(len(gained) + len(lost), len(fewer) + len(more), 1) + 1  # a free row between the kinds
    height = TOP + rows * ROW + 50
    both = report.paired
    title = f"{report.old_title} → {report.new_title}"
    subtitle = (
        f"{report.images} images: {_percent(report.old.share)} → {_percent(report.new.share)} right, difference "
        f"{both.difference * 100:+.1f} points ({both.low * 100:+.1f} to {both.high * 100:+.1f}), the same class for "
        f"{_percent(report.agreement)}: {'may be released' if report.released else 'may not be released'}"
    )
    parts = [
        _text(MARGIN, 44, title, size=22, weight=600),
        _text(MARGIN, 70, subtitle, size=14, color=FAINT),
        _text(MARGIN, 112, "Classes that gained and lost right answers", size=15, weight=600),
        _text(MARGIN, 131, _shown(report.classes, gained, lost), size=12, color=FAINT),
        _text(RIGHT, 112, "Wrong answers that became fewer and more", size=15, weight=600),
        _text(RIGHT, 131, "ring: champion, disk: challenger; number of images", size=12, color=FAINT),
        *_bars(gained, lost),
        *_dots(fewer, more, labels),
        _text(MARGIN, height - 18, "right for", size=12, color=FAINT),
        _key(MARGIN + 60, height - 18, BETTER, "more images than before"),
        _key(MARGIN + 240, height - 18, WORSE, "fewer"),
        _text(RIGHT, height - 18, "taken for another class", size=12, color=FAINT),
        _key(RIGHT + 155, height - 18, BETTER, "less often than before"),
        _key(RIGHT + 320, height - 18, WORSE, "more often"),
    ]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="{FONTS}">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _shown(classes: Sequence["ClassChange"], gained: Sequence["ClassChange"], lost: Sequence["ClassChange"]) -> str:
    more = sum(row.new_hits > row.old_hits for row in classes)
    fewer = sum(row.new_hits < row.old_hits for row in classes)
    return (
        f"{more} gained{f' ({len(gained)} shown)' if len(gained) < more else ''}, "
        f"{fewer} lost{f' ({len(lost)} shown)' if len(lost) < fewer else ''}, {len(classes) - more - fewer} as before"
    )


def _bars(gained: Sequence["ClassChange"], lost: Sequence["ClassChange"]) -> list[str]:
    """A bar for each class, as long as the share of its images that changed: to the right gained, to the left lost."""
    middle = MARGIN + LABEL + BAR
    changes = [(row.new_hits - row.old_hits) / row.images for row in (*gained, *lost)]
    scale = BAR / max((abs(change) for change in changes), default=1)
    parts = []
    places = [*range(len(gained)), *(len(gained) + 1 + place for place in range(len(lost)))]
    for row, place, change in zip((*gained, *lost), places, changes):
        y = TOP + place * ROW
        length = abs(change) * scale
        x = middle if change > 0 else middle - length
        color = BETTER if change > 0 else WORSE
        told = f"{row.old_hits} → {row.new_hits} of {row.images}"
        parts += [
            _text(MARGIN + LABEL - 12, y + 13, _cut(row.label, LETTERS), anchor="end"),
            f'<rect x="{x:.1f}" y="{y + 2}" width="{length:.1f}" height="{ROW - 8}" rx="2" fill="{color}"/>',
            _text(middle + BAR + 14, y + 13, told, size=12, color=FAINT),
        ]
    last = TOP + (max(places) + 1) * ROW if places else TOP + ROW
    line = f'<line x1="{middle}" x2="{middle}" y1="{TOP - 4}" y2="{last}" stroke="{INK}" stroke-width="1"/>'
    return [*parts, line] if places else [_text(MARGIN, TOP + 13, "none", color=FAINT)]


def _dots(fewer: Sequence["Confusion"], more: Sequence["Confusion"], labels: dict[str, str]) -> list[str]:
    """A row for each confusion: how often it happened in the champion and in the challenger."""
    if not fewer and not more:
        return [_text(RIGHT, TOP + 13, "none", color=FAINT)]
    left = RIGHT + PAIR
    most = max(max(row.old, row.new) for row in (*fewer, *more))
    parts = []
    places = [*range(len(fewer)), *(len(fewer) + 1 + place for place in range(len(more)))]
    for row, place in zip((*fewer, *more), places):
        y = TOP + place * ROW + 9
        old, new = (left + count / most * DOTS for count in (row.old, row.new))
        color = BETTER if row.new < row.old else WORSE
        name = f"{_cut(labels.get(row.shows, row.shows), 21)} for {_cut(labels.get(row.said, row.said), 21)}"
        parts += [
            _text(left - 18, y + 4, name, anchor="end"),
            f'<line x1="{left}" x2="{left + DOTS}" y1="{y}" y2="{y}" stroke="{GRID}" stroke-width="1"/>',
            f'<line x1="{old:.1f}" x2="{new:.1f}" y1="{y}" y2="{y}" stroke="{color}" stroke-width="3"/>',
            f'<circle cx="{old:.1f}" cy="{y}" r="5" fill="#ffffff" stroke="{color}" stroke-width="2"/>',
            f'<circle cx="{new:.1f}" cy="{y}" r="6" fill="{color}"/>',
            _text(left + DOTS + 18, y + 4, f"{row.old} → {row.new}", size=12, color=FAINT),
        ]
    return parts


def _key(x: float, y: float, color: str, label: str) -> str:
    square = f'<rect x="{x}" y="{y - 10}" width="11" height="11" rx="2" fill="{color}"/>'
    return square + _text(x + 17, y, label, size=12, color=FAINT)


def _text(
    x: float, y: float, text: str, size: int = 13, weight: int = 400, color: str = INK, anchor: str = "start"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{color}" text-anchor="{anchor}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
