-- The ledger: in every database that clients write to. A client makes the id before it begins and inserts it in the
-- same transaction as its real changes, so that each acknowledged write can be looked up afterwards.
SET client_min_messages = warning;
GRANT CREATE ON SCHEMA public TO app_owner;
SET ROLE app_owner;
CREATE TABLE public.ledger (
    id uuid PRIMARY KEY,
    client text NOT NULL,
    made bigint NOT NULL,
    entered timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE public.ledger IS 'one row for each write that a client began, if it was committed';
COMMENT ON COLUMN public.ledger.made IS 'the order, post or alarm that the same transaction made';
GRANT SELECT ON public.ledger TO app_reader;
GRANT SELECT, INSERT ON public.ledger TO app_writer;
