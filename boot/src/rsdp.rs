//! Finds the ACPI root pointer: the loader's word for it, checked, else the search of ACPI 6.5,
//! section 5.2.5.1 (first KiB of the EBDA, then 0xE0000 to 0xFFFFF, on 16-byte borders).
//!
//! A pointer is believed only if signature and checksum are right. A machine without ACPI
//! (microvm may be one) has none, which is no error here.

const SIGNATURE: [u8; 8] = *b"RSD PTR ";

/// Length of the ACPI 1.0 structure, which the first checksum covers.
const LEN: usize = 20;

/// Where the BIOS data area holds the real-mode segment of the EBDA.
const EBDA_SEGMENT_ADDR: u64 = 0x40e;

/// Physical address of the RSDP; `hint` is what the loader said, 0 for nothing.
pub(crate) fn find(hint: u64) -> Option<u64> {
    if is_rsdp(hint) {
        return Some(hint);
    }
    // SAFETY: the BIOS data area is in the identity mapping and may be read on every PC.
    let segment = unsafe { core::ptr::read_volatile(EBDA_SEGMENT_ADDR as *const u16) };
    let ebda = u64::from(segment) << 4;
    search(ebda, 1024).or_else(|| search(0xe_0000, 0x2_0000))
}

fn search(start: u64, len: u64) -> Option<u64> {
    (start..start + len).step_by(16).find(|&addr| is_rsdp(addr))
}

fn is_rsdp(addr: u64) -> bool {
    if addr == 0 || addr > (1 << 32) - LEN as u64 {
        return false;
    }
    // SAFETY: not null, inside the identity mapping; bytes have no alignment and no bad values.
    let bytes = unsafe { core::ptr::read_volatile(addr as *const [u8; LEN]) };
    bytes.starts_with(&SIGNATURE) && bytes.iter().fold(0u8, |sum, &b| sum.wrapping_add(b)) == 0
}
