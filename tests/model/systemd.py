"""systemd on a simulated server: PostgreSQL's units, offline tasks, and transient units, which are processes of the agent's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agent.__main__ import PROGRAMS, run_unit
from agent.server import Completed
from agent.states import Verb
from tests.model import invariants
from tests.model.cluster import Cluster
from tests.model.process import Fate, Process

if TYPE_CHECKING:
    from tests.model.machine import Machine
    from tests.model.programs import Call
    from tests.model.world import World

Units = Sequence[str]


def systemctl(machine: Machine, call: Call) -> Completed:
    order, *rest = call.argv[1:]
    units = [word for word in rest if not word.startswith("--")]
    assert order in ORDERS, f"the model does not know: {call.argv}"
    return Completed(0, ORDERS[order](machine, units, rest), "")


def _is_active(machine: Machine, units: Units, rest: Units) -> str:
    return "".join(f"{'active' if _active(machine, unit) else 'inactive'}\n" for unit in units)


def _show(machine: Machine, units: Units, rest: Units) -> str:
    if "--property=LoadState" in rest:
        return "loaded\n" if units[0] in machine.transient and _active(machine, units[0]) else "not-found\n"
    blocks = []
    for unit in units:
        loaded = "loaded" if unit in machine.tasks else "not-found"
        state = "active" if _active(machine, unit) else "inactive"
        blocks.append(f"Id={unit}\nLoadState={loaded}\nActiveState={state}\nType=simple\nTriggeredBy=\nTriggers=\n")
    return "\n".join(blocks)


def _active(machine: Machine, unit: str) -> bool:
    if unit in machine.transient:
        return not machine.transient[unit].over
    return machine.tasks.get(unit, False)


def _start(machine: Machine, units: Units, rest: Units) -> str:
    for unit in units:
        cluster = _cluster(machine, unit)
        with machine.effect(f"started {unit}"):
            if cluster is not None:
                machine.start(cluster)
            elif not machine.path(f"/etc/systemd/system/{unit}.d/zz-pgleap.conf").exists():
                machine.tasks[unit] = True
    return ""


def _stop(machine: Machine, units: Units, rest: Units) -> str:
    for unit in units:
        cluster = _cluster(machine, unit)
        if cluster is not None and cluster.running:
            with machine.effect(f"stopped {unit}"):
                machine.world.violations += invariants.cut_off(machine, cluster)
                machine.stop(cluster)
        elif machine.tasks.get(unit):
            with machine.effect(f"stopped {unit}"):
                machine.tasks[unit] = False
    return ""


def _cluster(machine: Machine, unit: str) -> Cluster | None:
    found = [cluster.data for cluster in machine.clusters.values() if cluster.unit == unit]
    return machine.cluster_at(found[0]) if found else None


def _nothing(machine: Machine, units: Units, rest: Units) -> str:
    return ""


ORDERS: dict[str, Callable[[Machine, Units, Units], str]] = {
    "is-active": _is_active,
    "show": _show,
    "start": _start,
    "stop": _stop,
    "reset-failed": _nothing,
    "daemon-reload": _nothing,
}


def systemd_run(machine: Machine, call: Call) -> Completed:
    """A transient unit: the agent's own request, or the statistics, which take transaction ids as they go."""
    unit = next(word for word in call.argv if word.startswith("--unit=")).removeprefix("--unit=")
    if any(word.endswith("vacuumdb") for word in call.argv):
        assert machine.listening() is not None
        with machine.effect(f"started {unit}"):
            machine.tasks[unit] = True
        return Completed(0, "", "")
    if call.argv[-1] in ("copies", "guard"):  # what they look at lies outside of the model
        with machine.effect(f"started {unit}"):
            machine.tasks[unit] = True
        return Completed(0, "", "")
    assert call.argv[-2] == "run", call.argv
    verb = Verb(call.argv[-1])
    process = Process(
        lambda: run_unit(verb, machine, PROGRAMS[call.argv[-3]]),
        machine.name,
        _fate_of_unit(machine.world),
    )
    with machine.effect(f"started {unit}"):
        machine.transient[unit] = process
        machine.world.launch(process)
    return Completed(0, "", "")


def _fate_of_unit(world: World) -> Fate:
    """A front whose connection drops leaves its unit standing. Else the unit runs by the side, or to its end at once and by the
    front's own fate."""
    front = world.doing.fate
    if front.unit_stands_at is not None:
        return Fate(stands_at=front.unit_stands_at)
    return Fate(stands_at=0) if world.side_by_side else front
