"""Parts of the previous release and of this one work together: control, worker and client, each of either version.

The previous release is that of the newest tag ``vX.Y.Z``, or the commit that ICEFARM_PREVIOUS names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import pytest

from icefarm.farm.router.config import find_crossbar
from icefarm.testing.processes.farm_process import END_LIMIT, FarmProcess

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


def _reference() -> str | None:
    given = os.environ.get("ICEFARM_PREVIOUS")
    if given:
        return given
    found = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() or None


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The Python of each version."""
    reference = _reference()
    if reference is None:
        pytest.skip("there is no release yet; ICEFARM_PREVIOUS names a commit to take as one")
    place = tmp_path_factory.mktemp("previous")
    packed = subprocess.run(["git", "archive", reference], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(place / "source", filter="data")
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


@pytest.mark.parametrize(("control", "worker", "client"), MIXED)
def test_parts_one_version_apart_work_together(
    pythons: Mapping[str, Path], place: Path, control: str, worker: str, client: str
) -> None:
    circuits = sorted(str(path) for path in (ROOT / "examples" / "circuits").glob("square_*.bin"))
    arguments = ("--boards", "0", "--listen", "127.0.0.1:0", "--crossbar", find_crossbar(None))
    with FarmProcess(place / "data", arguments, python=str(pythons[control])) as farm:
        farm.wait_until_ready()
        with (place / "worker.log").open("w") as log:
            running = subprocess.Popen(
                [pythons[worker].with_name("twistd"), "-n", "--pidfile=",
                 "icefarm-worker", "--control", farm.url, "--name", "w1", "--virtual-boards", "2",
                 "--speed", "instant"],
                stdout=log, stderr=subprocess.STDOUT, cwd=place,
            )  # fmt: skip
        try:
            done = subprocess.run(
                [pythons[client], "-P", "-c", CLIENT, farm.url, *circuits],
                capture_output=True, text=True, check=False, timeout=200, cwd=place,
            )  # fmt: skip
        finally:
            running.terminate()
            try:
                running.wait(END_LIMIT)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
    log_text = (place / "worker.log").read_text()
    assert done.returncode == 0, (done.stderr, log_text[-4000:])
    results = json.loads(done.stdout)
    assert len(results) == len(circuits)
    assert {(reserved, value is None, error) for reserved, value, error in results} == {(True, False, "None")}
    assert "Traceback" not in log_text
