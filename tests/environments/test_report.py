"""What came of an installation, in words."""

from __future__ import annotations

from typing import Any

import pytest

from kernelexec.environments.report import Imported, Missed, Report, Step
from kernelexec.environments.requirements import Requirement

NUMPY, PANDAS, NICHE = Requirement("numpy", (), (">=2",)), Requirement("pandas"), Requirement("niche")


def report(**changes: Any) -> Report:
    fields: dict[str, Any] = {
        "requirements": [NUMPY],
        "steps": [Step("uv pip", (NUMPY,), 0)],
        "before": {},
        "after": {"numpy": "2.4.6"},
    }
    return Report(**{**fields, **changes})


def test_what_is_new_is_told_with_its_version_and_installer() -> None:
    assert report().succeeded
    assert report().text() == "installed numpy 2.4.6 (with uv pip)"


def test_what_was_there_already_is_told_as_that() -> None:
    same = report(before={"numpy": "2.4.6"}, after={"numpy": "2.4.6"})
    assert same.text() == "was there: numpy 2.4.6"
    both = report(
        requirements=[NUMPY, PANDAS],
        steps=[Step("uv pip", (NUMPY, PANDAS), 0)],
        before={"numpy": "2.4.6"},
        after={"numpy": "2.4.6", "pandas": "3.0"},
    )
    assert both.text().splitlines() == ["was there: numpy 2.4.6", "installed pandas 3.0 (with uv pip)"]


def test_dependencies_upgrades_and_removals_are_told_apart() -> None:
    text = report(
        requirements=[PANDAS],
        steps=[Step("uv pip", (PANDAS,), 0)],
        before={"numpy": "1.26", "old": "1"},
        after={"numpy": "2.4.6", "pandas": "3.0", "six": "1.17.0"},
    ).text()
    assert text.splitlines() == [
        "installed pandas 3.0 (with uv pip)",
        "With them came: six 1.17.0.",
        "Other packages changed, too: numpy 1.26 → 2.4.6, old 1 → removed.",
    ]


def test_a_hundred_dependencies_are_counted() -> None:
    after = {f"p{n}": "1" for n in range(100)} | {"numpy": "2.4.6"}
    assert "and 88 more." in report(before={}, after=after).text()


def test_a_kernel_that_has_the_old_version_imported_has_to_restart() -> None:
    text = report(
        before={"numpy": "1.26.4"},
        sessions=["a@b", "c@b"],
        imported=[Imported("a@b", "numpy", "1.26.4", "2.4.6")],
    ).text()
    assert text.splitlines() == [
        "updated numpy 1.26.4 → 2.4.6 (with uv pip)",
        "The running kernel of a@b has numpy 1.26.4 imported: restart it to use numpy 2.4.6 "
        "(restart_kernel; its variables are lost).",
    ]


def test_running_kernels_need_no_restart_for_what_is_new() -> None:
    assert "without a restart" in report(sessions=["a@b"]).text()
    assert "without a restart" not in report().text()


def test_an_older_version_is_no_update() -> None:
    assert report(before={"numpy": "3.0"}).text() == "downgraded numpy 3.0 → 2.4.6 (with uv pip)"


def test_who_does_without_what_is_new_has_to_restart_for_it() -> None:
    missed = [
        Missed("a@b", "numpy", "plots.io._shown", loading=True),
        Missed("a@b", "numpy", "plots.optional", loading=False),
        Missed("c@b", "numpy", "tables.excel", loading=False),
    ]
    assert report(sessions=["a@b", "c@b"], missed=missed).text().splitlines()[1:] == [
        "The running kernel of a@b imported plots before numpy was there, and plots goes on without: restart "
        "it if plots needs it (restart_kernel; its variables are lost).",
        "The running kernel of c@b can import what is new without a restart; only if tables, which looked "
        "for numpy before, still misses it: restart_kernel.",
    ]


def test_of_a_kernel_that_could_not_be_asked_nothing_is_promised() -> None:
    text = report(sessions=["a@b"], silent=["a@b"]).text()
    assert "kernel of a@b could not be asked: if it does not find what is new, restart" in text
    assert "without a restart" not in text


def test_what_pip_says_of_packages_that_do_not_go_together_is_told_though_it_succeeds() -> None:
    output = (
        "ERROR: pip's dependency resolver does not currently take into account all the packages\n"
        "old 1.0 requires numpy<2, but you have numpy 2.4.6 which is incompatible.\nSuccessfully installed\n"
    )
    said = "Does not go together, says pip: old 1.0 requires numpy<2, but you have numpy 2.4.6."
    assert report(output=output).text().splitlines()[1] == said


def test_what_conda_left_to_pip_is_told() -> None:
    it = report(
        requirements=[NUMPY, NICHE],
        steps=[Step("conda", (NUMPY, NICHE), 1), Step("conda", (NUMPY,), 0), Step("pip", (NICHE,), 0)],
        after={"numpy": "2.4.6", "niche": "1"},
        conda_missed=[NICHE],
    )
    assert it.succeeded
    assert it.text().splitlines()[:3] == [
        "installed numpy 2.4.6 (with conda)",
        "installed niche 1 (with pip)",
        "Not in the environment's conda channels, so left to pip (PyPI): niche.",
    ]


def test_a_failure_names_the_end_what_is_there_and_the_cause() -> None:
    failed = report(
        steps=[Step("pip", (NUMPY,), 1)],
        after={"numpy": "1.26"},
        before={"numpy": "1.26"},
        output="ERROR: No matching distribution found for numpy>=2",
    )
    assert not failed.succeeded
    assert failed.text().splitlines() == [
        "numpy>=2 could not be installed: pip ended with exit code 1.",
        "Installed now: numpy 1.26, not >=2.",
        "No such package or version, or none that fits this Python and what is installed: check the name.",
    ]


def test_a_part_that_failed_is_a_failure_that_says_what_is_there() -> None:
    failed = report(
        requirements=[NUMPY, NICHE],
        steps=[Step("conda", (NUMPY, NICHE), 1), Step("conda", (NUMPY,), 0), Step("pip", (NICHE,), 1)],
        conda_missed=[NICHE],
    )
    assert not failed.succeeded
    assert "Installed now: numpy 2.4.6. Not installed: niche." in failed.text()


def test_an_installer_that_was_killed_is_told_with_the_signal() -> None:
    assert "killed by signal 9 (SIGKILL)" in report(steps=[Step("pip", (NUMPY,), -9)], after={}).text()


def test_a_stopped_installation_says_what_is_there() -> None:
    stopped = report(steps=[Step("pip", (NUMPY,), 1)], stopped=True, after={})
    assert not stopped.succeeded
    assert stopped.text().splitlines() == [
        "The installation of numpy>=2 was stopped.",
        "Nothing of it is installed now.",
    ]


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("failed to create file: Read-only file system (os error 30)", "cannot be written"),
        ("ERROR: Could not install packages: [Errno 13] Permission denied: '/x'", "cannot be written"),
        ("error: externally-managed-environment", "operating system"),
        ("Temporary failure in name resolution", "could not be reached"),
        ("cause: invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
        ("CondaHTTPError: HTTP 000 CONNECTION FAILED for url <x>", "could not be reached"),
        ("  × No solution found when resolving dependencies", "No such package"),
    ],
)
def test_the_cause_is_recognised_in_the_installers_words(output: str, cause: str) -> None:
    assert cause in report(steps=[Step("x", (NUMPY,), 2)], after={}, output=output).text()
