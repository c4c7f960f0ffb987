"""`kernelexec gc`, as the person calls it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelexec import paths
from kernelexec.commands import cli
from kernelexec.environments.borrowed import lent_folder
from kernelexec.environments.kernelspec import install_launcher
from kernelexec.kernels.registry import KernelEntry, Registry
from tests.fakes import FakeStarter, environment, ran, run, session_in

DAY = 86_400


def gc(*arguments: object) -> int:
    return cli.main(["gc", *map(str, arguments)])


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }


@pytest.fixture
def leave(storage: Path) -> Callable[..., set[str]]:
    """`leave(session, days, generations)`: the files of a session last used so many days ago."""

    def left(session: str = "sales@analysis", days: float = 100, generations: int = 1) -> set[str]:
        before = files(storage)
        (storage / ".kernelexec").mkdir(exist_ok=True)
        (storage / ".kernelexec" / f"{session}.jsonl").write_text("{}\n")
        for number in range(1, generations + 1):
            outputs = storage / f"{session}-{number}" / "outputs"
            outputs.mkdir(parents=True)
            (outputs / "0001.txt").write_text("x" * 1000)
            (outputs / "0001-1.png").write_text("x" * 1000)
            (outputs.parent / "0001-load.py").write_text("1")
            (storage / f"{session}-{number}.ipynb").write_text("{}")
        new = files(storage) - before
        moment = (storage.stat().st_mtime) - days * DAY
        for name in new:
            os.utime(storage / name, (moment, moment))
        return new

    return left


def of_kind(names: set[str], *kinds: str) -> set[str]:
    def kind(name: str) -> str:
        if name.startswith("."):
            return "journals"
        if "/outputs/" in name:
            return "outputs"
        return "notebooks" if name.endswith(".ipynb") else "scripts"

    return {name for name in names if kind(name) in kinds}


def test_without_a_choice_everything_is_kept_and_shown(
    storage: Path, leave: Callable[..., set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    left = leave() | leave("other@analysis", days=1)
    assert gc(storage, "--yes") == 0
    said = capsys.readouterr().out
    assert files(storage) == left
    assert "Nothing would be removed" in said
    assert "sales@analysis" in said
    assert "other@analysis" in said
    assert "2.0 kB" in said


def test_without_yes_it_says_what_would_go_and_removes_nothing(
    storage: Path, leave: Callable[..., set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    left = leave()
    assert gc(storage, "--older-than", "90d") == 0
    said = capsys.readouterr().out
    assert files(storage) == left
    assert f"{storage}/.kernelexec/sales@analysis.jsonl (3 B)" in said
    assert f"{storage}/sales@analysis-1/outputs (2.0 kB, 2 files)" in said
    assert "Nothing was removed" in said


def test_journals_and_outputs_of_what_is_old_go_and_nothing_else(
    storage: Path, leave: Callable[..., set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    old, young = leave("old@e", 91), leave("young@e", 89)
    assert gc(storage, "--older-than", "90d", "--yes") == 0
    assert files(storage) == young | of_kind(old, "scripts", "notebooks")
    assert "2.0 kB removed" in capsys.readouterr().out
    assert not (storage / "old@e-1" / "outputs").exists()
    assert (storage / "young@e-1" / "outputs").is_dir()


@pytest.mark.parametrize("suffix", ["index", "looks"])
def test_what_is_kept_beside_a_journal_goes_with_it(
    storage: Path, leave: Callable[..., set[str]], capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    leave("old@e", 91)
    beside = storage / ".kernelexec" / f"old@e.{suffix}"
    beside.write_text("x" * 500)
    journal = beside.with_name("old@e.jsonl")
    os.utime(beside, (journal.stat().st_mtime, journal.stat().st_mtime))
    assert gc(storage, "--older-than", "90d", "--yes") == 0
    assert not beside.exists()
    assert not journal.exists()


@pytest.mark.parametrize("kinds", [["scripts"], ["notebooks"], ["journals"], ["outputs", "notebooks"]])
def test_what_the_person_works_with_goes_only_when_asked_for_by_name(
    storage: Path, leave: Callable[..., set[str]], kinds: list[str]
) -> None:
    left = leave()
    assert gc(storage, "--older-than", "1d", "--yes", *(f"--{kind}" for kind in kinds)) == 0
    assert files(storage) == left - of_kind(left, *kinds)


def test_a_session_of_which_all_goes_leaves_no_folder(storage: Path, leave: Callable[..., set[str]]) -> None:
    leave()
    kinds = ["--journals", "--outputs", "--scripts", "--notebooks"]
    assert gc(storage, "--older-than", "1d", "--yes", *kinds) == 0
    assert [path.name for path in storage.iterdir()] == [".kernelexec"]


def test_the_newest_generations_can_be_kept_and_the_journal_with_them(
    storage: Path, leave: Callable[..., set[str]]
) -> None:
    left = leave(generations=12)
    kinds = ["--journals", "--outputs", "--notebooks"]
    assert gc(storage, "--keep-generations", "2", "--yes", *kinds) == 0
    gone = {
        name
        for name in of_kind(left, "outputs", "notebooks")
        if not name.startswith(("sales@analysis-11", "sales@analysis-12"))
    }
    assert files(storage) == left - gone


def test_an_age_and_a_number_must_both_hold(storage: Path, leave: Callable[..., set[str]]) -> None:
    old, young = leave("old@e", 91, generations=3), leave("young@e", 1, generations=3)
    assert gc(storage, "--keep-generations", "2", "--older-than", "90d", "--yes") == 0
    gone = {name for name in of_kind(old, "outputs") if name.startswith("old@e-1/")}
    assert files(storage) == (old | young) - gone


def test_a_session_that_is_open_in_a_hub_is_left_alone(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with session_in(storage, FakeStarter()) as session:
            await ran(session, "x = 1")
            await session.recorder.flush()
            for path in storage.rglob("*"):
                os.utime(path, (1, 1))
            before = files(storage)
            kinds = ["--journals", "--outputs", "--scripts", "--notebooks"]
            assert await asyncio.to_thread(gc, storage, "--older-than", "1d", "--yes", *kinds) == 0
            assert files(storage) == before

    run(scenario())
    assert "in use" in capsys.readouterr().out


def test_a_session_whose_kernel_outlived_its_hub_is_left_alone(
    storage: Path, leave: Callable[..., set[str]]
) -> None:
    left = leave()
    entry = KernelEntry(
        *("k", {}, "2026-01-01", 1, "sales", str(storage), "/", None),
        environment=environment().to_json(),
    )
    Registry(Path(paths.state_dir(os.environ), "kernels")).write(entry)
    assert gc(storage, "--older-than", "1d", "--yes") == 0
    assert files(storage) == left


def test_what_is_not_ours_is_never_removed(
    storage: Path, elsewhere: Path, leave: Callable[..., set[str]]
) -> None:
    leave()
    secret = elsewhere / "0001.txt"
    secret.write_text("the person's")
    (storage / "report.ipynb").touch()
    (storage / "sales@analysis-1.clean.ipynb").touch()
    (storage / "sales@analysis-1" / "notes.py").touch()
    (storage / "sales@analysis-1" / "2026-data.csv").touch()
    (storage / "sales@analysis-1" / "outputs" / "chosen.txt").touch()
    (storage / "linked@e-1").symlink_to(elsewhere)
    (storage / "linked@e-2").mkdir()
    (storage / "linked@e-2" / "outputs").symlink_to(elsewhere)
    (storage / "linked@e-3" / "outputs").mkdir(parents=True)
    (storage / "linked@e-3" / "outputs" / "0001.txt").symlink_to(secret)
    (storage / "linked@e-4.ipynb").symlink_to(secret)
    (storage / ".kernelexec" / "linked@e.jsonl").symlink_to(secret)
    for path in storage.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    kinds = ["--journals", "--outputs", "--scripts", "--notebooks"]
    assert gc(storage, "--older-than", "1d", "--yes", *kinds) == 0
    assert secret.read_text() == "the person's"
    assert files(storage) == {
        "report.ipynb",
        "sales@analysis-1.clean.ipynb",
        "sales@analysis-1/notes.py",
        "sales@analysis-1/2026-data.csv",
        "sales@analysis-1/outputs/chosen.txt",
        "linked@e-1",
        "linked@e-2/outputs",
        "linked@e-3/outputs/0001.txt",
        "linked@e-4.ipynb",
        ".kernelexec/linked@e.jsonl",
    }


def test_a_file_that_cannot_be_removed_is_told(
    storage: Path,
    leave: Callable[..., set[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave()

    def unlink(*arguments: object, **more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", unlink)
    assert gc(storage, "--older-than", "1d", "--yes") == 1
    assert (
        f"not removed: {storage}/.kernelexec/sales@analysis.jsonl: Operation not" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "arguments",
    [["--older-than", "6m"], ["--older-than", "-1d"], ["--keep-generations", "0"], ["--older-than", "90"]],
)
def test_a_retention_that_means_nothing_is_refused(storage: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        gc(storage, *arguments)
    assert refused.value.code == 2


def test_the_directory_comes_from_the_argument_then_the_variable_then_the_default(
    storage: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gc()
    assert f"{elsewhere}/kernelexec (the default)\n" in capsys.readouterr().out
    monkeypatch.setenv("CODE_STORAGE_DIR", str(storage))
    gc()
    assert f"{storage} (CODE_STORAGE_DIR)\n" in capsys.readouterr().out
    gc(elsewhere)
    assert f"{elsewhere}\n" in capsys.readouterr().out
    assert gc(elsewhere / "nowhere") == 1


def test_what_earlier_versions_left_goes_unless_something_still_names_it(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(paths.data_dir(os.environ))
    current = install_launcher(data).parent.parent
    names = ["named", "unused"]
    launchers = [data / "launcher" / name for name in names] + [data / "ipykernel" / "unused"]
    lent = lent_folder(data)
    for folder in (*launchers, lent):
        folder.mkdir(parents=True)
        (folder / "launcher.py").write_text("x")
    spec = Path(paths.jupyter_data_dir(os.environ), "kernels", "kernelexec-analysis", "kernel.json")
    spec.parent.mkdir(parents=True)
    spec.write_text(f'{{"argv": ["python", "{launchers[0]}/launcher.py"]}}')
    for folder in (current, lent, *launchers):
        os.utime(folder, (1, 1))
    young = data / "launcher" / "young"
    young.mkdir()
    assert gc(storage) == 0
    assert f"{launchers[1]} (1 B)" in capsys.readouterr().out
    assert launchers[1].exists()
    assert gc(storage, "--yes") == 0
    assert {folder.name for folder in (data / "launcher").iterdir()} == {current.name, "named", "young"}
    assert [folder.name for folder in (data / "ipykernel").iterdir()] == [lent.name]
