"""What lies in deploy/ is read as it is meant: by luigid, luigi, systemd, bash and YAML."""

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
SMALL = ROOT / "tests/pipelines"
UNITS = sorted(each.name for each in DEPLOY.glob("*.service"))


def settings(name, *replaced):
    """Return the text of a configuration with other paths, times and ports."""
    text = (DEPLOY / name).read_text()
    for old, new in replaced:
        assert old in text, old
        text = text.replace(old, str(new))
    return text


def ask(port, path):
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def parsed(name):
    config = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=None)
    config.read(DEPLOY / name)
    return config


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A luigid with deploy/luigid.cfg; the folder of its state and worker.cfg, and its port."""
    pytest.importorskip("prometheus_client", reason="the extra cluster is not installed")
    pytest.importorskip("sqlalchemy", reason="the extra cluster is not installed")
    place = tmp_path_factory.mktemp("cluster")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (place / "luigid.cfg").write_text(
        settings(
            "luigid.cfg",
            ("/var/lib/skysieve-luigid", place),
            ("retry_delay = 30", "retry_delay = 1"),
        )
    )
    (place / "worker.cfg").write_text(
        settings(
            "worker.cfg",
            ("default_scheduler_port = 8082", f"default_scheduler_port = {port}"),
            ("/var/log/skysieve", place / "log"),
            ("/var/cache/skysieve", place / "cache"),
            ("wait_interval = 5", "wait_interval = 0.1"),
            ("wait_jitter = 5", "wait_jitter = 0.1"),
            ("rpc_retry_attempts = 10", "rpc_retry_attempts = 2"),
            ("rpc_retry_wait = 30", "rpc_retry_wait = 1"),
        )
    )
    # As skysieve-luigid.service starts it.
    start = unit("skysieve-luigid.service")["Service"]["ExecStart"][0]
    command = shlex.split(
        start.replace("${LUIGID_ADDRESS}", "127.0.0.1").replace("8082", str(port))
    )
    with (place / "luigid.log").open("w") as log:
        daemon = subprocess.Popen(
            [BIN / Path(command[0]).name, *command[1:]], cwd=place, stdout=log, stderr=log,
            env=os.environ | {"LUIGI_CONFIG_PATH": str(place / "luigid.cfg")},
        )  # fmt: skip
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert daemon.poll() is None, (place / "luigid.log").read_text()
            time.sleep(0.05)
        yield place, port
        daemon.terminate()
        assert daemon.wait(20) == 0
    # It saves what it knows when it ends in good order.
    assert (place / "state.pickle").stat().st_size


@pytest.fixture
def work(cluster, tmp_path):
    """A function that runs `luigi` as a worker of the cluster, or another command."""
    place, _ = cluster
    scene = tmp_path / "scene"
    scene.mkdir()
    for name in ("a.txt", "b.txt"):
        (scene / name).write_text(f"{name}\n")

    def run(*arguments, command=None, **environment):
        task = [BIN / "luigi", "--module", "small_graph"] if command is None else command
        return subprocess.run(
            [str(each) for each in (*task, *arguments)], cwd=tmp_path, capture_output=True,
            text=True, timeout=120, check=False,
            env=os.environ | environment | {
                "LUIGI_CONFIG_PATH": str(place / "worker.cfg"), "PYTHONPATH": str(SMALL),
                "MADE": str(tmp_path / "made.log"), "PATH": f"{BIN}:{os.environ['PATH']}",
            },
        )  # fmt: skip

    return run


def graph(tmp_path, task="Packed"):
    return [task, "--source", tmp_path / "scene", "--outfolder", tmp_path / "out"]


def test_a_graph_through_the_cluster(cluster, work, tmp_path):
    place, port = cluster
    done = work(*graph(tmp_path), "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/scene.packed/word.txt").is_file()
    metrics = ask(port, "/metrics")
    for name in ("Copied", "Joined", "Packed"):
        assert f'luigi_task_done_total{{family="{name}"}} 1.0' in metrics
    assert "Packed" in ask(port, "/history")
    assert (place / "history.db").stat().st_size
    (events,) = (place / "log").iterdir()
    assert events.name == f"events-{os.uname().nodename}.jsonl"
    assert work(*graph(tmp_path)).returncode == 0
    assert (tmp_path / "made.log").read_text().split() == ["Copied", "Joined", "Packed"]


def test_what_luigid_has_read(cluster):
    _, port = cluster
    found = json.loads(ask(port, "/api/resource_list?data=%7B%7D"))["response"]
    limits = {each["name"]: each["num_total"] for each in found}
    given = {name: int(text) for name, text in parsed("luigid.cfg")["resources"].items()}
    assert limits == given
    assert set(limits) == {"gpu", "downloads_landsat", "downloads_sentinel2", "downloads_probav"}


def test_the_resources_are_those_of_tasks():
    code = (
        "import luigi, pipelines\n"
        "from pipelines.inference import InferenceTask\n"
        "from luigi.task_register import Register\n"
        "names = {n for f in Register.task_names() for n in Register.get_task_cls(f).resources}\n"
        "print(*sorted(names))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert set(done.stdout.split()) == set(parsed("luigid.cfg")["resources"]), done.stderr


def test_it_listens_on_the_given_address_only(cluster):
    _, port = cluster
    table = Path("/proc/net/tcp")
    if not table.is_file():
        pytest.skip("no /proc/net/tcp here")
    listening = [line.split()[1] for line in table.read_text().splitlines() if " 0A " in line]
    sixth = Path("/proc/net/tcp6")
    if sixth.is_file():
        listening += [x.split()[1] for x in sixth.read_text().splitlines() if " 0A " in x]
    # The kernel writes 127.0.0.1 so, in the order of this machine's bytes.
    here = [each for each in listening if int(each.partition(":")[2], 16) == port]
    assert here == [f"{int.from_bytes(bytes([127, 0, 0, 1]), sys.byteorder):08X}:{port:04X}"]


def test_a_failure_ends(cluster, work, tmp_path):
    _, port = cluster
    done = work(*graph(tmp_path, "Copied"), "--fail", "no band")
    assert done.returncode == 30
    # retry_count times, and then no more, though keep_alive keeps the worker.
    tries = int(parsed("luigid.cfg")["scheduler"]["retry_count"])
    assert (tmp_path / "made.log").read_text().split() == ["Copied"] * tries
    assert 'luigi_task_disabled_total{family="Copied"}' in ask(port, "/metrics")


def test_settings_are_known_to_luigi():
    """A misspelt setting would be ignored without a word."""
    code = """
import configparser, pathlib, sys
import pipelines
from luigi import interface, retcodes, scheduler, worker
known = {
    "scheduler": scheduler.scheduler, "worker": worker.worker, "retcode": retcodes.retcode,
    "core": interface.core, "skysieve": pipelines.settings.skysieve,
    "checkpoints": pipelines.checkpoint.checkpoints,
}
# Those of [core] that no class has.
others = {"default_scheduler_host", "default_scheduler_port", "rpc_retry_attempts",
          "rpc_retry_wait"}
for path in map(pathlib.Path, sys.argv[1:]):
    config = configparser.ConfigParser(interpolation=None)
    config.read(path)
    for section in set(config.sections()) - {"resources", "task_history"}:
        names = {name for name, _ in known[section].get_params()}
        names |= others if section == "core" else set()
        print(*(f"{path.name}:{section}.{key}" for key in config[section] if key not in names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, DEPLOY / "luigid.cfg", DEPLOY / "worker.cfg"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stdout.split(), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["luigid.cfg", "worker.cfg"])
def test_values_hold_no_comments(name):
    assert not [
        text for section in parsed(name).values() for text in section.values() if "#" in text
    ]


def test_jobs_of_an_array_share_the_work(work, tmp_path):
    def job(number):
        return work(
            *graph(tmp_path), command=["bash", DEPLOY / "workers.sbatch"],
            SKYSIEVE_MODULE="small_graph", SKYSIEVE_PAUSE="0.1", SLURM_CPUS_PER_TASK="4",
            SLURM_MEM_PER_NODE="5000", SKYSIEVE_WORKERS="3", SLURM_ARRAY_TASK_ID=str(number),
        )  # fmt: skip

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(job, range(2)))
    assert [each.returncode for each in done] == [0, 0], done[0].stderr + done[1].stderr
    # 3 workers are asked for; memory is there for 2 of them.
    assert ": 2 workers of 2 threads" in done[0].stdout
    assert sorted((tmp_path / "made.log").read_text().split()) == ["Copied", "Joined", "Packed"]


def test_a_job_gives_up(work, tmp_path):
    done = work(
        *graph(tmp_path, "Copied"), "--fail", "no band", "--repeat", 3,
        command=["bash", DEPLOY / "workers.sbatch"],
        SKYSIEVE_MODULE="small_graph", SKYSIEVE_PAUSE="0.1", SKYSIEVE_TRIES="2",
    )  # fmt: skip
    assert done.returncode != 0 and "try 2 of 2" in done.stdout
    assert work(command=["bash", DEPLOY / "workers.sbatch"]).returncode == 2


def unit(name):
    """Return the sections of a unit: lists of the values of each setting."""
    found, section = {}, None
    for line in (DEPLOY / name).read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(heading[1], {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", UNITS)
def test_services_are_hardened(name):
    service = unit(name)["Service"]
    assert service["ProtectSystem"] == ["strict"] and service["ReadWritePaths"]
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == ["yes"]
    assert service.get("DynamicUser") == ["yes"] or service["User"] == ["skysieve"]
    program = Path(shlex.split(service["ExecStart"][0])[0])
    assert program.parent == Path("/opt/skysieve/bin")
    assert program.name in ("luigi", "luigid", "skysieve")


@pytest.mark.parametrize("name", UNITS)
def test_neither_memory_nor_time_is_without_limit(name):
    service = unit(name)["Service"]
    assert service["MemoryMax"]
    if "luigid" not in name:
        # The kernel ends one task's process, not the unit; with a limit of time each has its own.
        assert service["OOMPolicy"] == ["continue"]
        assert "LUIGI_CONFIG_PATH=/etc/skysieve/worker.cfg" in service["Environment"]
        assert int(parsed("worker.cfg")["skysieve"]["time_limit"]) > 0


def test_luigid_is_for_loopback_unless_told():
    service = unit("skysieve-luigid.service")["Service"]
    assert "LUIGID_ADDRESS=127.0.0.1" in service["Environment"]
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == (["any"], ["localhost"])


def test_systemd_understands_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    paths = []
    for path in [*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")]:
        # Programs must be there for systemd to be content.
        text = re.sub(r"/opt/skysieve/bin/\w+", "/bin/true", path.read_text())
        paths.append(tmp_path / path.name.replace("@", "@masks"))
        paths[-1].write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line], done.stderr
    for path in paths:
        if path.suffix == ".service":
            rated = subprocess.run(
                ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if "--offline" not in rated.stderr:
                assert rated.returncode == 0, rated.stdout[-2000:] + rated.stderr


def test_compose():
    yaml = pytest.importorskip("yaml")
    given = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    scheduler, worker = given["services"]["scheduler"], given["services"]["worker"]
    assert given["networks"]["inside"] == {"internal": True}
    assert scheduler["networks"] == ["inside"] and "inside" in worker["networks"]
    assert not any("ports" in service for service in given["services"].values())
    for service in (scheduler, worker):
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        for volume in service["volumes"]:
            # `${SKYSIEVE_FOLDER:-.}` is the user's folder.
            name = volume.rpartition(":")[0]
            assert name in given["volumes"] or name.startswith("$"), volume
    context = (DEPLOY / worker["build"]["context"]).resolve()
    assert context == ROOT and (context / worker["build"]["dockerfile"]).is_file()
    # The words after Compose's defaults are put in.
    words = shlex.split(re.sub(r"\$\{\w+:-(.*?)\}", r"\1", worker["command"]))
    assert words[words.index("--scenes") + 1] == "archive/*"
    assert words[words.index("--scheduler-host") + 1] == "scheduler" in given["services"]


def test_dockerfile():
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    names = [name for name, _ in steps]
    assert names.count("FROM") == 2 and all("slim" in rest for n, rest in steps if n == "FROM")
    # The last user is none that may do all.
    users = [rest for name, rest in steps if name == "USER"]
    assert users and not users[-1].startswith(("0", "root"))
    assert names.index("USER") > names.index("RUN")
    assert all("--no-cache-dir" in rest for n, rest in steps if n == "RUN" and "pip" in rest)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    for _, rest in [step for step in steps if step[0] == "COPY" and "--from" not in step[1]]:
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source
