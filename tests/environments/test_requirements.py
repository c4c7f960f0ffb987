"""What may be asked to be installed, and what is refused before anything is started."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.environments.requirements import read_requirement, read_requirements
from kernelexec.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "pip", "conda"),
    [
        ("numpy", "numpy", "numpy"),
        (" numpy ", "numpy", "numpy"),
        ("NumPy>=2, <3", "NumPy<3,>=2", "numpy[version='<3,>=2']"),
        ("pandas (~=2.2)", "pandas~=2.2", "pandas[version='~=2.2']"),
        ("torch==2.*", "torch==2.*", "torch[version='2.*']"),
        ("torch!=2.0.*", "torch!=2.0.*", "torch[version='!=2.0.*']"),
        ("torch==2.1+cpu", "torch==2.1+cpu", "torch[version='==2.1+cpu']"),
        ("zope.interface", "zope.interface", "zope.interface"),
        ("httpx[socks, http2]==0.28.1", "httpx[http2,socks]==0.28.1", None),  # conda knows no extras
    ],
)
def test_a_name_with_extras_and_versions_is_put_together_anew(text: str, pip: str, conda: str | None) -> None:
    requirement = read_requirement(text)
    assert (str(requirement), requirement.for_conda()) == (pip, conda)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("numpy; id", "';'"),
        ("numpy; python_version > '3'", "';'"),
        ("$(id)", "no name"),
        ("`id`", "no name"),
        ("numpy && id", "no name"),
        ("numpy | tee", "no name"),
        ("numpy\n--index-url=http://x", "line break"),
        ("numpy\r", "line break"),
        ("numpy\0", "control character"),
        ("numpy\u2028x", "line break"),
        ("--index-url=http://x", "options"),
        ("-r requirements.txt", "options"),
        ("-e .", "options"),
        ("-", "options"),
        (".", "paths"),
        ("./x", "paths"),
        ("../x", "paths"),
        ("~/x", "paths"),
        ("/etc/passwd", "paths"),
        ("a\\b", "paths"),
        ("x @ file:///etc", "addresses"),
        ("x @ git+https://h/x@--upload-pack=y", "addresses"),
        ("git+ssh://h/x", "addresses"),
        ("https://h/x.whl", "addresses"),
        ("conda-forge::numpy", "channels"),
        ("evil-1.0-py3-none-any.whl", "files"),
        ("evil.tar.gz", "files"),
        ("evil.tar.bz2", "files"),
        ("evil.conda", "files"),
        ("evil.ZIP", "files"),
        ("numpy pandas", "one package in each text"),
        ("numpy 2.0", "'name==version'"),
        ("numpy=2.0", "'numpy==2.0'"),
        ("numpy=2.0=py311_0", "'numpy==2.0'"),
        ("numpy===2.0", "'=='"),
        ("numpy[version='>=2']", "no name"),
        ("numpy>=", "no name"),
        ("_private", "no name"),
        ("ｎumpy", "no name"),
        ("python==3.13", "Python itself"),
        ("x" * 201, "longer than 200"),
    ],
)
def test_everything_else_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_requirements(["numpy", text])
    assert why in str(caught.value)
    assert "Nothing was installed." in str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BadRequest) as caught:
        read_requirements(["./x", "numpy", "-e ."])
    assert "'./x'" in str(caught.value)
    assert "'-e .'" in str(caught.value)
    assert "'numpy'" not in str(caught.value).replace("example: numpy", "")


def test_the_same_package_twice_is_wanted_once() -> None:
    assert list(map(str, read_requirements(["numpy", "numpy "]))) == ["numpy"]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_what_is_taken_is_never_an_option_a_path_or_an_address(text: str) -> None:
    try:
        requirement = read_requirement(text)
    except ValueError:
        return
    for given_on in filter(None, (str(requirement), requirement.for_conda())):
        assert given_on[0].isalnum()
        assert not set(given_on) & set(";@/\\$`|&\n\r\0 ")
        assert "::" not in given_on
