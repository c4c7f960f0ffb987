"""The `kernelexec://` resources as the official client reads them."""

from __future__ import annotations

import base64
import json

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually

PICTURE = """
import base64, io, os
from IPython.display import display
data = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
print("with a picture")
display({"image/png": base64.b64encode(data).decode()}, raw=True)
"""


def text_of(contents: list[types.TextResourceContents | types.BlobResourceContents]) -> str:
    [content] = contents
    assert isinstance(content, types.TextResourceContents)
    return content.text


def test_a_sessions_notebook_history_code_output_and_pictures_are_resources(own_client: Client) -> None:
    reply = own_client.execute(PICTURE)
    session = f"kernelexec://session/{reply.session}"
    listed = {str(resource.uri): resource for resource in own_client.resources()}
    assert f"{session}/executions" in listed
    eventually(lambda: f"{session}/notebook" in {str(r.uri) for r in own_client.resources()})
    templates = [template.uri_template for template in own_client.resource_templates()]
    assert "kernelexec://session/{session}/{number}/output" in templates

    notebook = eventually(lambda: json.loads(text_of(own_client.read(f"{session}/notebook"))))
    assert notebook["cells"][0]["source"]
    assert "import base64" in text_of(own_client.read(f"{session}/executions"))
    assert text_of(own_client.read(f"{session}/{reply.number}/code")) == PICTURE
    assert "with a picture" in text_of(own_client.read(f"{session}/{reply.number}/output"))
    [image] = own_client.read(f"{session}/{reply.number}/image/1")
    assert isinstance(image, types.BlobResourceContents)
    assert base64.b64decode(image.blob).startswith(b"\x89PNG")


def test_a_large_output_is_a_resource_until_it_is_larger_than_clients_take(
    connect: Connect, shared_home: Home
) -> None:
    client = connect(shared_home, shared_home.project("large"), KERNELEXEC_CELL_MB="0.1")
    reply = client.execute("print('x' * 79 + '\\n', end='')\nfor n in range(5_000):\n    print(f'{n:079d}')")
    files = [str(r.uri) for r in client.resources() if "/file/" in str(r.uri) and "large@" in str(r.uri)]
    assert len(files) == 1
    assert f"{4_999:079d}" in text_of(client.read(files[0]))
    reply = client.execute("for n in range(20_000):\n    print(f'{n:079d}')")
    with pytest.raises(MCPError, match="more than the 700,000 that clients take") as refused:
        client.read(f"kernelexec://session/{reply.session}/{reply.number}/output")
    assert f'read_output(execution_id="{reply.id}", offset=0)' in str(refused.value)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("file/../../etc/passwd", "There is no resource"),
        ("file/{session}-1/outputs/../../x", "There is no resource"),
        ("file/%2e%2e/outputs/x", "There is no resource"),
        ("file/.kernelexec/{session}.jsonl", "There is no resource"),
        ("99999/output", "There is no execution"),
        ("1/image/7", "has no image 7; it has 0"),
        ("nothing", "There is no resource"),
    ],
)
def test_what_is_no_resource_is_refused_with_what_there_is(client: Client, path: str, why: str) -> None:
    session = client.execute("x = 1").session
    with pytest.raises(MCPError, match=why):
        client.read(f"kernelexec://session/{session}/" + path.replace("{session}", session))


def test_another_address_is_refused(client: Client) -> None:
    for uri in ("file:///etc/passwd", "kernelexec://session/nobody@nowhere/notebook", "kernelexec://x"):
        with pytest.raises(MCPError, match="There is no"):
            client.read(uri)
