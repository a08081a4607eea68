"""A rehearsal on the real thing, from its base backup to its end: docs/rehearsal-on-the-real-thing.md."""
