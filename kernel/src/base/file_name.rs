//! Names of files on the host (`observe::hostfile`).

/// The longest name of a file on the host.
pub const MAX_FILE_NAME: usize = 64;

/// Whether a file on the host may have this name: letters, digits, `.`, `_` and `-`, and no dot
/// first. So no name leads out of the host's folder.
pub fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_FILE_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}
