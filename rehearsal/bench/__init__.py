"""What pgleap's parts cost beside other ways of doing the same: measured here, told in docs/performance.md."""
