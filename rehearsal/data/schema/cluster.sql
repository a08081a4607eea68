-- Roles, the tablespace and the databases. Wants the psql variable `tablespace`: a folder that the server may write to.
SET client_min_messages = warning;
SET password_encryption = 'scram-sha-256';

-- The passwords stand in rehearsal/traffic/pgpass as well; they guard nothing but the lab.
CREATE ROLE app_owner NOLOGIN;
CREATE ROLE app_reader LOGIN PASSWORD 'the-reader-of-the-lab';
CREATE ROLE app_writer LOGIN PASSWORD 'the-writer-of-the-lab' CONNECTION LIMIT 1000;
COMMENT ON ROLE app_writer IS 'writes everywhere, owns nothing';

-- A setting of its own, as roles in real life have them.
ALTER ROLE app_reader SET statement_timeout = '15s';

CREATE TABLESPACE archive OWNER app_owner LOCATION :'tablespace';

CREATE DATABASE shop OWNER app_owner TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8';
CREATE DATABASE forum OWNER app_owner;
CREATE DATABASE metrics OWNER app_owner;
CREATE DATABASE bench;
COMMENT ON DATABASE shop IS 'orders, stock and documents';

-- A role's own setting wins over the server's: whoever thinks that default_transaction_read_only stops writes
-- has not thought of this role.
ALTER ROLE app_writer IN DATABASE metrics SET default_transaction_read_only = off;
ALTER DATABASE forum SET default_text_search_config = 'pg_catalog.english';
