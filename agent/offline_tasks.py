"""A worker's offline tasks: systemd units, stopped for the window so that nothing starts them, and brought back as they were.

A stopped unit is held by a drop-in whose condition is never met. Unlike a mask it holds units whose file is in
/etc/systemd/system, and it outlasts a reboot: systemd then skips the start, whoever asks for it (a timer, a socket, a
deployment). What was running is recorded before anything is touched, so that no task is started that pgleap did not stop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Server
from agent.states import Tasks

RECORD = f"{STATE_FOLDER}/tasks.json"
HOLD = b"# Made by pgleap, which takes it away again: not to be started while the database is upgraded.\n[Unit]\nConditionPathExists=!/\n"
# Seconds. systemd's own deadline for a stop (TimeoutStopSec) is 90 unless the unit says otherwise; this lets it act first.
STOP_SECONDS = 100.0
START_SECONDS = 100.0
# A program that cannot work often dies in its first moment, when systemd has called it active already.
SETTLE_SECONDS = 1.0
AT_REST = ("inactive", "failed")

Unit = Dict[str, str]
# By unit: "was running" before pgleap stopped it, "folder made" for its drop-in, and what is held "along" with it.
Record = Dict[str, Dict[str, Any]]


def offline_tasks(desired: Mapping[str, Any], server: Server) -> Facts:
    """Bring each unit to its desired state and see that it is there.

    A unit that pgleap did not stop is never started; the facts say if it is not running. Raises Refusal: a unit that is not
    known here (before anything is touched), one that does not stop in time or leaves processes, one that does not start.
    """
    tasks: Dict[str, str] = dict(desired["tasks"])
    units = _units(list(tasks), server)
    for name, unit in units.items():
        if unit["LoadState"] not in ("loaded", "masked"):
            raise Refusal(
                f"the unit {name} on this server",
                f"systemd calls it {unit['LoadState']}",
                "correct tasks in pgleap:servers, or install the unit; nothing was changed",
            )
    stopped = [units[name]["Id"] for name, state in tasks.items() if state == Tasks.STOPPED.value]
    running = [units[name]["Id"] for name, state in tasks.items() if state == Tasks.RUNNING.value]
    changed = _stop(stopped, server)
    started, notes = _bring_back(running, server)
    changed += started
    facts: Facts = {"changed": changed, "because": _because(changed, notes), "tasks": tasks}
    if notes:
        facts["notes"] = notes
    return facts


def _because(changed: Sequence[str], notes: Sequence[str]) -> str:
    if changed:
        return "every task is now as it is wanted"
    return (
        "pgleap stopped none of these tasks, so it starts none" if notes else "every task was as it is wanted already"
    )


def _stop(names: Sequence[str], server: Server) -> List[str]:
    """Hold the units, and what starts them or is started by them, then stop them all; what was done, in sentences."""
    units = _units(names, server)
    along = {name: f"{unit['TriggeredBy']} {unit['Triggers']}".split() for name, unit in units.items()}
    held = {**units, **_units(sorted({other for others in along.values() for other in others}), server)}
    _remember(held, along, server)
    fresh = [name for name in held if _hold(name, server)]
    _reread(list(held), bool(fresh), server)
    active = [name for name, unit in _units(list(held), server).items() if unit["ActiveState"] not in AT_REST]
    began = server.monotonic()
    if active:
        progress(f"stopping {', '.join(active)}")
        server.run("systemctl", "stop", "--no-block", *active)
    _wait_until_gone(list(held), began + STOP_SECONDS, server)
    took = server.monotonic() - began
    changed = [f"stopped {name} ({took:.1f} s)" for name in active]
    return changed + [f"held {name}, which was not running" for name in fresh if name not in active]


def _bring_back(names: Sequence[str], server: Server) -> Tuple[List[str], List[str]]:
    """Let go of the units that were held and start those that ran before; what was done, and what was left at rest."""
    record: Record = server.read_json(RECORD)
    ours = [name for name in names if name in record]
    # What is held along with a unit that stays stopped stays held.
    kept = {other for name, entry in record.items() if name not in names for other in entry["along"]}
    along = [other for name in ours for other in record[name]["along"] if other not in kept]
    back = list(dict.fromkeys([*ours, *along]))
    freed = [name for name in back if _let_go(name, record, server)]
    _reread(back, bool(freed), server)
    changed = [f"let go of {name}" for name in freed if not record[name]["was running"]]
    wanted = [name for name in back if record[name]["was running"]]
    changed += _start(wanted, server)
    if back:
        server.write_json(RECORD, {name: entry for name, entry in record.items() if name not in back})
    rest = _units([name for name in names if name not in wanted], server)
    notes = [
        f"{name} is {unit['ActiveState']}; it is not pgleap that stopped it, so it was left so"
        for name, unit in rest.items()
        if unit["ActiveState"] != "active"
    ]
    return changed, notes


def _start(names: Sequence[str], server: Server) -> List[str]:
    """Start what is not active, and see that all of them are. Raises Refusal."""
    at_rest = [name for name, unit in _units(names, server).items() if unit["ActiveState"] != "active"]
    if at_rest:
        progress(f"starting {', '.join(at_rest)}")
        server.run("systemctl", "reset-failed", *at_rest, check=False)
        server.run("systemctl", "start", *at_rest, check=False, timeout=START_SECONDS)
        server.sleep(SETTLE_SECONDS)
    for name, unit in _units(names, server).items():
        if unit["ActiveState"] != "active":
            raise Refusal(
                f"{name} to run, as it did before pgleap stopped it",
                f"it is {unit['ActiveState']} after a start",
                f"read `journalctl -u {name} -n 50` on this server, mend it, then run `pulumi up` again",
            )
    return [f"started {name}" for name in at_rest]


def _units(names: Iterable[str], server: Server) -> Dict[str, Unit]:
    """What systemd says of each unit, in the order asked."""
    asked = list(names)
    if not asked:
        return {}
    wanted = ("Id", "LoadState", "ActiveState", "Type", "TriggeredBy", "Triggers", "NeedDaemonReload")
    shown = server.run("systemctl", "show", f"--property={','.join(wanted)}", "--", *asked).stdout
    units = []
    for block in shown.strip().split("\n\n"):
        given = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        units.append({key: given.get(key, "") for key in wanted})
    return dict(zip(asked, units))


def _runs(unit: Unit) -> bool:
    """Whether the unit is at work for good; a one-shot job that happens to be under way is its timer's to start again."""
    state = unit["ActiveState"]
    return state in ("active", "reloading") or (state == "activating" and unit["Type"] != "oneshot")


def _remember(held: Mapping[str, Unit], along: Mapping[str, List[str]], server: Server) -> None:
    """Record what is about to be stopped. A unit that is held already keeps what was recorded when it was not."""
    record: Record = server.read_json(RECORD)
    for name, unit in held.items():
        entry = record.get(name, {"was running": False, "folder made": not _folder(name, server).exists(), "along": []})
        ran = bool(entry["was running"]) or (not _drop_in(name, server).exists() and _runs(unit))
        record[name] = {**entry, "was running": ran, "along": along.get(name, entry["along"])}
    if held:
        server.write_json(RECORD, record)


def _folder(name: str, server: Server) -> Path:
    return server.path(f"/etc/systemd/system/{name}.d")


def _drop_in(name: str, server: Server) -> Path:
    return _folder(name, server) / "zz-pgleap.conf"


def _hold(name: str, server: Server) -> bool:
    """Make a start of the unit do nothing; False if it is held already."""
    if _drop_in(name, server).exists():
        return False
    server.write_durably(f"/etc/systemd/system/{name}.d/zz-pgleap.conf", HOLD)
    return True


def _let_go(name: str, record: Record, server: Server) -> bool:
    """Undo the hold, its folder too if it was made for it; False if there was none."""
    held = _drop_in(name, server).exists()
    if held:
        _drop_in(name, server).unlink()
    folder = _folder(name, server)
    if record[name]["folder made"] and folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
    return held


def _reread(names: Sequence[str], changed: bool, server: Server) -> None:
    """Have systemd read its files again, also if an earlier run changed them and died before it said so."""
    if changed or any(unit["NeedDaemonReload"] == "yes" for unit in _units(names, server).values()):
        server.run("systemctl", "daemon-reload")


def _processes(names: Sequence[str], server: Server) -> List[str]:
    """The ids of the processes in these units' control groups: a unit can be at rest and have left some (its KillMode)."""
    found = []
    for path in sorted(server.path("/proc").glob("[0-9]*/cgroup")):
        try:
            groups = path.read_text(errors="replace")
        except OSError:
            continue  # It ended between being listed and being read.
        if not set(names).isdisjoint(part for line in groups.splitlines() for part in line.split("/")):
            found.append(path.parent.name)
    return found


def _wait_until_gone(names: Sequence[str], deadline: float, server: Server) -> None:
    while True:
        busy = [
            f"{n} is {u['ActiveState']}" for n, u in _units(names, server).items() if u["ActiveState"] not in AT_REST
        ]
        left = [] if busy else _processes(names, server)
        if not busy and not left:
            return
        if server.monotonic() > deadline:
            raise Refusal(
                f"{', '.join(names)} to be stopped within {STOP_SECONDS:.0f} s, with all their processes",
                ", ".join(busy)
                if busy
                else f"they are at rest, but left the processes {', '.join(left)} (see KillMode)",
                "wait for their work to end, or end it (`systemctl kill`, a shorter TimeoutStopSec), then run `pulumi up` again",
            )
        server.sleep(0.25)
