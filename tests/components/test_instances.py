"""What the program declares at AWS for its new database servers, in each phase, with Pulumi's mocks."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from agent.states import Phase
from rehearsal.plugins.aws_types import mistakes, resource_inputs
from rehearsal.plugins.values import Values
from tests.components.declared import INSTANCES, PROJECT, Declared, Program, RefusedError, declare
from tests.unit.example_config import config, config_on_ec2, private_key

GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
VOLUME = "aws:ebs/volume:Volume"
ATTACHMENT = "aws:ec2/volumeAttachment:VolumeAttachment"
INSTANCE = "aws:ec2/instance:Instance"
PROVIDER = "pulumi:providers:aws"
BEFORE: dict[Phase, dict[str, Any] | None] = {
    phase: {"phase": before.value, "round": 1} if before else None
    for before, phase in zip([None, *Phase], Phase, strict=False)
}
RULES = (INGRESS, EGRESS)


@cache
def on_ec2(phase: Phase, *lost: str) -> Program:
    raw = config_on_ec2()
    for name in lost:
        raw["servers"][name]["lost"] = True
    return declare(raw, finished=BEFORE[phase], phase=phase.value)


def at_aws(program: Program, *types: str) -> list[Declared]:
    return [one for one in program.declared if one.type.startswith("aws:") and (not types or one.type in types)]


def only(program: Program, type_: str, name: str) -> Declared:
    (found,) = (one for one in at_aws(program, type_) if one.name == name)
    return found


@pytest.mark.parametrize("phase", Phase)
def test_every_instance_stands_in_every_phase(phase: Phase) -> None:
    """One that were there in fewer would be ended on the way back, and writes would wait for AWS to end it."""
    wanted = {"db-a", "db-c", "db-d"}
    program = on_ec2(phase)
    assert {one.name for one in at_aws(program, INSTANCE)} == {f"{name}-instance" for name in wanted}
    assert {one.name for one in at_aws(program, VOLUME)} == {f"{name}-volume" for name in wanted}
    assert {one.name for one in at_aws(program, ATTACHMENT)} == {f"{name}-attachment" for name in wanted}
    assert program.outputs["instances"].keys() == wanted


@pytest.mark.parametrize("phase", Phase)
def test_every_input_is_one_that_the_real_provider_takes(phase: Phase) -> None:
    """The mocks take anything: a misspelled or missing input would show when the first instance is made, in production."""
    for one in at_aws(on_ec2(phase)):
        assert list(mistakes(one.inputs, resource_inputs(one.type))) == [], one.urn


def test_a_misspelled_input_would_be_found() -> None:
    """A check that accepts everything proves nothing."""
    given: Values = {"instanceType": "t3.micro", "metadataOptions": {"httpToken": "required"}, "privateIP": "10.0.0.1"}
    assert list(mistakes(given, resource_inputs(INSTANCE))) == [
        "metadataOptions.httpToken: unknown",
        "privateIP: unknown",
    ]
    assert list(mistakes({"ipProtocol": "tcp"}, resource_inputs(INGRESS))) == ["securityGroupId: missing"]


def test_an_instance_is_as_the_stack_has_it() -> None:
    """At another address every hosts file would lead nowhere; with another image or type the promise of seconds is not kept."""
    instance = only(on_ec2(Phase.PREPARE), INSTANCE, "db-a-instance")
    inputs = {key: value for key, value in instance.inputs.items() if key != "userData"}
    assert inputs == {
        "ami": "ami-0123456789abcdef0",
        "instanceType": "r6i.2xlarge",
        "subnetId": "subnet-0123456789abcdef0",
        "privateIp": "10.77.0.14",
        "associatePublicIpAddress": False,
        "vpcSecurityGroupIds": ["db-a-security-group-id"],
        "keyName": "operator",
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "rootBlockDevice": {"volumeType": "gp3", "encrypted": True, "tags": {"Name": "db-a"}},
        "tags": {"Name": "db-a"},
    }
    assert instance.options.ignore == {"ami", "userData"}
    assert instance.options.delete_first


def test_the_data_volume_is_as_the_stack_has_it_and_in_the_subnets_zone() -> None:
    """A volume made anew with its instance, because its zone is the instance's, would be a database lost."""
    program = on_ec2(Phase.PREPARE)
    volume = only(program, VOLUME, "db-a-volume")
    assert volume.inputs == {
        "availabilityZone": "eu-central-1a",
        "type": "gp3",
        "size": 500,
        "iops": 6000,
        "throughput": 500,
        "encrypted": True,
        "tags": {"Name": "db-a-data"},
    }
    assert only(program, INSTANCE, "db-a-instance").urn not in volume.depends_on
    attachment = only(program, ATTACHMENT, "db-a-attachment")
    assert attachment.depends_on == {volume.urn, only(program, INSTANCE, "db-a-instance").urn}


@pytest.mark.parametrize("phase", Phase)
def test_nothing_at_aws_is_open_to_the_world_unencrypted_or_without_imdsv2(phase: Phase) -> None:
    """What no review finds once there are thirty rules."""
    program = on_ec2(phase)
    for rule in at_aws(program, INGRESS):
        source = rule.inputs.get("cidrIpv4") or rule.inputs.get("cidrIpv6") or rule.inputs["referencedSecurityGroupId"]
        assert not str(source).endswith("/0"), rule.name
        assert rule.inputs["fromPort"] == rule.inputs["toPort"]
        assert rule.inputs["fromPort"] in (22, 5432)
        assert rule.inputs["ipProtocol"] == "tcp"
    for group in at_aws(program, GROUP):
        assert not {"ingress", "egress"} & group.inputs.keys()
    for volume in at_aws(program, VOLUME):
        assert volume.inputs["encrypted"] is True
    for instance in at_aws(program, INSTANCE):
        assert instance.inputs["rootBlockDevice"]["encrypted"] is True
        assert instance.inputs["metadataOptions"]["httpTokens"] == "required"
        assert instance.inputs["associatePublicIpAddress"] is False


def test_ssh_comes_from_the_operator_and_postgresql_from_the_fleet() -> None:
    """A source too few: the old primary cannot follow DB_A, and there is no way back. One too many: nobody notices."""
    sources = {
        (rule.inputs["fromPort"], rule.inputs.get(key))
        for rule in at_aws(on_ec2(Phase.PREPARE), INGRESS)
        if rule.name.startswith("db-a-")
        for key in ("cidrIpv4", "cidrIpv6", "referencedSecurityGroupId")
        if rule.inputs.get(key)
    }
    assert sources == {
        (22, "10.20.9.0/24"),
        (22, "2001:db8::/64"),
        (5432, "sg-0123456789abcdef0"),
        (5432, "sg-0123456789abcdef1"),
        (5432, "10.77.0.11/32"),
        (5432, "10.77.0.15/32"),
        (5432, "10.77.0.16/32"),
    }


def test_other_ports_are_the_ones_that_are_opened() -> None:
    """A fleet on port 5433 would find its new database shut."""
    raw = config_on_ec2()
    raw["postgres"], raw["ssh"] = {"port": 5433}, {"user": "deploy", "port": 2222}
    program = declare(raw, phase="prepare")
    assert {rule.inputs["fromPort"] for rule in at_aws(program, INGRESS)} == {2222, 5433}


@pytest.mark.parametrize(
    ("phase", "server", "protect", "retain"),
    [
        (Phase.PREPARE, "db-a", False, False),
        (Phase.READONLY, "db-a", True, True),
        (Phase.UPGRADE, "db-a", True, True),
        (Phase.CUTOVER, "db-a", True, True),
        # They go on the way back to upgrade, which an engine refuses as a whole if they are protected.
        (Phase.CUTOVER, "db-c", False, False),
    ],
)
def test_what_must_not_go_is_protected_and_kept(phase: Phase, server: str, protect: bool, retain: bool) -> None:
    """An instance replaced over a typing mistake in the window is the authority to write, gone."""
    program = on_ec2(phase)
    kept = [one for one in at_aws(program, GROUP, VOLUME, ATTACHMENT, INSTANCE) if one.name.startswith(server)]
    assert len(kept) == 4
    for one in kept:
        assert (one.options.protect, one.options.retain) == (protect, retain), one.urn


@pytest.mark.parametrize("phase", Phase)
def test_a_rule_can_always_go_and_goes_with_no_group_that_stays(phase: Phase) -> None:
    """A network taken out of sshFrom must be shut out in every phase; `destroy` must not shut the fleet out of a database it keeps."""
    program = on_ec2(phase)
    for rule in at_aws(program, *RULES):
        assert not rule.options.protect
        assert not rule.options.retain
        assert rule.options.deleted_with in {group.urn for group in at_aws(program, GROUP)}


def test_a_lost_db_a_stays_protected_and_is_asked_nothing() -> None:
    """Its disk may hold what nobody else has."""
    raw = config_on_ec2()
    raw["servers"]["db-a"]["lost"] = True
    program = declare(raw, finished={"phase": "upgrade", "round": 1}, phase="prepare", round="2")
    assert only(program, INSTANCE, "db-a-instance").options.protect
    assert not [name for name in program.steps if name.startswith("db-a")]


def test_everything_hangs_below_its_server_and_uses_the_one_provider() -> None:
    """The default provider would ask for AWS_REGION, and make the instance in whatever region that names."""
    program = on_ec2(Phase.CUTOVER)
    (provider,) = (one for one in program.declared if one.type == PROVIDER)
    assert provider.inputs["region"] == "eu-central-1"
    assert json.loads(provider.inputs["defaultTags"]) == {"tags": {"team": "databases"}}
    servers = {one.urn: one.name for one in program.declared if one.type == "pgleap:fleet:DatabaseServer"}
    for one in at_aws(program):
        assert one.name.startswith(servers[one.parent])
        assert one.options.provider == provider.urn


def test_a_refused_move_makes_nothing_at_aws() -> None:
    """An instance would be there, and paid for, before anybody read the refusal."""
    with pytest.raises(RefusedError) as refused:
        declare(config_on_ec2(), finished={"phase": "prepare", "round": 1}, phase="cutover")
    assert [one for one in refused.value.declared if one.type.startswith(("aws:", PROVIDER))] == []


def test_the_first_contact_waits_ten_minutes_and_everything_else_on_the_server_waits_for_it() -> None:
    """Two dials of five seconds end long before a new instance answers."""
    program = on_ec2(Phase.PREPARE)
    boot = program.steps["db-a-boot"]
    assert only(program, ATTACHMENT, "db-a-attachment").urn in boot.depends_on
    assert boot.inputs["connection"]["dialErrorLimit"] == 60
    assert boot.inputs["connection"]["perDialTimeout"] == 5
    assert boot.inputs["create"] == boot.inputs["update"]
    assert boot.stdin == {"server": "db-a", "address": "10.77.0.14", "instance": "db-a-instance-id"}
    assert boot.inputs["create"].endswith(
        " boot /var/lib/postgresql /usr/lib/postgresql/15/bin/postgres /usr/lib/postgresql/17/bin/postgres"
    )
    for name in program.steps:
        if name.startswith("db-a-") and name != "db-a-boot":
            assert "db-a-boot" in program.waits_for(name), name


@pytest.mark.parametrize("phase", [Phase.READONLY, Phase.UPGRADE, Phase.CUTOVER])
def test_while_writes_are_refused_no_step_but_the_last_waits_for_aws(phase: Phase) -> None:
    """AWS's plugin takes seconds to start; with a step of DB_A's behind it these are seconds of refused writes."""
    program = on_ec2(phase)
    instances = {one.urn for one in at_aws(program, INSTANCE)}
    boots = {name for name, step in program.steps.items() if step.depends_on & instances}
    assert "db-a-boot" in boots
    behind = {name for name in program.steps if boots & program.waits_for(name)}
    assert behind == {"db-a-finish", "db1-finish"}


@pytest.mark.parametrize("phase", Phase)
def test_another_instance_at_the_same_address_gets_the_agent(phase: Phase) -> None:
    """Its id is a trigger; from the stack's own outputs where nothing may wait for AWS, so that the phase alone changes nothing."""
    program = on_ec2(phase)
    assert program.copies["db-a-agent-file"].inputs["triggers"][2] == INSTANCES["db-a"]
    assert program.steps["db-a-agent"].stdin["instance"] == INSTANCES["db-a"]
    assert len(program.copies["db1-agent-file"].inputs["triggers"]) == 2


def test_the_last_step_waits_for_every_first_contact() -> None:
    """A phase that is marked finished over a replica that never booted."""
    assert "db-a-boot" in on_ec2(Phase.PREPARE).waits_for("db1-finish")
    assert {"db-c-boot", "db-d-boot"} <= on_ec2(Phase.REPLICAS).waits_for("db1-finish")


def test_new_replicas_are_made_after_all_that_cutover_is() -> None:
    """AWS may have none to give: an engine that fails over one begins no further step, with the authority released and writes refused."""
    program = on_ec2(Phase.CUTOVER)
    for name in ("db-c", "db-d"):
        assert f"{name}-boot" not in program.steps
        (instance,) = [one for one in at_aws(program, INSTANCE) if one.name == f"{name}-instance"]
        assert program.steps["db1-finish"].urn in instance.depends_on
    (target,) = [one for one in at_aws(program, INSTANCE) if one.name == "db-a-instance"]
    assert program.steps["db1-finish"].urn not in target.depends_on


@pytest.mark.parametrize("phase", Phase)
def test_a_private_host_key_is_in_its_own_servers_user_data_alone_and_secret(phase: Phase) -> None:
    """Whoever reads it can be the server."""
    program = on_ec2(phase)
    for name in ("db-a", "db-c", "db-d"):
        line = private_key(name).splitlines()[2]
        for one in program.declared:
            is_its_own = one.type == INSTANCE and one.name == f"{name}-instance"
            assert (line in json.dumps(one.inputs, default=str)) == is_its_own, one.urn
            if is_its_own:
                assert one.secret == {"userData"}


def test_what_destroy_leaves_is_told_with_how_to_be_rid_of_it() -> None:
    """Machines that a stack forgot run up a bill that nobody can explain. The engine cuts a line of a preview at 150 characters."""
    kept, how, refused, gone = on_ec2(Phase.CUTOVER).outputs["onDestroy"]
    assert kept.startswith("pulumi destroy forgets db-a and leaves")
    assert "pulumi config set --path aws.keepDatabases false && pulumi up && pulumi destroy" in how
    assert "protected" in refused
    assert gone == "pulumi destroy ends db-c, db-d, data included"
    assert all(len(line) < 150 for line in (kept, how, refused, gone))
    assert on_ec2(Phase.PREPARE).outputs["onDestroy"] == ["pulumi destroy ends db-a, db-c, db-d, data included"]


def test_told_otherwise_destroy_ends_the_databases() -> None:
    """The way that the message names has to be one."""
    raw = config_on_ec2()
    raw["aws"]["keepDatabases"] = False
    program = declare(raw, finished={"phase": "upgrade", "round": 1}, phase="cutover")
    assert not any(one.options.retain for one in at_aws(program))


def test_a_fleet_without_instances_has_nothing_of_aws() -> None:
    """Nor does it wait half a second for AWS's SDK."""
    program = declare(config(), phase="prepare")
    assert not [one for one in program.declared if "aws" in one.type]
    assert not {"instances", "onDestroy"} & program.outputs.keys()
    imports = "import sys, components.fleet, components.stack_config; assert 'pulumi_aws' not in sys.modules"
    subprocess.run([sys.executable, "-c", imports], cwd=PROJECT, check=True, timeout=60)


def test_instances_without_aws_sdk_are_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of what every fleet installs: a traceback over an import would not say so."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "pulumi_aws"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "pulumi_aws", None)
    for module in ("components.server", "components.aws_provider"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(RefusedError) as refused:
        declare(config_on_ec2(), phase="prepare")
    assert "Found: none beside this program." in str(refused.value)
    assert "-r requirements/aws.txt" in str(refused.value)
    declare(config(), phase="prepare")
