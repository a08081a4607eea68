"""The simulated world (tests/model) behind the stand-in plugin: the real engine, the real program, the real agent.

The model holds the design's invariants against the world at every single effect, whatever the engine made of the order.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.__main__ import REHEARSAL, WINDOW, act
from agent.report import Refusal
from agent.states import Verb
from components.agent_program import INSTALLED, agent_program
from components.settings import Settings
from rehearsal.plugins.local import Here
from rehearsal.plugins.transport import Connection, Listener, LocalRun, Result, TransportError
from scripts import on_servers
from scripts.fleet_ssh import CUT_OFF, Answer, HearEach, Login, Reachable, Talk
from scripts.report import Refusal as StepRefusal
from tests.model import invariants
from tests.model.clients import leads
from tests.model.engine import HOME
from tests.model.machine import Machine
from tests.model.process import Fate, Process
from tests.model.world import World
from tests.plugins.simulated import Heard

DIAL_SECONDS = 1.5
# The one command that is no verb of the agent's; what it looks at lies outside of the model.
BOOT = "sudo -n sh -c "
GOES_ON_SECONDS = 1.5


class Fault(StrEnum):
    """How a step goes wrong, once."""

    # Refused; nothing was done.
    BEFORE = "before"
    # Done, and then said to have failed.
    AFTER = "after"
    # Done, and the connection dropped before anybody was told.
    DROPPED = "dropped"
    # The connection dropped after the first effect; the server goes on by itself, for a moment longer than the engine.
    HALF_WAY = "half-way"


@dataclass(frozen=True)
class Event:
    """A step that ran: on which server, which verb, with which desired state."""

    server: str
    verb: str
    desired: Mapping[str, Any]


@dataclass(frozen=True)
class Hold:
    """A step that stands still: `reached` once it has begun, until `go_on` is set. `only` one whose desired state has these values."""

    only: Mapping[str, object] = field(default_factory=dict)
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Simulated:
    """A server of the simulated fleet, as a test looks at it. `machine` is what its agent sees."""

    machine: Machine
    world: World

    @property
    def open(self) -> bool:
        """Whether a client can commit there: those of the model really try."""
        return invariants.takes_writes(self.world, self.machine)

    @property
    def names(self) -> dict[str, str]:
        """Where each database name leads."""
        return {name: leads(self.machine, name) for name in self.world.settings.names}

    @property
    def tasks(self) -> dict[str, bool]:
        """Which of its offline tasks run."""
        return self.machine.tasks


class SimulatedFleet(Here):
    """A Transport. `faults` says what goes wrong at (server, verb), once; `holds` what stands still there.

    The world lies in `folder`, so that a copy of the folder is a copy of the world.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.events: list[Event] = []
        self.faults: dict[tuple[str, str], Fault] = {}
        self.holds: dict[tuple[str, str], Hold] = {}
        self.unreachable: set[str] = set()
        self._saved = folder / "world.pickle"
        self.world = self._kept(folder) if self._saved.exists() else World.built(settings, folder)
        self._alone = {name: asyncio.Lock() for name in self.world.machines}
        self._under_way: set[asyncio.Task[Result]] = set()

    def _kept(self, folder: Path) -> World:
        world = pickle.loads(self._saved.read_bytes())
        assert isinstance(world, World)
        world.moved_to(folder)
        return world

    def save(self) -> None:
        self.world.end_standing()
        for machine in self.world.machines.values():
            machine.transient.clear()
        self._saved.write_bytes(pickle.dumps(self.world))

    @property
    def violations(self) -> list[str]:
        return self.world.violations

    def steps(self) -> list[tuple[str, str]]:
        return [(event.server, event.verb) for event in self.events]

    def named(self, name: str) -> Simulated:
        return Simulated(self.world.machines[name], self.world)

    @property
    def primary(self) -> Simulated:
        return self.named(self.settings.primary.name)

    @property
    def target(self) -> Simulated:
        return self.named(self.settings.target.name)

    def replace(self, name: str, address: str) -> None:
        """The server is gone; a new one of its name stands at another address, and pgleap was never there."""
        gone = self.world.machines[name]
        new = Machine(self.world, name, address, gone.role, tuple(gone.tasks), gone.root.with_name(f"{name}-anew"))
        lines = [f"{before}\t{database}\n" for database, before in self.settings.names_before.items()]
        new.put("/etc/hosts", "".join(lines).encode())
        self.world.machines[name] = new

    # What the plugin asks of a transport.

    def accepts(self, variable: str) -> bool:
        return False

    async def copy(self, connection: Connection, source: bytes | str, remote_path: str, listener: Listener) -> None:
        machine = await self._reach(connection)
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        machine.put(f"{HOME}/{remote_path}", content)

    async def run(
        self, connection: Connection, command: str, stdin: str, environment: Mapping[str, str], listener: Listener
    ) -> Result:
        machine = await self._reach(connection)
        if command.startswith(BOOT):
            self.events.append(Event(machine.name, "boot", json.loads(stdin)))
            return Result(0)
        return await self._told(machine, command, stdin, listener)

    async def run_here(self, run: LocalRun, listener: Listener) -> str:
        """The step that tells many servers at once: its own code, with the simulated servers' shells."""
        if not run.command.endswith(f" {on_servers.__name__}"):
            return await super().run_here(run, listener)
        try:
            facts = await on_servers.on_servers(json.loads(run.stdin), self._each)
        except StepRefusal as refused:
            listener.stderr(f"pgleap: {refused}\n".encode())
            return "exit status 1"
        listener.stdout(json.dumps(facts).encode() + b"\n")
        return ""

    async def _each(
        self, ssh: Login, servers: Mapping[str, Reachable], talk: Talk, hear: HearEach
    ) -> dict[str, Answer]:
        """See fleet_ssh."""
        answers = await asyncio.gather(*(self._talk(name, server, talk) for name, server in servers.items()))
        return dict(zip(servers, answers, strict=True))

    async def _talk(self, name: str, server: Reachable, talk: Talk) -> Answer:
        try:
            machine = await self._reach(Connection(server.address))
        except TransportError as error:
            return Answer(None, "", str(error))
        return await talk(name, lambda command, text: self._shell(machine, command, text))

    async def _shell(self, machine: Machine, command: str, text: str) -> Answer:
        agent = agent_program()
        if command == on_servers.delivery_command(agent):
            machine.put(f"{HOME}/{agent.delivered}", base64.b64decode(text))
            return Answer(0, "", "")
        installed = machine.path(INSTALLED)
        ours = installed.exists() and installed.read_bytes().endswith(agent.sha256.encode())
        if command in [on_servers.verb_command(agent, verb) for verb in on_servers.EXPECTED] and not ours:
            return Answer(on_servers.OTHER_AGENT, "", "")
        heard = Heard()
        result = await self._told(machine, command, text, heard)
        status = CUT_OFF if result.exit is None else result.exit
        return Answer(status, heard.out.decode(), heard.err.decode())

    async def _told(self, machine: Machine, command: str, stdin: str, listener: Listener) -> Result:
        program, verb = command.split()[-2:]
        step = Event(machine.name, verb, json.loads(stdin))
        # A step that a test holds has not begun its work yet; the next one on its server waits behind it.
        alone = self._alone[machine.name]
        await alone.acquire()
        fault = self.faults.pop((machine.name, verb), None)
        act_ = asyncio.create_task(self._run(machine, program, step, fault, listener))
        act_.add_done_callback(lambda _: alone.release())
        self._under_way.add(act_)
        act_.add_done_callback(self._under_way.discard)
        return await asyncio.shield(act_)

    async def _reach(self, connection: Connection) -> Machine:
        machine = self.world.at(connection.host)
        if machine is None or machine.name in self.unreachable:
            await asyncio.sleep(DIAL_SECONDS)
            raise TransportError(f"dial tcp {connection.host}:22: i/o timeout")
        return machine

    async def _run(
        self, machine: Machine, program: str, step: Event, fault: Fault | None, listener: Listener
    ) -> Result:
        hold = self.holds.get((machine.name, step.verb))
        if hold is not None and hold.only.items() <= step.desired.items():
            del self.holds[machine.name, step.verb]
            hold.reached.set()
            await asyncio.to_thread(hold.go_on.wait)
        if fault is Fault.BEFORE:
            listener.stderr(b"pgleap: refused. Expected: luck. Found: a fault that the test put here. To do: again\n")
            return Result(1)
        process = Process(lambda: self._agent(machine, program, step), machine.name, _fate(fault))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.world.launch(process)
        listener.stderr(said.getvalue().encode())
        if fault is Fault.HALF_WAY:
            asyncio.get_running_loop().call_later(GOES_ON_SECONDS, self._let_go_on, process)
            return Result(None)
        if process.error is not None:
            listener.stderr(f"pgleap: {process.error}\n".encode())
            return Result(1)
        if fault is not None:
            return Result(1 if fault is Fault.AFTER else None)
        listener.stdout(json.dumps(process.outcome).encode() + b"\n")
        return Result(0)

    def _agent(self, machine: Machine, program: str, step: Event) -> object:
        file = machine.path(program if program.startswith("/") else f"{HOME}/{program}")
        if not file.exists():
            raise Refusal(f"the file {program} on {machine.name}", "no such file", "have it delivered")
        machine.started_from = file
        if step.verb == Verb.UNUSED.value:  # who goes by an address is stopped by its people first
            self.world.nobody_by_address()
        facts = act(Verb(step.verb), step.desired, machine, REHEARSAL if "rehearsal" in program else WINDOW)
        self.events.append(step)
        self.world.look(f"after {step.server} {step.verb}")
        return facts

    def _let_go_on(self, process: Process) -> None:
        if process in self.world.standing:
            self.world.resume(process)


def _fate(fault: Fault | None) -> Fate:
    """Moment 1 is right after the first effect."""
    return Fate(stands_at=1) if fault is Fault.HALF_WAY else Fate()
