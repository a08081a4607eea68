"""README.md and docs/: what they name is there, what they show is what the program says, what they call missing is missing."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent import (
    client_rules,
    hosts_file,
    journal,
    offline_tasks,
    own_names,
    pg_upgrade,
    postgres,
    seal_settings,
    target,
)
from agent.detached import Run
from agent.server import Server
from agent.states import MOVES, Gate, Phase
from agent.statistics import UNIT as STATISTICS_UNIT
from components import plan as plans
from components.desired import Desire
from components.phases import TABLE, Lead
from components.settings import Settings
from rehearsal.lab import fleet
from tests.unit.example_config import host_key

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
RECOVERY = (REPOSITORY / "docs" / "recovery.md").read_text()
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FOLDERS = ("agent", "components", "scripts", "rehearsal", "tests", "docs", "requirements")
HOLE = "…"
TARGET_GROUP = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/drained/0123456789abcdef"

# README's rows that are a field of `Parts`.
ROWS = {
    "workers' tasks": "tasks",
    "workers' tasks, `keepUntil: upgrade`": "kept_tasks",
    "drained servers in the load balancer": "drained_in_load_balancer",
    "database names, online servers": "online_hosts",
    "database names, drained servers and workers": "other_hosts",
    "the old primary's gate": "old_primary",
    "DB_A's database": "database",
    "DB_A's gate": "upgrade_target",
    "the stream from DB_A back to the old primary": "stream",
    "new replicas stream, and serve": "new_replicas",
    "old database servers run": "old_servers_run",
}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def section(heading: str) -> str:
    """What stands below a heading of the README, up to the next one of its kind."""
    return README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def named(text: str) -> Iterator[str]:
    """What stands in backticks, outside fenced blocks."""
    for found in re.finditer(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield found.group(1)


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings, as they are made from them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lab_settings(phase: Phase) -> Settings:
    """The lab's fleet, which README's previews are taken from."""
    servers: dict[str, dict[str, Any]] = {}
    for server in fleet.FLEET:
        given: dict[str, Any] = {"role": server.role, "address": server.address, "hostKey": host_key(server.name)}
        more = {
            "tasks": list(server.tasks),
            "keepUntil": server.keep_until,
            "reload": server.reload,
            "takesOver": server.takes_over,
            "targetGroups": [TARGET_GROUP] if server.role == "drained" else None,
        }
        servers[server.name] = {**given, **{key: value for key, value in more.items() if value}}
    return Settings.from_config(
        {
            "phase": phase.value,
            "round": 1,
            "versions": {"old": fleet.OLD_VERSION, "new": fleet.NEW_VERSION},
            "servers": servers,
            "names": dict(fleet.NAMES),
            "readsFrom": fleet.READS_FROM,
            "ssh": {"user": fleet.USER},
            "password": "correct horse",
            "replicationPassword": "battery staple",
            "aws": {"region": "eu-central-1"},
        }
    )


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """A dead link is found by whoever needs it, at night."""
    for to in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = to.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.is_file(), to
        assert not anchor or anchor in slugs(there.read_text()), to


@each_page
def test_files_that_are_named_are_there(page: Path) -> None:
    """A room that was renamed is looked for in vain."""
    paths = [name for name in named(page.read_text()) if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]*", name)]
    paths += [name for name in named(page.read_text()) if re.fullmatch(r"\w+\.(py|toml|yaml)|Pulumi\.prod\.yaml", name)]
    for path in paths:
        assert (REPOSITORY / path).exists() or list((REPOSITORY / "tests").rglob(path)), path


@each_page
def test_make_targets_are_there(page: Path) -> None:
    """The first command that a stranger types must not be an error."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)", "\n".join(commands(page)))) <= targets


def commands(page: Path) -> list[str]:
    """Every command line on a page: in fenced and indented blocks, and in backticks."""
    text = page.read_text()
    fenced = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    indented = re.findall(r"^(?: {4,})(\S.*)$", text, re.MULTILINE)
    return ["\n".join(fenced), "\n".join(indented), *named(text)]


@each_page
def test_config_commands_name_keys_and_phases_that_there_are(page: Path) -> None:
    """`pulumi config set` takes any key without a word, and the program never sees a mistyped one where it was meant."""
    known = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())["config"]
    for line in commands(page):
        for key, value in re.findall(r"pulumi config (?:set|get) (?:--secret )?(\w+)(?: (\w+))?", line):
            assert key in known, key
            assert key != "phase" or value in set(Phase), value
            assert key != "round" or value.isdigit() or not value, value


def test_the_way_through_an_upgrade_is_made_of_moves() -> None:
    """A phase left out of the recipe is a refusal in the window."""
    recipe = section("On your own fleet")
    phases = [Phase(phase) for phase in re.findall(r"^pulumi config set phase (\w+)", recipe, re.MULTILINE)]
    assert phases == list(Phase)
    assert all(after in MOVES[before] for before, after in itertools.pairwise(phases))


@each_page
def test_settings_that_are_named_are_there(page: Path) -> None:
    """A setting under another name is refused, and its right name is then hard to find."""
    names = [name.removeprefix("pgleap:") for name in named(page.read_text())]
    top = {field.alias for field in Settings.model_fields.values()} | {"password"}
    for name in names:
        first, _, rest = name.partition(".")
        if re.fullmatch(r"\w+(\.\w+)+", name) and first in top:
            assert is_key_below(first, rest), name
    for name in re.findall(r"`pgleap:(\w+)", page.read_text()):
        assert name in top, name


def is_key_below(top: str, path: str) -> bool:
    """Whether an object in the stack config has this key; dots lead to a key of an object in it."""
    models, keys = below(next(field for field in Settings.model_fields.values() if field.alias == top)), path.split(".")
    for key in keys:
        named = [f for model in models for name, f in model.model_fields.items() if (f.alias or name) == key]
        if not named:
            return False
        models = below(named[0])
    return True


def below(field: FieldInfo) -> list[type[BaseModel]]:
    """The models of a field's objects."""
    kinds = (field.annotation, *get_args(field.annotation))
    return [one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)]


def test_what_must_be_configured_is_listed() -> None:
    """A key that the README leaves out is the first mistake that everybody is told of."""
    sentence = re.search(r"You must give (.*?); (.*?) have defaults", README, re.DOTALL)
    assert sentence is not None
    required = {field.alias for field in Settings.model_fields.values() if field.is_required()}
    assert set(re.findall(r"`(\w+)`", sentence.group(1))) == required | {"password"}
    optional = {field.alias for field in Settings.model_fields.values() if not field.is_required()}
    assert set(re.findall(r"`(\w+)`", sentence.group(2))) == optional


def test_the_table_is_the_programs_table() -> None:
    """The picture that the night is planned by must be what happens."""
    lines = [line.strip("| ").split(" | ") for line in section("The phases").splitlines() if "|" in line]
    columns = [cell.strip("`") for cell in lines[0][1:]]
    assert columns == [phase.value for phase in Phase]
    rows = {line[0]: line[1:] for line in lines[2:]}
    assert rows.pop("client writes") == [who_takes_writes(phase) for phase in Phase]
    assert set(rows) == set(ROWS)
    assert set(ROWS.values()) == set(vars(TABLE[Phase.PREPARE]))
    for row, part in ROWS.items():
        assert rows[row] == [cell(row, getattr(TABLE[phase], part)) for phase in Phase], row


def cell(row: str, value: Enum | bool) -> str:
    if isinstance(value, bool):
        yes, no = ("in", "out") if "load balancer" in row else ("yes", "no")
        return yes if value else no
    return str(value.value)


def who_takes_writes(phase: Phase) -> str:
    if TABLE[phase].old_primary is Gate.OPEN:
        return "to the old primary"
    return "to DB_A" if TABLE[phase].upgrade_target is Gate.OPEN else "refused"


def test_the_moves_are_the_programs_moves() -> None:
    """A way back that is drawn and refused is worse than none."""
    line = next(line for line in README.splitlines() if "<->" in line)
    drawn: set[tuple[str, str]] = set()
    for chain in re.split(r"\s{3,}", line.strip()):
        words = chain.split()
        for before, arrow, after in zip(words[::2], words[1::2], words[2::2], strict=False):
            drawn.add((before, after))
            if arrow == "<->":
                drawn.add((after, before))
    assert drawn == {(before.value, to.value) for before, moves in MOVES.items() for to in moves}


def test_the_preview_that_is_shown_is_what_is_asked_for() -> None:
    """An example that no preview looks like makes the reader distrust the real one."""
    _, shown, _, listed, _ = section("What a preview says").split("```\n")
    before, after = lab_settings(Phase.PREPARE), lab_settings(Phase.READONLY)
    was = Desire(before).hosts_file(before.servers["web1"], Lead.AS_THEY_WERE)
    now = Desire(after).hosts_file(after.servers["web1"], Lead.DB_B)
    assert change("hosts", was["hosts"], now["hosts"]) in shown
    for name, address in now["names"].items():
        assert change(name, was["names"][name], address) in shown
    assert change("authority", plans.authority(before), plans.authority(after)) in shown
    assert listed.splitlines() == plans.plan(after)


def change(key: str, before: str, after: str) -> str:
    """A line of a preview, from its key on."""
    width = {"hosts": 7, "authority": 9}.get(key, 0)
    if before == after:
        return f'  {key}: "{after}"'
    return f'~ {key:<{width}}: "{before}" => "{after}"'


def refusals() -> set[str]:
    """What the refusals of the agent, and of the steps that ask many, expect, with a hole for what is filled in."""
    position = {"Refusal": 0, "Busy": 0, "wait_until": 2}
    found: set[str | None] = set()
    ours = [REPOSITORY / "scripts" / f"{name}.py" for name in ("many", "on_servers")]
    for file in (*sorted((REPOSITORY / "agent").glob("*.py")), *ours):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in position:
                found.add(template(node.args[position[node.func.id] :]))
    return {text for text in found if text is not None}


def template(arguments: list[ast.expr]) -> str | None:
    """A text with its holes; None if it is not written where it is raised."""
    text = arguments[0] if arguments else None
    if isinstance(text, ast.Constant):
        return str(text.value)
    if isinstance(text, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in text.values)
    return None


def quoted() -> set[str]:
    """The messages that the recovery page is ordered by."""
    return {re.sub(r"\s+", " ", found) for found in re.findall(r'\*\*"(.+?)"\*\*', RECOVERY, re.DOTALL)}


def test_every_refusal_has_its_place_in_recovery() -> None:
    """A message that the page does not know leaves its reader alone."""
    assert refusals() - quoted() == set()


def test_recovery_quotes_what_the_program_says() -> None:
    """A message that nobody says any more is searched for by nobody; its advice is lost."""
    files = ("phases.py", "config_errors.py", "config_checks.py", "engine_options.py")
    preview = "".join((REPOSITORY / "components" / name).read_text() for name in files)
    assert {message for message in quoted() - refusals() if message not in preview} == set()


@each_page
def test_files_and_units_on_the_servers_are_those_of_the_agent(page: Path) -> None:
    """A file that is not there tells a tired operator that nothing happened."""
    run = Run(Server(), "upgrade-target")
    files = {
        journal.JOURNAL_FILE, seal_settings.SEAL_FILE, target.TARGET_FILE, postgres.PASSWORD_FILE, hosts_file.RECORD, hosts_file.COPY,
        offline_tasks.RECORD, pg_upgrade.WORK_FOLDER, run.request_file, run.result_file, run.progress_file,
    }  # fmt: skip
    text = page.read_text()
    assert set(re.findall(r"/var/lib/pgleap/[\w./-]*\w", text)) <= files
    assert set(re.findall(r"journalctl -u (pgleap-[\w-]+)", text)) <= {STATISTICS_UNIT}
    if "slot" in text:
        assert set(re.findall(r"`(pgleap_\w+)`", text)) <= {
            own_names.SLOT,
            client_rules.LOCAL_ROLE,
            client_rules.REHEARSAL,
        }


def test_what_is_called_missing_is_missing() -> None:
    """The list of what pgleap does not do keeps people from planning on it; kept too long, it keeps them from using it."""
    missing = section("What it does not do")
    assert "Not rehearsed: " in missing
    for script in (REPOSITORY / "scripts").iterdir():
        assert not re.search(rf"\b{script.stem}\b", missing), script.stem
