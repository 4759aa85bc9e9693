//! The transaction: drop the table if there is one, and make it.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use bailiwick_pod::ports;

use crate::Exclusions;
use crate::message::{ACK, APPEND, Attributes, CREATE, Message, REQUEST};
use crate::rules::Rule;

/// The one table, of family `inet`: both IPv4 and IPv6.
pub(crate) const TABLE: &str = "bailiwick";
const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";

/// `NFPROTO_INET`, `NFNL_SUBSYS_NFTABLES`.
const INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// `NFT_MSG_…`.
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
const NEW_RULE: u16 = NEW_TABLE | 6;
/// `NF_INET_PRE_ROUTING`, `NF_INET_LOCAL_OUT`, and the priority of destination NAT.
const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
const DESTINATION_NAT: i32 = -100;

/// A message, and what it asks for, to tell which one was refused.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) message: Message,
    pub(crate) what: What,
}

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Transaction,
    Table,
    Chain,
    Rule,
}

/// All messages of the transaction, in order.
pub(crate) fn of(exclusions: &Exclusions) -> Vec<Step> {
    let mut steps = vec![frame(BEGIN)];
    // Deleting what is not there would be an error, so it is made first.
    steps.extend([table(NEW_TABLE, CREATE), table(DELETE_TABLE, 0), table(NEW_TABLE, CREATE)]);
    steps.extend([chain(INBOUND, PREROUTING), chain(OUTBOUND, OUTPUT)]);
    steps.extend(inbound(exclusions).iter().map(|expressions| rule(INBOUND, expressions)));
    steps.extend(outbound(exclusions).iter().map(|expressions| rule(OUTBOUND, expressions)));
    steps.push(frame(END));
    steps
}

/// Everything that comes to the pod, but for the port that answers probes.
fn inbound(exclusions: &Exclusions) -> Vec<Attributes> {
    let mut rules = vec![Rule::new().ports(&one(ports::PROBES)).leave()];
    rules.extend(exclusions.inbound.ranges().map(|range| Rule::new().ports(range).leave()));
    rules.push(Rule::new().tcp().redirect(ports::INBOUND));
    rules
}

/// Everything that the pod calls. The reserved addresses stand first, so that they are redirected for the sidecar's
/// own user too; loopback is told by address, since a call to the pod's own address leaves by the same interface.
fn outbound(exclusions: &Exclusions) -> Vec<Attributes> {
    let proof = one(ports::OUTBOUND_PROOF);
    let mut rules = vec![
        Rule::new().v4(ports::OUTBOUND_PROOF_V4).ports(&proof).redirect(ports::OUTBOUND),
        Rule::new().v6(ports::OUTBOUND_PROOF_V6).ports(&proof).redirect(ports::OUTBOUND),
        Rule::new().v4_loopback().leave(),
        Rule::new().v6(Ipv6Addr::LOCALHOST).leave(),
        Rule::new().of_user(exclusions.user).leave(),
    ];
    rules.extend(exclusions.outbound.ranges().map(|range| Rule::new().ports(range).leave()));
    rules.push(Rule::new().tcp().redirect(ports::OUTBOUND));
    rules
}

fn one(port: u16) -> RangeInclusive<u16> {
    port..=port
}

fn frame(kind: u16) -> Step {
    Step { message: Message::new(kind, REQUEST, 0, SUBSYSTEM), what: What::Transaction }
}

fn table(kind: u16, flags: u16) -> Step {
    let message = Message::new(kind, REQUEST | ACK | flags, INET, 0).with(|table| table.text(1, TABLE));
    Step { message, what: What::Table }
}

fn chain(name: &str, hook: u32) -> Step {
    let message = Message::new(NEW_CHAIN, REQUEST | ACK | CREATE, INET, 0).with(|chain| {
        chain.text(1, TABLE);
        chain.text(3, name);
        chain.nested(4, |attributes| {
            attributes.number(1, hook);
            attributes.bytes(2, &DESTINATION_NAT.to_be_bytes());
        });
        chain.text(7, "nat");
    });
    Step { message, what: What::Chain }
}

fn rule(chain: &str, expressions: &Attributes) -> Step {
    let message = Message::new(NEW_RULE, REQUEST | ACK | CREATE | APPEND, INET, 0).with(|rule| {
        rule.text(1, TABLE);
        rule.text(2, chain);
        rule.nested_as(4, expressions);
    });
    Step { message, what: What::Rule }
}
