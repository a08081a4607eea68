"""Which real plugins are there: where one is, it is used instead of its stand-in."""

import os
import shutil
from pathlib import Path


def command_plugin(home: Path) -> Path | None:
    """The folder of the real `command` plugin 1.x in `home` (PULUMI_HOME), if it is installed."""
    for folder in sorted((home / "plugins").glob("resource-command-v1.*")):
        if (
            os.access(folder / "pulumi-resource-command", os.X_OK)
            and not folder.with_name(folder.name + ".partial").exists()
        ):
            return folder
    return None


def language_host(engine: Path) -> Path | None:
    """The real Python language host, beside the engine in the folder `engine` or on PATH, if there is one."""
    path = os.pathsep.join([str(engine), os.environ.get("PATH", "")])
    found = shutil.which("pulumi-language-python", path=path)
    return None if found is None else Path(found)


def pulumi_home() -> Path:
    """The folder that the engine keeps its plugins in: PULUMI_HOME, else `.pulumi` in the home folder."""
    named = os.environ.get("PULUMI_HOME")
    return Path(named) if named else Path.home() / ".pulumi"
