"""A real Ray cluster on this machine, however busy that is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.commands import ROOT

# On a busy machine a worker may take minutes to import torch: nothing here may end because of that.
PATIENT = {
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_gcs_server_port_wait_time_s": "600",
    "RAY_health_check_timeout_ms": "600000",
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "600",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "600",
    "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "600",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT / "src"),
}


@contextmanager
def ray_cluster() -> Iterator[str]:
    """A cluster of two cores; its address. Commands started meanwhile find the token that it asks for."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        # ray.init sets this variable for good, and commands that are started meanwhile need it. Set before, it would
        # not reach the settings that Ray has read already.
        patch.setenv("RAY_AUTH_MODE", "")
        patch.delenv("RAY_AUTH_MODE")
        patch.setattr(ray._private.services, "get_node", until_it_starts(ray._private.services.get_node))
        context = ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20)
        try:
            yield context.address_info["gcs_address"]
        finally:
            ray.shutdown()


def start_client_server() -> str:
    """Start the server of Ray's clients beside the cluster, as ``ray start --head`` does; its ``ray://`` address."""
    import ray

    node = ray._private.worker._global_node
    with socket.socket() as free:
        free.bind((node.node_ip_address, 0))
        node._ray_params.ray_client_server_port = free.getsockname()[1]
    node.start_ray_client_server()
    return f"ray://{node.node_ip_address}:{node._ray_params.ray_client_server_port}"


def until_it_starts(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a new node 30 s to start and has no setting for it: ask again for up to 10 minutes."""

    def get_started_node(*arguments: Any) -> Any:
        for _ in range(6000):
            try:
                return get_node(*arguments)
            except RuntimeError:
                time.sleep(0.1)
        return get_node(*arguments)

    return get_started_node
