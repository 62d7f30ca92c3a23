"""Volfiles for a real GlusterFS: a lean brick, a bare client, a replicate over bare clients.

Written without volgraph's own printer, so that a fault in it cannot hide here.
"""

from collections.abc import Sequence
from pathlib import Path

Option = str | int | Path


def volume(name: str, kind: str, options: dict[str, Option], *subvolumes: str) -> str:
    """One volume of a volfile."""
    lines = [f"volume {name}", f"    type {kind}"]
    lines += [f"    option {key} {value}" for key, value in options.items()]
    if subvolumes:
        lines.append(f"    subvolumes {' '.join(subvolumes)}")
    return "\n".join([*lines, "end-volume", ""])


def brick_volfile(directory: Path, port: int) -> str:
    """What glusterd gives a brick, less what replication does not need. It is exported as its own path."""
    exported = str(directory)
    index: dict[str, Option] = {
        "index-base": directory / ".glusterfs/indices",
        "xattrop-dirty-watchlist": "trusted.afr.dirty",
        "xattrop-pending-watchlist": "trusted.afr.",
    }
    server: dict[str, Option] = {
        "transport-type": "tcp",
        "transport.address-family": "inet",
        "transport.socket.bind-address": "127.0.0.1",
        "transport.socket.listen-port": port,
        "auth-path": exported,
        f"auth.addr.{exported}.allow": "127.0.0.1",
    }
    return "\n".join(
        [
            volume("posix", "storage/posix", {"directory": directory}),
            volume("locks", "features/locks", {}, "posix"),
            volume("io-threads", "performance/io-threads", {"thread-count": 4}, "locks"),
            volume("index", "features/index", index, "io-threads"),
            volume(exported, "debug/io-stats", {}, "index"),
            volume("server", "protocol/server", server, exported),
        ]
    )


def client_volume(name: str, port: int, remote_subvolume: str, ping_timeout: int = 10) -> str:
    """A connection to one exported volume on loopback: alone it is a whole client volfile."""
    options: dict[str, Option] = {
        "transport-type": "tcp",
        "transport.address-family": "inet",
        "remote-host": "127.0.0.1",
        "remote-port": port,
        "remote-subvolume": remote_subvolume,
        "ping-timeout": ping_timeout,
        "send-gids": "true",
    }
    return volume(name, "protocol/client", options)


def replicate_volfile(
    remotes: Sequence[tuple[int, str]], name: str = "mirror", more: dict[str, Option] | None = None
) -> str:
    """A replicate over (port, remote subvolume) of each copy; the children are `<name>-client-<n>`."""
    clients = [f"{name}-client-{number}" for number in range(len(remotes))]
    options: dict[str, Option] = {
        "afr-pending-xattr": ",".join(clients),
        "volume-id": "5f0c3a52-9a0b-4d7e-8e64-0a1b2c3d4e5f",
        "granular-entry-heal": "on",
        "use-anonymous-inode": "yes",
        **(more or {}),
    }
    return "\n".join(
        [
            *(
                client_volume(client, port, subvolume)
                for client, (port, subvolume) in zip(clients, remotes, strict=True)
            ),
            volume(name, "cluster/replicate", options, *clients),
        ]
    )


def heal_daemon_volfile(remotes: Sequence[tuple[int, str]], name: str = "mirror") -> str:
    """The same replicate in the process that heals."""
    healing: dict[str, Option] = {
        "iam-self-heal-daemon": "yes",
        "self-heal-daemon": "enable",
        "data-self-heal": "on",
        "metadata-self-heal": "on",
        "entry-self-heal": "on",
        "background-self-heal-count": 0,
        "node-uuid": "0a1b2c3d-9a0b-4d7e-8e64-5f0c3a524e5f",
    }
    return replicate_volfile(remotes, name, healing) + volume("healer", "debug/io-stats", {}, name)
