"""What the schema trial of DB_A came to (agent.trial), which `prepare` makes, and the way to readonly again where the catalog changed."""

from __future__ import annotations

from typing import List

from agent import trial, trial_mark
from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.upgrade_target import must_be_standby
from agent.checks.wording import few
from agent.postgres import Postgres


def _tried(sight: Sight) -> List[str]:
    must_be_standby(sight)
    record = trial.last(sight.whole_server)
    if record is None:
        raise Unseen("the schema was not tried yet: `prepare` does it once DB_A is a standby")
    if record["found"]:
        return few(record["found"])
    # Not by a session of the look's own: with another search_path the same catalog is written otherwise.
    as_the_agent = Postgres(sight.whole_server, sight.cluster, sight.desired["address"])
    now = trial_mark.take(as_the_agent, sight.whole_server, sight.new, jobs=1)
    if now.text != record["mark"]:
        raise Unseen(
            "definitions, or what DB_A has installed, changed since the schema was tried: it is tried again on the way to readonly, before"
            " anything is refused"
        )
    return []


CHECKS = (
    Check(
        name=CheckName.SCHEMA_TRIAL,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="pg_upgrade restores these definitions in the window, and would stop there as the trial did; its --check restores nothing",
        do="mend each on the old primary, where it does not say otherwise; then have it tried again, in prepare:"
        " `pulumi config set round <one higher> && pulumi up`",
        look=_tried,
        long=True,
    ),
)
