//! The attribute macros of gosched.
