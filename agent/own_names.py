"""What pgleap makes inside PostgreSQL, by name: known without loading what makes it."""

from __future__ import annotations

# The reverse stream's, in each database of DB_A.
PUBLICATION = "pgleap_back"
# The old primary's for DB_A, while that is its standby.
SLOT = "pgleap_db_a"
