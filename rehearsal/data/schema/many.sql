-- As many further tables as wanted, in any database. Wants the psql variable `extra_tables`.
SET client_min_messages = warning;
SET synchronous_commit = off;
CREATE SCHEMA many AUTHORIZATION app_owner;
SET ROLE app_owner;

-- Each in a transaction of its own: thousands of tables would not fit the lock table at once.
SELECT format('CREATE TABLE many.t%s (id bigserial PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL DEFAULT now());'
              'INSERT INTO many.t%1$s (name) SELECT %L || n FROM generate_series(1, 20) n', n, 'row ')
FROM generate_series(1, :extra_tables) n \gexec

GRANT USAGE ON SCHEMA many TO app_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA many TO app_reader;
