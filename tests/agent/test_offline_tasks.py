"""The offline-tasks verb: what is stopped stays stopped, and only what pgleap stopped is started again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.offline_tasks import RECORD, offline_tasks
from agent.report import Refusal
from agent.server import Completed
from tests.agent.fake_server import FakeServer, PowerCutError


@dataclass
class Unit:
    """A unit as the simulated systemd has it. It stops `stop_seconds` after it was told to, leaving `leaves` processes."""

    state: str = "inactive"
    type: str = "simple"
    load: str = "loaded"
    triggers: list[str] = field(default_factory=list)
    stop_seconds: float = 0.5
    leaves: int = 0
    crashes: bool = False
    held: bool = False
    stopping_since: float | None = None


class WorkerServer(FakeServer):
    """systemd in small: units, timers that start them, drop-ins that count once systemd has read its files again."""

    def __init__(self, root: Path, **units: Unit) -> None:
        super().__init__(root)
        self.units = {name.replace("_", "."): unit for name, unit in units.items()}
        self.programs["systemctl"] = self.systemctl
        self.path("/proc").mkdir(parents=True)
        self.path("/etc/systemd/system").mkdir(parents=True)

    def systemctl(self, argv: tuple[str, ...]) -> Completed:
        self._time_passes()
        verb, *rest = argv
        names = [name for name in rest if not name.startswith("--")]
        if verb == "show":
            return Completed(0, "\n\n".join(self._shown(name) for name in names) + "\n", "")
        for name, unit in self.units.items():
            if verb == "daemon-reload":
                unit.held = self._drop_in(name).exists()
        for name in names if verb in ("start", "stop") else []:
            self.start(name) if verb == "start" else self._stop(name)
        return Completed(0, "", "")

    def _drop_in(self, name: str) -> Path:
        return self.path(f"/etc/systemd/system/{name}.d/zz-pgleap.conf")

    def _shown(self, name: str) -> str:
        unit = self.units.get(name, Unit(load="not-found"))
        by = " ".join(other for other, its in self.units.items() if name in its.triggers)
        stale = "yes" if unit.held != self._drop_in(name).exists() else "no"
        lines = [f"Id={name}", f"LoadState={unit.load}", f"ActiveState={unit.state}", f"TriggeredBy={by}"]
        lines += [f"Triggers={' '.join(unit.triggers)}", f"NeedDaemonReload={stale}"]
        return "\n".join([*lines, f"Type={unit.type}"] if name.endswith(".service") else lines)

    def start(self, name: str) -> None:
        """As anybody may ask for it: a condition that is not met skips it, and says so to nobody."""
        unit = self.units[name]
        if not unit.held:
            unit.state = "failed" if unit.crashes else "active"

    def _stop(self, name: str) -> None:
        if self.units[name].stopping_since is None:
            self.units[name].state = "deactivating"
            self.units[name].stopping_since = self.clock

    def _time_passes(self) -> None:
        for name, unit in self.units.items():
            if unit.stopping_since is not None and self.clock - unit.stopping_since >= unit.stop_seconds:
                unit.state, unit.stopping_since = "inactive", None
                for number in range(unit.leaves):
                    process = self.path(f"/proc/{100 + number}")
                    process.mkdir()
                    (process / "cgroup").write_text(f"0::/system.slice/{name}\n")

    def fire(self, timer: str) -> None:
        """The timer's moment comes."""
        if self.units[timer].state == "active":
            for name in self.units[timer].triggers:
                self.start(name)

    def reboot(self) -> None:
        """Everything that is enabled is started again, as it was before."""
        for name, unit in self.units.items():
            unit.held, unit.state, unit.stopping_since = self._drop_in(name).exists(), "inactive", None
            self.start(name)

    def states(self) -> dict[str, str]:
        return {name: unit.state for name, unit in self.units.items()}

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.path("/etc").rglob("*"))


def desired(**tasks: str) -> dict[str, Any]:
    named = {name.replace("_", "."): state for name, state in tasks.items()}
    return {"server": "worker1", "address": "10.77.0.31", "round": 1, "tasks": named}


STOPPED, RUNNING = desired(celery_service="stopped"), desired(celery_service="running")


def worker(tmp_path: Path) -> WorkerServer:
    return WorkerServer(tmp_path, celery_service=Unit("active"), other_service=Unit("active"))


def test_a_task_is_stopped_and_started_again_and_nothing_is_left(tmp_path: Path) -> None:
    """The whole way of a worker through a window; a drop-in left behind would keep the task down at the next reboot."""
    server = worker(tmp_path)
    files = server.files()
    facts = offline_tasks(STOPPED, server)
    assert facts["changed"] == ["stopped celery.service (0.5 s)"]
    assert server.states() == {"celery.service": "inactive", "other.service": "active"}
    facts = offline_tasks(RUNNING, server)
    assert facts["changed"] == ["started celery.service"]
    assert server.states()["celery.service"] == "active"
    assert server.files() == files


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    """An `up` that restarts tasks each time ends work that is under way."""
    server = worker(tmp_path)
    for wanted in (RUNNING, STOPPED, STOPPED, RUNNING, RUNNING):
        offline_tasks(wanted, server)
        ran = len(server.ran)
        assert offline_tasks(wanted, server)["changed"] == []
        assert not any(argv[1] in ("start", "stop", "daemon-reload") for argv in server.ran[ran:])


def test_nobody_starts_a_stopped_task(tmp_path: Path) -> None:
    """A deployment, a timer or a reboot in the window would set a writer on a sealed database, or a half-made one."""
    server = WorkerServer(
        tmp_path, mail_service=Unit("active"), mail_timer=Unit("active", triggers=["mail.service"], type="")
    )
    offline_tasks(desired(mail_service="stopped"), server)
    server.start("mail.service")
    server.fire("mail.timer")
    server.reboot()
    assert server.states() == {"mail.service": "inactive", "mail.timer": "inactive"}
    offline_tasks(desired(mail_service="running"), server)
    assert server.states() == {"mail.service": "active", "mail.timer": "active"}
    assert server.files() == ["etc/systemd", "etc/systemd/system"]


def test_a_timers_job_is_stopped_with_it_and_left_to_it(tmp_path: Path) -> None:
    """A timer that is stopped leaves its job running; started again by pgleap, the job would run out of turn."""
    server = WorkerServer(
        tmp_path,
        report_service=Unit("activating", type="oneshot"),
        report_timer=Unit("active", triggers=["report.service"], type=""),
    )
    offline_tasks(desired(report_timer="stopped"), server)
    assert server.states() == {"report.service": "inactive", "report.timer": "inactive"}
    offline_tasks(desired(report_timer="running"), server)
    assert server.states() == {"report.service": "inactive", "report.timer": "active"}


def test_a_trigger_of_two_tasks_is_held_until_both_run(tmp_path: Path) -> None:
    """Let go with the first, it would start the second."""
    server = WorkerServer(
        tmp_path,
        a_service=Unit("active"),
        b_service=Unit("active"),
        both_timer=Unit("active", triggers=["a.service", "b.service"], type=""),
    )
    offline_tasks(desired(a_service="stopped", b_service="stopped"), server)
    offline_tasks(desired(a_service="running", b_service="stopped"), server)
    assert server.states() == {"a.service": "active", "b.service": "inactive", "both.timer": "inactive"}
    offline_tasks(desired(a_service="running", b_service="running"), server)
    assert set(server.states().values()) == {"active"}


def test_what_pgleap_did_not_stop_it_does_not_start(tmp_path: Path) -> None:
    """The first `prepare` must not set a task going that somebody stopped on purpose; it says so."""
    server = WorkerServer(tmp_path, celery_service=Unit("inactive"))
    facts = offline_tasks(RUNNING, server)
    assert facts["changed"] == []
    assert "celery.service is inactive" in facts["notes"][0]
    offline_tasks(STOPPED, server)
    facts = offline_tasks(RUNNING, server)
    assert server.states()["celery.service"] == "inactive"
    assert facts["changed"] == ["let go of celery.service"]
    server.start("celery.service")
    assert server.states()["celery.service"] == "active"


def test_an_unknown_unit_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    """Half the tasks stopped and a typing mistake: the fleet would stand between two phases."""
    server = worker(tmp_path)
    with pytest.raises(Refusal, match="not-found"):
        offline_tasks(desired(celery_service="stopped", celry_service="stopped"), server)
    assert server.states()["celery.service"] == "active"
    assert not server.path(RECORD).exists()


def test_a_task_that_does_not_stop_in_time_is_refused_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """A worker that writes on while the primary is sealed loses its work, whatever systemd was told."""
    server = WorkerServer(tmp_path, celery_service=Unit("active", stop_seconds=150))
    with pytest.raises(Refusal, match=r"celery\.service is deactivating"):
        offline_tasks(STOPPED, server)
    assert 100 <= server.clock < 110
    offline_tasks(STOPPED, server)
    assert server.states()["celery.service"] == "inactive"
    offline_tasks(RUNNING, server)
    assert server.states()["celery.service"] == "active"


def test_processes_left_by_a_stopped_unit_are_refused(tmp_path: Path) -> None:
    """KillMode=process leaves the very children that do the writing, and systemd calls the unit inactive."""
    server = WorkerServer(tmp_path, celery_service=Unit("active", leaves=2))
    with pytest.raises(Refusal, match="the processes 100, 101"):
        offline_tasks(STOPPED, server)


def test_a_task_that_dies_at_once_is_refused_until_it_runs(tmp_path: Path) -> None:
    """systemd calls a program active the moment it is started; a dead worker's queue fills up unnoticed."""
    server = worker(tmp_path)
    offline_tasks(STOPPED, server)
    server.units["celery.service"].crashes = True
    with pytest.raises(Refusal, match="journalctl -u celery"):
        offline_tasks(RUNNING, server)
    server.units["celery.service"].crashes = False
    assert offline_tasks(RUNNING, server)["changed"] == ["started celery.service"]


def test_a_folder_of_somebody_elses_drop_ins_stays(tmp_path: Path) -> None:
    """Undoing must not take more than what was done."""
    server = worker(tmp_path)
    theirs = server.path("/etc/systemd/system/celery.service.d")
    theirs.mkdir()
    offline_tasks(STOPPED, server)
    offline_tasks(RUNNING, server)
    assert theirs.is_dir()


@pytest.mark.parametrize("writes", range(6))
def test_a_power_cut_before_any_write_is_healed_by_running_again(tmp_path: Path, writes: int) -> None:
    """A task that was running must be known to have been, wherever the run that stopped it died."""
    server = WorkerServer(
        tmp_path, mail_service=Unit("active"), mail_timer=Unit("active", triggers=["mail.service"], type="")
    )
    stopped, running = desired(mail_service="stopped"), desired(mail_service="running")
    for wanted, state in ((stopped, "inactive"), (running, "active")):
        server.writes_left = writes
        try:
            offline_tasks(wanted, server)
        except PowerCutError:
            server.writes_left = None
            server.reboot()
        server.writes_left = None
        offline_tasks(wanted, server)
        assert set(server.states().values()) == {state}
    assert server.files() == ["etc/systemd", "etc/systemd/system"]


def test_a_run_that_died_before_systemd_read_its_files_is_finished(tmp_path: Path) -> None:
    """The drop-in is on the disk, and systemd knows nothing of it: the next run must not take it for held."""
    server = worker(tmp_path)
    refuse = server.programs["systemctl"]
    died = Refusal("", "the connection dropped", "")

    def dies(argv: tuple[str, ...]) -> Completed:
        if argv[0] == "daemon-reload":
            raise died
        return refuse(argv)

    for wanted, state in ((STOPPED, "inactive"), (RUNNING, "active")):
        server.programs["systemctl"] = dies
        with pytest.raises(Refusal, match="dropped"):
            offline_tasks(wanted, server)
        server.programs["systemctl"] = refuse
        offline_tasks(wanted, server)
        server.start("celery.service")
        assert server.states()["celery.service"] == state
