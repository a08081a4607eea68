"""Which of the fleet's settings the new version takes, by its own binary; and what changes for a fleet that never set it."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Tuple

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.cluster import Cluster
from agent.configuration import ALWAYS_OURS, OF_THE_SEAL, OF_THE_SERVER

# Defaults that changed, which no binary tells without a cluster (--describe-config prints a number's default as 0): in which
# version, from what, to what (release notes, "Migration" and "Changes").
DEFAULTS: Tuple[Tuple[int, str, str, str], ...] = (
    (14, "password_encryption", "md5", "scram-sha-256"),
    (14, "checkpoint_completion_target", "0.5", "0.9"),
    (14, "vacuum_cost_page_miss", "10", "2"),
    (15, "hash_mem_multiplier", "1", "2"),
    (15, "log_checkpoints", "off", "on"),
    (15, "log_autovacuum_min_duration", "-1 (nothing)", "10min"),
    (17, "vacuum_buffer_usage_limit", "256kB", "2MB"),
    (18, "effective_io_concurrency", "1", "16"),
    (18, "maintenance_io_concurrency", "10", "16"),
)
OURS = OF_THE_SERVER | set(ALWAYS_OURS) | OF_THE_SEAL
# What a refusal of the binary names, in single quotes or double ones.
REFUSED = re.compile(r"FATAL: +(.*(?:parameter|option) \"([^\"]+)\".*)")


class Described(NamedTuple):
    """A line of --describe-config: a setting's type, and its least and greatest value."""

    type: str
    least: str
    most: str


def described(sight: Sight, cluster: Cluster) -> Dict[str, Described]:
    """Every setting that the binary lists; developer options are not among them. Raises Unseen."""
    if not sight.is_installed(cluster):
        raise Unseen(f"PostgreSQL {cluster.version} is not installed here: {cluster.bin}")
    lines = sight.program(cluster.program("postgres"), "--describe-config").stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    return {each[0]: Described(each[3], each[5], each[6]) for each in fields if len(each) > 6}


def configured(sight: Sight) -> Dict[str, str]:
    """The settings of the fleet's own configuration, as a person would write them; pgleap's and the server's own are not among them."""
    rows = sight.rows(
        "SELECT name, current_setting(name) AS value FROM pg_settings WHERE source IN ('configuration file', 'command line')"
    )
    return {row["name"]: row["value"] for row in rows if row["name"] not in OURS}


def _taken(sight: Sight, settings: Dict[str, str]) -> Dict[str, str]:
    """Setting -> what the new binary says against its value, or that it knows none of that name. It reads no cluster."""
    # From lc_messages on the binary would complain in that language, so it comes last.
    left = {name: settings[name] for name in sorted(settings, key=lambda name: name == "lc_messages")}
    wrong: Dict[str, str] = {}
    while left:
        given = [part for name, value in left.items() for part in ("-c", f"{name}={value}")]
        program = sight.new.program("postgres")
        asked = sight.program(program, "-C", "port", "-D", "/", "-c", "config_file=/dev/null", *given)
        if asked.returncode == 0:
            return wrong
        # It ends at the first one.
        said = REFUSED.search(asked.stderr)
        if said is None or said.group(2) not in left:
            raise Unseen(f"{program} says: {' '.join(asked.stderr.split())[:300]}")
        wrong[said.group(2)] = said.group(1)
        del left[said.group(2)]
    return wrong


def _refusals(sight: Sight) -> Dict[str, str]:
    described(sight, sight.new)  # or say that it is not installed
    # Of an extension's settings the binary knows nothing before it loads the extension.
    return _taken(sight, {name: value for name, value in configured(sight).items() if "." not in name})


def _gone(sight: Sight) -> List[str]:
    values = configured(sight)
    return few(
        [f"{name} (now {values[name]!r})" for name, said in _refusals(sight).items() if said.startswith("unrecognized")]
    )


def _refused(sight: Sight) -> List[str]:
    return few([said for said in _refusals(sight).values() if not said.startswith("unrecognized")])


def _changed(sight: Sight) -> List[str]:
    old, new = described(sight, sight.old), described(sight, sight.new)
    values = configured(sight)
    found = []
    for name, value in values.items():
        if name in old and name in new and old[name] != new[name]:
            found.append(f"{name}, {value!r} here: {_range(old[name])} before, {_range(new[name])} after")
    for version, name, before, after in DEFAULTS:
        if sight.old.version < version <= sight.new.version and name in old and name not in values:
            found.append(f"{name} is not set: its default {before} becomes {after}")
    return few(found)


def _range(one: Described) -> str:
    return f"{one.type.lower()} from {one.least} to {one.most}" if one.most else one.type.lower()


CHECKS = (
    Check(
        name=CheckName.SETTINGS_GONE,
        severity=Severity.NOTE,
        sides=(Side.TARGET,),
        why="pgleap leaves them out on DB_A, and what they did ends with the upgrade",
        do="read in the release notes what takes their place, and take them out of what manages the configuration: with one of"
        " them the new version does not start",
        look=_gone,
    ),
    Check(
        name=CheckName.SETTINGS_REFUSED,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="the new version does not start with a value that it does not take",
        do="set a value that both versions take, on the old primary: ALTER SYSTEM SET <name> = <value>, or its file, then a reload",
        look=_refused,
    ),
    Check(
        name=CheckName.SETTINGS_CHANGED,
        severity=Severity.NOTE,
        sides=(Side.TARGET,),
        why="the same configuration behaves otherwise in the new version",
        do="set what must stay as it is, before prepare",
        look=_changed,
    ),
)
