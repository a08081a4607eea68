"""What is drawn on a report's page, read back from its text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

BAR = re.compile(r"M(\d+) 0v(-?\d+)")


class Page(HTMLParser):
    """`lanes`: picture -> lane -> {bucket: operations}, failed ones below zero as on the page they are below the line; `shades`: picture ->
    the outage's seconds; `outage`: the headline's seconds, and its text; `previews`: phase -> text; `loaded`: whatever a browser would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lanes: dict[str, dict[str, dict[str, dict[int, int]]]] = {}
        self.shades: dict[str, float] = {}
        self.outage: tuple[float, str] | None = None
        self.previews: dict[str, str] = {}
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self._picture = self._lane = ""
        self._preview: str | None = None
        self._headline: float | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.loaded += [found[name] for name in ("src", "href", "data", "action") if name in found]
        if tag == "svg":
            self._picture = found.get("id", "")
        if "data-lane" in found:
            self._lane = found["data-lane"]
            self.lanes.setdefault(self._picture, {})[self._lane] = {"succeeded": {}, "failed": {}}
        if tag == "path" and self._lane:
            bars = {int(bucket): -int(height) for bucket, height in BAR.findall(found["d"])}
            self.lanes[self._picture][self._lane][found["class"]] = bars
        if found.get("class") == "outage" and tag == "rect":
            self.shades[self._picture] = float(found["data-seconds"])
        if found.get("id") == "outage" and "data-seconds" in found:
            self._headline = float(found["data-seconds"])
        self._preview = found.get("data-phase", self._preview)

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._preview = None

    def handle_data(self, data: str) -> None:
        if self._headline is not None:
            self.outage, self._headline = (self._headline, data), None
        if self._preview is not None:
            self.previews[self._preview] = self.previews.get(self._preview, "") + data
