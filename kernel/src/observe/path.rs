//! Names of source files, as a report prints them.
//!
//! DWARF has a file as up to three parts: the directory of the compilation, a directory, a name.
//! They stay apart, pointing into the ELF, and are joined and shortened only while printing, so
//! that nothing is allocated.
//!
//! | in the DWARF | printed |
//! | --- | --- |
//! | below the unit's own directory (the workspace) | `kernel/src/sched/find.rs` |
//! | `…/registry/src/<index>/gimli-0.34.0/src/x.rs` | `gimli-0.34.0/src/x.rs` |
//! | `…/git/checkouts/<repository>/<commit>/x.rs` | `<repository>/<commit>/x.rs` |
//! | `/rustc/<commit>/library/core/src/x.rs` | `library/core/src/x.rs` |
//! | `…/lib/rustlib/src/rust/library/core/src/x.rs` | `library/core/src/x.rs` |
//! | anything else | unchanged |

use core::fmt;

/// A source file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SourceFile {
    /// Where the unit was compiled (`DW_AT_comp_dir`).
    pub comp_dir: &'static str,
    /// The directory of the file: absolute, relative to `comp_dir`, or empty.
    pub dir: &'static str,
    /// The rest of the path: absolute, or relative to `dir`.
    pub name: &'static str,
}

impl SourceFile {
    /// The parts to print, to be joined by `/`; empty ones are left out.
    fn parts(&self) -> [&'static str; 3] {
        let Self {
            comp_dir,
            dir,
            name,
        } = *self;
        if name.starts_with('/') {
            return ["", "", shorten(name, comp_dir)];
        }
        if dir.starts_with('/') {
            return ["", shorten(dir, comp_dir), name];
        }
        match foreign(comp_dir) {
            Some(short) => [short, dir, name],
            None => ["", dir, name],
        }
    }

    /// Whether the printed path begins with `prefix`.
    pub fn starts_with(&self, prefix: &str) -> bool {
        let mut rest = prefix;
        for (i, part) in self
            .parts()
            .into_iter()
            .filter(|part| !part.is_empty())
            .enumerate()
        {
            if i > 0 && !rest.is_empty() {
                match rest.strip_prefix('/') {
                    Some(after) => rest = after,
                    None => return false,
                }
            }
            if part.len() >= rest.len() {
                return part.starts_with(rest);
            }
            match rest.strip_prefix(part) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Whether the last part of the path is `name`.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.rsplit('/').next() == Some(name)
    }
}

impl fmt::Display for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for part in self.parts().into_iter().filter(|part| !part.is_empty()) {
            if !first {
                f.write_str("/")?;
            }
            first = false;
            f.write_str(part)?;
        }
        Ok(())
    }
}

/// `path`, absolute, without what says nothing to a reader.
fn shorten(path: &'static str, comp_dir: &str) -> &'static str {
    if let Some(short) = foreign(path) {
        return short;
    }
    match path.strip_prefix(comp_dir) {
        Some("") => "",
        Some(inside) if inside.starts_with('/') => &inside[1..],
        _ => path,
    }
}

/// What is left of a path of a registry crate, of a git checkout or of the standard library.
fn foreign(path: &'static str) -> Option<&'static str> {
    let after = |marker: &str| path.find(marker).map(|at| &path[at + marker.len()..]);
    // These two are followed by one directory that is a mere number.
    let numbered = after("/registry/src/").or_else(|| path.strip_prefix("/rustc/"));
    if let Some(inside) = numbered {
        return Some(inside.split_once('/').map_or("", |(_number, file)| file));
    }
    after("/git/checkouts/").or_else(|| after("/lib/rustlib/src/rust/"))
}

#[cfg(test)]
mod tests {
    use super::SourceFile;
    use std::string::ToString;

    const fn file(comp_dir: &'static str, dir: &'static str, name: &'static str) -> SourceFile {
        SourceFile {
            comp_dir,
            dir,
            name,
        }
    }

    #[test]
    fn paths_are_shortened() {
        let gimli = "/root/.cargo/registry/src/index.crates.io-1949/gimli-0.34.0";
        let in_gimli = "/root/.cargo/registry/src/index.crates.io-1949/gimli-0.34.0/src/read";
        let commit = "/rustc/59807616";
        for (file, printed) in [
            (file("/w", "kernel/src", "lib.rs"), "kernel/src/lib.rs"),
            (file("/w", "", "kernel/src/lib.rs"), "kernel/src/lib.rs"),
            (file("/w", "/w/kernel/src", "lib.rs"), "kernel/src/lib.rs"),
            (file("/w", "/w", "lib.rs"), "lib.rs"),
            (file("/w", "/w2/src", "lib.rs"), "/w2/src/lib.rs"),
            (file("/w", "", "/w/a.rs"), "a.rs"),
            (
                file("/w", in_gimli, "unit.rs"),
                "gimli-0.34.0/src/read/unit.rs",
            ),
            (
                file(gimli, "src/read", "unit.rs"),
                "gimli-0.34.0/src/read/unit.rs",
            ),
            (
                file(commit, "library/core/src", "panicking.rs"),
                "library/core/src/panicking.rs",
            ),
            (
                file("/w", "/rustc/59807616/library/core/src", "x.rs"),
                "library/core/src/x.rs",
            ),
            (
                file("/w", "/t/lib/rustlib/src/rust/library/core/src", "x.rs"),
                "library/core/src/x.rs",
            ),
            (
                file("/w", "/c/git/checkouts/p-12/ab/src", "x.rs"),
                "p-12/ab/src/x.rs",
            ),
        ] {
            assert_eq!(file.to_string(), printed);
            for end in 0..=printed.len() {
                assert!(file.starts_with(&printed[..end]), "{printed} {end}");
            }
            assert!(!file.starts_with("other"));
            assert!(!file.starts_with(&(printed.to_string() + "x")));
        }
    }
}
