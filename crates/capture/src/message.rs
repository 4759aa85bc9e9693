//! Netlink messages, written: a header, then attributes, each aligned to four bytes (linux/netlink.h).
//!
//! Numbers in headers are in the machine's order, numbers in attributes of nf_tables in the network's.

/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_CREATE`, `NLM_F_APPEND`.
pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// The length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    body: Attributes,
}

/// Attributes in a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Message {
    /// A message of `nfnetlink`: `struct nfgenmsg` stands before the attributes.
    pub(crate) fn new(kind: u16, flags: u16, family: u8, resource: u16) -> Self {
        let [high, low] = resource.to_be_bytes();
        Self { kind, flags, body: Attributes(vec![family, 0, high, low]) }
    }

    /// The attributes, to add to.
    pub(crate) fn with(mut self, add: impl FnOnce(&mut Attributes)) -> Self {
        add(&mut self.body);
        self
    }

    /// The bytes, with the header.
    pub(crate) fn encode(&self, sequence: u32) -> Vec<u8> {
        // The kernel refuses a message whose length is wrong; ours are some hundred bytes long.
        let length = u32::try_from(HEADER + self.body.0.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + self.body.0.len());
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&self.flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        // The sender's port: zero is the kernel's to fill in.
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.body.0);
        bytes
    }
}

impl Attributes {
    /// An attribute of bytes as they are.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A text, ended by zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// A number of 32 bits in the network's order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Attributes inside an attribute.
    pub(crate) fn nested(&mut self, kind: u16, add: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        add(&mut inner);
        self.nested_as(kind, &inner);
    }

    /// Attributes that are made already, inside an attribute.
    pub(crate) fn nested_as(&mut self, kind: u16, inner: &Self) {
        self.bytes(kind | NESTED, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_aligned_and_lengths_leave_out_the_padding() {
        let message = Message::new(0x0a00, REQUEST | ACK, 1, 10).with(|attributes| {
            attributes.text(1, "abcd");
            attributes.nested(4, |inner| inner.number(2, 7));
        });
        let bytes = message.encode(3);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
        assert_eq!(bytes[4..8], [0x0a00_u16.to_ne_bytes(), 5_u16.to_ne_bytes()].concat());
        assert_eq!(bytes[8..12], 3_u32.to_ne_bytes());
        assert_eq!(bytes[16..20], [1, 0, 0, 10]);
        let text = [9_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat();
        assert_eq!(bytes[20..32], [text.as_slice(), b"abcd\0\0\0\0"].concat());
        let nested = [12_u16.to_ne_bytes(), 0x8004_u16.to_ne_bytes()].concat();
        assert_eq!(bytes[32..36], nested);
        assert_eq!(bytes[40..44], 7_u32.to_be_bytes());
    }
}
