-- As many large objects as wanted, beside those that clients write. Wants the psql variable `large_objects`.
SET client_min_messages = warning;
SET synchronous_commit = off;
SET ROLE app_owner;
-- A thousand in a transaction: each is an entry in the lock table until it ends.
SELECT format('SELECT count(lo_from_bytea(0, convert_to(%L || n, %L))) FROM generate_series(%s, %s) n',
              'kept for the rehearsal, number ', 'UTF8', first, least(first + 999, :large_objects))
FROM generate_series(1, :large_objects, 1000) first \gexec
