"""What pgleap's own sessions are set to, whatever the fleet sets for everybody, for a database or for a role. Pure.

What libpq sends in PGOPTIONS wins over postgresql.conf, ALTER DATABASE and ALTER ROLE (guc.h, GucSource), and is in force before
anything of the session runs: event triggers on login, libraries preloaded, queries. A name that a version does not know ends the connection.
"""

from __future__ import annotations

from typing import Dict, Mapping

# Of every session, whoever it is and to whatever version. A fleet's own limits end nothing of pgleap's; a schema before pg_catalog
# in search_path answers no question in its place; values are written as they are read here; and a database whose transactions are
# serializable can be asked while it is a standby ("cannot use serializable mode in a hot standby"). Compiling a question of catalogs
# takes longer than its answer (6.4 of 6.8 s, measured on 1,200 tables).
OF_ALL: Mapping[str, str] = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
    "role": "none",
    "search_path": "pg_catalog",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "bytea_output": "hex",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "client_min_messages": "notice",
}
_TRANSACTIONS = ("default_transaction_isolation", "default_transaction_deferrable")
# Of a superuser's, by the first version that knows them. A library preloaded by session may write at each login, or forbid statements.
_OF_A_SUPERUSER: Mapping[str, str] = {"session_preload_libraries": ""}
_LIMITS_SINCE: Mapping[str, int] = {"idle_session_timeout": 14, "transaction_timeout": 17}
# The first version in which a session can say that no event trigger fires in it (PostgreSQL documentation, event_triggers).
EVENT_TRIGGERS_OFF_SINCE = 17


def options(settings: Mapping[str, str]) -> str:
    """Settings as PGOPTIONS has them: a blank or backslash within one is escaped (pg_split_opts). Pure."""
    escaped = {name: value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in settings.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())


def limits(version: int) -> Dict[str, str]:
    """The limits that only some versions know, taken away. Pure."""
    return {name: "0" for name, since in _LIMITS_SINCE.items() if version >= since}


def superusers(version: int) -> Dict[str, str]:
    """Those of a superuser's session of pgleap's on a server of this version: no event trigger of the fleet fires in it.

    Before 17 only ordinary ones can be kept from it, by the replication role; of triggers on tables, which that keeps from firing too,
    pgleap's statements would fire none. `preflight` refuses the other ones (agent.checks.company). Pure.
    """
    off = {"event_triggers": "off"} if version >= EVENT_TRIGGERS_OFF_SINCE else {"session_replication_role": "replica"}
    return {**OF_ALL, **limits(version), **_OF_A_SUPERUSER, **off}


def onlookers(version: int) -> Dict[str, str]:
    """Those of a superuser's session that looks at what the fleet sets: the libraries are seen as they are set. Pure."""
    return {name: value for name, value in superusers(version).items() if name not in _OF_A_SUPERUSER}


def pg_upgrades(old_version: int) -> Dict[str, str]:
    """Those of pg_upgrade's sessions and its programs', which go to the old cluster and to the new one, and set for themselves how they
    write values. Only a version's own event triggers can fire at their logins. Pure."""
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "role", *_TRANSACTIONS)
    off = {"event_triggers": "off"} if old_version >= EVENT_TRIGGERS_OFF_SINCE else {}
    return {**{name: OF_ALL[name] for name in names}, **limits(old_version), **off}


def of_a_role(version: int) -> Dict[str, str]:
    """What a role's own sessions do not set, for they do not know the version or are no superuser's, or a walsender's: set for the role. Pure."""
    off = {"event_triggers": "off"} if version >= EVENT_TRIGGERS_OFF_SINCE else {}
    return {**limits(version), **off}


def for_role(role: str, version: int) -> str:
    """The statements that set them, "" if there is nothing to set. Pure."""
    return "".join(f"ALTER ROLE {role} SET {name} = {value};\n" for name, value in of_a_role(version).items())
