"""Draining, health and their deadlines, with a load balancer that takes its time; no second passes."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import aws
from scripts.report import Refusal
from scripts.target_groups import target_groups
from tests.unit.operator_steps import FakeTime, membership

ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef"
ME = "10.77.0.23"


class SlowElb:
    """The calls of boto3's client that are used, for a group `web` of addresses: targets drain and become healthy with time."""

    def __init__(self, time: FakeTime, *, drains: float = 40.0, heals: float = 20.0) -> None:
        self._time, self._drains, self._heals = time, drains, heals
        # (id, port) -> its zone, its state and since when.
        self.targets: dict[tuple[str, int], tuple[str, str, float]] = {}
        self.tags: dict[str, str] = {}
        self.calls: list[str] = []

    def put(self, port: int, state: str = "healthy", zone: str = "", id_: str = ME) -> None:
        self.targets[id_, port] = (zone, state, self._time.now)

    def describe_target_groups(self, TargetGroupArns: list[str]) -> dict[str, Any]:  # noqa: N803
        found = {"TargetGroupArn": ARN, "TargetGroupName": "web", "TargetType": "ip", "Port": 8080}
        return {"TargetGroups": [found]}

    def describe_target_health(self, TargetGroupArn: str) -> dict[str, Any]:  # noqa: N803
        for key, (zone, state, since) in list(self.targets.items()):
            spent = self._time.now - since
            if state == "draining" and spent >= self._drains:
                del self.targets[key]
            if state == "initial" and spent >= self._heals:
                self.targets[key] = (zone, "healthy", self._time.now)
        reasons = {"draining": "Target.DeregistrationInProgress", "unhealthy": "Target.FailedHealthChecks"}
        listed = [
            {
                "Target": {"Id": id_, "Port": port, **({"AvailabilityZone": zone} if zone else {})},
                "TargetHealth": {"State": state, **({"Reason": reasons[state]} if state in reasons else {})},
            }
            for (id_, port), (zone, state, _) in self.targets.items()
        ]
        return {"TargetHealthDescriptions": listed}

    def register_targets(self, TargetGroupArn: str, Targets: list[dict[str, Any]]) -> None:  # noqa: N803
        self.calls.append("register")
        for one in Targets:
            self.put(one["Port"], "initial", one.get("AvailabilityZone", ""), one["Id"])

    def deregister_targets(self, TargetGroupArn: str, Targets: list[dict[str, Any]]) -> None:  # noqa: N803
        self.calls.append("deregister")
        for one in Targets:
            zone, _, _ = self.targets[one["Id"], one["Port"]]
            self.put(one["Port"], "draining", zone, one["Id"])

    def describe_tags(self, ResourceArns: list[str]) -> dict[str, Any]:  # noqa: N803
        return {"TagDescriptions": [{"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}]}

    def add_tags(self, ResourceArns: list[str], Tags: list[dict[str, str]]) -> None:  # noqa: N803
        self.calls.append("tag")
        self.tags.update({tag["Key"]: tag["Value"] for tag in Tags})

    def remove_tags(self, ResourceArns: list[str], TagKeys: list[str]) -> None:  # noqa: N803
        for key in TagKeys:
            del self.tags[key]

    def describe_target_group_attributes(self, TargetGroupArn: str) -> dict[str, Any]:  # noqa: N803
        return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "600"}]}


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def elb(time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> SlowElb:
    slow = SlowElb(time)
    monkeypatch.setattr(aws, "load_balancing", lambda _: slow)
    return slow


def asked(wanted: str, time: FakeTime, **more: Any) -> dict[str, Any]:
    desired = membership(wanted, [ARN], **more)
    return target_groups(desired, time.time, aws.load_balancing(desired))


def test_out_is_when_its_connections_have_drained(
    elb: SlowElb, time: FakeTime, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests under way end on a server whose database names are about to move: they would write where nobody can."""
    elb.put(8080)
    facts = asked("out", time)
    assert elb.targets == {}
    assert time.now >= 40
    assert "drained after 40 s" in facts["because"]
    said = capsys.readouterr().err
    assert "10.77.0.23:8080 in web is draining (Target.DeregistrationInProgress)" in said
    assert len(said.splitlines()) <= 4, "a line for every look fills the screen of whoever watches forty servers"


def test_a_run_that_finds_it_draining_waits_too(elb: SlowElb, time: FakeTime) -> None:
    """An `up` that was ended while it drained, and run again, would go on at once."""
    elb.put(8080, "draining")
    assert asked("out", time)["changed"] == []
    assert elb.targets == {}
    assert elb.calls == []


def test_draining_has_a_deadline_that_says_what_to_compare(elb: SlowElb, time: FakeTime) -> None:
    """Workers' tasks are stopped meanwhile; without the group's own delay nobody finds out which of the two is too short."""
    elb.put(8080)
    with pytest.raises(Refusal) as refused:
        asked("out", time, drainSeconds=30)
    said = str(refused.value)
    assert "connections of web3 to have drained within 30 s, the stack's loadBalancer.drainSeconds" in said
    assert "10.77.0.23:8080 in web is draining" in said
    assert "those in web after 600 s" in said
    assert 30 <= time.now <= 35


def test_in_is_when_it_is_healthy(elb: SlowElb, time: FakeTime) -> None:
    """Registered alone says nothing: with the drained servers all failing their checks the phase would be called finished."""
    facts = asked("in", time)
    assert elb.targets[ME, 8080][1] == "healthy"
    assert "healthy after 20 s" in facts["because"]


def test_health_has_a_deadline_that_says_why(elb: SlowElb, time: FakeTime) -> None:
    """`up` would wait for ever for a server whose program was not started again."""
    elb.put(8080, "unhealthy")
    for _ in range(2):  # The second run must not take what the first one registered for enough.
        with pytest.raises(Refusal) as refused:
            asked("in", time, healthySeconds=60)
        assert "web3 to be healthy within 60 s, the stack's loadBalancer.healthySeconds" in str(refused.value)
        assert "10.77.0.23:8080 in web is unhealthy (Target.FailedHealthChecks)" in str(refused.value)


def test_back_in_while_it_drains(elb: SlowElb, time: FakeTime) -> None:
    """A way back minutes after the way out: on the group's default port it would be registered twice."""
    elb.put(9090, "draining")
    assert asked("in", time)["changed"] == ["registered 10.77.0.23:9090 in web, as before"]
    assert elb.targets.keys() == {(ME, 9090)}


def test_every_port_and_zone_comes_back(elb: SlowElb, time: FakeTime) -> None:
    """A server behind one group on two ports would come back with half of what it carried; one outside the VPC not at all."""
    elb.put(8080, zone="all")
    elb.put(8081, zone="all")
    before = elb.targets.keys() | set()
    asked("out", time)
    assert elb.calls == ["tag", "deregister"], "kept before AWS forgets it"
    assert elb.tags == {"pgleap:web3": "8080@all 8081@all"}
    asked("in", time)
    assert elb.targets.keys() == before
    assert {zone for zone, _, _ in elb.targets.values()} == {"all"}
    assert elb.tags == {}


def test_what_is_kept_outlasts_a_run_that_did_not_get_healthy(elb: SlowElb, time: FakeTime) -> None:
    """Forgotten with the registration, the port would be lost if the server is taken out once more before it is healthy."""
    elb.tags["pgleap:web3"] = "9090"
    with pytest.raises(Refusal):
        asked("in", time, healthySeconds=10)
    assert elb.tags == {"pgleap:web3": "9090"}


def test_another_servers_targets_are_nobodys_to_wait_for(elb: SlowElb, time: FakeTime) -> None:
    """All drained servers leave at once, each with a step of its own."""
    elb.put(8080, "draining", id_="10.77.0.24")
    asked("out", time)
    assert time.now == 0


def test_an_address_is_the_same_however_it_is_written(elb: SlowElb, time: FakeTime) -> None:
    """An IPv6 address that is compared as text leaves the server in, and is called out."""
    elb.put(8080, id_="2001:0db8:0:0:0:0:0:23")
    facts = asked("out", time, address="2001:db8::23")
    assert len(facts["changed"]) == 1
