"""What each client can do with the server, and what its model gets to read."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.clients.assistant import Assistant
from tests.clients.conftest import Opened
from tests.clients.libraries import Library
from tests.clients.one_shot import codex_exec, inspector
from tests.clients.programs import CLIENTS, IMPATIENT, Client
from tests.real.home import Home, eventually, until

PICTURE = """
import base64
from IPython.display import Image, display
display(Image(base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)))
"""


def test_the_tools_are_offered_to_the_model(assistant: Assistant) -> None:
    tools = assistant.tools()
    assert {"execute_code", "wait_for_execution", "send_input", "read_output"} <= tools.keys()
    assert "code" in tools["execute_code"]["properties"]


def test_variables_stay_from_call_to_call(assistant: Assistant) -> None:
    assert assistant.execute("kept = 20").verdict.startswith("OK: ")
    assert "\n42" in assistant.execute("kept + 22").text


def test_an_error_reaches_the_model_with_its_line(assistant: Assistant) -> None:
    seen = assistant.execute("gone = 0\n1 / gone")
    assert seen.verdict.startswith("ERROR: ")
    assert "ZeroDivisionError" in seen.text
    assert "1 / gone" in seen.text


def test_a_picture_reaches_the_model(assistant: Assistant) -> None:
    seen = assistant.execute(PICTURE)
    assert seen.verdict.startswith("OK: ")
    assert seen.images == 1


def test_of_long_output_the_model_gets_an_excerpt_and_can_read_the_rest(assistant: Assistant) -> None:
    seen = assistant.execute("for line in range(20_000): print('line', line)")
    assert seen.verdict.startswith("OK: ")
    assert "line 0\n" in seen.text
    assert "line 19999" in seen.text
    assert len(seen.text) < 12_000
    execution = seen.execution
    assert "line 12345" in assistant.call("read_output", execution_id=execution, pattern="line 12345$").text


def test_what_takes_long_goes_on_and_its_end_is_had_later(assistant: Assistant, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    seen = assistant.execute(until(gate) + "print('through the gate')", wait_seconds=0.5)
    assert seen.verdict.startswith("RUNNING: ")
    gate.touch()
    seen = assistant.call("wait_for_execution", execution_id=seen.execution)
    assert seen.verdict.startswith("OK: ")
    assert "through the gate" in seen.text


@pytest.mark.only(lambda client: client.asks)
def test_a_question_of_the_code_is_put_to_the_person(assistant: Assistant) -> None:
    seen = assistant.execute("input('Who is there? ')")
    assert seen.verdict.startswith("OK: ")
    assert "'Ada'" in seen.text


@pytest.mark.only(lambda client: not client.asks)
def test_without_forms_the_assistant_answers_a_question(assistant: Assistant) -> None:
    seen = assistant.execute("input('Who is there? ')")
    assert seen.verdict.startswith("WAITING FOR INPUT: ")
    seen = assistant.call("send_input", execution_id=seen.execution, text="Ada")
    assert seen.verdict.startswith("OK: ")
    assert "'Ada'" in seen.text


@pytest.mark.only(lambda client: client.cancels)
def test_a_cancel_interrupts_the_run_and_the_next_call_is_right_and_tells_of_it(
    assistant: Assistant, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    assistant.execute("before = 'kept'")
    call = assistant.begin("execute_code", {"code": until(tmp_path / "never", begun)})
    eventually(begun.exists)
    call.cancel()
    seen = assistant.execute("before + ' indeed'")
    assert seen.verdict.startswith("OK: ")
    assert "'kept indeed'" in seen.text
    assert "whose reply you did not get (the call was cancelled), was interrupted" in seen.text


@pytest.mark.only(lambda client: not client.cancels)
def test_a_cancel_that_the_server_is_not_told_of_is_told_to_the_model(
    assistant: Assistant, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    call = assistant.begin("execute_code", {"code": until(gate, begun) + "written = 7"})
    eventually(begun.exists)
    call.cancel()
    seen = assistant.execute("written * 6", wait_seconds=0.5)
    assert seen.verdict.startswith("QUEUED: "), seen.text
    gate.touch()
    seen = assistant.call("wait_for_execution", execution_id=seen.execution)
    assert seen.verdict.startswith("OK: ")
    assert "\n42" in seen.text


def test_a_client_that_comes_again_has_its_variables(
    client: Client, opened: Opened, shared_home: Home
) -> None:
    opened(client).execute("left = 'here'")
    again = client.start(shared_home, shared_home.project(client.project))
    try:
        seen = again.execute("left")
        assert seen.verdict.startswith("OK: ")
        assert "'here'" in seen.text
        assert "Variables of earlier calls are still there" in seen.text
    finally:
        again.close()


@pytest.mark.only(lambda client: client.shows_progress)
def test_the_last_line_of_output_is_shown_while_a_call_waits(assistant: Assistant, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    call = assistant.begin("execute_code", {"code": "print('epoch 1', flush=True)\n" + until(gate)})
    eventually(lambda: "epoch 1" in call.progress)
    gate.touch()
    assert call.result().verdict.startswith("OK: ")


def test_a_client_keeps_its_tools_and_variables_when_the_hub_is_killed(
    assistant: Assistant, shared_home: Home, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    assistant.execute("survived = 6")
    call = assistant.begin("execute_code", {"code": until(gate, begun) + "survived += 1"})
    eventually(begun.exists)
    shared_home.end_hub(signal.SIGKILL)
    gate.touch()
    seen = assistant.call("wait_for_execution", execution_id=call.result().execution)
    assert seen.verdict.startswith("OK: ")
    assert "\n42" in assistant.execute("survived * 6").text


def test_a_kernel_that_was_restarted_is_told(assistant: Assistant) -> None:
    assistant.execute("lost = 1")
    assert "lost" in assistant.call("restart_kernel").verdict
    assert "NameError" in assistant.execute("lost").text


@pytest.mark.only(lambda client: client.reads_resources)
def test_resources_are_listed_and_read_and_an_unknown_one_is_an_error(
    client: Client, assistant: Assistant
) -> None:
    assert isinstance(assistant, Library)
    assistant.execute("'for the notebook'")
    notebooks = [uri for uri in assistant.resources() if uri.endswith("/notebook")]
    (notebook,) = [uri for uri in notebooks if f"/{client.project}@" in uri]
    eventually(lambda: "for the notebook" in assistant.read(notebook).text)  # written within two seconds
    unknown = assistant.read("kernelexec://session/nothing@nowhere/1/code")
    assert unknown.is_error
    assert "nothing@nowhere" in unknown.text


def test_a_run_that_outlives_its_clients_patience_is_told(shared_home: Home) -> None:
    assistant = IMPATIENT.start(shared_home, shared_home.project("impatient"))
    try:
        while not assistant.execute("before = 1", wait_seconds=1).text.startswith("OK: "):
            pass  # the environment is prepared, which took longer
        seen = assistant.execute("import time; time.sleep(8)")
        assert "OK: " not in seen.text  # whatever the library says of its own time-out
        assert "whose reply you did not get" in assistant.execute("before", wait_seconds=0).text
    finally:
        assistant.close()


def test_codex_exec_runs_code_with_the_configuration_of_the_documents(shared_home: Home) -> None:
    assert "\n42" in codex_exec(shared_home, shared_home.project("codex-exec"), "6 * 7").text


def test_the_inspector_finds_nothing_to_complain_of(shared_home: Home) -> None:
    listed = inspector(shared_home, "--method", "tools/list", "--strict")
    assert "execute_code" in {tool["name"] for tool in listed["tools"]}
    arguments = ["--tool-name", "execute_code", "--tool-args-json", '{"code": "6 * 7"}']
    called = inspector(shared_home, "--method", "tools/call", *arguments)
    assert "\n42" in called["content"][0]["text"]


def test_each_client_that_is_tried_is_in_the_documents() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "tried.md").read_text()
    assert [client.name for client in CLIENTS if f"| {client.name} |" not in page] == []
