"""Draw the first picture of the README: loss against size, of our files and of llama-quantize's.

    python docs/frontier_picture.py

It reads docs/pictures/frontier.jsonl, which `benchmarks/search_against_llama.py --log` wrote: one
line for each file and text, with its bytes and the mean KL divergence of each chunk. The files of
llama-quantize have names that end with `.llama.cpp.gguf`. It writes docs/pictures/frontier.svg.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.metrics.statistics import estimate
from zeropoint.studio.report.html import Html, element, fragment
from zeropoint.studio.report.svg_parts import document, label, line, plain

PICTURES = Path(__file__).parent / "pictures"
THEIRS = ".llama.cpp.gguf"
WEIGHTS = 1_543_714_304  # of Qwen2.5-Coder-1.5B, the tied matrix counted once
TEXTS = {"wiki": "WikiText-2", "code-eval": "Code", "languages": "Languages, not calibrated on"}
AXES = (
    "Mean KL divergence from the 16-bit model in nats per token (lower is better), against bits per"
    " weight of the whole file"
)
JUDGED = (
    "Judged by llama-perplexity, 6 chunks of 512 tokens per text, 95 % intervals; the same"
    " importance matrix for both programs."
)
WIDTH, HEIGHT = 1000, 420
TOP, BOTTOM = 96, 350  # of the plots
LEFT, GAP = 64, 44
PLOT_WIDTH = (WIDTH - LEFT - 24 - 2 * GAP) / 3
RADIUS = 4  # of a point
NAME_WIDTH, NAME_HEIGHT = 70, 14
BITS = (1.9, 5.9)  # of the horizontal axis
KL = (0.008, 4.0)  # of the vertical axis, logarithmic
TICKS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Point:
    """One file on one text."""

    name: str
    ours: bool
    bits: float
    mean: float
    low: float
    high: float


def read_points() -> dict[str, list[Point]]:
    """Return the points of each text, by size."""
    points: dict[str, list[Point]] = {text: [] for text in TEXTS}
    for row in (PICTURES / "frontier.jsonl").read_text().splitlines():
        fields = json.loads(row)
        losses = np.array(fields["kl"])
        kl = estimate(losses, np.ones(losses.size))
        ours = not fields["file"].endswith(THEIRS)
        name = fields["file"].removesuffix(THEIRS)
        bits = 8 * fields["bytes"] / WEIGHTS
        points[fields["text"]].append(Point(name, ours, bits, kl.mean, kl.low, kl.high))
    return {text: sorted(found, key=lambda point: point.bits) for text, found in points.items()}


def height_of(kl: float) -> float:
    """Return the vertical place of a KL divergence."""
    share = math.log(min(max(kl, KL[0]), KL[1]) / KL[0]) / math.log(KL[1] / KL[0])
    return BOTTOM - share * (BOTTOM - TOP)


def plot(text: str, points: list[Point], left: float, named: bool) -> Html:
    """Return the plot of one text, whose left end is at `left`."""

    def place(bits: float) -> float:
        return left + (bits - BITS[0]) / (BITS[1] - BITS[0]) * PLOT_WIDTH

    parts = [label(left, TOP - 16, TEXTS[text], "head")]
    for tick in TICKS:
        y = height_of(tick)
        parts.append(line(left, y, left + PLOT_WIDTH, y))
        parts.append(label(left - 6, y + 4, f"{tick:g}", "soft small end"))
    for bits in (2.5, 3.0, 3.5, 4.0, 4.5, 5.0):
        parts.append(label(place(bits), BOTTOM + 18, f"{bits:g}", "soft small mid"))
    parts += [_series(points, ours, place) for ours in (False, True)]
    if named:
        parts += _names([point for point in points if not point.ours], place)
    return fragment(*parts)


def _names(points: list[Point], place: Callable[[float], float]) -> list[Html]:
    """Return the names of points, those that would cover another on the left."""
    parts: list[Html] = []
    placed: list[tuple[float, float]] = []  # of names on the right
    for point in points:
        x, y = place(point.bits), height_of(point.mean)
        left = any(x - at < NAME_WIDTH and abs(y - up) < NAME_HEIGHT for at, up in placed)
        if not left:
            placed.append((x, y))
        side, end = (-7, " end") if left else (7, "")
        parts.append(label(x + side, y + 4, point.name, f"soft small{end}"))
    return parts


def _series(points: list[Point], ours: bool, place: Callable[[float], float]) -> Html:
    """Return the points of one program with their intervals, ours joined by a line."""
    own = [point for point in points if point.ours == ours]
    class_ = "mark" if ours else "theirs"
    parts = []
    if ours:
        path = " ".join(f"{plain(place(p.bits))},{plain(height_of(p.mean))}" for p in own)
        parts.append(element("polyline", points=path, class_="joined"))
    for point in own:
        x, y = place(point.bits), height_of(point.mean)
        parts.append(line(x, height_of(max(point.low, KL[0])), x, height_of(point.high), class_))
        parts.append(element("circle", cx=plain(x), cy=plain(y), r=RADIUS, class_=class_))
    return fragment(*parts)


def main() -> None:
    """Write the picture."""
    points = read_points()
    title = "Loss against size: Qwen2.5-Coder-1.5B"
    described = "; ".join(
        f"{TEXTS[text]}: "
        + ", ".join(f"{p.name} {p.bits:.2f} bits per weight, KL {p.mean:.3f}" for p in found)
        for text, found in points.items()
    )
    style = (
        ".theirs{fill:#8c959f;stroke:#8c959f}.joined{fill:none;stroke:#1f6feb;opacity:.5;stroke-width:2}"
        "@media(prefers-color-scheme:dark){.joined{stroke:#58a6ff}}"
    )
    picture = document(
        WIDTH, HEIGHT, title, described, element("style", style),
        label(LEFT, 32, title, "title"),
        label(LEFT, 54, AXES, "soft"),
        element("circle", cx=WIDTH - 268, cy=28, r=RADIUS, class_="mark"),
        label(WIDTH - 258, 32, "zeropoint, search"),
        element("circle", cx=WIDTH - 118, cy=28, r=RADIUS, class_="theirs"),
        label(WIDTH - 108, 32, "llama-quantize"),
        *(plot(text, found, LEFT + at * (PLOT_WIDTH + GAP), at == 0)
          for at, (text, found) in enumerate(points.items())),
        label(LEFT, HEIGHT - 18, JUDGED, "soft small"),
    )  # fmt: skip
    (PICTURES / "frontier.svg").write_text(picture + "\n")


if __name__ == "__main__":
    main()
