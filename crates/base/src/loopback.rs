//! Hosts that can only be this machine, told without asking anyone.
//!
//! Plain HTTP, and a database without TLS, go to these and no others. A name that a resolver would have to be asked for is
//! another machine, whatever the answer would be.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that `host` means if it can only be this machine: `localhost`, or a loopback address, an IPv6 one in
/// brackets or not (RFC 3986 section 3.2.2). None for any other.
pub fn addresses(host: &str) -> Vec<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    };
    address.filter(IpAddr::is_loopback).into_iter().collect()
}

/// Whether `host` can only be this machine.
pub fn is_loopback(host: &str) -> bool {
    !addresses(host).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.8.8.8", "[::1]", "::1", "[0:0:0:0:0:0:0:1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "localhost.",
            "localhost.example",
            "127.0.0.1.example",
            "127.1",
            "0.0.0.0",
            "[::]",
            "[::1",
            "::1]",
            "[127.0.0.1]",
            "[[::1]]",
            "[::ffff:127.0.0.1]",
            "10.0.0.1",
            "example.com",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
        assert_eq!(addresses("localhost").len(), 2);
        assert_eq!(addresses("[::1]"), [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }
}
