"""The files for Kubernetes fit together, as far as can be told without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parents[2] / "docs" / "kubernetes"
_PLACEHOLDERS = {
    "{kernel_id}",
    "{port_range}",
    "{response_address}",
    "{public_key}",
}  # that the gateway fills


def objects() -> dict[str, Any]:
    found = list(yaml.safe_load_all((_FOLDER / "enterprise-gateway.yaml").read_text()))
    return {each["kind"]: each for each in found}


def test_all_objects_are_in_the_namespace_that_the_manifest_makes() -> None:
    found = objects()
    name = found.pop("Namespace")["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in found.values()} == {name}
    container = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["EG_NAMESPACE"] == name


def test_the_gateway_has_the_account_with_the_role_and_the_service_leads_to_it() -> None:
    found = objects()
    pod = found["Deployment"]["spec"]["template"]
    account = found["ServiceAccount"]["metadata"]["name"]
    assert pod["spec"]["serviceAccountName"] == account
    assert [each["name"] for each in found["RoleBinding"]["subjects"]] == [account]
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    labels = pod["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    named = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
    assert {each["targetPort"] for each in found["Service"]["spec"]["ports"]} == named


def test_the_token_is_in_no_file_and_the_kernelspec_is_where_the_gateway_looks() -> None:
    pod = objects()["Deployment"]["spec"]["template"]["spec"]
    (token,) = [each for each in pod["containers"][0]["env"] if each["name"] == "EG_AUTH_TOKEN"]
    assert "value" not in token
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == "/usr/local/share/jupyter/kernels/analysis/kernel.json"
    spec = json.loads((_FOLDER / "kernel.json").read_text())
    assert set(spec["argv"]) >= _PLACEHOLDERS
    assert all(isinstance(value, str) for value in spec["env"].values())
