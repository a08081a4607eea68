-- metrics: partitions of partitions, arrays and floats. Wants the psql variable `rows`.
SET client_min_messages = warning;
SET synchronous_commit = off;
SET ROLE app_owner;

CREATE TABLE sensor (id smallint PRIMARY KEY, place point NOT NULL, limits numrange NOT NULL, labels jsonb NOT NULL);
CREATE TABLE sample (
    sensor_id smallint NOT NULL REFERENCES sensor,
    taken timestamptz NOT NULL,
    value double precision NOT NULL,
    readings real[] NOT NULL
) PARTITION BY RANGE (taken);
CREATE TABLE sample_2024 PARTITION OF sample FOR VALUES FROM ('2024-01-01 UTC') TO ('2025-01-01 UTC')
    PARTITION BY HASH (sensor_id);
CREATE TABLE sample_2024_even PARTITION OF sample_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0) TABLESPACE archive;
CREATE TABLE sample_2024_odd PARTITION OF sample_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE sample_other PARTITION OF sample DEFAULT;
CREATE INDEX sample_taken ON sample USING brin (taken);

-- A cyclic, descending sequence: its values fall.
CREATE SEQUENCE countdown INCREMENT -2 MINVALUE -1000000 MAXVALUE 1000000 START 1000000 CYCLE;
-- Never used: it has no last value.
CREATE SEQUENCE idle;
CREATE TABLE alarm (
    id integer PRIMARY KEY DEFAULT nextval('countdown'),
    sensor_id smallint NOT NULL REFERENCES sensor,
    raised timestamptz NOT NULL DEFAULT now()
);
CREATE VIEW ledger_entry AS
    SELECT l.id, EXISTS (SELECT FROM alarm a WHERE a.id = l.made) AS whole FROM ledger l;

INSERT INTO sensor
SELECT n, point(n, n / 7.0), numrange(n, n + 10), jsonb_build_object('room', n % 5, 'tags', jsonb_build_array('a', n))
FROM generate_series(1, 40) n;
INSERT INTO sample
SELECT 1 + n % 40, timestamptz '2024-03-01 UTC' + interval '13 minutes' * (n % 40000), sqrt(n), ARRAY[n / 3.0, 'NaN', 'Infinity']::real[]
FROM generate_series(1, 2 * :rows) n;
INSERT INTO alarm (sensor_id) SELECT 1 + n % 40 FROM generate_series(1, 20) n;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO app_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO app_writer;
GRANT INSERT ON sample, alarm TO app_writer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_writer;
