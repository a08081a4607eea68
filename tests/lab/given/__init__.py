"""A fleet that a rehearsal was given, in a lab of its own."""
