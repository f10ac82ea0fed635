//! The kernel's `.bootloader-config`: what it wants mapped, and where.
//!
//! Refused here is what this boot stage cannot give at all; what does not fit together is refused
//! where the addresses are chosen ([`crate::address`]).
//!
//! The version must be this stage's own to the last number: `BootInfo` has grown within 0.11, so
//! a kernel of another patch release would read another structure.

use bootloader_api::BootloaderConfig;
use bootloader_api::config::{ApiVersion, Mapping};

use crate::elf::Kernel;
use crate::memory::PAGE_SIZE;
use crate::refusal::{ConfigFault, Version};

/// Offset of the version in the serialised form: behind the 16 bytes of the UUID.
const VERSION_OFFSET: usize = 16;

pub(crate) fn read(kernel: &Kernel) -> Result<BootloaderConfig, ConfigFault> {
    let config = BootloaderConfig::deserialize(kernel.config).map_err(ConfigFault::Bad)?;
    check_version(kernel.config)?;
    if config.kernel_stack_size < PAGE_SIZE {
        return Err(ConfigFault::StackTooSmall(config.kernel_stack_size));
    }
    let mappings = &config.mappings;
    if let Mapping::FixedAddress(_) = mappings.kernel_base {
        return Err(ConfigFault::NotOffered(
            "a kernel base address (the kernel is not relocatable)",
        ));
    }
    if let Mapping::FixedAddress(_) = mappings.framebuffer {
        return Err(ConfigFault::NotOffered(
            "a framebuffer address (there is no framebuffer)",
        ));
    }
    if mappings.aslr {
        return Err(ConfigFault::NotOffered("random addresses (aslr)"));
    }
    Ok(config)
}

/// The crate reads the version but does not show it, so it is taken from the bytes.
fn check_version(bytes: &[u8]) -> Result<(), ConfigFault> {
    let number = |index: usize| {
        let at = VERSION_OFFSET + 2 * index;
        u16::from_le_bytes([bytes[at], bytes[at + 1]])
    };
    let kernel = Version {
        major: number(0),
        minor: number(1),
        patch: number(2),
        pre_release: bytes[VERSION_OFFSET + 6] != 0,
    };
    let own = ApiVersion::default();
    let own = Version {
        major: own.version_major(),
        minor: own.version_minor(),
        patch: own.version_patch(),
        pre_release: own.pre_release(),
    };
    if kernel == own {
        Ok(())
    } else {
        Err(ConfigFault::Version { kernel, own })
    }
}
