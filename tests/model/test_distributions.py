"""Which package a module is in."""

from __future__ import annotations

import pytest

from kernelexec.model.distributions import distribution_of, is_shared, removed_in


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("cv2", "opencv-python-headless"),
        ("sklearn", "scikit-learn"),
        ("sklearn.linear_model", "scikit-learn"),
        ("PIL", "pillow"),
        ("yaml", "PyYAML"),
        ("bs4", "beautifulsoup4"),
        ("dateutil", "python-dateutil"),
        ("dotenv", "python-dotenv"),
        ("serial", "pyserial"),
        ("attr", "attrs"),
        ("Crypto", "pycryptodome"),
        ("skimage", "scikit-image"),
        ("google.cloud.storage", "google-cloud-storage"),
        ("google.cloud.storage.client", "google-cloud-storage"),
        ("google.protobuf", "protobuf"),
        ("azure.identity", "azure-identity"),
        ("google.colab", None),
        ("google.nothing", None),
        ("numpy", None),
    ],
)
def test_a_package_is_known_where_its_name_is_another(module: str, package: str | None) -> None:
    assert distribution_of(module) == package


def test_a_name_that_many_packages_share_is_no_packages_own() -> None:
    assert [is_shared(name) for name in ("google", "google.cloud", "azure", "numpy", "goo")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_what_python_has_no_more_is_known_with_what_replaces_it() -> None:
    assert removed_in("distutils.core") == ("3.12", "setuptools")
    assert removed_in("imp") == ("3.12", None)
    assert removed_in("json") is None
