"""What is told of a schema trial's errors, from the programs' own words."""

from __future__ import annotations

from agent import trial_errors

HASH = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"


def test_a_roles_password_is_in_no_finding() -> None:
    """A finding goes into a step's output and so into the engine's state, where no hash is to be. Extensions that look at passwords refuse hashes."""
    name = "o'brien"
    text = f"""CREATE ROLE "{name}";\nALTER ROLE "{name}" WITH NOSUPERUSER LOGIN PASSWORD '{HASH}' VALID UNTIL 'infinity';\n"""
    (found,) = trial_errors.of_globals("psql:/w/globals.sql:2: ERROR:  password type is not a plain text\n", text)
    assert found.startswith(
        f"""ALTER ROLE "{name}" WITH NOSUPERUSER LOGIN PASSWORD ... VALID UNTIL 'infinity';: ERROR:"""
    )
    assert "SCRAM" not in found
