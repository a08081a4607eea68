"""The last window: with everything that can be mended on the way, to a DB_A that takes the writes."""

from __future__ import annotations

from contextlib import ExitStack

from rehearsal.drill.at_upgrade import AT_WORK
from rehearsal.drill.breakage import cut, cut_once, mute_sshd, off_the_network, replay_paused
from rehearsal.drill.expect import expect
from rehearsal.drill.night import Night
from rehearsal.drill.story import Fault

UP = "pulumi up"
# Seconds: longer than it takes until a server that is off the network has failed, two dials of five.
DEADLINE = 15


def upgrade_comes_through(night: Night) -> None:
    """A DB_A that is promoted on what it heard of the fence a while ago may lack what was written since."""
    with night.stories.tell(Fault.NETWORK_CUT_AT_REPLAY) as network:
        running = night.operator.begin("readonly", higher=True)  # waits until DB_A is built anew
        running.until(f"{night.old}-ready", "updated")
        with ExitStack() as broken:
            with replay_paused(night.psql(night.new)):
                running.end().done()
                running = night.operator.begin("upgrade")
                running.until(f"{night.new}-database", "waiting for DB_A to replay the fence")
                broken.enter_context(cut(night.host(night.old), night.host(night.new)))
            network.refuses(running.end().failed(), "to answer the role pgleap")
            night.takes_writes()
            standby = night.psql(night.new)("postgres", "SELECT pg_is_in_recovery()").strip()
            expect(standby == "t", f"expected {night.new} to be a standby still, found pg_is_in_recovery(): {standby}")
        network.repairs("the network mended", UP)
        with night.stories.tell(Fault.ENGINE_KILLED_AT_UPGRADE) as killed:
            running = night.operator.begin("upgrade")
            running.until(f"{night.new}-database", AT_WORK)
            running.kill()
            night.operator.cancel()
            night.up("upgrade")
            killed.repairs("pulumi cancel && pulumi up")
    night.takes_writes()


def cutover_comes_through(night: Night) -> None:
    """Whatever happens between the release and the opening, DB_A opens once, and only after db1 gave everything away."""

    def released() -> bool:
        return bool(night.journal(night.old)["authority"] == "released to DB_A")

    with night.stories.tell(Fault.ENGINE_KILLED_AT_CUTOVER) as killed:
        running = night.operator.begin("cutover")
        running.until(f"{night.old}-client-gate", "updating")
        running.kill()
        night.operator.cancel()
        killed.repairs("pulumi cancel && pulumi up")
        night.takes_writes()
        with night.stories.tell(Fault.NETWORK_CUT_AT_CUTOVER) as network:
            with cut_once(released, night.host(night.old), night.host(night.new)):
                network.refuses(night.operator.up("cutover").failed(), "to answer the role pgleap")
                night.takes_writes()
            authority = night.journal(night.new)["authority"]
            expect(authority == "none", f"expected {night.new} to hold no authority yet, found: {authority}")
            network.repairs("the network mended", UP)
            web_servers(night)
    night.finished("cutover")
    night.takes_writes(night.new)


def web_servers(night: Night) -> None:
    """The cutover goes on, with two of the three online servers in trouble; afterwards it is finished."""
    first, second, third, *others = night.online
    with night.stories.tell(Fault.WEB_SERVERS_AT_CUTOVER) as story:
        with off_the_network(night.host(second)), mute_sshd(night.host(third)):
            story.explained.add(second)
            ended = night.operator.window("--deadline", f"hosts-file={DEADLINE}").end()
            expect(ended.status == 3, f"expected exit status 3, found {ended.status}: {ended.said}")
            story.refuses(ended.said, f"{second}-hosts-file failed")
            story.refuses(ended.said, f"has been under way for {DEADLINE} s, its deadline")
            night.takes_writes(night.new)
            night.write_again(first, *others)
        night.up("cutover")
        night.write_again(first, second, third, *others)
        story.repairs(f"{second} back on the network, {third}'s sshd restarted", UP)
