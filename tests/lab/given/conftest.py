"""The lab of these tests: booted for them with another fleet than its own, taken down after them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal import asked
from rehearsal.drill.night import Night, night_in
from rehearsal.shape import for_drill, settings, shaped
from rehearsal.stage import Wanted
from tests.lab.booted import booted
from tests.unit.example_config import host_key

# Another shape, other names, too long for an interface; two names for the primary, no new replica for one of the old ones.
SERVERS: list[tuple[str, str, dict[str, Any]]] = [
    ("shop-primary-frankfurt", "primary", {}),
    ("shop-replica-frankfurt", "replica", {}),
    ("shop-replica-paris", "replica", {}),
    ("shop-upgrade-target", "target", {}),
    ("shop-new-replica", "new-replica", {"takesOver": "shop-replica-paris"}),
    ("frontend-frankfurt-1", "online", {}),
    ("frontend-frankfurt-2", "online", {}),
    ("frontend-paris-1", "drained", {}),
    ("jobs-1", "worker", {"tasks": ["nightly.timer", "queue@1.service"]}),
]
CONFIG: dict[str, Any] = {
    "versions": {"old": 15, "new": 17},
    "servers": {
        name: {"role": role, "address": f"10.3.0.{number}", "hostKey": host_key(name), **more}
        for number, (name, role, more) in enumerate(
            SERVERS,
            start=1,
        )
    },
    "names": {
        "write.shop.example": "shop-primary-frankfurt",
        "reports.shop.example": "shop-primary-frankfurt",
        "read1.shop.example": "shop-replica-frankfurt",
        "read2.shop.example": "shop-replica-paris",
    },
    "readsFrom": "shop-replica-paris",
    "ssh": {"user": "admin"},
    "limits": {"lagSeconds": 8},
}
# What pg_dump writes of a schema with an extension that Debian's postgresql package has not.
SCHEMA = """\
CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;
--
-- Name: spot; Type: TABLE; Schema: public; Owner: surveyor
--
CREATE TABLE public.spot (at public.geometry);
--
-- Name: visit; Type: TABLE; Schema: public; Owner: surveyor
--
CREATE TABLE public.visit (id bigint PRIMARY KEY, day date NOT NULL, note text);
ALTER TABLE public.visit OWNER TO surveyor;
CREATE INDEX visit_day ON public.visit USING btree (day);
CREATE VIEW public.last_visit AS SELECT visit.id, visit.day FROM public.visit ORDER BY visit.day DESC LIMIT 1;
GRANT SELECT ON TABLE public.visit TO reporting;
"""


@pytest.fixture(scope="package")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """That fleet under traffic, with more databases, large objects and a schema that was given."""
    file: Path = tmp_path_factory.mktemp("given") / "survey.sql"
    file.write_text(SCHEMA)
    shape = for_drill(shaped(settings(CONFIG)))
    size = asked.size("databases=8,relations=500,rows=2000,large-objects=300")
    # Half of these clients connect anew for each request: more a second than the ordinary ones would leave two cores to nothing else,
    # and the way back is judged by its seconds.
    mix = asked.mix("reads=4,writes=3,clients=4")
    dumps = asked.dumps([str(file)], size)
    wanted = Wanted(shape.fleet, size, mix, asked.connections(mix, shape.fleet), dumps)
    with booted(shape.fleet) as lab, night_in(lab, wanted) as it:
        yield it
