"""Parts of the previous release and of this one work together: control, worker and client, each of either version.

The previous release is that of the newest tag ``vX.Y.Z``; before the first one, the sources of the commit that promised
it (`build_backend.version.previous`).  ICEFARM_PREVIOUS names another commit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from waiting import wait_until

from build_backend import version
from icefarm.farm.router.config import find_crossbar
from icefarm.testing.processes.farm_process import END_LIMIT, FarmProcess, OwnProcess
from icefarm.testing.processes.router import free_port

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
#: Of control, worker and client: all combinations but those of one version alone.
MIXED = [("old", "new", "new"), ("new", "old", "new"), ("new", "new", "old"),
         ("new", "old", "old"), ("old", "new", "old"), ("old", "old", "new")]  # fmt: skip
#: What a client does that uses all that the previous release may lack.
CLIENT = """
import json, sys
from icefarm.client import Farm
circuits = sys.argv[2:]
with Farm(sys.argv[1], name="both", experiment="versions") as farm:
    with farm.reserve(2, wait=True, timeout=60, window=0.1) as boards:
        results = list(boards.evaluate(circuits, labels={"version": "either"}))
        boards.extend(60)
        serials = list(boards.serials)
print(json.dumps([[each.serial in serials, each.value, str(each.error)] for each in results]))
"""
#: A client that evaluates without a pause until the file "end" appears, and keeps account of its results.
UNINTERRUPTED = """
import sys
from pathlib import Path
from icefarm.client import Farm
place, circuits, count = Path(sys.argv[2]), sys.argv[3:], 0
with Farm(sys.argv[1], name="both", experiment="upgrade") as farm:
    with farm.reserve(2, wait=True, timeout=60, window=0.1) as boards:
        while not (place / "end").exists():
            for result in boards.evaluate(circuits):
                assert result.error is None, result
                count += 1
                (place / "results").write_text(str(count))
"""
#: Prints how many results of that client the farm keeps.
ARCHIVED = """
import sys
from icefarm.client import Farm
with Farm(sys.argv[1], name="both") as farm:
    print(sum(1 for _ in farm.experiment("upgrade").results()))
"""
CIRCUITS = sorted(str(path) for path in (ROOT / "examples" / "circuits").glob("square_*.bin"))
#: Seconds until what an upgrade interrupts goes on.
RETURN_LIMIT = 90


def _reference() -> str:
    try:
        return os.environ.get("ICEFARM_PREVIOUS") or version.previous(ROOT)
    except version.Unfit as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The Python of each version."""
    reference = _reference()
    place = tmp_path_factory.mktemp("previous")
    packed = subprocess.run(["git", "archive", reference], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        # Python 3.11.4 is the first that has it.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(place / "source")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    python = place / "venv" / "bin" / "python"
    # The same packages, and the previous icefarm before today's.
    site = Path(subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip())  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site,
         place / "source"],
        check=True,
    )  # fmt: skip
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (site / "shared.pth").write_text("".join(f"{path}\n" for path in shared))
    twistd = python.with_name("twistd")
    twistd.write_text(f"#!{python}\nfrom twisted.scripts.twistd import run\nrun()\n")
    twistd.chmod(0o755)
    where = [python, "-P", "-c", "import icefarm; print(icefarm.__file__)"]
    assert subprocess.run(where, capture_output=True, text=True, check=True).stdout.startswith(str(place))
    return {"old": python, "new": Path(sys.executable)}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets."""
    short = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    yield short
    shutil.rmtree(short, ignore_errors=True)


@contextmanager
def _worker(python: Path, url: str, place: Path, *options: str) -> Iterator[None]:
    """A worker of that version with two virtual boards; at the end it is gone."""
    command = [
        str(python.with_name("twistd")), "-n", "--pidfile=", "icefarm-worker", "--control", url, "--name", "w1",
        "--virtual-boards", "2", *options,
    ]  # fmt: skip
    with (place / "worker.log").open("a") as log:
        running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=place)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _run(python: Path, script: str, place: Path, *arguments: str) -> str:
    done = subprocess.run(
        [python, "-P", "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=200, cwd=place
    )
    log = (place / "worker.log").read_text()
    assert done.returncode == 0, (done.stderr, log[-4000:])
    assert "Traceback" not in log
    return done.stdout


@pytest.mark.parametrize(("control", "worker", "client"), MIXED)
def test_parts_one_version_apart_work_together(
    pythons: Mapping[str, Path], place: Path, control: str, worker: str, client: str
) -> None:
    arguments = ("--boards", "0", "--listen", "127.0.0.1:0", "--crossbar", find_crossbar(None))
    with FarmProcess(place / "data", arguments, python=str(pythons[control])) as farm:
        farm.wait_until_ready()
        with _worker(pythons[worker], farm.url, place, "--speed", "instant"):
            results = json.loads(_run(pythons[client], CLIENT, place, farm.url, *CIRCUITS))
    assert len(results) == len(CIRCUITS)
    assert {(reserved, value is None, error) for reserved, value, error in results} == {(True, False, "None")}


class _Client:
    """The uninterrupted client."""

    def __init__(self, process: OwnProcess, place: Path) -> None:
        self._process, self._place = process, place

    def _results(self) -> int:
        assert self._process.poll() is None, f"the client has ended with {self._process.returncode}"
        path = self._place / "results"
        return int((path.read_text() if path.exists() else "") or 0)

    def wait_for_more(self) -> None:
        """Wait for results of evaluations that began after now: those in progress are one list of circuits at most."""
        enough = self._results() + 2 * len(CIRCUITS)
        wait_until(lambda: self._results() >= enough, f"{enough} results of the client", RETURN_LIMIT)

    def end(self) -> int:
        """Let it end; return how many results it had."""
        (self._place / "end").touch()
        assert self._process.wait(RETURN_LIMIT) == 0
        return int((self._place / "results").read_text())


def test_a_client_goes_on_while_control_and_then_its_worker_are_upgraded(
    pythons: Mapping[str, Path], place: Path
) -> None:
    arguments = ("--boards", "0", "--listen", f"127.0.0.1:{free_port()}", "--crossbar", find_crossbar(None))
    before, after = (FarmProcess(place / "data", arguments, python=str(pythons[each])) for each in ("old", "new"))
    # Results that are not in the archive yet outlive their worker.
    spool = ("--spool", str(place / "spool"))
    with ExitStack() as farm, ExitStack() as worker:
        farm.enter_context(before).wait_until_ready()
        url = before.url
        worker.enter_context(_worker(pythons["old"], url, place, *spool))
        with OwnProcess([str(pythons["old"]), "-P", "-c", UNINTERRUPTED, url, str(place), *CIRCUITS], cwd=place) as own:
            client = _Client(own, place)
            client.wait_for_more()
            farm.close()
            farm.enter_context(after).wait_until_ready()
            client.wait_for_more()
            worker.close()
            worker.enter_context(_worker(pythons["new"], url, place, *spool))
            client.wait_for_more()
            results = client.end()
        archived = partial(_run, pythons["new"], ARCHIVED, place, url)
        wait_until(lambda: int(archived()) == results, "all results are in the archive", RETURN_LIMIT)
