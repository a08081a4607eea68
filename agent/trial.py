"""The schema trial: all that pg_upgrade will restore is restored on DB_A ahead of the window, into a cluster that is thrown away.

`pg_upgrade --check` restores nothing, so what cannot be restored was found out with writes refused. The new version's programs dump the
old version's standby as it streams, and restore that as pg_upgrade does (trial_programs), which is also most of its time in the window.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from agent import new_cluster, pg_upgrade, trial_cluster, trial_errors, trial_mark, trial_programs
from agent.cluster import OS_USER, SOCKET_FOLDER, Cluster
from agent.postgres import Postgres
from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Completed, Server
from agent.trial_cluster import TrialCluster
from agent.trial_mark import Mark

# The last trial: what it rests on (`mark`), what it `found`, sentences, and what it took.
RECORD = f"{STATE_FOLDER}/schema-trial.json"
# A dump from a standby is cancelled where the replay of somebody's DDL cannot wait (max_standby_streaming_delay). It is made again.
CONFLICT = "conflict with recovery"
# It looks for what there is, and locks that a moment later: a table that was dropped between ends the dump. What is broken is so each time.
DROPPED = re.compile(r"does not exist|could not open relation|cache lookup failed")
DUMPS = 3
AGAIN_SECONDS = 1.0
MOST_KEPT, MOST_TOLD = 200, 20


class _Late(Exception):
    """The deadline is over."""


def hold(server: Server, old: Postgres, new: Cluster, jobs: int, seconds: float) -> Facts:
    """Try it, unless it went well before and nothing changed since: what it took. `jobs`: databases side by side; `seconds`: its deadline,
    limits.upgradeSeconds, for what takes longer pg_upgrade would not end in time either. Raises Refusal over what cannot be restored."""
    with server.only_one("schema-trial", patience=seconds):
        trial_cluster.clear(server, new)
        mark, record = trial_mark.take(old, server, new, jobs), server.read_json(RECORD)
        if not record or record["found"] or record["mark"] != mark.text:
            record = _made(_Trial(server, old, new, jobs, seconds), mark)
            server.write_json(RECORD, record)
    refuse(record, new)
    return {"schema trial": {name: record[name] for name in ("at", "relations", "databases", "seconds")}}


def refuse(record: Mapping[str, Any], new: Cluster) -> None:
    """Raises Refusal over what a trial found."""
    found: List[str] = record["found"]
    if found:
        more = [f"and {len(found) - MOST_TOLD} more"] if len(found) > MOST_TOLD else []
        raise Refusal(
            "every object of the old cluster to be restored into the new version's, as pg_upgrade does it in the window",
            "; ".join([*found[:MOST_TOLD], *more]),
            f"mend each on the old primary (what stands behind -- says how), then run `pulumi up` again: it tries again. On DB_A all of"
            f" PostgreSQL {new.version}'s words are in {record['logs']}",
        )


def _made(trial: _Trial, mark: Mark) -> Dict[str, Any]:
    server, began = trial.server, trial.server.monotonic()
    progress(f"trying the schema: {mark.relations} relations in {len(mark.databases)} databases")
    found: List[str] = trial_errors.of_names(mark.databases)
    try:
        found += trial.all_of(mark.databases)
    except _Late:
        found.append(
            f"dumping and restoring the definitions took longer than {trial.seconds:g} s (limits.upgradeSeconds), in which pg_upgrade would be"
            " ended in the window -- raise pgleap:limits.upgradeSeconds, or have fewer relations, or a faster DB_A"
        )
    except Refusal as refused:
        found.append(f"{refused.expected}: {refused.found} -- {refused.do}")
    finally:
        trial.cluster.clear()
    trial.took["all"] = round(server.monotonic() - began, 2)
    return {
        "mark": mark.text,
        "found": found[:MOST_KEPT],
        "at": round(server.now()),
        "relations": mark.relations,
        "databases": len(mark.databases),
        "seconds": trial.took,
        "logs": trial.cluster.work,
    }


class _Trial:
    """One trial: `took` are seconds by part."""

    def __init__(self, server: Server, old: Postgres, new: Cluster, jobs: int, seconds: float) -> None:
        self.server, self.old, self.new, self.jobs, self.seconds = server, old, new, jobs, seconds
        self.cluster: TrialCluster = trial_cluster.at(server, old.cluster, new)
        self.took: Dict[str, float] = {}
        self._until = server.monotonic() + seconds

    def all_of(self, databases: Sequence[str]) -> List[str]:
        """Dump and restore; every error of every database. Raises Refusal where the trial itself cannot be made."""
        pg_upgrade.prepare_folder(self.server, trial_cluster.WORK, self.old.cluster.superuser)
        self.cluster.make(new_cluster.initdb_options(self.old, self.new.version))
        numbered = list(enumerate(databases))
        dumped = self._timed("dump", lambda: [self._dump_globals(), *self._each(self._dump, numbered)])
        errors = [error for found in dumped for error in found]
        whole = [one for one, found in zip(numbered, dumped[1:]) if not found]
        # template1 alone: while it is dropped and made nobody can connect to it (pg_upgrade.c, create_new_objects).
        first = [one for one in whole if one[1] == "template1"]
        rest = [one for one in whole if one[1] != "template1"]
        restored = self._timed(
            "restore",
            lambda: [self._restore_globals(), *map(self._restore, first), *self._each(self._restore, rest)],
        )
        return errors + [error for found in restored for error in found]

    def _dump_globals(self) -> List[str]:
        done = self._from_standby(trial_programs.dump_globals(self.new, self._file("globals", "sql")))
        return trial_errors.of_dump("roles and tablespaces", done.stderr) if done.returncode else []

    def _restore_globals(self) -> List[str]:
        """Roles first: what belongs to one that is missing could not be told from what is wrong by itself."""
        file = self._file("globals", "sql")
        path = self.server.path(file)
        if not path.exists():
            return []
        text = trial_programs.with_tablespaces_inside(path.read_bytes())
        path.write_bytes(text)
        done = self._in_trial("globals", trial_programs.restore_globals(self.new, file))
        found = trial_errors.of_globals(done.stderr, text.decode(errors="replace"))
        return found or ([trial_errors.advised(done.stderr.strip()[-700:])] if done.returncode else [])

    def _dump(self, one: Tuple[int, str]) -> List[str]:
        number, database = one
        done = self._from_standby(trial_programs.dump(self.new, database, self._file(number, "dump")))
        return trial_errors.of_dump(database, done.stderr) if done.returncode else []

    def _restore(self, one: Tuple[int, str]) -> List[str]:
        number, database = one
        file = self._file(number, "dump")
        done = self._in_trial(str(number), trial_programs.restore(self.new, database, file, self.jobs))
        if done.returncode == 0:
            return []
        listed = self._run(trial_programs.contents(self.new, file), self.cluster.environment()).stdout
        again = self._in_trial(f"{number}-all", trial_programs.restore_all_that_can_be(self.new, database, file))
        # What fails only as pg_upgrade does it (a transaction of a thousand acts and its locks) fails all the same.
        found = trial_errors.of_restore(database, f"{done.stderr}\n{again.stderr}", listed)
        return found or [trial_errors.advised(f"{database}: {done.stderr.strip()[-700:]}")]

    def _from_standby(self, argv: Sequence[str]) -> Completed:
        left = DUMPS
        while True:
            done = self._run(argv, self.cluster.source(self.old.sockets(SOCKET_FOLDER)))
            if done.returncode == 0:
                return done
            if CONFLICT not in done.stderr:
                left -= 1
                if not left or not DROPPED.search(done.stderr):
                    return done
            progress("a dump was ended by what DB_A replayed: once more")
            self.server.sleep(AGAIN_SECONDS)

    def _in_trial(self, log: str, argv: Sequence[str]) -> Completed:
        done = self._run(argv, self.cluster.environment())
        self.server.path(self._file(log, "log")).write_text(done.stderr)
        return done

    def _run(self, argv: Sequence[str], environment: Dict[str, str]) -> Completed:
        """Raises _Late."""
        left = self._until - self.server.monotonic()
        if left <= 0:
            raise _Late
        try:
            return self.server.run(*argv, user=OS_USER, check=False, timeout=left, environment=environment)
        except Refusal:
            if self.server.monotonic() >= self._until:
                raise _Late from None
            raise

    def _file(self, name: object, end: str) -> str:
        return f"{self.cluster.work}/{name}.{end}"

    def _each(self, act: Callable[[Tuple[int, str]], List[str]], each: Sequence[Tuple[int, str]]) -> List[List[str]]:
        return self.server.side_by_side(act, each, self.jobs) if each else []

    def _timed(self, name: str, act: Callable[[], List[List[str]]]) -> List[List[str]]:
        began = self.server.monotonic()
        found = act()
        self.took[name] = round(self.server.monotonic() - began, 2)
        return found


def last(server: Server) -> Optional[Dict[str, Any]]:
    """What the last trial came to; None if there was none."""
    return server.read_json(RECORD) or None
