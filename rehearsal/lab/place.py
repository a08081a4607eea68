"""Where a lab run keeps its state, and how its parts call programs and report."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

Report = Callable[[str], None]
"""Gets one short sentence whenever something begins or ends."""


class LabError(Exception):
    """Something about the lab is not as it must be; the message says what was found and what to do."""


class Place:
    """The folders of one lab run, all below `root` (the repository's `.lab` unless told otherwise)."""

    def __init__(self, root: Path = REPOSITORY / ".lab") -> None:
        self.root = root.resolve()

    @property
    def hosts(self) -> Path:
        """One folder a host: its overlay and its console's log."""
        return self.root / "hosts"

    @property
    def ssh(self) -> Path:
        """Keys, known hosts, the client's configuration, the agent's socket."""
        return self.root / "ssh"

    @property
    def logs(self) -> Path:
        """What the processes that the lab started have written."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """One file for each process that the lab started."""
        return self.root / "processes"

    @property
    def image(self) -> Path:
        """A link to the root that the hosts are overlays of."""
        return self.root / "image"

    @property
    def fleet(self) -> Path:
        """What fleet it is, as data."""
        return self.root / "fleet.json"

    @property
    def made_by(self) -> Path:
        """Who booted this lab, in a word; there as long as the lab is up or has not been taken down."""
        return self.root / "made-by"


def call(
    *argv: str | Path,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> str:
    """What the program prints. Raises LabError, with what it said on standard error, when it fails, is not there, or
    has not ended after `seconds`; then it is killed."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"`{' '.join(words)}` was expected to end within {seconds:.0f} s, and did not.") from late
    except FileNotFoundError as missing:
        raise LabError(
            f"The program {words[0]} is needed and is not there: run `python -m rehearsal.lab packages`."
        ) from missing
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or "nothing"
        raise LabError(f"`{' '.join(words)}` was expected to succeed; it ended with {done.returncode} and said: {said}")
    return done.stdout
