"""docs/aws.md: the policies that an operator is given allow what the scripts ask for, and discover's nothing besides."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.model import OperationModel

from tests.discover.conftest import Discover
from tests.discover.fleet import REGION, Fleet, console_outputs

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "aws.md").read_text()
POLICY = re.compile(r"^### ([^\n]+)\n(?:(?!```)[^\n]*\n)*```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
POLICIES: dict[str, dict[str, Any]] = {heading: json.loads(policy) for heading, policy in POLICY.findall(PAGE)}
# boto3's name of an API, and IAM's.
SERVICES = {"ec2": "ec2", "elbv2": "elasticloadbalancing"}


def actions(policy: dict[str, Any]) -> set[str]:
    listed = (statement["Action"] for statement in policy["Statement"])
    return {action for one in listed for action in ([one] if isinstance(one, str) else one)}


def methods() -> dict[str, set[str]]:
    """Every method of a client, and the actions that IAM may know it by."""
    found: dict[str, set[str]] = {}
    for service, prefix in SERVICES.items():
        mapping = boto3.client(service, region_name=REGION).meta.method_to_api_mapping  # type: ignore[call-overload]
        for method, operation in mapping.items():
            found.setdefault(method, set()).add(f"{prefix}:{operation}")
    return found


def called(source: str) -> Iterator[str]:
    """The methods that a script calls, paginators' among them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            paged = node.func.attr in ("get_paginator", "get_waiter") and isinstance(node.args[0], ast.Constant)
            yield str(node.args[0].value) if paged and isinstance(node.args[0], ast.Constant) else node.func.attr


def test_discover_asks_for_what_its_policy_allows_and_it_allows_no_more(
    fleet: Fleet, discover: Discover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is not allowed ends the script at its first use on a real account; one too many is a door that nobody uses."""
    asked: set[str] = set()

    def note(model: OperationModel, **_: object) -> None:
        asked.add(f"{model.service_model.endpoint_prefix}:{model.name}")

    class Heard(boto3.Session):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.events.register("before-call", note)

    fleet.old_databases()
    fleet.servers()
    fleet.target_group("web", "instance", fleet.ids["web3"])
    console_outputs(monkeypatch, silent=("web1",))
    monkeypatch.setattr(boto3, "Session", Heard)
    discover()
    assert asked == actions(POLICIES["`scripts.discover`"])


def test_every_call_in_the_scripts_is_in_a_policy() -> None:
    """A call in a branch that no test reaches is denied on the one night when it is needed."""
    allowed = {action for policy in POLICIES.values() for action in actions(policy)}
    known, found = methods(), set()
    for file in sorted((REPOSITORY / "scripts").rglob("*.py")):
        for method in set(called(file.read_text())) & known.keys():
            found.add(method)
            assert known[method] & allowed, f"{file.name} calls {method}, which no policy in docs/aws.md allows"
    assert {"describe_instances", "get_console_output", "describe_target_health"} <= found


def test_every_action_is_one_that_there_is() -> None:
    """IAM takes a policy with a misspelt action, and denies what it was to allow."""
    known = set().union(*methods().values())
    for heading, policy in POLICIES.items():
        for action in actions(policy):
            assert action in known or not action.startswith(tuple(SERVICES.values())), f"{heading}: {action}"
    assert len(POLICIES) == PAGE.count("```json") == 5
