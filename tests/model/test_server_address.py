"""A server's address, as people copy it from a browser."""

from __future__ import annotations

import pytest

from kernelexec.model.server_address import BadAddress, clean_url, host_of, kernel_at, server_and_kernelspec


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("http://127.0.0.1:8888", "http://127.0.0.1:8888"),
        (" https://hub.example/user/ann/lab/tree/a.ipynb ", "https://hub.example/user/ann"),
        ("https://hub.example/user/ann/tree?x=1#top", "https://hub.example/user/ann"),
        ("https://hub.example/laboratory/", "https://hub.example/laboratory"),
        ("http://[::1]:8888/", "http://[::1]:8888"),
    ],
)
def test_the_base_address_is_what_stands_before_a_page(written: str, clean: str) -> None:
    assert clean_url(written) == clean


@pytest.mark.parametrize(
    "written",
    ["hub.example", "ftp://hub.example", "http://", "http://a:b", "http://u:pw@h/", "http://h/?token=s3"],
)
def test_what_is_none_or_holds_a_secret_is_refused_without_being_repeated(written: str) -> None:
    with pytest.raises(BadAddress) as refused:
        clean_url(written)
    assert not {"pw", "s3", "hub.example"} & set(str(refused.value).replace("/", " ").split())


def test_a_kernel_there_has_a_name_that_is_read_again() -> None:
    name = kernel_at("https://hub.example/user/ann", "ir")
    assert server_and_kernelspec(name) == ("https://hub.example/user/ann", "ir")
    assert server_and_kernelspec("https://hub.example") == ("https://hub.example", "")
    assert host_of("https://hub.example:8/user/ann") == "hub.example"
