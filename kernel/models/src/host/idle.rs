//! `sched::idle`: no M sleeps. See the models of `sched::keeper`.

pub fn wake_for_timer(_: u64) {}
