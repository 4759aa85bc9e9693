//! Rules and their expressions, as nf_tables takes them (linux/netfilter/nf_tables.h): load into a register, compare,
//! and end with a verdict or a redirection.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::message::Attributes;

/// `NFT_REG_VERDICT`, `NFT_REG_1`.
const VERDICT: u32 = 0;
const REGISTER: u32 = 1;
/// `NFTA_LIST_ELEM`.
const ELEMENT: u16 = 1;
/// `NFT_RETURN`.
const RETURN: i32 = -5;

/// One rule, in the order in which its expressions are evaluated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule(Attributes);

/// What `meta` loads.
#[derive(Debug, Clone, Copy)]
enum Meta {
    User = 10,
    Family = 15,
    Protocol = 16,
}

/// How a register is compared.
#[derive(Debug, Clone, Copy)]
enum Compare {
    Equal = 0,
    AtMost = 3,
    AtLeast = 5,
}

/// Which header `payload` loads from.
#[derive(Debug, Clone, Copy)]
enum Header {
    Network = 1,
    Transport = 2,
}

impl Rule {
    /// A rule that matches everything.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Only TCP (`IPPROTO_TCP`).
    pub(crate) fn tcp(self) -> Self {
        self.meta(Meta::Protocol).compare(Compare::Equal, &[6])
    }

    /// Only TCP to these ports.
    pub(crate) fn ports(self, ports: &RangeInclusive<u16>) -> Self {
        let port = self.tcp().payload(Header::Transport, 2, 2);
        let (first, last) = (ports.start().to_be_bytes(), ports.end().to_be_bytes());
        if first == last {
            return port.compare(Compare::Equal, &first);
        }
        port.compare(Compare::AtLeast, &first).compare(Compare::AtMost, &last)
    }

    /// Only to this IPv4 address (`NFPROTO_IPV4`).
    pub(crate) fn v4(self, address: Ipv4Addr) -> Self {
        let family = self.meta(Meta::Family).compare(Compare::Equal, &[2]);
        family.payload(Header::Network, 16, 4).compare(Compare::Equal, &address.octets())
    }

    /// Only to 127.0.0.0/8: its first byte.
    pub(crate) fn v4_loopback(self) -> Self {
        let family = self.meta(Meta::Family).compare(Compare::Equal, &[2]);
        family.payload(Header::Network, 16, 1).compare(Compare::Equal, &[127])
    }

    /// Only to this IPv6 address (`NFPROTO_IPV6`).
    pub(crate) fn v6(self, address: Ipv6Addr) -> Self {
        let family = self.meta(Meta::Family).compare(Compare::Equal, &[10]);
        family.payload(Header::Network, 24, 16).compare(Compare::Equal, &address.octets())
    }

    /// Only from sockets of this user; `meta skuid` is in the machine's order.
    pub(crate) fn of_user(self, user: u32) -> Self {
        self.meta(Meta::User).compare(Compare::Equal, &user.to_ne_bytes())
    }

    /// The connection goes where it wanted.
    pub(crate) fn leave(self) -> Attributes {
        self.expression("immediate", |data| {
            data.number(1, VERDICT);
            data.nested(2, |value| value.nested(2, |verdict| verdict.bytes(1, &RETURN.to_be_bytes())));
        })
        .0
    }

    /// The connection goes to a port of this machine: after routing in the address of the interface that it came by,
    /// before it in loopback.
    pub(crate) fn redirect(self, port: u16) -> Attributes {
        let loaded = self.expression("immediate", |data| {
            data.number(1, REGISTER);
            data.nested(2, |value| value.bytes(1, &port.to_be_bytes()));
        });
        loaded.expression("redir", |data| data.number(1, REGISTER)).0
    }

    fn meta(self, key: Meta) -> Self {
        self.expression("meta", |data| {
            data.number(1, REGISTER);
            data.number(2, key as u32);
        })
    }

    fn payload(self, header: Header, offset: u32, length: u32) -> Self {
        self.expression("payload", |data| {
            data.number(1, REGISTER);
            data.number(2, header as u32);
            data.number(3, offset);
            data.number(4, length);
        })
    }

    fn compare(self, how: Compare, value: &[u8]) -> Self {
        self.expression("cmp", |data| {
            data.number(1, REGISTER);
            data.number(2, how as u32);
            data.nested(3, |nested| nested.bytes(1, value));
        })
    }

    fn expression(mut self, name: &str, data: impl FnOnce(&mut Attributes)) -> Self {
        self.0.nested(ELEMENT, |expression| {
            expression.text(1, name);
            expression.nested(2, data);
        });
        self
    }
}
