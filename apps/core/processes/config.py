"""What supervisord is told: one configuration file, written anew at every start."""

import hashlib
import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

from apps.core.processes.tied import NO_SECRETS

# A unix socket's path is limited by the kernel to 107 bytes.
_LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True)
class Program:
    """One supervised program. Lower priorities start first and stop last."""

    name: str
    command: list[str]
    priority: int
    stop_seconds: int
    environment: dict[str, str] = field(default_factory=dict)
    # True where the command itself does not stop its children.
    stop_as_group: bool = True
    # False for a program that has no use for keys, passwords and the addresses of stores.
    secrets: bool = True


@dataclass(frozen=True)
class Places:
    """Where the files of a running installation are, under `var_dir`."""

    var_dir: Path
    base_dir: Path

    @property
    def run(self) -> Path:
        return self.var_dir / "run"

    @property
    def logs(self) -> Path:
        return self.var_dir / "log"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def configuration(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def peak(self) -> Path:
        return self.run / "peak_pss.json"

    @property
    def socket(self) -> Path:
        path = self.run / "supervisor.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        mark = hashlib.sha256(os.fsencode(self.var_dir)).hexdigest()[:16]
        return Path(f"/tmp/llmopt-{os.getuid()}-{mark}/supervisor.sock")  # noqa: S108  # its folder is made with 0700


def programs(
    places: Places, *, host: str, port: int, inference_port: int, token_file: Path, reload: bool
) -> list[Program]:
    """The five programs of an embedded installation."""
    manage = [sys.executable, str(places.base_dir / "manage.py")]
    models = places.var_dir / "artifacts" / "models"
    inference = [
        *(sys.executable, "-m", "apps.providers.engine.inference"),
        *("--host", "127.0.0.1", "--port", str(inference_port), "--models", str(models)),
        # Soon: the training that follows an evaluation needs the memory.
        *("--idle-unload-seconds", "8", "--token-file", str(token_file)),
    ]
    return [
        # A thread that spins for its descheduled partner takes the time that the partner needs.
        Program(
            "inference",
            inference,
            10,
            10,
            {"LLMOPT_ROLE": "inference", "OMP_WAIT_POLICY": "PASSIVE"},
            secrets=False,
        ),
        Program(
            "web",
            [*manage, "web", "--host", host, "--port", str(port), *(["--reload"] if reload else [])],
            20,
            10,
            {"LLMOPT_ROLE": "web"},
        ),
        # A cluster stops its own forks: the signal to the whole group would cut tasks off that could have ended.
        Program("worker", [*manage, "worker", "--cluster", "worker"], 30, 12, _cluster_environment("worker"), False),
        Program(
            "housekeeping",
            [*manage, "worker", "--cluster", "housekeeping"],
            40,
            8,
            _cluster_environment("housekeeping"),
            False,
        ),
        Program("watchdog", [*manage, "watchdog"], 50, 3, {"LLMOPT_ROLE": "watchdog"}),
    ]


def _cluster_environment(name: str) -> dict[str, str]:
    return {"LLMOPT_ROLE": "worker", "Q_CLUSTER_NAME": name}


def configuration_text(places: Places, supervised: list[Program]) -> str:
    sections = [
        _section("unix_http_server", {"file": places.socket, "chmod": "0700"}),
        _section(
            "supervisord",
            {
                "nodaemon": "true",
                "logfile": places.logs / "supervisord.log",
                "logfile_maxbytes": "5MB",
                "logfile_backups": 2,
                "pidfile": places.run / "supervisord.pid",
                "childlogdir": places.logs,
                "directory": places.base_dir,
            },
        ),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("supervisorctl", {"serverurl": f"unix://{places.socket}"}),
    ]
    return "\n".join([*sections, *(_program_section(places, program) for program in supervised)])


def _program_section(places: Places, program: Program) -> str:
    tied = [sys.executable, "-m", "apps.core.processes.tied", *([] if program.secrets else [NO_SECRETS])]
    return _section(
        f"program:{program.name}",
        {
            "command": shlex.join([*tied, *program.command]),
            "directory": places.base_dir,
            "environment": ",".join(f'{name}="{value}"' for name, value in program.environment.items()),
            "priority": program.priority,
            "autostart": "true",
            "autorestart": "true",
            "startsecs": 1,
            # Each failed start waits a second longer than the one before; after these it is FATAL and `status` says so.
            "startretries": 30,
            "stopsignal": "TERM",
            "stopwaitsecs": program.stop_seconds,
            "stopasgroup": str(program.stop_as_group).lower(),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": places.logs / f"{program.name}.log",
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 3,
        },
    )


def _section(name: str, values: dict[str, object]) -> str:
    # supervisor expands %(…)s in every value.
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])
