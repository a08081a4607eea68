"""EC2's instances in the lab: hosts that lab.up leaves alone, and that the stand-in for AWS boots and ends."""

from __future__ import annotations

import asyncio
from functools import partial

from rehearsal.lab import cloud_init, network
from rehearsal.lab.fleet import Fleet
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import LabError, Place
from rehearsal.plugins.cloud import MachineError


class LabMachines:
    """Machines (see plugins/cloud.py) that are hosts of the lab in `place`: at the address of one of its servers, and no other."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._fleet = Fleet.kept(place.fleet)
        self._servers = {server.address: server for server in self._fleet.servers if server.instance}

    async def start(self, address: str, user_data: str) -> None:
        """Boot a new host; it lets its user in when this ends, and its first boot may still be under way. Raises MachineError."""
        try:
            await asyncio.to_thread(self._start, self._host(address), user_data)
        except (LabError, cloud_init.UserDataError) as error:
            raise MachineError(str(error)) from error

    async def stop(self, address: str) -> None:
        """Shut it down and forget all that was on it, the data volume too. Raises MachineError."""
        try:
            await asyncio.to_thread(self._host(address).remove)
        except LabError as error:
            raise MachineError(str(error)) from error

    def _host(self, address: str) -> Host:
        if address not in self._servers:
            raise MachineError(
                f"expected one of {', '.join(self._servers)}, the lab's addresses for instances, found {address}"
            )
        return Host(self._place, self._servers[address], self._fleet)

    def _start(self, host: Host, user_data: str) -> None:
        config = cloud_init.read(user_data)
        network.up([host.server])
        host.boot(at_first=partial(cloud_init.before_boot, config=config))
        cloud_init.at_boot(host, config)
