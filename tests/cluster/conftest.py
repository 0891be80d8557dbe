"""A SLURM cluster of one machine, started for the tests and stopped after them: Debian's packages, a scratch folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

#: what one needs: munge's daemon, the controller, the node's daemon, and the commands
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
StateSaveLocation={root}/ctld
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/ctld.pid
SlurmdPidFile={root}/d.pid
SlurmctldLogFile={root}/ctld.log
SlurmdLogFile={root}/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=5
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> str:
    """Why there can be no cluster here; empty when there can."""
    if absent := [name for name in PROGRAMS if not shutil.which(name, path=_PATH)]:
        return f"SLURM is not installed ({', '.join(absent)}); Debian: apt-get install slurm-wlm munge"
    return "" if os.getuid() == 0 else "the test cluster is started as root"


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Slurm:
    """A running cluster. `env` is what a process needs to use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {**os.environ, "SLURM_CONF": str(root / "slurm.conf"), "PATH": _PATH}

    def call(self, *command: str, check: bool = True) -> str:
        """Standard output of a SLURM command."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait(self, what: str, until, seconds: float = 60.0) -> None:
        """Ask again and again until something is so."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"{what}: not within {seconds:g} s\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(p.read_text(errors="replace")[-2000:] for p in sorted(self.root.glob("*.log")))


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _munge(root: Path, stack: ExitStack) -> None:
    """Munge's daemon with a key and a socket of its own."""
    user = pwd.getpwnam("munge")
    folder = root / "munge"
    folder.mkdir(mode=0o755)
    key = folder / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    for path in (folder, key):
        os.chown(path, user.pw_uid, user.pw_gid)
    daemon = [
        "munged", "--foreground", "--force", f"--socket={folder}/socket", f"--key-file={key}",
        f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed",
    ]  # fmt: skip
    _start(stack, daemon, user.pw_uid, user.pw_gid)


def _start(stack: ExitStack, command: list[str], uid: int | None = None, gid: int | None = None, env=None) -> None:
    process = subprocess.Popen(
        command,
        env=env or {**os.environ, "PATH": _PATH},
        user=uid,
        group=gid,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def stop() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A cluster of this one machine with as many cores as it has, at least two."""
    if reason := missing():
        pytest.skip(reason)
    root = Path("/tmp") / f"slurm-{os.getpid()}"
    root.mkdir(mode=0o755)
    cluster = Slurm(root)
    host = socket.gethostname().split(".")[0]
    for name in ("ctld", "spool"):
        (root / name).mkdir()
    cpus = os.cpu_count() or 1
    (root / "slurm.conf").write_text(
        CONF.format(root=root, host=host, port=_free_port(), node_port=_free_port(), cpus=cpus)
    )
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        _munge(root, stack)
        cluster.wait("munge's socket", (root / "munge" / "socket").exists, 10)
        _start(stack, ["slurmctld", "-D", "-i"], env=cluster.env)
        _start(stack, ["slurmd", "-D", "-N", host], env=cluster.env)
        cluster.wait("an idle node", lambda: "idle" in cluster.call("sinfo", "-h", "-o", "%T", check=False))
        yield cluster
