"""The lab's data: the SQL of its schema, filling a server with it, comparing two servers' contents."""
