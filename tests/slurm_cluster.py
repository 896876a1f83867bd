"""A small real Slurm on this machine's loopback: munge, slurmctld and two slurmd.

Everything lies in one folder and runs as the present user; no system service, no cgroup, no
network. GPUs are pretended by links to /dev/null, so jobs get ``CUDA_VISIBLE_DEVICES``. Jobs of the
partition ``low`` give way to jobs of ``main``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2")
GPUS = 2
COMMANDS = ("munged", "slurmctld", "slurmd", "sinfo", "squeue", "sbatch", "srun", "scancel")
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
SBIN = "/usr/sbin:/sbin"

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
{listen}
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it may start again.
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
# The lasting list of ended jobs; squeue shows them for MinJobAge seconds.
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.log
MinJobAge=3600
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=5,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=10
ReturnToService=2
# Nodes claim more than the machine has.
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=DEFAULT Nodes=ALL MaxTime=INFINITE DefaultTime=60
PartitionName=main Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=low PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
"""


class NoSlurmError(RuntimeError):
    """Slurm is not installed and cannot be; the sentence says why."""


def install() -> None:
    """Install Debian's packages where they are missing and this is root.

    Raises:
        NoSlurmError: They are missing and cannot be installed.
    """
    path = f"{os.environ['PATH']}:{SBIN}"
    missing = [name for name in COMMANDS if shutil.which(name, path=path) is None]
    if not missing:
        return
    apt = shutil.which("apt-get")
    if apt is None or os.getuid() != 0:
        raise NoSlurmError(f"not installed: {', '.join(missing)}; Debian has {' '.join(PACKAGES)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        [apt, "update", "-qq"],
        [apt, "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
    ):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            raise NoSlurmError(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")


def _free_ports(count: int) -> int:
    """The first of a block of free ports."""
    for first in range(21000, 60000, 50):
        with contextlib.ExitStack() as opened:
            try:
                for port in range(first, first + count):
                    one = opened.enter_context(socket.socket())
                    one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise NoSlurmError("there is no block of free ports")


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        folder: Where its configuration, state and logs are.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to use it.

        Snakemake calls srun inside a job without ``SLURM_CONF``, so one that sets it comes first.
        """
        return {
            "SLURM_CONF": str(self.folder / "etc/slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}:{SBIN}",
        }

    def run(self, *command: str) -> str:
        """Run one of Slurm's commands; what it printed."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def jobs(self) -> list[tuple[str, str, str, str]]:
        """Id, partition, state and comment (rule and wildcards) of all jobs, ended ones too."""
        said = self.run("squeue", "--states=all", "--noheader", "--format=%i|%P|%T|%k")
        rows = (line.split("|", 3) for line in said.splitlines())
        return sorted((row[0], row[1], row[2], row[3]) for row in rows)

    def start(self) -> None:
        """Start the daemons; returns when both nodes are idle."""
        for name in ("etc", "run", "state", "log", "munge", "bin", *(f"spool/{n}" for n in NODES)):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "munge").chmod(0o755)
        self._configure()
        munge = {
            "--key-file": "etc/munge.key",
            "--socket": "munge/socket",
            "--pid-file": "run/munged.pid",
            "--log-file": "log/munged.log",
            "--seed-file": "run/munged.seed",
        }
        options = [f"{name}={self.folder / place}" for name, place in munge.items()]
        # --force: the folder may lie below one that only its owner may enter.
        self._daemon("munged", "--force", *options)
        conf = self.environment["SLURM_CONF"]
        self._daemon("slurmctld", "-c", "-f", conf)
        for node in NODES:
            self._daemon("slurmd", "-f", conf, "-N", node)
        until = time.monotonic() + 60
        while self._idle() < len(NODES):
            if time.monotonic() > until:
                logs = "".join(p.read_text()[-2000:] for p in (self.folder / "log").iterdir())
                raise RuntimeError(f"the nodes did not become idle:\n{logs}")
            time.sleep(0.2)

    def _idle(self) -> int:
        with contextlib.suppress(subprocess.SubprocessError):
            said = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%t")
            return said.split().count("idle")
        return 0

    def _configure(self) -> None:
        etc, host = self.folder / "etc", socket.gethostname()
        key = etc / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        port = _free_ports(1 + len(NODES))
        nodes, gres = [], []
        for place, node in enumerate(NODES, start=1):
            gpus = self.folder / "gpu" / node
            gpus.mkdir(parents=True)
            for number in range(GPUS):
                (gpus / f"gpu{number}").symlink_to("/dev/null")
            gres.append(f"NodeName={node} Name=gpu File={gpus}/gpu[0-{GPUS - 1}]")
            nodes.append(
                f"NodeName={node} NodeHostname={host.split('.')[0]} NodeAddr=127.0.0.1 "
                f"Port={port + place} CPUs=4 RealMemory=16000 Gres=gpu:{GPUS}"
            )
        try:
            local = socket.gethostbyname(host) == "127.0.0.1"
        except OSError:
            local = False
        # Where the host's name is another address, srun would hang if only loopback listened.
        listen = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if local else ""
        conf = CONF.format(
            host=host.split(".")[0],
            port=port,
            user=self.run("id", "-un").strip(),
            listen=listen,
            folder=self.folder,
            nodes="\n".join(nodes),
        )
        (etc / "slurm.conf").write_text(conf)
        (etc / "gres.conf").write_text("\n".join(gres) + "\n")
        srun = self.folder / "bin" / "srun"
        real = shutil.which("srun")
        srun.write_text(f'#!/bin/sh\nexport SLURM_CONF={etc}/slurm.conf\nexec {real} "$@"\n')
        srun.chmod(0o755)

    def _daemon(self, *command: str) -> None:
        with (self.folder / "log/start.log").open("ab") as log:
            subprocess.run(
                command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                timeout=60,
            )

    def stop(self) -> None:
        """Cancel all jobs and end the daemons, each by its own pid file."""
        with contextlib.suppress(subprocess.SubprocessError):
            if ids := self.run("squeue", "--noheader", "--format=%i").split():
                self.run("scancel", *ids)
                until = time.monotonic() + 20
                while self.run("squeue", "--noheader") and time.monotonic() < until:
                    time.sleep(0.2)
        names = [*(f"slurmd.{node}" for node in NODES), "slurmctld", "munged"]
        for name in names:
            _end(self.folder / "run" / f"{name}.pid")


def _end(pid_file: Path) -> None:
    """End the daemon of a pid file: SIGTERM, after ten seconds SIGKILL."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 2.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + patience
        while time.monotonic() < until:
            state = Path(f"/proc/{pid}/stat")
            if not state.exists() or state.read_text().split()[2] == "Z":
                return
            time.sleep(0.1)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster while the block runs.

    Args:
        folder: New or empty, of at most 70 characters without spaces: sockets lie below it.

    Raises:
        NoSlurmError: Slurm is not installed and cannot be.
    """
    install()
    if len(str(folder)) > 70:
        raise ValueError(f"folder: {folder} is longer than 70 characters")
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
