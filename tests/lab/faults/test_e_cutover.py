"""The last window: with everything that can be mended on the way, to a DB_A that takes the writes."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.lab.faults.breakage import cut, cut_once, mute_sshd, off_the_network, replay_paused
from tests.lab.faults.night import Night
from tests.lab.faults.story import Fault

pytestmark = pytest.mark.faults

UP = "pulumi up"
# Seconds: longer than it takes until a server that is off the network has failed, two dials of five.
DEADLINE = 15


def test_upgrade_comes_through(night: Night) -> None:
    """A DB_A that is promoted on what it heard of the fence a while ago may lack what was written since."""
    with night.stories.tell(Fault.NETWORK_CUT_AT_REPLAY) as network:
        running = night.operator.begin("readonly", higher=True)  # waits until DB_A is built anew
        running.until("db1-ready", "updated")
        with ExitStack() as broken:
            with replay_paused(night.psql("db-a")):
                running.end().done()
                running = night.operator.begin("upgrade")
                running.until("db-a-database", "waiting for DB_A to replay the fence")
                broken.enter_context(cut("db1", "db-a"))
            network.refuses(running.end().failed(), "to answer the role pgleap")
            night.takes_writes()
            assert night.psql("db-a")("postgres", "SELECT pg_is_in_recovery()").strip() == "t"
        network.repairs("the network mended", UP)
        with night.stories.tell(Fault.ENGINE_KILLED_AT_UPGRADE) as killed:
            running = night.operator.begin("upgrade")
            running.until("db-a-database", "pg_upgrade: Creating dump of global objects")
            running.kill()
            night.operator.cancel()
            night.up("upgrade")
            killed.repairs("pulumi cancel && pulumi up")
    night.takes_writes()


def test_cutover_comes_through(night: Night) -> None:
    """Whatever happens between the release and the opening, DB_A opens once, and only after db1 gave everything away."""

    def released() -> bool:
        return bool(night.journal("db1")["authority"] == "released to DB_A")

    with night.stories.tell(Fault.ENGINE_KILLED_AT_CUTOVER) as killed:
        running = night.operator.begin("cutover")
        running.until("db1-client-gate", "updating")
        running.kill()
        night.operator.cancel()
        killed.repairs("pulumi cancel && pulumi up")
        night.takes_writes()
        with night.stories.tell(Fault.NETWORK_CUT_AT_CUTOVER) as network:
            with cut_once(released, "db1", "db-a"):
                network.refuses(night.operator.up("cutover").failed(), "to answer the role pgleap")
                night.takes_writes()
            assert night.journal("db-a")["authority"] == "none"
            network.repairs("the network mended", UP)
            web_servers(night)
    night.finished("cutover")
    night.takes_writes("db-a")


def web_servers(night: Night) -> None:
    """The cutover goes on, with two of the three online servers in trouble; afterwards it is finished."""
    with night.stories.tell(Fault.WEB_SERVERS_AT_CUTOVER) as story:
        with off_the_network("web2"), mute_sshd(night.host("web3")):
            story.explained.add("web2")
            ended = night.operator.window("--deadline", f"hosts-file={DEADLINE}").end()
            assert ended.status == 3, ended.said
            story.refuses(ended.said, "web2-hosts-file failed")
            story.refuses(ended.said, f"has been under way for {DEADLINE} s, its deadline")
            night.takes_writes("db-a")
            night.write_again("web1")
        night.up("cutover")
        night.write_again("web1", "web2", "web3")
        story.repairs("web2 back on the network, web3's sshd restarted", UP)
