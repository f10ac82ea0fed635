//! The block and mutex profiles, as `sched::contention` has counted them since boot.

use alloc::vec::Vec;

use super::profile::{Kind, Profile, Sample};
use crate::sched::contention;
use crate::sched::labels::Labels;

/// Who waited, where, how often and for how long.
pub fn block() -> Profile {
    profile(Kind::Block, contention::Kind::Block)
}

/// Who unlocked what others waited for.
pub fn mutex() -> Profile {
    profile(Kind::Mutex, contention::Kind::Mutex)
}

fn profile(kind: Kind, counted: contention::Kind) -> Profile {
    let snapshot = contention::snapshot(counted);
    let sample = |record: contention::Record| Sample {
        pcs: record.pcs,
        exact: false,
        values: [record.count, record.delay_ns],
        labels: Labels::new(),
        numbers: Vec::new(),
    };
    let mut profile = Profile {
        kind,
        samples: snapshot.records.into_iter().map(sample).collect(),
        duration_ns: 0,
        period: 1,
        dropped: snapshot.dropped,
    };
    profile.sort();
    profile
}
