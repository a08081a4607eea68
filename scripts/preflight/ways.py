"""Whether every server can be reached and worked on, and by which way. Pure, from the answers."""

from __future__ import annotations

import re

from agent.check_names import CheckName
from scripts.preflight.ask import OLD_PYTHON, is_excused
from scripts.preflight.outcome import Fleet, FleetCheck, Outcome, Said, Severity

EVERY = ("every server",)
APART = 2.0  # seconds
NO_SUDO = re.compile(r"(?m)^(sudo: |Sorry, user |We trust you|.*\bsudo: (command )?not found)")
NO_COMMAND = 127
# What sshd does where its configuration is silent, as sshd_config(5) has it.
MAX_STARTUPS = "10:30:100"
# What one sshd and its sessions hold open beside the servers' connections.
OWN_FILES = 32
# As sshd reads it: the folder's files are included at the top, and what is given first counts.
BASTION_COMMAND = "cat /etc/ssh/sshd_config.d/*.conf /etc/ssh/sshd_config 2>/dev/null; echo pgleap-files $(ulimit -n)"


def _ssh(fleet: Fleet) -> Outcome:
    outcome = Outcome()
    for name, said in fleet.said.items():
        excuse = is_excused(fleet.settings, fleet.settings.servers[name], made=fleet.made)
        if said.reached:
            outcome.fine(name)
        elif excuse:
            outcome.unseen[name] = f"{excuse} ({said.answer.error})"
        else:
            outcome.finds(name, said.answer.error)
    return outcome


def has_no_sudo(said: Said) -> bool:
    return said.answer.status not in (None, 0) and NO_SUDO.search(said.answer.error) is not None


def _sudo(fleet: Fleet) -> Outcome:
    outcome = Outcome()
    for name, said in fleet.said.items():
        if not said.reached:
            outcome.unseen[name] = said.why
        elif has_no_sudo(said):
            outcome.finds(name, said.answer.error.strip().splitlines()[-1])
        else:
            outcome.fine(name)
    return outcome


def _delivery(fleet: Fleet) -> Outcome:
    """The agent comes by SFTP, and what a step says by its standard output."""
    outcome = Outcome()
    for name, said in fleet.said.items():
        if said.answer.delivered:
            outcome.finds(name, f"no file can be brought there over SFTP: {said.answer.delivered}")
        if said.strange:
            first = said.strange.splitlines()[0][:80]
            outcome.finds(name, f"its login shell prints to standard output what nobody asked for: {first!r}")
        if said.reached:
            outcome.fine(name)
        elif name not in outcome.found:
            outcome.unseen[name] = said.why
    return outcome


def _python(fleet: Fleet) -> Outcome:
    outcome = Outcome()
    for name, said in fleet.said.items():
        error = said.answer.error.strip()
        if not said.reached or has_no_sudo(said):
            outcome.unseen[name] = said.why
        elif said.answer.status == OLD_PYTHON:
            outcome.finds(name, f"{error}, and the agent needs 3.9")
        elif said.answer.status == NO_COMMAND or "ModuleNotFoundError" in error:
            outcome.finds(name, error.splitlines()[-1] if error else "no python3")
        else:
            outcome.fine(name)
    return outcome


def _clocks(fleet: Fleet) -> Outcome:
    """Every server's clock against one, the primary's if it is known. When a clock was read is known no better than the round trip."""
    outcome = Outcome()
    ahead: dict[str, tuple[float, float]] = {}
    for name, said in fleet.said.items():
        clock, took = (said.clock, said.took) if said.clock is not None else (said.fact("clock"), 0.0)
        if not isinstance(clock, int | float):
            outcome.unseen[name] = said.unseen("clock")
            continue
        ahead[name] = (clock - said.answer.ended, clock - said.answer.began - took)
    first = next((name for name in (fleet.settings.primary.name, *ahead) if name in ahead), None)
    for name, (least, most) in ahead.items():
        outcome.fine(name)
        of_first = ahead[str(first)]
        apart, word = max((least - of_first[1], "ahead of"), (of_first[0] - most, "behind"))
        if apart > APART:
            outcome.finds(name, f"its clock is at least {apart:.1f} s {word} {first}'s")
    return outcome


def _bastion(fleet: Fleet) -> Outcome:
    outcome, answer = Outcome(), fleet.bastion
    if answer is None:
        outcome.unseen["bastion"] = "the stack has none"
        return outcome
    files = re.search(r"^pgleap-files (\d+|unlimited)$", answer.output, re.MULTILINE)
    if answer.status is None or files is None:
        outcome.unseen["bastion"] = answer.error.strip() or "it lets us run no command"
        return outcome
    outcome.fine("bastion")
    servers = len(fleet.said)
    if files[1] != "unlimited" and int(files[1]) < servers + OWN_FILES:
        outcome.finds(
            "bastion", f"a user there may have {files[1]} files open; {servers} servers need {servers + OWN_FILES}"
        )
    if not re.search(r"(?m)^\s*\w+\s+\S", answer.output.replace(files[0], "")):
        outcome.unseen["bastion"] = "its /etc/ssh/sshd_config cannot be read as this user, so MaxStartups is not known"
        return outcome
    given = re.search(r"(?mi)^\s*MaxStartups[\s=]+(\S+)", answer.output)
    most = given[1] if given else MAX_STARTUPS
    begins = most.split(":")[0]
    if begins.isdecimal() and int(begins) < servers:
        outcome.finds(
            "bastion",
            f"MaxStartups is {most}{'' if given else ' by default'}, and {servers} servers are reached through it",
        )
    return outcome


CHECKS = (
    FleetCheck(
        CheckName.SSH, Severity.REFUSE, EVERY,
        "a server that cannot be reached is not moved, and a step that waits for it holds the window open",
        "see to its sshd, its security group, its hostKey in pgleap:servers, and your key; a dead one: lost: true",
        _ssh,
    ),
    FleetCheck(
        CheckName.SUDO, Severity.REFUSE, EVERY,
        "every step runs as root, and nobody is there to type a password",
        "echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/pgleap, for the user of pgleap:ssh; no requiretty",
        _sudo,
    ),
    FleetCheck(
        CheckName.DELIVERY, Severity.REFUSE, EVERY,
        "the engine brings the agent there over SFTP, before the first step; a shell that prints breaks SFTP, and what steps answer",
        "have `Subsystem sftp internal-sftp` in its sshd_config and reload sshd, and room in the home of pgleap:ssh's user; have its .bashrc"
        " print for terminals alone: case $- in *i*) ;; *) return ;; esac",
        _delivery,
    ),
    FleetCheck(
        CheckName.PYTHON, Severity.REFUSE, EVERY,
        "the agent is a Python program",
        "install python3, 3.9 or later, with its whole standard library (on Debian python3, not python3-minimal alone)",
        _python,
    ),
    FleetCheck(
        CheckName.CLOCKS, Severity.WARN, EVERY,
        "lag is reckoned by two servers' clocks, and logs are laid side by side after the night",
        "have chrony or systemd-timesyncd run on it: timedatectl set-ntp true",
        _clocks,
    ),
    FleetCheck(
        CheckName.BASTION, Severity.WARN, ("the bastion",),
        "beyond MaxStartups a bastion drops connections at random, and a step fails in the window",
        "MaxStartups 200:30:400 in its sshd_config, LimitNOFILE for its sshd, then systemctl reload ssh",
        _bastion,
    ),
)  # fmt: skip
