"""Each way in which a server, or what is before it, does not serve has its own words."""

from __future__ import annotations

import ssl

import pytest

from kernelexec.kernels.server_troubles import no_websocket, of_failure, of_status

URL = "https://hub.example/user/ann"


@pytest.mark.parametrize(
    ("status", "options", "what", "next_step"),
    [
        (401, {}, "does not accept the token", "GATEWAY_TOKEN_FILE"),
        (403, {"said": "Forbidden"}, "does not accept the token", "JUPYTER_TOKEN"),
        (403, {"has_token": False}, "wants a token, and none is configured", "JUPYTER_TOKEN"),
        (403, {"said": "User root is not authorized"}, "refuses that (403): User root", "allow it"),
        (404, {}, "There is no Jupyter server at", "/user/NAME"),
        (424, {}, "is not running (424)", "Start it in a browser"),
        (429, {}, "too many requests", "by itself"),
        (500, {"said": "no such\nthing"}, "failed with 500 (no such thing)", "log"),
        (502, {}, "A proxy answers", "by itself"),
        (302, {"location": "/hub/login?next=x"}, "does not accept the token", "JUPYTER_TOKEN"),
        (302, {"location": "/hub/user/ann/"}, "is not running (424)", "Start it"),
        (
            301,
            {"location": "https://new.example/user/ann/api/kernels"},
            "redirects",
            "https://new.example/user/ann ",
        ),
    ],
)
def test_an_answer_that_is_no_success_is_told_with_what_to_do(
    status: int, options: dict[str, str], what: str, next_step: str
) -> None:
    trouble = of_status(status, URL, **options)  # type: ignore[arg-type]
    assert URL in trouble.what
    assert what in trouble.what
    assert next_step in f"{trouble.next_step} "


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "what", "next_step"),
    [
        (ConnectionRefusedError(), "Nothing answers", "running"),
        (caused(OSError("all attempts failed"), ConnectionRefusedError()), "Nothing answers", "running"),
        (
            caused(RuntimeError(), ssl.SSLCertVerificationError("self-signed")),
            "is not trusted",
            "GATEWAY_CA_FILE",
        ),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), "does not speak TLS", "http://"),
        (TimeoutError("timed out"), "could not be reached (timed out)", "running"),
    ],
)
def test_a_connection_that_does_not_come_about_is_told_with_what_to_do(
    error: Exception, what: str, next_step: str
) -> None:
    trouble = of_failure(error, URL)
    assert what in trouble.what
    assert next_step in trouble.next_step


def test_a_proxy_without_upgrade_is_told_as_that() -> None:
    assert "Upgrade" in no_websocket(URL).what
