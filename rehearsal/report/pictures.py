"""The timeline's pictures as files of their own, for a page that brings no style sheet: README's. Each is drawn on paper of its own,
for a reader's page may be dark where the reader's system is not."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from rehearsal.report.svg import Element, add, hatch, number

STYLE = Path(__file__).with_name("picture.css")
# Paper around what is drawn, in pixels.
MARGIN = 14.0


def alone(svg: Element) -> str:
    """The picture as an SVG file: the same elements, with the style sheet and what it refers to."""
    width, height = (float(side) + 2 * MARGIN for side in svg.attrib["viewBox"].split()[2:])
    whole = Element("svg", {**svg.attrib, "xmlns": "http://www.w3.org/2000/svg"})
    whole.set("viewBox", " ".join(number(side) for side in (-MARGIN, -MARGIN, width, height)))
    whole.set("width", number(width))
    whole.set("height", number(height))
    add(whole, "style", STYLE.read_text(encoding="utf-8"))
    add(whole, "defs").append(hatch())
    add(whole, "rect", class_="paper", x=-MARGIN, y=-MARGIN, width=width, height=height)
    whole.extend(svg)
    return ElementTree.tostring(whole, encoding="unicode") + "\n"
