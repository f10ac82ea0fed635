//! The default image.
#![no_std]
#![no_main]
