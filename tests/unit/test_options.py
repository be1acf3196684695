"""Options in layers: which one wins, and what a person reads when one is wrong."""

from __future__ import annotations

import pytest
from twisted.application.app import ServerOptions
from twisted.logger import capturedLogs
from twisted.python.usage import UsageError

from icefarm.errors import InvalidArgument
from icefarm.twistd.options import (
    LayeredOptions,
    Setting,
    choice,
    host_and_port,
    number,
    seconds,
    whole_number,
)


def refused(text: str) -> str:
    raise InvalidArgument(f"is no URL of a router: {text!r}")


class Options(LayeredOptions):
    section = "control"
    settings = (
        Setting("grace", "how long", metavar="SECONDS", default="30", parse=seconds),
        Setting("data-dir", "where", metavar="DIR"),
        Setting("url", "a URL", parse=refused),
        Setting("quiet", "say less", flag=True),
        Setting("token", "who we are", secret=True),
    )


def parsed(*flags: str, environment: dict[str, str] | None = None, **files: str) -> Options:
    def read_text(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    options = Options(environment or {}, read_text)
    options.parseOptions(list(flags))
    return options


def test_a_default_is_parsed_like_all_else() -> None:
    assert parsed()["grace"] == 30.0


def test_defaults_are_there_before_anything_is_parsed() -> None:
    assert Options({})["grace"] == 30.0
    assert Options({})["quiet"] is False


def test_the_file_wins_over_the_default() -> None:
    assert parsed("--config", "f", f="[control]\ngrace = 7")["grace"] == 7.0


def test_the_environment_wins_over_the_file() -> None:
    options = parsed("--config", "f", environment={"ICEFARM_GRACE": "8"}, f="[control]\ngrace = 7")
    assert options["grace"] == 8.0


def test_a_flag_wins_over_the_environment() -> None:
    assert parsed("--grace", "9", environment={"ICEFARM_GRACE": "8"})["grace"] == 9.0


def test_a_flag_that_repeats_the_default_wins_too() -> None:
    assert parsed("--grace", "30", environment={"ICEFARM_GRACE": "8"})["grace"] == 30.0


def test_an_empty_variable_counts_as_none() -> None:
    assert parsed(environment={"ICEFARM_GRACE": ""})["grace"] == 30.0


def test_the_file_may_be_named_by_the_environment() -> None:
    options = parsed(environment={"ICEFARM_CONFIG": "f"}, f="[control]\ngrace = 7")
    assert (options["grace"], options["config"]) == (7.0, "f")


def test_keys_of_the_file_may_have_underscores() -> None:
    assert parsed("--config", "f", f="[control]\ndata_dir = '/x'")["data-dir"] == "/x"


def test_the_section_of_another_service_is_left_alone() -> None:
    assert parsed("--config", "f", f="[worker]\nname = 'w1'")["grace"] == 30.0


@pytest.mark.parametrize(
    ("environment", "file", "expected"),
    [({}, "quiet = true", True), ({}, "quiet = false", False), ({"ICEFARM_QUIET": "no"}, "quiet = true", False)],
)
def test_a_flag_without_value_can_come_from_every_layer(environment: dict[str, str], file: str, expected: bool) -> None:
    assert parsed("--config", "f", environment=environment, f=f"[control]\n{file}")["quiet"] is expected


def test_a_flag_without_value_is_true_when_given() -> None:
    assert parsed("--quiet", environment={"ICEFARM_QUIET": "0"})["quiet"] is True


def test_a_secret_is_read_from_the_file_that_the_flag_names() -> None:
    assert parsed("--token-file", "t", t="  s3cret\n")["token"] == "s3cret"


def test_a_secret_may_stand_in_the_environment() -> None:
    assert parsed(environment={"ICEFARM_TOKEN": "s3cret"})["token"] == "s3cret"


@pytest.mark.parametrize(
    ("flags", "environment", "files", "line"),
    [
        (["--grace", "soon"], {}, {}, "--grace: must be a number of seconds above 0, not 'soon'"),
        ([], {"ICEFARM_GRACE": "-1"}, {}, "ICEFARM_GRACE: must be a number of seconds above 0, not '-1'"),
        (["--config", "f"], {}, {"f": "[control]\ngrace = true"}, "f: grace: must be text or a number, not True"),
        (["--config", "f"], {}, {"f": "[control]\ngrace = [1]"}, "f: grace: must be text or a number, not [1]"),
        (["--config", "f"], {}, {"f": "[control]\nquiet = 'x'"}, "f: quiet: must be true or false, not 'x'"),
        (
            ["--config", "f"],
            {},
            {"f": "[control]\na-b = 1\n"},
            "f: [control] has no setting 'a-b'; there are",
        ),
        (["--config", "f"], {}, {"f": "[contrl]"}, "f: 'contrl' is not one of its sections, which are [control] and"),
        (["--config", "f"], {}, {"f": "grace = 1"}, "f: 'grace' is not one of its sections"),
        (["--config", "f"], {}, {"f": "[control]\ndata_dir='a'\ndata-dir='b'"}, "f: [control] sets data-dir twice"),
        (["--config", "f"], {}, {"f": "[control"}, "configuration file f: is not TOML: "),
        (["--config", "gone"], {}, {}, "configuration file gone: No such file or directory"),
        (["--token-file", "gone"], {}, {}, "--token-file: gone: No such file or directory"),
        (["--token-file", "t"], {}, {"t": "\n"}, "--token-file: t is empty"),
        (["--url", "x"], {}, {}, "--url: is no URL of a router: 'x'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_its_source(
    flags: list[str], environment: dict[str, str], files: dict[str, str], line: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(*flags, environment=environment, **files)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_help_names_the_variable_and_the_default_of_each() -> None:
    usage = " ".join(Options({}).getUsage(width=200).split())
    assert "how long (SECONDS) [environment: ICEFARM_GRACE; default: 30]" in usage
    assert "who we are [environment: ICEFARM_TOKEN or ICEFARM_TOKEN_FILE]" in usage
    assert "[environment: ICEFARM_CONFIG]" in usage


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:1", ("::1", 1)), ("localhost:0", ("localhost", 0))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert host_and_port(text) == address


@pytest.mark.parametrize("text", ["", "8080", ":8080", "localhost", "localhost:", "localhost:x", "h:70000", "::1:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be HOST:PORT"):
        host_and_port(text)


@pytest.mark.parametrize("text", ["nan", "inf", "", "1e999", "one"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number, not"):
        number(text)


@pytest.mark.parametrize("text", ["-1", "1.0", "", "²", "four"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        whole_number(text)


def test_a_choice_names_what_there_is_to_choose() -> None:
    with pytest.raises(ValueError, match="must be open or tokens, not 'shut'"):
        choice("open", "tokens")("shut")


def test_names_of_earlier_versions_are_understood() -> None:
    with capturedLogs() as events:
        assert parsed(environment={"USBIPICE_GRACE": "8"})["grace"] == 8.0
    assert [event["note"] for event in events] == [
        "USBIPICE_GRACE is called ICEFARM_GRACE now; the old name still works"
    ]


def test_twistd_of_every_version_ends_with_one_line_and_1_at_a_wrong_option() -> None:
    options = Options({})
    options.parent = ServerOptions()
    options.parent.subCommand = "icefarm-worker"
    with pytest.raises(SystemExit) as ended:
        options.parseOptions(["--grace", "long"])
    # Python prints it, and ends with 1.
    assert str(ended.value.code).startswith("icefarm-worker: --grace: must be ")
    assert "\n" not in str(ended.value.code)
