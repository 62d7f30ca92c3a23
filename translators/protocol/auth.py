"""Who may attach to a volume: address patterns and logins, as GlusterFS judges them.

Each way accepts, refuses or has nothing to say. One refusal refuses, at least one acceptance is needed: a volume that
nothing is said about is closed to everybody.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import attrs

Patterns = str | Sequence[str]

PRIVILEGED_PORTS = 1024


def listed(patterns: Patterns) -> tuple[str, ...]:
    """A list, or one written with commas."""
    words = patterns.split(",") if isinstance(patterns, str) else patterns
    return tuple(word.strip() for word in words if word.strip())


def matches(address: str, patterns: Iterable[str]) -> bool:
    """Shell patterns, networks (10.0.0.0/8), and `!` before one that must not match."""
    accepted = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        found = fnmatchcase(address, wanted) or _in_network(address, wanted)
        if found and pattern.startswith("!"):
            return False
        accepted = accepted or (found and not pattern.startswith("!"))
    return accepted


def _in_network(address: str, network: str) -> bool:
    if "/" not in network:
        return False
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


@attrs.frozen
class Rules:
    """What a server's options say. Keys of `allow`, `reject` and `logins` are volumes, those of `passwords` users."""

    allow: Mapping[str, Patterns]
    reject: Mapping[str, Patterns]
    logins: Mapping[str, Patterns]
    passwords: Mapping[str, str]
    insecure_ports: bool = True

    def refusal(self, volume: str, peer: str, username: str | None, password: str | None) -> str | None:
        """Why this peer (`address:port`) may not attach to the volume; None if it may."""
        address, _, port = peer.rpartition(":")
        if matches(address, listed(self.reject.get(volume, ()))):
            return f"auth.addr.{volume}.reject names the address"
        accepted = matches(address, listed(self.allow.get(volume, ())))
        if accepted and not self.insecure_ports and port.isdigit() and int(port) >= PRIVILEGED_PORTS:
            return "the port is not a privileged one"
        if username is not None and username in listed(self.logins.get(volume, ())):
            known = self.passwords.get(username)
            if known is None or not hmac.compare_digest(known.encode(), (password or "").encode()):
                return "wrong password"
            accepted = True
        if accepted:
            return None
        if volume not in self.allow and volume not in self.logins:
            return f"neither auth.addr.{volume}.allow nor auth.login.{volume}.allow is set at the server"
        return "neither the address nor the login is allowed"
