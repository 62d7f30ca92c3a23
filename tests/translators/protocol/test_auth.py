"""Who may attach: the verdict on an address and a login."""

import pytest

from volgraph.translators.protocol.auth import Rules, listed, matches

PEER = "192.168.1.7:49152"


def rules(**given: object) -> Rules:
    return Rules(**{"allow": {}, "reject": {}, "logins": {}, "passwords": {}, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("patterns", "accepted"),
    [
        ("*", True),
        ("192.168.1.*", True),
        ("192.168.1.7", True),
        ("192.168.1.0/24", True),
        ("10.0.0.0/8", False),
        ("10.*,192.168.*", True),
        ("192.168.*,!192.168.1.7", False),
        ("!192.168.1.7", False),
        ("not/anetwork", False),
        ("", False),
    ],
)
def test_an_address_matches_patterns_and_networks(patterns: str, accepted: bool) -> None:
    assert matches("192.168.1.7", listed(patterns)) is accepted


def test_ipv6_addresses_are_matched_too() -> None:
    assert matches("fe80::1", listed("fe80::/10"))
    assert rules(allow={"v": "::1"}).refusal("v", "::1:49152", None, None) is None


@pytest.mark.parametrize(
    ("given", "username", "password", "said"),
    [
        ({}, None, None, "neither"),
        ({"allow": {"v": "192.168.*"}}, None, None, None),
        ({"allow": {"v": ("192.168.*",)}}, None, None, None),
        ({"allow": {"w": "*"}}, None, None, "neither"),
        ({"allow": {"v": "10.*"}}, None, None, "neither the address nor the login"),
        ({"allow": {"v": "*"}, "reject": {"v": "192.168.1.7"}}, None, None, "reject"),
        ({"allow": {"v": "*"}, "insecure_ports": False}, None, None, "privileged"),
        ({"logins": {"v": "u"}, "passwords": {"u": "p"}}, "u", "p", None),
        ({"logins": {"v": "u"}, "passwords": {"u": "p"}}, "u", "q", "wrong password"),
        ({"logins": {"v": "u"}, "passwords": {"u": "p"}}, "u", None, "wrong password"),
        ({"logins": {"v": "u"}}, "u", "", "wrong password"),
        ({"logins": {"v": "u"}, "passwords": {"w": "p"}}, "w", "p", "neither"),
        ({"allow": {"v": "*"}, "logins": {"v": "u"}, "passwords": {"u": "p"}}, "u", "q", "wrong password"),
        ({"logins": {"v": "u"}, "passwords": {"u": "pä"}}, "u", "pä", None),
    ],
)
def test_one_refusal_refuses_and_one_acceptance_is_needed(
    given: dict[str, object], username: str | None, password: str | None, said: str | None
) -> None:
    refusal = rules(**given).refusal("v", PEER, username, password)

    assert refusal is None if said is None else said in (refusal or "")
