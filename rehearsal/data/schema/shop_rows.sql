-- Rows of shop. Wants the psql variable `rows`: the number of customers, which everything else follows.
SET synchronous_commit = off;
SET ROLE app_owner;

INSERT INTO customer (name, email, home, wishes, since)
SELECT 'Customer ' || md5(n::text), 'c' || n || '@Example.com', ROW(n || ' High Street', 'Town ' || n % 97, lpad(n::text, 6, '0'))::address,
       hstore(ARRAY['colour', 'size'], ARRAY[(ARRAY['red', 'green', 'blue'])[n % 3 + 1], (n % 9)::text]),
       date '2020-01-01' + n % 1800
FROM generate_series(1, :rows) n;

-- Some 4 kB of text that does not compress, in every tenth product.
INSERT INTO product (name, price, description, tags)
SELECT 'Product ' || n, 1 + n % 500, CASE WHEN n % 10 = 0 THEN long.words ELSE 'A plain product' END,
       ARRAY['tag' || n % 7, 'tag' || n % 11]
FROM generate_series(1, greatest(:rows / 10, 50)) n,
     LATERAL (SELECT string_agg(md5(n || ' ' || i), ' ') AS words FROM generate_series(1, 125) i) long;
INSERT INTO stock SELECT id, 1000000 FROM product;

INSERT INTO orders (placed, customer_id, state)
SELECT timestamptz '2023-07-01 UTC' + interval '37 minutes' * (n % 50000), 1 + n % :rows, 'sent'
FROM generate_series(1, 2 * :rows) n;
INSERT INTO order_line
SELECT o.id, o.placed, p.id, 1 + o.id % 3, p.price
FROM orders o CROSS JOIN generate_series(0, 1) line
     JOIN product p ON p.id = 1 + (o.id + 7 * line) % greatest(:rows / 10, 50);
INSERT INTO payment (method, order_id, placed, amount)
SELECT (ARRAY['card', 'transfer', 'invoice'])[id % 3 + 1], id, placed, total FROM order_total;

INSERT INTO basket SELECT gen_random_uuid(), jsonb_build_object('product', n) FROM generate_series(1, 100) n;
INSERT INTO stock_change (what) SELECT json_build_object('product', n, 'from', 0, 'to', 1000000) FROM generate_series(1, 50) n;

-- Documents from 30 bytes to 60 kB: some span many pages of pg_largeobject.
SELECT count(keep_document(md5(n::text)::uuid, convert_to(repeat(md5(n::text) || ' ', 1 + (n * n) % 1800), 'UTF8')))
FROM generate_series(1, 60) n;

REFRESH MATERIALIZED VIEW sales_by_month;
RESET ROLE;
ANALYZE;
