"""Where an alert may go: addresses that the whole world can reach, and no other.

A URL that an operator typed, or that somebody slipped them, must not make a function knock at its
neighbours: the metadata service of the cloud above all. The name is resolved here, once; the
connection then goes to the very address that was judged, so that a name which answers differently
the second time gains nothing.
"""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from shared.errors import Permanent, Transient

__all__ = ["Resolve", "public_addresses", "resolve"]

Resolve = Callable[[str, int], list[str]]

_UNICAST: Final = IPv6Network("2000::/3")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_PROTOCOL_ASSIGNMENTS: Final = ip_network("192.0.0.0/24")


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the machine's resolver gives them.

    Raises:
        Transient: the name is not known, or nobody answers.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Transient(f"its name can't be resolved: {type(error).__name__}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def public_addresses(
    host: str, port: int, *, allow_private: bool, resolve: Resolve = resolve
) -> list[str]:
    """Return the addresses to connect to.

    Raises:
        Transient: the name can't be resolved.
        Permanent: one of them is not public; a name that has both is not trusted either.
    """
    found = resolve(host, port)
    if not found:
        raise Transient("its name has no address")
    if not allow_private and not all(_is_public(address) for address in found):
        raise Permanent("it is at a private address: give a public one, or set ALERT_ALLOW_PRIVATE")
    return found


def _is_public(address: str) -> bool:
    ip = ip_address(address)
    match ip:
        case IPv4Address():
            return ip.is_global and not ip.is_multicast and ip not in _PROTOCOL_ASSIGNMENTS
        case IPv6Address():
            # The rest of what is_global lets pass reaches IPv4 addresses by a detour.
            return ip in _UNICAST and ip.is_global and ip not in _SIX_TO_FOUR
