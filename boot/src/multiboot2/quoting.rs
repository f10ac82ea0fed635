//! Undoes GRUB's quoting of a command line, in place.
//!
//! GRUB cuts the line of its menu into words as a shell does, and joins them for the kernel with
//! quotes of its own (`grub_create_loader_cmdline`): a backslash before each `\`, `'` and `"`,
//! unless it begins a `\xNN`, and `"` around a word that has a space. The kernel's words are
//! `key=value` or `key="value"`, where the quotes belong to the value:
//!
//! ```text
//! menu                      GRUB's line               here
//! sched=gmp                 sched=gmp                 sched=gmp
//! 'run="ps; exit"'          "run=\"ps; exit\""        run="ps; exit"
//! run="ps; exit"            "run=ps; exit"            run="ps; exit"
//! ```
//!
//! The last is what people write in a menu: GRUB has taken the quotes for its own, so they are put
//! back where the kernel wants them. In place, since nothing grows: a quote only moves.
//!
//! Pure, so that `boot/tests.sh` runs this file on the host.

/// Puts the kernel's form of a line of GRUB's at the start of `line`; its length.
pub(crate) fn undo(line: &mut [u8]) -> usize {
    let (mut from, mut to) = (0, 0);
    while from < line.len() {
        if line[from] == b'"' {
            from = undo_quoted_word(line, from + 1, &mut to);
        } else {
            from = undo_byte(line, from, &mut to);
        }
    }
    to
}

/// A word from behind its quote to behind the closing one, or to the end; where that is.
fn undo_quoted_word(line: &mut [u8], start: usize, to: &mut usize) -> usize {
    let mut from = start;
    let mut is_key = true;
    let mut adds_quotes = false;
    while from < line.len() && line[from] != b'"' {
        if is_key && line[from] == b'=' {
            is_key = false;
            put(line, to, b'=');
            from += 1;
            adds_quotes = !line[from..].starts_with(b"\\\"");
            if adds_quotes {
                put(line, to, b'"');
            }
        } else if adds_quotes && line[from..].starts_with(b"\\") && from + 1 < line.len() {
            // What the kernel's quotes want escaped GRUB has escaped, and a `'` besides.
            if line[from + 1] != b'\'' {
                put(line, to, b'\\');
            }
            let escaped = line[from + 1];
            put(line, to, escaped);
            from += 2;
        } else {
            from = undo_byte(line, from, to);
        }
    }
    if adds_quotes && from < line.len() {
        put(line, to, b'"');
    }
    from + 1
}

/// One byte of the original word; where the next begins.
fn undo_byte(line: &mut [u8], from: usize, to: &mut usize) -> usize {
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    let is_number = match &line[from + 1..] {
        [b'x', high, low, ..] => is_hex(high) && is_hex(low),
        _ => false,
    };
    let is_escape = line[from] == b'\\' && from + 1 < line.len() && !is_number;
    let at = from + usize::from(is_escape);
    let byte = line[at];
    put(line, to, byte);
    at + 1
}

/// Callers have read at least as many bytes as they put.
fn put(line: &mut [u8], to: &mut usize, byte: u8) {
    line[*to] = byte;
    *to += 1;
}

#[cfg(test)]
mod tests {
    use super::undo;

    fn undone(line: &str) -> String {
        let mut bytes = line.as_bytes().to_vec();
        let len = undo(&mut bytes);
        String::from_utf8(bytes[..len].to_vec()).expect("bytes are only left out or moved")
    }

    /// `grub_create_loader_cmdline` of GRUB 2.06.
    fn grub_line(words: &[String]) -> String {
        let mut line = String::new();
        for word in words {
            let quote = if word.contains(' ') { "\"" } else { "" };
            line += quote;
            let bytes = word.as_bytes();
            let mut at = 0;
            while at < bytes.len() {
                let is_hex = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
                let number = bytes[at] == b'\\' && bytes.get(at + 1) == Some(&b'x');
                if number && is_hex(at + 2) && is_hex(at + 3) {
                    line += &word[at..at + 4];
                    at += 4;
                    continue;
                }
                if b"\\'\"".contains(&bytes[at]) {
                    line.push('\\');
                }
                line.push(char::from(bytes[at]));
                at += 1;
            }
            line += quote;
            line.push(' ');
        }
        line.pop();
        line
    }

    #[test]
    fn gives_the_kernels_form() {
        for (grub, kernel) in [
            ("", ""),
            ("sched=gmp seed=7", "sched=gmp seed=7"),
            (r#""run=\"ps; exit\"" seed=7"#, r#"run="ps; exit" seed=7"#),
            (r#"args=\"--exact\""#, r#"args="--exact""#),
            (r#""run=ps; exit" seed=7"#, r#"run="ps; exit" seed=7"#),
            (
                r#""run=echo \"a\\b\" it\'s""#,
                r#"run="echo \"a\\b\" it's""#,
            ),
            (r#""run=echo \x41 b""#, r#"run="echo \x41 b""#),
            (r#""no key""#, "no key"),
            // Of no GRUB; it must come to an end all the same.
            (r#""run=a b"#, r#"run="a b"#),
            ("a=\\", "a=\\"),
            ("\"a= \\", "a=\" \\"),
        ] {
            assert_eq!(undone(grub), kernel, "{grub}");
        }
    }

    /// What stands in single quotes in the menu comes as it is: words of the kernel's language.
    #[test]
    fn is_the_inverse_of_grubs_quoting() {
        let alphabet = [
            "a", "=", "\\", "'", "\\\"", "\\\\", "x41", "\\x4", " ", ";", "\"",
        ];
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let words: Vec<String> = (0..next(4))
                .map(|_| {
                    let value: String = (0..next(9)).map(|_| alphabet[next(11)]).collect();
                    format!("key=\"{value}\"")
                })
                .collect();
            assert_eq!(undone(&grub_line(&words)), words.join(" "));
        }
    }
}
