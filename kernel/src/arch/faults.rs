//! What a machine may do wrong, and is made to do on purpose.

/// Faults of the machine. Percentages are chances from 0 to 100.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Percent of the interrupts from one CPU to another that are never sent.
    pub lost: u8,
    /// Percent of them that are sent twice.
    pub doubled: u8,
    /// Percent of interrupts sent, and of ticks, at which some CPU gets a wake-up for nothing.
    pub spurious: u8,
    /// Percent of interrupts sent, and of ticks, at which some CPU gets an NMI.
    pub nmi: u8,
    /// Percent of the timer's deadlines that are kept up to 20 ms late.
    pub late: u8,
    /// The CPU that does not start; 0: all do.
    pub absent: u8,
}
