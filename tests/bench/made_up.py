"""Benches that nobody measured, for tests: figures that are easily reckoned with."""

from __future__ import annotations

from rehearsal.bench.fleets import Fleets
from rehearsal.bench.fleets.found import Command, Process, Remote, Size, growth
from rehearsal.bench.hosts_files.figures import OURS, HostsFiles, Measured, Run, Tool
from rehearsal.bench.model import FLOOR, THREE_UPS, WINDOW, Outages, WindowBench, Windows
from rehearsal.report.model import Machine

MACHINE = Machine(system="Debian", kernel="6", processor="a processor", cores=2, memory=2**34)
COMMIT = "0123456789ab"


def windows() -> WindowBench:
    """Two shapes; on the second the window is faster than by hand."""
    ways = {FLOOR: [4.0, 6.0, 5.0], WINDOW: [9.0, 7.0, 8.0], THREE_UPS: [20.0, 20.0, 10.0]}
    faster = {FLOOR: [8.0, 8.0, 8.0], WINDOW: [6.0, 6.0, 6.0], THREE_UPS: [16.0, 16.0, 16.0]}
    each = [
        Windows(
            shape=name,
            databases=1,
            relations=64,
            bytes=10,
            writes=100,
            outages=[
                Outages(
                    way=way,
                    seconds=seconds,
                    parts={"cutover: the engine": 1.5, "readonly: blink": 0.05} if way == WINDOW else {},
                )
                for way, seconds in those.items()
            ],
        )
        for name, those in (("small", ways), ("odd", faster))
    ]
    return WindowBench(machine=MACHINE, commit=COMMIT, runs=3, shapes=each)


def _run(seconds: float, span_: float | None = None) -> Run:
    return Run(seconds=seconds, spread=seconds / 2, span=span_, hosts_cpu=seconds * 3, own_cpu=seconds * 2)


def hosts_files(counts: tuple[int, ...] = (10, 40, 200)) -> HostsFiles:
    """A second and a hundredth for each host; the window is two seconds behind, and one run of three is far out."""
    measured = []
    for hosts in counts:
        for tool in Tool:
            begin = 3.0 if tool is Tool.WINDOW else 1.0
            engine = 0.5 if tool in OURS else None
            runs = tuple(_run(begin + hosts / 100 + late, engine) for late in (0.0, 0.0, 50.0))
            measured.append(Measured(tool=tool, hosts=hosts, runs=runs))
    return HostsFiles(machine=MACHINE, commit=COMMIT, ansible="2.19", pyinfra="3.10", measured=tuple(measured))


def command(seconds: float, steps: int = 0) -> Command:
    process = Process(memory_mib=100.4, processor_seconds=1.25)
    return Command(seconds=seconds, steps=steps, engine=process, program=process, stand_ins=process)


def size(servers: int, seconds: float) -> Size:
    remote = Remote(seconds=3 * seconds, state_writes=2 * servers, requests=9 * servers)
    return Size(
        servers=servers,
        resources=7 * servers,
        edges=13 * servers,
        state_bytes=20_000 * servers,
        config_bytes=200 * servers,
        preview=command(seconds),
        no_op=command(2 * seconds),
        up=command(3 * seconds, steps=servers),
        checkpoints=remote,
        no_checkpoints=remote.model_copy(update={"state_writes": 1}),
    )


def fleets(*sizes: Size) -> Fleets:
    found = list(sizes)
    return Fleets(
        machine=MACHINE,
        commit=COMMIT,
        runs=3,
        answer_seconds=0.1,
        write_seconds=0.05,
        sizes=found,
        growth=growth(found),
    )
