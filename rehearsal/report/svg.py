"""SVG, put together as elements so that every text is escaped. Colours come from picture.css, by class."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from markupsafe import Markup

Element = ElementTree.Element
# About what a letter of the page's font takes, in em: for labels that must not run into each other.
LETTER_EM = 0.56


def picture(width: float, height: float, name: str, description: str) -> Element:
    """An empty picture that is as wide as the page lets it be; `description` is for those who cannot see it."""
    svg = Element("svg", {"viewBox": f"0 0 {number(width)} {number(height)}", "role": "img", "id": name})
    svg.set("aria-label", description)
    return svg


def add(parent: Element, tag: str, text: str = "", **attributes: float | str) -> Element:
    """A new element below `parent`: `class_` is written class, and x_y x-y."""
    words = {key.rstrip("_").replace("_", "-"): number(value) for key, value in attributes.items()}
    made = ElementTree.SubElement(parent, tag, words)
    if text:
        made.text = text
    return made


def explain(element: Element, text: str) -> None:
    """What a pointer that rests on it is told."""
    add(element, "title", text)


def hatch() -> Element:
    """The pattern that picture.css fills the rehearsal's own work with; whatever holds the pictures holds it once."""
    pattern = Element("pattern", {"id": "hatch", "width": "6", "height": "6"})
    pattern.set("patternUnits", "userSpaceOnUse")
    pattern.set("patternTransform", "rotate(45)")
    add(pattern, "rect", class_="hatch", width=2.5, height=6)
    return pattern


def markup(svg: Element) -> Markup:
    """The picture, for the page."""
    return Markup(ElementTree.tostring(svg, encoding="unicode"))  # noqa: S704 - elements and attributes are escaped


def number(value: float | str) -> str:
    """Two decimals at most: finer than any screen."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def width_of(text: str, size: float) -> float:
    """About how wide a text of `size` pixels is."""
    return len(text) * size * LETTER_EM


def rows(extents: Iterable[tuple[float, float]]) -> list[int]:
    """For each (from, to) the first row in which nothing before reaches over it. Give them by their beginning."""
    ends: list[float] = []
    found = []
    for begin, end in extents:
        row = next((index for index, last in enumerate(ends) if last <= begin), len(ends))
        ends[row : row + 1] = [end]
        found.append(row)
    return found
