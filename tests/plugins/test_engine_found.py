"""Which engine is used, and that one is made only where there is none."""

import os
from pathlib import Path

import pytest

from rehearsal.engine import engine

GO = """#!/bin/sh
if [ "$1" = list ]; then echo one; echo two; exit 0; fi
echo "$@" >> "$PGLEAP_CACHE/go-was-asked"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho v3.250.0\\n' > "$2"
chmod +x "$2"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a PATH with nothing but a shell's tools, and a vendor that is out of reach."""
    folder = tmp_path / "cache"
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PGLEAP_CACHE", str(folder))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(engine, "_install", lambda _root, _report: None)
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def silent(_: str) -> None:
    """Hears progress and says nothing."""


def test_a_recent_engine_on_path_is_used_as_it_is(cache: Path, tmp_path: Path) -> None:
    """An operator's own engine must not be shadowed by another one."""
    program(tmp_path / "bin/pulumi", "#!/bin/sh\necho v3.230.0\n")
    assert engine.ensure(silent) == tmp_path / "bin"
    assert not cache.exists()


@pytest.mark.parametrize("answer", ["v3.229.9", "v2.999.0", "who knows"])
def test_an_old_engine_on_path_is_not_used_and_one_is_built_once(cache: Path, tmp_path: Path, answer: str) -> None:
    """An engine that cannot attach to the stand-ins fails later, and far from the cause."""
    program(tmp_path / "bin/pulumi", f"#!/bin/sh\necho {answer}\n")
    program(tmp_path / "bin/go", GO)
    said: list[str] = []
    built = engine.ensure(said.append)
    assert built.parent == cache
    assert engine.usable(built / "pulumi")
    assert engine.ensure(said.append) == built
    assert len((cache / "go-was-asked").read_text().splitlines()) == 1
    assert any("building v3.250.0" in sentence for sentence in said)
    assert [entry.name for entry in cache.iterdir() if entry.is_dir()] == [built.name], "half-made folders are left"


def test_a_build_that_fails_leaves_nothing_that_passes_for_an_engine(cache: Path, tmp_path: Path) -> None:
    """A half-made engine in the cache would be found by every later run."""
    program(tmp_path / "bin/go", "#!/bin/sh\necho 'no space left on device' >&2\nexit 1\n")
    with pytest.raises(engine.EngineMissingError, match="no space left on device"):
        engine.ensure(silent)
    assert not [entry for entry in cache.iterdir() if entry.is_dir()]


def test_without_any_way_to_one_it_says_what_to_do(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare `go: not found` tells nobody that installing Pulumi would do."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(
        engine.EngineMissingError, match=r"expected `pulumi` 3\.230\.0 or newer on PATH.*install Pulumi"
    ):
        engine.ensure(silent)
