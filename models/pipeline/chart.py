"""A picture of what changed between two models: the classes and the confusions, drawn by matplotlib.

    draw(report, {"n01443537": "goldfish"}, Path("changed.svg"))
"""

from pathlib import Path

from pipeline.faults import Fault
from pipeline.report import Report

BETTER, WORSE = "#0072b2", "#d55e00"  # Okabe and Ito's, distinct also for the color-blind
MOST_ROWS = 12  # of each kind, so that a name beside a bar can be read


def draw(report: Report, labels: dict[str, str], file: Path) -> None:
    """Writes the picture in the format of the file's ending; raises Fault about a file that cannot be written.

    Left, the classes that gained and lost right answers, by the share of their images; right, the wrong answers that
    became fewer and more, by number. Without a change of a kind its panel says so.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # a second to import

    lost, gained = report.changed()
    fewer = [row for row in report.confusions if row.new < row.old][:MOST_ROWS]
    more = [row for row in report.confusions if row.new > row.old][:MOST_ROWS]
    classes: dict[str, float] = {}
    confusions: dict[str, float] = {}
    for row in [*gained[:MOST_ROWS], *lost[:MOST_ROWS][::-1]]:
        name = f"{row.label}: {row.old_hits} → {row.new_hits} of {row.images}"
        classes[name] = 100 * (row.new_hits - row.old_hits) / row.images
    for row in [*fewer, *more[::-1]]:
        shows, said = labels.get(row.shows, row.shows), labels.get(row.said, row.said)
        confusions[f"{shows} for {said}: {row.old} → {row.new}"] = row.old - row.new
    both, verdict = report.paired, "may be released" if report.released else "may not be released"
    height = 2 + 0.28 * max(len(classes), len(confusions), 1)
    figure = Figure(figsize=(14, height), layout="constrained")
    figure.suptitle(
        f"{report.old_title} → {report.new_title}: {verdict}\n{report.images} images: {report.old.share:.1%} → "
        f"{report.new.share:.1%} right, difference {both.difference * 100:+.1f} points ({both.low * 100:+.1f} to "
        f"{both.high * 100:+.1f}), the same class for {report.agreement:.1%}"
    )
    counted = f"{len(gained)} classes gained, {len(lost)} lost right answers (% of their images)"
    panels = ((counted, classes), ("wrong answers that became fewer and more (images)", confusions))
    for axes, (title, rows) in zip(figure.subplots(1, 2), panels, strict=True):
        axes.set_title(title)
        values = list(rows.values())
        axes.barh(range(len(rows)), values, color=[BETTER if value > 0 else WORSE for value in values])
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.axvline(0, color="black", linewidth=0.8)
        if not rows:
            axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center")
    try:
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "models"}):  # text stays text; equal input, equal file
            figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    except (OSError, ValueError) as cause:  # a folder that is not there, an ending that is no format
        raise Fault(f"Expected a file that can be written for --chart but received {file}") from cause
