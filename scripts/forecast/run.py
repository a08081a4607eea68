"""What is kept of a window: how long each part of its outage took, and what it was a window of. One line of JSON each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from components.settings import Settings


class _Kept(BaseModel):
    """In camelCase, as all JSON here. What a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Shape(_Kept):
    """What the length of a window depends on.

    `databases` (template1 among them), `relations` and `large_objects` are counted as agent/amounts.py has it, `most_relations` are those of
    the database that has the most; `bytes` are the data directory's. `cores` and `memory_bytes` are DB_A's, 0 where they are not known. `servers` are those
    that have steps of their own, which the engine looks at, `online` those whose hosts files the end of the outage waits for.
    `trial_seconds` are those in which DB_A dumped and restored all definitions ahead (agent/trial.py), 0 where it has not.
    """

    old: int
    new: int
    transfer_mode: Literal["link", "clone", "copy"]
    jobs: int = Field(ge=1)
    databases: int = Field(ge=0)
    relations: int = Field(ge=0)
    most_relations: int = Field(ge=0)
    large_objects: int = Field(ge=0)
    bytes: int = Field(ge=0)
    servers: int = Field(ge=0)
    online: int = Field(ge=0)
    cores: int = Field(default=0, ge=0)
    memory_bytes: int = Field(default=0, ge=0)
    trial_seconds: float = Field(default=0, ge=0)


class Run(_Kept):
    """One window. `at`: when it ended, in seconds since the epoch. `parts`: what each part took of the outage, in seconds, by its name
    (parts.py); their sum is the outage. Only one that `ended` in cutover had a whole outage; a rehearsal of some parts alone speaks
    for these, and one on the true data (docs/rehearsal-on-the-real-thing.md) has `acts`: the seconds of each act, those too that no outage
    waits for."""

    at: float
    stack: str
    ended: Literal["cutover", "back", "rehearsal"]
    shape: Shape
    parts: dict[str, float]
    acts: dict[str, float] = Field(default_factory=dict)

    @property
    def true_data(self) -> bool:
        """Whether it was made from the old primary itself."""
        return self.ended == "rehearsal" and bool(self.acts)

    @property
    def seconds(self) -> float:
        """How long writes were refused."""
        return sum(self.parts.values())


def records(settings: Settings, project: Path) -> Path:
    """The file in which a stack keeps its windows."""
    return project / Path(settings.window_records).expanduser()


def keep(file: Path, run: Run) -> None:
    """Add a run to the file, which is made if there is none. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{run.model_dump_json(by_alias=True)}\n")


def kept(files: Iterable[Path]) -> tuple[list[Run], int]:
    """The windows in the files that are there, but for those that went back, and how many lines could not be understood. Raises OSError."""
    runs, strange = [], 0
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                runs.append(Run.model_validate_json(line))
            except ValidationError:
                strange += 1
    return [run for run in runs if run.ended != "back"], strange
