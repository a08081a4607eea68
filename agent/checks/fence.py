"""What would get past the seal, or keep the fence from being proved."""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight
from agent.checks.wording import few

# As agent.seal.refuse_other_writers has it.
NEAR = 0.95


def _read_only_settings(sight: Sight) -> List[str]:
    # On in a role's own setting agrees with the seal.
    rows = sight.rows(
        "SELECT coalesce(r.rolname, '') AS role, coalesce(d.datname, '') AS database, c.setting FROM pg_db_role_setting s"
        " LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase"
        " CROSS JOIN LATERAL unnest(s.setconfig) c(setting)"
        " WHERE c.setting ~* '^(default_)?transaction_read_only=' AND c.setting !~* '=(on|true|yes|1)$' ORDER BY 1, 2"
    )
    found = []
    for row in rows:
        who = " in ".join(
            part
            for part in (
                f"the role {row['role']}" if row["role"] else "",
                f"the database {row['database']}" if row["database"] else "",
            )
            if part
        )
        found.append(f"{who or 'everybody'} has {row['setting']}")
    return few(found)


def _freeze_age(sight: Sight) -> List[str]:
    rows = sight.rows(
        "SELECT datname, what, age, most FROM (SELECT datname, 'transaction ids' AS what, age(datfrozenxid)::bigint AS age,"
        " current_setting('autovacuum_freeze_max_age')::bigint AS most FROM pg_database"
        " UNION ALL SELECT datname, 'multixacts', mxid_age(datminmxid), current_setting('autovacuum_multixact_freeze_max_age')::bigint"
        f" FROM pg_database) a WHERE age > {NEAR} * most ORDER BY 1, 2"
    )
    return few(
        [f"{row['datname']} is {row['age']} {row['what']} old, autovacuum starts at {row['most']}" for row in rows]
    )


CHECKS = (
    Check(
        name=CheckName.READ_ONLY_SETTINGS,
        severity=Severity.WARN,
        sides=(Side.OLD_PRIMARY,),
        why="it wins over the seal's default_transaction_read_only, so these sessions write until they are ended, without the clear error",
        do="ALTER ROLE <role> [IN DATABASE <database>] RESET default_transaction_read_only, or ALTER DATABASE ... RESET",
        look=_read_only_settings,
    ),
    Check(
        name=CheckName.FREEZE_AGE,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="past that age autovacuum starts though it is switched off, and takes transaction ids: the fence would move",
        do="vacuumdb --freeze <database>, in a quiet hour before the window; for template0 ALTER DATABASE template0 ALLOW_CONNECTIONS true"
        " before, and false after",
        look=_freeze_age,
    ),
)
