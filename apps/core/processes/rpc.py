"""Talking to supervisord over its unix socket."""

import xmlrpc.client
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport


def server(socket_path: Path) -> Any:
    """The `supervisor` namespace of XML-RPC. Calls raise OSError when nothing listens, xmlrpc.client.Fault on refusal.

    What it answers comes from our own supervisord: the socket's mode lets no other user in.
    """
    transport: Any = SupervisorTransport(None, None, serverurl=f"unix://{socket_path}")
    proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
    return proxy.supervisor


def kill_program(socket_path: Path, name: str) -> None:
    """Kill a program that no longer reacts; supervisord starts it again, and its forks die with it."""
    server(socket_path).signalProcess(name, "KILL")
