"""Part of `make bench`: every tool leads the database names of the very same hosts elsewhere, one after the other, again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from rehearsal import facts, operator_stack
from rehearsal.bench import files
from rehearsal.bench.hosts_files import environment, light
from rehearsal.bench.hosts_files.figures import HostsFiles, Measured, Run, Took
from rehearsal.bench.hosts_files.figures import Tool as Name
from rehearsal.bench.hosts_files.light import Light
from rehearsal.bench.hosts_files.others import Ansible, PlainSsh, Pyinfra, SshAgent
from rehearsal.bench.hosts_files.pgleap import PulumiUp, Stack, WindowUp
from rehearsal.bench.hosts_files.reading import leads_elsewhere
from rehearsal.engine.engine import ensure
from rehearsal.lab.fleet import Server, hosts_file
from rehearsal.lab.place import LabError, Report

COUNTS = (10, 40, 200)


class Tool(Protocol):
    """One way of leading names elsewhere."""

    def lead(self, servers: Sequence[Server], address: str) -> Took:
        """Lead every database name on these servers to the address. Raises LabError or CommandFailedError."""


def measure(runs: int, report: Report, counts: Sequence[int] = COUNTS) -> HostsFiles:
    """So many runs of each tool on each number of hosts; `report` hears of every one.

    Raises LabError when this machine cannot have such hosts, and when a tool fails or says it did what it did not.
    """
    programs, engine = environment.ensure(report), ensure(report)
    with light.booted(max(counts), report) as hosts:
        plugins = operator_stack.serve_plugins(hosts.place, engine)
        ansible, pyinfra, ssh, agent = (
            Ansible(hosts, programs),
            Pyinfra(hosts, programs),
            PlainSsh(hosts),
            SshAgent(hosts),
        )
        measured = []
        for count in sorted(counts):
            # The runs with fewer hosts have left their names elsewhere; a new stack begins with names as they were, or is refused.
            _put_back(hosts, hosts.servers[:count])
            stack = Stack(hosts, count, engine, plugins)
            report(f"The agent is on {count} hosts")
            tools: dict[Name, Tool] = {
                Name.PULUMI: PulumiUp(stack),
                Name.WINDOW: WindowUp(stack),
                Name.ANSIBLE: ansible,
                Name.PYINFRA: pyinfra,
                Name.SSH: ssh,
                Name.SSH_AGENT: agent,
            }
            measured += _in_turns(hosts, hosts.servers[:count], tools, runs, report)
        return HostsFiles(
            machine=facts.machine(),
            commit=files.commit(),
            ansible=environment.version(programs, "ansible-core"),
            pyinfra=environment.version(programs, "pyinfra"),
            measured=tuple(measured),
        )


def _in_turns(
    hosts: Light, servers: Sequence[Server], tools: Mapping[Name, Tool], runs: int, report: Report
) -> list[Measured]:
    """All tools, then all again: what the machine does besides comes to each of them alike."""
    found: dict[Name, list[Run]] = {name: [] for name in tools}
    fleet = hosts.fleet
    addresses = (fleet.target.address, fleet.named(fleet.reads_from).address)
    for number in range(runs):
        for name, tool in tools.items():
            run = one_run(hosts, servers, tool, addresses[number % 2])
            found[name].append(run)
            report(f"{len(servers)} hosts, run {number + 1} of {runs}: {name} {run.seconds:.1f} s")
    return [Measured(tool=name, hosts=len(servers), runs=tuple(each)) for name, each in found.items()]


def one_run(hosts: Light, servers: Sequence[Server], tool: Tool, address: str) -> Run:
    """One change by one tool, seen from outside before and after. Raises LabError when it did not do what it was to do."""
    before = {server: hosts_file(server, hosts.fleet) for server in servers}
    _put_back(hosts, servers)
    began, cpu, machine = time.time_ns(), hosts.cpu_seconds(), light.machine_seconds()
    took = tool.lead(servers, address)
    spent, in_all = hosts.cpu_seconds() - cpu, light.machine_seconds() - machine
    changed = []
    for server in servers:
        file = hosts.file(server)
        mistakes = leads_elsewhere(before[server], file.read_text(), hosts.fleet.names, address)
        changed.append(file.stat().st_mtime_ns)
        if mistakes or changed[-1] < began:
            said = ", ".join(mistakes) or "the file was not written"
            raise LabError(f"Expected {type(tool).__name__} to lead all names on {server.name} to {address}: {said}.")
    spread = (max(changed) - min(changed)) / 1e9
    own = max(in_all - spent, 0.0)
    return Run(seconds=took.seconds, spread=spread, span=took.span, hosts_cpu=spent, own_cpu=own)


def _put_back(hosts: Light, servers: Sequence[Server]) -> None:
    """Hosts files as they were, and no record of pgleap's that says otherwise: each run is the first one."""
    for server in servers:
        file = hosts.file(server)
        file.write_text(hosts_file(server, hosts.fleet))
        kept = file.parents[1] / "var" / "lib" / "pgleap"
        for record in (kept / "hosts.json", kept / "hosts.before"):
            record.unlink(missing_ok=True)
