"""What runs on the servers: one small program of the standard library, Python 3.9 and up."""
