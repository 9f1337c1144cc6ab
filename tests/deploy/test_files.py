"""What lies in deploy/ fits the code: settings that exist, commands that start, instances that Dagster takes, no secret."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from resources.settings import BY_NAME

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
OURS = ("code", "daemon", "web", "worker")
VALUES = yaml.safe_load((DEPLOY / "kubernetes/values.yaml").read_text())
CELERY = yaml.safe_load((DEPLOY / "kubernetes/values-celery.yaml").read_text())
WORKERS = yaml.safe_load((DEPLOY / "kubernetes/workers.yaml").read_text())
SHIPPED = yaml.safe_load((ROOT / "pipelines/dagster.yaml").read_text())
# What a cluster has otherwise than one machine, on purpose.
DIFFERENT = {"storage", "run_launcher", "compute_logs", "concurrency", "run_monitoring", "telemetry"}


def instances() -> dict[str, dict[str, Any]]:
    """Every dagster.yaml that we ship; of the chart, what it makes of our values beside its own storage."""
    return {
        "one machine": SHIPPED,
        "compose": yaml.safe_load((DEPLOY / "compose/dagster.yaml").read_text()),
        "kubernetes": VALUES["additionalInstanceConfig"],
    }


def names_in(text: str) -> set[str]:
    """Every variable of ours that a file names."""
    return set(re.findall(r"\b(?:CONTACTS|MAILTRAP)_[A-Z_]+\b", text))


def every(node: Any, key: str) -> Iterator[Any]:
    """All values of a key, wherever it is in a document."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from every(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from every(each, key)


@pytest.mark.parametrize(
    "path", sorted(path.relative_to(ROOT).as_posix() for path in DEPLOY.rglob("*") if path.is_file())
)
def test_every_variable_of_ours_is_a_setting(path: str) -> None:
    """A name that nothing reads would be a promise that nobody keeps."""
    assert names_in((ROOT / path).read_text()) - {"CONTACTS_SYNCS_FOLDER"} <= set(BY_NAME)


@pytest.mark.parametrize("name", instances())
def test_dagster_takes_the_instance(name: str) -> None:
    """By Dagster's own schema; a launcher's config is checked by its own class where that is installed."""
    instance = instances()[name]
    found = validate_config(dagster_instance_config_schema(), instance)
    assert found.success, found.errors
    launcher = instance.get("run_launcher")
    if launcher and importlib.util.find_spec(launcher["module"].partition(".")[0]):
        made = getattr(importlib.import_module(launcher["module"]), launcher["class"])
        assert validate_config(made.config_type(), launcher["config"]).success


@pytest.mark.parametrize("name", [each for each in instances() if each != "one machine"])
def test_what_a_cluster_has_otherwise_is_meant(name: str) -> None:
    """A setting that is changed in pipelines/dagster.yaml is changed everywhere, or listed here."""
    instance = instances()[name]
    same = {key: value for key, value in SHIPPED.items() if key not in DIFFERENT}
    assert {key: instance[key] for key in same} == same
    of_runs = {each["key"] for each in instance["concurrency"]["runs"]["tag_concurrency_limits"]}
    assert of_runs == {each["key"] for each in SHIPPED["concurrency"]["runs"]["tag_concurrency_limits"]}
    assert instance["run_monitoring"] == SHIPPED["run_monitoring"]


def test_every_container_of_ours_is_locked_down() -> None:
    """No root, nothing to write to but the scratch volume, no way to gain rights, an end to its memory."""
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["mem_limit"], name
    assert "USER 10001:10001" in (DEPLOY / "Dockerfile").read_text()


def pods() -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]]:
    """For every kind of pod: its security context, its container's, and its resources."""
    run = VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    spec = WORKERS["spec"]["template"]["spec"]
    [container] = spec["containers"]
    charted = {
        "code": VALUES["dagster-user-deployments"]["deployments"][0],
        "web": VALUES["dagsterWebserver"],
        "daemon": VALUES["dagsterDaemon"],
    }
    return {
        "run": (
            run["podSpecConfig"]["security_context"],
            run["containerConfig"]["security_context"],
            run["containerConfig"]["resources"],
        ),
        "worker": (spec["securityContext"], container["securityContext"], container["resources"]),
        **{
            name: (each["podSecurityContext"], each["securityContext"], each["resources"])
            for name, each in charted.items()
        },
    }


@pytest.mark.parametrize("name", ["run", "worker", "code", "web", "daemon"])
def test_every_pod_is_locked_down(name: str) -> None:
    """As above; Kubernetes' restricted standard asks for no less."""
    pod, container, resources = ({_snake(key): value for key, value in each.items()} for each in pods()[name])
    assert pod["run_as_non_root"] is True and pod["run_as_user"] == 10001
    assert pod["seccomp_profile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allow_privilege_escalation": False,
        "read_only_root_filesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert resources["limits"]["memory"] and resources["requests"]["cpu"]


def test_a_run_has_the_environment_of_the_code_server_but_its_own_memory() -> None:
    """What the code server hands on would win: its memory, and a token of the cluster's API, for every run."""
    code = VALUES["dagster-user-deployments"]["deployments"][0]
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    assert code["includeConfigInLaunchedRuns"] == {"enabled": False}
    assert {key: launcher[key] for key in ("envSecrets", "volumes", "volumeMounts")} == {
        key: code[key] for key in ("envSecrets", "volumes", "volumeMounts")
    }
    assert launcher["runK8sConfig"]["containerConfig"]["env"] == code["env"]


def test_the_job_of_a_run_is_what_the_values_say() -> None:
    """As dagster-k8s makes it, which takes settings that it does not use without a word."""
    pytest.importorskip("dagster_k8s")
    client = pytest.importorskip("kubernetes.client")
    spec = client.ApiClient().sanitize_for_serialization(_job_of_a_run())["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    assert spec["automountServiceAccountToken"] is False and spec["terminationGracePeriodSeconds"] == 120
    assert {each["name"] for each in container["env"]} >= {"CONTACTS_LAKE", "CONTACTS_HOME", "TMPDIR"}
    assert {"secretRef": {"name": "contacts"}} in container["envFrom"]
    assert {each["mountPath"] for each in container["volumeMounts"]} == {"/scratch", "/etc/contacts/syncs"}
    assert container["securityContext"]["readOnlyRootFilesystem"] and spec["securityContext"]["runAsNonRoot"]


def _job_of_a_run() -> Any:
    from dagster_k8s.container_context import K8sContainerContext, UserDefinedDagsterK8sConfig
    from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job

    said = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    run = {_snake(key): value for key, value in said["runK8sConfig"].items()}
    context = K8sContainerContext(
        env_secrets=[each["name"] for each in said["envSecrets"]],
        volumes=said["volumes"],
        volume_mounts=said["volumeMounts"],
        run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(run),
    )
    home = VALUES["global"]["dagsterHome"]
    config = DagsterK8sJobConfig(job_image="image", dagster_home=home)
    return construct_dagster_k8s_job(
        config, [], "run", pod_name="run", user_defined_k8s_config=context.run_k8s_config
    )


def test_nobody_listens_where_only_root_may() -> None:
    """The chart's web server would listen on port 80; its probe has to ask where ours listens."""
    web = VALUES["dagsterWebserver"]
    assert web["service"]["port"] == web["readinessProbe"]["httpGet"]["port"] == 3000


def test_the_image_has_the_versions_that_are_tested() -> None:
    """What only deployments need comes on top; what only developers need is left out."""
    tested, shipped = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / path).read_text(), re.MULTILINE))
        for path in ("requirements.lock", "deploy/requirements.lock")
    )
    assert {name: version for name, version in shipped.items() if tested.get(name, version) != version} == {}
    assert {"dagster-celery", "dagster-k8s", "celery", "kubernetes"} <= set(shipped)
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & set(shipped)


def test_no_secret_is_written_down() -> None:
    """Values of secrets come from .env or from Kubernetes' secrets; only their names are here."""
    secret = {name for name, setting in BY_NAME.items() if setting.secret} | {
        "AWS_SECRET_ACCESS_KEY",
        "CELERY_BROKER_URL",
    }
    for values in every([VALUES, CELERY, WORKERS], "env"):
        named = {each["name"] for each in values if "value" in each} if isinstance(values, list) else set()
        assert not named & secret
    environment = COMPOSE["services"]["worker"]["environment"]
    assert all("${" in environment[name] for name in secret & set(environment))
    example = (DEPLOY / "compose/env.example").read_text()
    assert re.findall(r"^(?:\w*(?:TOKEN|KEY|PASSWORD))=(.+)$", example, re.MULTILINE) == []


@pytest.mark.parametrize("service", OURS)
def test_what_a_container_starts_exists(service: str) -> None:
    """The command of each container is one of the image's packages, which the Dockerfile's extras bring."""
    [program, *_] = COMPOSE["services"][service]["command"]
    packages = {
        "celery": "celery",
        "dagster": "dagster",
        "dagster-daemon": "dagster",
        "dagster-webserver": "dagster_webserver",
    }
    if importlib.util.find_spec(packages[program]) is None:
        pytest.skip(f"{packages[program]} is not installed")
    assert shutil.which(program, path=str(Path(sys.executable).parent)), program


def test_the_image_is_made_of_files_that_are_let_in() -> None:
    """What is copied exists, and .dockerignore lets in no more."""
    copied = re.findall(r"^COPY ((?!--from)[^\n]+) /src", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert all((ROOT / each).exists() for line in copied for each in line.split())
    let_in = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert {each for line in copied for each in line.split()} == let_in


def test_the_workers_of_both_deployments_are_the_same() -> None:
    """What is proven of one holds for the other."""
    [container] = WORKERS["spec"]["template"]["spec"]["containers"]
    assert container["command"] == COMPOSE["services"]["worker"]["command"]
    compose = instances()["compose"]
    assert CELERY["runLauncher"]["config"]["customRunLauncher"] == compose["run_launcher"]
    at_once = CELERY["additionalInstanceConfig"]["concurrency"]["runs"]
    assert at_once == compose["concurrency"]["runs"]
    assert (
        at_once["max_concurrent_runs"]
        == WORKERS["spec"]["replicas"]
        == COMPOSE["services"]["worker"]["scale"]
    )


def test_a_worker_takes_a_run_only_when_it_can_begin_it() -> None:
    """What a busy one had put aside would wait for it, and be lost with it for the hour that Redis waits."""
    command = COMPOSE["services"]["worker"]["command"]
    assert "--disable-prefetch" in command
    assert set(re.findall(r"redis|amqp", yaml.safe_dump(COMPOSE["services"]["worker"]["environment"]))) == {
        "redis"
    }


def test_docker_compose_understands_the_file() -> None:
    """Where the plugin is: variables filled in, anchors merged, every service complete."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    folder = DEPLOY / "compose"
    given = dict.fromkeys(re.findall(r"\$\{(\w+):\?", (folder / "compose.yaml").read_text()), "x" * 32)
    command = shlex.split("docker compose -f compose.yaml config --format json")
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **given}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(OURS) <= set(json.loads(done.stdout)["services"])


def test_kubernetes_understands_the_manifests() -> None:
    """By the models of its own client, which refuse names that they do not know."""
    kubernetes = pytest.importorskip("kubernetes.client")
    models = pytest.importorskip("dagster_k8s.models")
    models.k8s_model_from_dict(
        kubernetes.V1Deployment, models.k8s_snake_case_dict(kubernetes.V1Deployment, WORKERS)
    )
    run = VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    for model, key in ((kubernetes.V1PodSpec, "podSpecConfig"), (kubernetes.V1JobSpec, "jobSpecConfig")):
        filled = {**run[key], **({"containers": []} if key == "podSpecConfig" else {"template": {}})}
        models.k8s_model_from_dict(model, filled)
    models.k8s_model_from_dict(kubernetes.V1Container, {"name": "run", **run["containerConfig"]})


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()
