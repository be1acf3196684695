"""`icefarm host install` and `uninstall`: what is written where, what is run, and what of others' is left alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from certificates import issue
from click.testing import Result
from recorded_host import Host

from icefarm.doctor.udev_rules import RULES_FILE, udev_rules
from icefarm.host import installer
from icefarm.host.changes import ChangedByHand, HostFile, Keep, digest_of, installing
from icefarm.host.installer import RECORD
from icefarm.host.worker_files import CA_FILE, SETTINGS, SYSUSERS, TMPFILES, TOKEN, UNIT
from icefarm.twistd.options import read_section
from icefarm.worker.tap import Options as WorkerOptions

ROOT = Path(__file__).resolve().parents[2]
UNIT_FILE = f"etc/systemd/system/{UNIT}"
FIXED = {UNIT_FILE, SYSUSERS, TMPFILES, f"etc/udev/rules.d/{RULES_FILE}"}
URL = "https://farm.example:8080"
#: Seconds for a program of systemd's.
LIMIT = 30


class WorkerHost:
    """A host with systemd, and icefarm in /opt/icefarm, on which root types commands."""

    def __init__(self, directory: Path) -> None:
        (directory / "root").mkdir()
        self.host = Host(directory / "root")
        self.host.is_root = True
        self.host.write("run/systemd/system/.keep", "")
        self.host.write("opt/icefarm/bin/twistd", "#!/bin/sh\n")
        self.path(f"etc/udev/rules.d/{RULES_FILE}").unlink()
        self.token = directory / "token"
        self.token.write_text("abc123\n")

    def path(self, name: str) -> Path:
        return self.host.root / name

    def install(self, *arguments: str) -> Result:
        return self.host.icefarm("host", "install", "--worker", "--prefix", "/opt/icefarm", *arguments)

    def install_whole(self, *arguments: str) -> Result:
        return self.install("--url", URL, "--token-file", str(self.token), *arguments)

    def uninstall(self, *arguments: str) -> Result:
        return self.host.icefarm("host", "uninstall", *arguments)

    def files(self) -> dict[str, str]:
        """The files in /etc, by their paths."""
        below = (path for path in self.path("etc").rglob("*") if path.is_file())
        return {str(path.relative_to(self.host.root)): path.read_text() for path in below}

    def commands(self) -> list[str]:
        return [" ".join(command) for command in self.host.ran]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerHost:
    # Wherever the Python is that runs the tests.
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    return WorkerHost(tmp_path)


def test_a_host_gets_unit_user_directories_rules_settings_and_token(here: WorkerHost) -> None:
    result = here.install_whole("--name", "shelf-2")
    assert result.exit_code == 0, result.output
    files = here.files()
    assert set(files) == {*FIXED, SETTINGS, TOKEN, RECORD}
    assert "ExecStart=/opt/icefarm/bin/twistd --nodaemon" in files[UNIT_FILE]
    assert "u icefarm - " in files[SYSUSERS]
    assert "\ng plugdev -\n" in files[SYSUSERS]
    assert files[f"etc/udev/rules.d/{RULES_FILE}"] == udev_rules()
    assert files[TOKEN] == "abc123\n"
    assert here.path(TOKEN).stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(files[SETTINGS])["worker"] == {
        "control": URL,
        "name": "shelf-2",
        "images": "/var/lib/icefarm-worker/firmware",
        "spool": "/var/lib/icefarm-worker/spool",
    }


def test_it_makes_the_user_then_starts_the_worker_with_the_host_and_now(here: WorkerHost) -> None:
    here.install_whole()
    commands = here.commands()
    assert commands[0] == "systemd-sysusers icefarm.conf"
    assert commands[-3:] == [
        "systemctl daemon-reload",
        "systemctl enable icefarm-worker.service",
        "systemctl restart icefarm-worker.service",
    ]


def test_where_no_udevd_runs_nobody_tells_it_of_rules(here: WorkerHost) -> None:
    here.path("run/udev/control").unlink()
    assert here.install_whole().exit_code == 0
    assert [command for command in here.commands() if "udevadm" in command] == []


def test_it_may_leave_starting_for_later(here: WorkerHost) -> None:
    here.install_whole("--no-start")
    assert here.commands()[-1] == "systemctl enable icefarm-worker.service"


@pytest.mark.parametrize("given", [(), ("--virtual-boards", "4..64", "--name", 'a"b')])
def test_the_worker_takes_its_settings(here: WorkerHost, given: tuple[str, ...]) -> None:
    assert here.install_whole(*given).exit_code == 0
    section = read_section(SETTINGS, "worker", WorkerOptions.settings, lambda name: here.path(name).read_text())
    assert section["control"] == URL
    assert section.get("virtual-boards") == ("4..64" if given else None)
    assert section.get("name") == ('a"b' if given else None)


def test_certificates_are_copied_and_named(here: WorkerHost, tmp_path: Path) -> None:
    made = issue(tmp_path, "farm.example")
    assert here.install_whole("--ca-file", str(made.certificate_file)).exit_code == 0
    files = here.files()
    assert files[CA_FILE] == made.certificate_file.read_text()
    assert tomllib.loads(files[SETTINGS])["worker"]["ca-file"] == f"/{CA_FILE}"


def test_a_second_time_nothing_is_written_and_the_worker_goes_on(here: WorkerHost) -> None:
    here.install_whole()
    before, times = here.files(), {path: here.path(path).stat().st_mtime_ns for path in here.files()}
    here.host.ran.clear()
    result = here.install_whole()
    assert "write" not in result.output
    assert here.files() == before
    assert {path: here.path(path).stat().st_mtime_ns for path in before} == times
    assert here.commands()[-1] == "systemctl start icefarm-worker.service"


def test_after_an_upgrade_that_changes_no_file_the_worker_is_restarted(
    here: WorkerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.install_whole()
    here.host.ran.clear()
    monkeypatch.setattr(installer, "__version__", "99.0.0")
    assert here.install().exit_code == 0
    assert here.commands()[-1] == "systemctl restart icefarm-worker.service"


def test_an_upgrade_needs_neither_url_nor_token_and_keeps_settings_changed_by_hand(here: WorkerHost) -> None:
    here.install_whole()
    by_hand = here.path(SETTINGS).read_text() + 'log-level = "debug"\n'
    here.path(SETTINGS).write_text(by_hand)
    result = here.install("--group", "plugdev")
    assert result.exit_code == 0, result.output
    assert here.path(SETTINGS).read_text() == by_hand


def test_the_group_is_that_of_the_rules_the_user_and_the_unit(here: WorkerHost) -> None:
    here.install_whole("--group", "lab")
    files = here.files()
    assert "SupplementaryGroups=lab\n" in files[UNIT_FILE]
    assert "\ng lab -\n" in files[SYSUSERS]
    assert 'GROUP="lab"' in files[f"etc/udev/rules.d/{RULES_FILE}"]


def test_a_file_that_was_changed_by_hand_is_not_replaced_unless_asked_for_and_kept_then(here: WorkerHost) -> None:
    here.install_whole()
    here.path(UNIT_FILE).write_text("# mine\n")
    here.host.ran.clear()
    result = here.install_whole("--name", "other")
    assert result.exit_code == 1
    assert f"changed since: /{UNIT_FILE}; move them away, or use --force" in result.stderr
    assert here.path(UNIT_FILE).read_text() == "# mine\n"
    assert "other" not in here.path(SETTINGS).read_text()
    assert here.host.ran == []
    assert here.install_whole("--force").exit_code == 0
    assert here.path(UNIT_FILE).read_text() != "# mine\n"
    assert here.path(f"{UNIT_FILE}.old").read_text() == "# mine\n"


def test_rules_of_udev_install_are_taken_over(here: WorkerHost) -> None:
    here.host.write(f"etc/udev/rules.d/{RULES_FILE}", udev_rules())
    assert here.install_whole().exit_code == 0
    here.uninstall()
    assert not here.path(f"etc/udev/rules.d/{RULES_FILE}").exists()


def test_an_upgrade_keeps_the_group_and_the_right_to_switch_hubs(here: WorkerHost) -> None:
    here.install_whole("--group", "lab", "--hubs")
    before = here.files()
    assert here.install().exit_code == 0
    assert here.files() == before
    assert before[f"etc/udev/rules.d/{RULES_FILE}"] == udev_rules("lab", hubs=True)


def test_the_right_to_switch_hubs_can_be_taken_back(here: WorkerHost) -> None:
    here.install_whole("--group", "lab", "--hubs")
    assert here.install("--no-hubs").exit_code == 0
    assert here.files()[f"etc/udev/rules.d/{RULES_FILE}"] == udev_rules("lab")


def test_a_record_without_a_group_is_that_of_the_default_group(here: WorkerHost) -> None:
    here.install_whole()
    record = json.loads(here.path(RECORD).read_text())
    here.path(RECORD).write_text(json.dumps({"version": record["version"], "files": record["files"]}))
    assert here.install().exit_code == 0
    assert json.loads(here.path(RECORD).read_text()) == record


def test_a_dry_run_shows_all_but_the_token_and_does_nothing(here: WorkerHost) -> None:
    here.host.is_root = False
    before = here.files()
    result = here.install_whole("--dry-run")
    assert result.exit_code == 0
    assert "write /etc/icefarm/worker.token (mode 0600)" in result.output
    assert "abc123" not in result.output
    assert f'    control = "{URL}"' in result.output
    assert "run systemctl enable icefarm-worker.service" in result.output
    assert (here.files(), here.host.ran) == (before, [])


def test_uninstalling_leaves_nothing_behind(here: WorkerHost) -> None:
    before = here.files()
    here.install_whole()
    here.host.ran.clear()
    result = here.uninstall()
    assert result.exit_code == 0
    assert here.files() == before
    assert not here.path("etc/icefarm").exists()
    commands = here.commands()
    assert commands[0] == "systemctl disable --now icefarm-worker.service"
    assert commands[-1] == "systemctl daemon-reload"
    assert "measurements that are not archived yet" in result.output


def test_uninstalling_leaves_what_was_changed_by_hand(here: WorkerHost) -> None:
    here.install_whole()
    here.path(SETTINGS).write_text("# mine\n")
    result = here.uninstall()
    assert f"leave /{SETTINGS}, which was changed by hand" in result.output
    assert set(here.files()) == {SETTINGS}


def test_uninstalling_shows_first_what_it_would_do(here: WorkerHost) -> None:
    here.install_whole()
    before = here.files()
    here.host.ran.clear()
    result = here.uninstall("--dry-run")
    assert f"remove /{UNIT_FILE}" in result.output
    assert (here.files(), here.host.ran) == (before, [])


def test_a_host_on_which_nothing_was_installed_says_so(here: WorkerHost) -> None:
    result = here.uninstall()
    assert (result.exit_code, "nothing was installed here" in result.stderr) == (1, True)


def test_a_record_that_cannot_be_read_is_not_taken_for_none(here: WorkerHost) -> None:
    here.path(RECORD).mkdir(parents=True)
    result = here.uninstall()
    assert result.exit_code == 1
    assert result.stderr == f"icefarm: {here.path(RECORD)}: Is a directory\n"


def test_a_damaged_record_says_what_to_do(here: WorkerHost) -> None:
    here.host.write(RECORD, "[]")
    result = here.uninstall()
    assert (result.exit_code, f"/{RECORD} is damaged: remove it" in result.stderr) == (1, True)


def _no_root(here: WorkerHost) -> None:
    here.host.is_root = False


def _no_systemd(here: WorkerHost) -> None:
    shutil.rmtree(here.path("run/systemd"))


def _no_icefarm(here: WorkerHost) -> None:
    here.path("opt/icefarm/bin/twistd").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(_no_root, "with sudo"), (_no_systemd, "systemd does not run"), (_no_icefarm, "--prefix names")],
)
def test_a_host_that_lacks_something_is_told_what(here: WorkerHost, spoil: object, said: str) -> None:
    assert callable(spoil)
    before = here.files()
    spoil(here)
    result = here.install_whole()
    assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    assert (here.files(), here.host.ran) == (before, [])


@pytest.mark.parametrize("prefix", ["/home/ada/venv", "/root/venv", "/tmp/venv"])
def test_an_icefarm_that_services_do_not_see_is_refused(here: WorkerHost, prefix: str) -> None:
    here.host.write(f"{prefix[1:]}/bin/twistd", "")
    result = here.install_whole("--prefix", prefix)
    assert (result.exit_code, f"services do not see {prefix}" in result.stderr) == (1, True)


def test_a_python_that_services_do_not_see_is_refused(here: WorkerHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", "/home/ada/.pyenv/versions/3.13")
    assert "services do not see /home/ada/.pyenv" in here.install_whole().stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 1, "--url says where the farm is"),
        (("--url", URL), 1, "icefarm token add NAME --role worker > FILE"),
        (("--name", "a"), 2, "go with --url"),
        (("--url", "ftp://farm"), 2, "URL"),
        (("--url", URL, "--group", "a b"), 2, "not a valid group name"),
        (("--url", URL, "--virtual-boards", "many"), 2, "many"),
        (("--url", URL, "--ca-file", __file__), 2, "no certificate"),
    ],
)
def test_what_is_missing_or_wrong_is_said(here: WorkerHost, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = here.install(*arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr


def test_the_role_of_the_host_has_to_be_said(here: WorkerHost) -> None:
    result = here.host.icefarm("host", "install", "--url", URL)
    assert (result.exit_code, "--worker" in result.stderr) == (2, True)


def test_a_program_that_fails_is_reported(here: WorkerHost) -> None:
    here.host.answers["systemd-sysusers"] = (1, "no space left")
    result = here.install_whole()
    assert result.exit_code == 1
    assert "systemd-sysusers icefarm.conf failed: no space left" in result.stderr


def test_an_interrupted_installation_goes_on_where_it_was(here: WorkerHost) -> None:
    here.install_whole()
    here.path(RECORD).unlink()
    here.path(SETTINGS).unlink()
    assert here.install_whole().exit_code == 0
    assert set(json.loads(here.path(RECORD).read_text())["files"]) == {*FIXED, SETTINGS, TOKEN}


def test_the_tree_of_another_host_needs_neither_systemd_here_nor_a_start(here: WorkerHost) -> None:
    _no_systemd(here)
    here.host.is_root = False
    root = str(here.host.root)
    assert here.install_whole("--root", root).exit_code == 0
    assert here.commands() == [
        f"systemd-sysusers --root={root} icefarm.conf",
        f"systemd-tmpfiles --root={root} --create icefarm.conf",
        f"systemctl --root={root} enable {UNIT}",
    ]
    here.host.ran.clear()
    assert here.uninstall("--root", root).exit_code == 0
    assert here.commands() == [f"systemctl --root={root} disable {UNIT}"]
    assert here.files() == {}


def test_what_somebody_wrote_over_in_between_is_kept_too() -> None:
    file = HostFile("etc/a", b"new")
    (action,) = installing([file], {"etc/a": b"other"}, {"etc/a": "digest of what was installed"}, force=True)
    assert getattr(action, "kept", False)


def test_what_is_there_already_is_kept_and_what_somebody_changed_is_named() -> None:
    files = [HostFile("etc/a", b"new"), HostFile("etc/b", b"new"), HostFile("etc/c", b"new")]
    there = {"etc/a": b"new", "etc/b": b"changed", "etc/c": b"old"}
    with pytest.raises(ChangedByHand, match=r"^not written by icefarm host install, or changed since: /etc/b; move"):
        installing(files, there, {"etc/c": digest_of(b"old")})
    kept, *_ = installing(files, there, {"etc/c": digest_of(b"old")}, force=True)
    assert kept == Keep("etc/a")


def _has(*programs: str) -> bool:
    return all(shutil.which(program) for program in programs)


@pytest.mark.thorough
@pytest.mark.skipif(
    not _has("systemctl", "systemd-sysusers", "systemd-tmpfiles") or os.geteuid() != 0,
    reason="takes root, and the programs of systemd",
)
def test_systemd_takes_what_is_installed_into_a_tree(tmp_path: Path) -> None:
    tree, token = tmp_path / "tree", tmp_path / "token"
    for directory in ("etc", "opt/icefarm/bin"):
        (tree / directory).mkdir(parents=True)
    (tree / "opt/icefarm/bin/twistd").write_text("#!/bin/sh\n")
    (tree / "opt/icefarm/bin/twistd").chmod(0o755)
    token.write_text("abc\n")
    command = [sys.executable, "-m", "icefarm", "host"]
    arguments = ["install", "--worker", "--root", tree, "--prefix", "/opt/icefarm", "--url", URL, "--token-file", token]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^icefarm:", (tree / "etc/passwd").read_text(), re.M)
    assert re.search(r"^plugdev:", (tree / "etc/group").read_text(), re.M)
    assert (tree / "etc/systemd/system/multi-user.target.wants" / UNIT).is_symlink()
    done = subprocess.run(
        [*command, "uninstall", "--root", tree], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    assert not (tree / "etc/systemd/system/multi-user.target.wants" / UNIT).is_symlink()
    assert not list((tree / "etc").rglob("icefarm*"))


@pytest.mark.skipif(not _has("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_systemd_has_nothing_to_say_about_the_unit_that_is_installed(here: WorkerHost, tmp_path: Path) -> None:
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "twistd").write_text("#!/bin/sh\n")
    (programs / "twistd").chmod(0o755)
    here.install_whole()
    unit = tmp_path / UNIT
    unit.write_text(here.path(UNIT_FILE).read_text().replace("/opt/icefarm/bin", str(programs)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=LIMIT, check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "notice"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
