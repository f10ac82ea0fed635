//! Protocol buffers, as much as a profile needs: varints, packed varints, strings, messages.
//!
//! By hand, because it is this one page: the crates for it (`prost`, `micropb`, `quick-protobuf`)
//! bring generated types, which stand in memory as a second copy of the profile, and a build step.

use alloc::vec::Vec;

/// Wire types (Protocol Buffers encoding, "Message structure").
const VARINT: u64 = 0;
const LEN: u64 = 2;

/// A message that is being written.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// The bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number. 0 is left out, as absent means 0.
    pub(super) fn uint(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value);
        }
    }

    /// A signed number, as `int64`: negative ones take ten bytes.
    pub(super) fn int(&mut self, field: u64, value: i64) {
        self.uint(field, value as u64);
    }

    /// A string, also an empty one: in a table its place counts.
    pub(super) fn string(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// Several numbers in one field.
    pub(super) fn packed(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut inner = Self::default();
        values.into_iter().for_each(|value| inner.varint(value));
        if !inner.0.is_empty() {
            self.bytes(field, &inner.0);
        }
    }

    /// A message in the message.
    pub(super) fn message(&mut self, field: u64, write: impl FnOnce(&mut Message)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | LEN);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// LEB128: seven bits a byte, the lowest first.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::Message;
    use std::vec::Vec;

    fn bytes(write: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        write(&mut message);
        message.into_bytes()
    }

    #[test]
    fn varints_are_those_of_the_specification() {
        assert_eq!(bytes(|m| m.uint(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(bytes(|m| m.uint(1, 0)), []);
        let mut minus_one = std::vec![0x08];
        minus_one.extend([0xff; 9]);
        minus_one.push(0x01);
        assert_eq!(bytes(|m| m.int(1, -1)), minus_one);
        // A field number of two bytes.
        assert_eq!(bytes(|m| m.uint(16, 1)), [0x80, 0x01, 0x01]);
    }

    #[test]
    fn lengths_come_first() {
        assert_eq!(bytes(|m| m.string(2, "ab")), [0x12, 2, b'a', b'b']);
        assert_eq!(bytes(|m| m.string(6, "")), [0x32, 0]);
        assert_eq!(bytes(|m| m.packed(4, [3, 270])), [0x22, 3, 3, 0x8e, 0x02]);
        assert_eq!(bytes(|m| m.packed(4, [])), []);
        let nested = bytes(|m| m.message(3, |m| m.uint(1, 150)));
        assert_eq!(nested, [0x1a, 3, 0x08, 0x96, 0x01]);
    }
}
