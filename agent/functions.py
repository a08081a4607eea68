"""The functions of the schema pgleap: what each database server shows the other over the role pgleap, and nobody else.

They are made on the old primary in `prepare`, before any fence; DB_A has them from its base backup.
"""

from __future__ import annotations

import hashlib
from typing import Any, List, Mapping, Sequence

from agent import coverage, short_locks
from agent.client_rules import READER, REHEARSAL
from agent.journal import JOURNAL_FILE
from agent.postgres import Postgres

# Databases looked at side by side.
AT_ONCE = 4
_AS_OWNER = "STABLE SECURITY DEFINER SET search_path = pg_catalog"


# Where a running value comes from that the whole server has. (An override is PostgreSQL's own reckoning, such as wal_buffers of -1.)
_OF_ALL = "('configuration file', 'command line', 'environment variable')"
# Where one comes from that only the session has that asks.
_OF_THIS_SESSION = "('client', 'session', 'database', 'user', 'database user', 'global')"


def _configuration(schema: str) -> str:
    """What a server shows of its configuration: the settings it runs with, also those that its files have otherwise by now; its rules, as bytes (a comment
    need not be in UTF-8), and which of its files were edited after it had read them (times of files are in whole seconds).

    What the asking session has otherwise, and settings with a dot that no loaded library defines, which pg_settings does not show, are
    as the files have them.
    """
    return f"""
CREATE OR REPLACE FUNCTION {schema}.settings(OUT name text, OUT setting text, OUT by_alter_system boolean) RETURNS SETOF record
  LANGUAGE sql {_AS_OWNER}
  AS $$ SELECT s.name, current_setting(s.name), coalesce(s.sourcefile LIKE '%/postgresql.auto.conf', false)
    FROM pg_settings s WHERE s.source IN {_OF_ALL}
      AND (s.name, s.source) IS DISTINCT FROM ('max_stack_depth', 'environment variable')
    UNION ALL (SELECT DISTINCT ON (lower(f.name)) coalesce(s.name, f.name), f.setting, f.sourcefile LIKE '%/postgresql.auto.conf'
      FROM pg_file_settings f LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name)
      WHERE f.applied AND (s.name IS NULL OR s.source IN {_OF_THIS_SESSION}) ORDER BY lower(f.name), f.seqno DESC) $$;
DROP FUNCTION IF EXISTS {schema}.rules();
CREATE FUNCTION {schema}.rules(OUT hba text, OUT ident text, OUT edited text[]) LANGUAGE sql {_AS_OWNER}
  AS $$ SELECT encode(pg_read_binary_file(current_setting('hba_file')), 'base64'),
    encode(pg_read_binary_file(current_setting('ident_file')), 'base64'),
    array(SELECT one FROM (VALUES (current_setting('hba_file')), (current_setting('ident_file'))) f (one)
      WHERE pg_conf_load_time() < (SELECT greatest(modification, change) FROM pg_stat_file(one))) $$;
"""


# In the database postgres: what a server tells of itself.
_OF_THE_SERVER = f"""
CREATE OR REPLACE FUNCTION pgleap.journal() RETURNS text LANGUAGE sql {_AS_OWNER}
  AS $$ SELECT pg_read_file('{JOURNAL_FILE}') $$;""" + _configuration("pgleap")
# In every database: what it holds, for the way back after cutover. Values in a text form that two versions write alike, names as values:
# JSON lists of schema and name. A whole row is `one.*`; `one` alone would be a column of that name, where there is one.
_OF_A_DATABASE = f"""
CREATE OR REPLACE FUNCTION pgleap.contents(tables json, wholly boolean, OUT schema text, OUT name text, OUT rows bigint, OUT digest text)
  RETURNS SETOF record LANGUAGE plpgsql {_AS_OWNER} SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
  SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1
  AS $$ BEGIN
    FOR schema, name IN SELECT t ->> 0, t ->> 1 FROM json_array_elements(tables) t LOOP
      EXECUTE format(CASE WHEN wholly
        THEN 'SELECT count(*), coalesce(sum((''x'' || left(md5((one.*)::text), 16))::bit(64)::bigint::numeric), 0)::text FROM ONLY %I.%I AS one'
        ELSE 'SELECT count(*), text '''' FROM ONLY %I.%I AS one' END, schema, name) INTO rows, digest;
      RETURN NEXT;
    END LOOP;
  END $$;
CREATE OR REPLACE FUNCTION pgleap.sequences(wanted json, OUT schema text, OUT name text, OUT last bigint, OUT called boolean)
  RETURNS SETOF record LANGUAGE plpgsql {_AS_OWNER}
  AS $$ BEGIN
    FOR schema, name IN SELECT s ->> 0, s ->> 1 FROM json_array_elements(wanted) s LOOP
      BEGIN
        EXECUTE format('SELECT last_value, is_called FROM %I.%I', schema, name) INTO last, called;
        RETURN NEXT;
      EXCEPTION WHEN undefined_table THEN NULL; -- dropped meanwhile
      END;
    END LOOP;
  END $$;
-- It runs as whoever calls it: the other side, which may call it, may set nothing.
CREATE OR REPLACE FUNCTION pgleap.set_sequences(wanted json, OUT schema text, OUT name text, OUT was_set boolean, OUT problem text)
  RETURNS SETOF record LANGUAGE plpgsql SET search_path = pg_catalog
  AS $$ DECLARE at bigint; given boolean; one json; BEGIN
    FOR one IN SELECT s FROM json_array_elements(wanted) s LOOP
      schema := one ->> 0; name := one ->> 1; was_set := false; problem := NULL;
      BEGIN
        EXECUTE format('SELECT last_value, is_called FROM %I.%I', schema, name) INTO at, given;
        IF (at, given) IS DISTINCT FROM ((one ->> 2)::bigint, (one ->> 3)::boolean) THEN
          PERFORM setval(format('%I.%I', schema, name)::regclass, (one ->> 2)::bigint, (one ->> 3)::boolean);
          was_set := true;
        END IF;
      EXCEPTION WHEN OTHERS THEN problem := SQLERRM;
      END;
      RETURN NEXT;
    END LOOP;
  END $$;
"""


def _grants(role: str) -> str:
    """Of the schema of the role's own name."""
    return f"""
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {role} FROM PUBLIC;
GRANT USAGE ON SCHEMA {role} TO {role};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {role} TO {role};
DO $$ BEGIN
  IF NOT has_database_privilege('{role}', current_database(), 'CONNECT') THEN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {role}', current_database());
  END IF;
END $$;
"""


def _take_away(role: str) -> str:
    return f"""
DROP SCHEMA IF EXISTS {role} CASCADE;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_database d, aclexplode(d.datacl) a
      WHERE d.datname = current_database() AND a.grantee = to_regrole('{role}')) THEN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM {role}', current_database());
  END IF;
END $$;
"""


_GRANTS = _grants(READER)
MARK = f"pgleap {hashlib.sha256((_OF_A_DATABASE + _OF_THE_SERVER + _GRANTS).encode()).hexdigest()[:12]}"
REHEARSAL_MARK = f"pgleap {hashlib.sha256((_configuration(REHEARSAL) + _grants(REHEARSAL)).encode()).hexdigest()[:12]}"


# What `if_whole` prints where they are not.
WITHOUT = "pgleap has no functions here"


# Asked in a database.
MARKED = "SELECT obj_description(oid, 'pg_namespace') AS mark FROM pg_namespace WHERE nspname = 'pgleap'"


def if_whole(script: str) -> str:
    """psql's script, run only where they are as they are to be; else it prints WITHOUT. Pure."""
    return (
        f"SELECT obj_description(to_regnamespace('pgleap'), 'pg_namespace') IS NOT DISTINCT FROM '{MARK}' AS whole \\gset\n"
        f"\\if :whole\n{script}\\else\n\\echo {WITHOUT}\n\\endif\n"
    )


def are_whole(marks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether they are there as they are to be, by what MARKED found."""
    return bool(marks) and marks[0]["mark"] == MARK


def missing(postgres: Postgres, databases: Sequence[str]) -> List[str]:
    """Those of `databases` in which they are not there as they are to be."""
    there = postgres.server.side_by_side(lambda one: are_whole(postgres.rows(MARKED, one)), databases, AT_ONCE)
    return [database for database, found in zip(databases, there) if not found]


def make(postgres: Postgres, database: str) -> None:
    """Make them in a database, all or none."""
    of_the_server = _OF_THE_SERVER if database == "postgres" else ""
    short_locks.execute(
        postgres,
        f"BEGIN; CREATE SCHEMA IF NOT EXISTS pgleap; {_OF_A_DATABASE} {of_the_server} {_GRANTS}"
        f" COMMENT ON SCHEMA pgleap IS '{MARK}'; COMMIT;",
        database,
        writing=True,  # a database of the fleet's may be read-only unless somebody says that he means to write
    )


def drop(postgres: Postgres) -> None:
    """Take them away from every database."""
    for database in coverage.databases(postgres):
        short_locks.execute(postgres, _take_away(READER), database, writing=True)


def make_for_rehearsal(postgres: Postgres) -> None:
    """What a rehearsal's copy is configured by, for the rehearsal's role, in the database postgres alone."""
    short_locks.execute(
        postgres,
        f"BEGIN; CREATE SCHEMA IF NOT EXISTS {REHEARSAL}; {_configuration(REHEARSAL)} {_grants(REHEARSAL)}"
        f" COMMENT ON SCHEMA {REHEARSAL} IS '{REHEARSAL_MARK}'; COMMIT;",
        writing=True,
    )


def are_there_for_rehearsal(postgres: Postgres) -> bool:
    """Whether they stand as they are to be."""
    found = postgres.rows(
        f"SELECT obj_description(oid, 'pg_namespace') AS mark FROM pg_namespace WHERE nspname = '{REHEARSAL}'"
    )
    return bool(found) and found[0]["mark"] == REHEARSAL_MARK


def drop_for_rehearsal(postgres: Postgres) -> None:
    """Take them away again, and what the role may."""
    short_locks.execute(postgres, _take_away(REHEARSAL), writing=True)
