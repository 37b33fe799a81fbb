"""Matplotlib figures as SVG that belongs into a page: deterministic, themed, described, self-contained."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, PAPER = "#1d2530", "#66707c", "#dfe3e8", "#fefefd"
ACCENT, SEED, LATENT, GENERATOR = "#0f6b78", "#98a2ad", "#2a6db0", "#c9681f"
MUTATION, POOL, USER = "#3f8f4f", "#8c7613", "#7b559c"

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    PAPER: "--paper",
    ACCENT: "--accent",
    SEED: "--seed",
    LATENT: "--latent",
    GENERATOR: "--generator",
    MUTATION: "--mutation",
    POOL: "--pool",
    USER: "--user",
}
"""Colour of a figure to the CSS variable that replaces it, so that a page can change its theme."""

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "aldesign",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": SEED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": SEED,
    "ytick.color": SEED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handletextpad": 0.4,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def style() -> Iterator[None]:
    """Draw with the house style, whatever the user's matplotlib is set to."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def to_svg(figure: Figure, name: str, description: str, tips: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return `figure` as one ``<svg>`` element that can stand in a page beside others.

    Args:
        figure: A matplotlib figure.
        name: Prefix of every id within, unique in its page.
        description: What the figure shows, for those who do not see it.
        tips: Texts for the marks of artists, by the artist's gid, one per mark or one for all; shown by browsers
            on hovering. An artist that was drawn as pixels has no marks and keeps none.

    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - written a line above
    groups = {node.get("id"): node for node in root.iter()}
    for gid, texts in (tips or {}).items():
        group = groups.get(gid)
        if group is None:
            continue
        marks = list(group.iter(f"{_SVG}use")) or [group]
        if len(marks) == len(texts):
            for mark, text in zip(marks, texts, strict=True):
                ElementTree.SubElement(mark, f"{_SVG}title").text = text
    _plain(root, name)
    width, height = root.get("viewBox", "0 0 1 1").split()[2:]
    title = ElementTree.Element("title", {"id": f"{name}-title"})
    title.text = description
    root.insert(0, title)
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "stroke-linejoin": "round",
    }
    return _themed(ElementTree.tostring(root, encoding="unicode"))


def _plain(root: ElementTree.Element, name: str) -> None:
    """Drop what a page does not need (metadata, rules that would reach the whole page, idle ids), in place."""
    used = set(re.findall(r"#([\w-]+)", " ".join(v for n in root.iter() for v in n.attrib.values())))
    for node in root.iter():
        for child in list(node):
            if child.tag.rpartition("}")[2] in {"metadata", "style"}:
                node.remove(child)
        node.tag = node.tag.removeprefix(_SVG)
        node.attrib = {("href" if key == _LINK else key): value for key, value in node.attrib.items()}
        for key, value in node.attrib.items():
            node.set(key, re.sub(r"(^|url\()#(?=[a-z])", rf"\1#{name}-", value) if "#" in value else value)
        if (own := node.get("id")) is not None:
            del node.attrib["id"]
            if own in used:
                node.set("id", f"{name}-{own}")


def _themed(text: str) -> str:
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    return text
