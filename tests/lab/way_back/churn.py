"""What the traffic does not do: every kind of table and statement that a stream back has to carry, in databases of their own."""

from __future__ import annotations

from rehearsal.data.fill import Psql

DATABASE = "churn"
SCHEMA = """
CREATE TABLE keyed (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, twice bigint GENERATED ALWAYS AS (length(v) * 2) STORED);
CREATE TABLE keyless (v int, w numeric(12, 2), at timestamptz DEFAULT now());
CREATE TABLE serial_key (id serial PRIMARY KEY, content text);
ALTER TABLE serial_key ALTER content SET STORAGE EXTERNAL;
CREATE TABLE parted (id bigint, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parted_2024 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
CREATE TABLE "Emptied Often" (id int PRIMARY KEY, v text);
CREATE TABLE uncovered (what json);
CREATE SEQUENCE tickets INCREMENT BY -3 START WITH -3;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS rows, coalesce(sum(twice), 0) AS twice FROM keyed;
"""
# One round of all kinds of writes; a psql variable `n` says which.
ROUND = """
BEGIN;
INSERT INTO keyed (v) SELECT repeat('x', (random() * 50)::int) FROM generate_series(1, 5);
UPDATE keyed SET v = v || 'y' WHERE id % 7 = :n % 7;
DELETE FROM keyed WHERE id % 11 = :n % 11 AND id < (SELECT max(id) FROM keyed) - 20;
INSERT INTO keyless (v, w) SELECT :n, random() * 1000 FROM generate_series(1, 3);
UPDATE keyless SET w = w + 1 WHERE v % 5 = :n % 5;
DELETE FROM keyless WHERE v < :n - 20;
INSERT INTO serial_key (content) SELECT string_agg(md5(g::text || :n::text), '') FROM generate_series(1, 200) g;
UPDATE serial_key SET id = id WHERE id = (SELECT min(id) FROM serial_key);
INSERT INTO parted SELECT :n * 10 + g, date '2024-12-30' + g, 'row' FROM generate_series(1, 4) g;
UPDATE parted SET day = day + 300 WHERE id = :n * 10 + 1;
COMMIT;
SELECT nextval('tickets');
TRUNCATE "Emptied Often";
INSERT INTO "Emptied Often" SELECT g, 'kept' FROM generate_series(1, 1 + :n % 5) g;
"""


def make(psql: Psql) -> None:
    """The database with its tables."""
    psql("postgres", f"CREATE DATABASE {DATABASE};")
    psql(DATABASE, SCHEMA)


def write(psql: Psql, number: int) -> None:
    """One round of writes."""
    psql(DATABASE, f"\\set n {number}\n{ROUND}")
