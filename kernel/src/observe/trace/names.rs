//! The texts of a trace: functions, files, Go's words for why a goroutine stopped.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::wire::{Frame, Writer};
use crate::observe::symbols::{self, Symbolizer};
use crate::observe::visible::{self, Kind};
use crate::sched::park::WaitReason;

/// Go's word for the reason (internal/trace: what its viewers know), or ours where Go has none.
pub fn reason(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Zero => "unspecified",
        WaitReason::ChanReceive => "chan receive",
        WaitReason::ChanSend => "chan send",
        WaitReason::ChanReceiveNil | WaitReason::SelectNoCases => "forever",
        WaitReason::Select => "select",
        WaitReason::Sleep => "sleep",
        WaitReason::IoWait => "network",
        WaitReason::Preempted => "preempted",
        WaitReason::SyncCondWait => "sync.(*Cond).Wait",
        WaitReason::Park | WaitReason::Coroutine | WaitReason::GoroutineJoin => reason.text(),
        _ => "sync",
    }
}

/// A goroutine that lives while the trace is made.
#[derive(Clone, Default)]
pub struct Living {
    /// Return addresses of where it waits, the innermost first; empty if it runs.
    pub pcs: Vec<u64>,
    /// Return address of its `go` statement.
    pub gopc: u64,
    /// Whether it waits, or could run.
    pub waits: bool,
}

/// Finds texts, and remembers them.
pub struct Names {
    symbolizer: Symbolizer,
    living: BTreeMap<u64, Living>,
}

impl Names {
    /// With what is known of the goroutines that live.
    pub fn new(living: BTreeMap<u64, Living>) -> Self {
        Self {
            symbolizer: Symbolizer::new(),
            living,
        }
    }

    /// The id of a stack of return addresses.
    pub fn stack(&mut self, writer: &mut Writer, pcs: &[u64]) -> u64 {
        match pcs {
            [] => 0,
            pcs => writer.stack(pcs, |writer| self.frames(writer, pcs)),
        }
    }

    fn frames(&mut self, writer: &mut Writer, pcs: &[u64]) -> Vec<Frame> {
        let mut all = Vec::new();
        for pc in pcs {
            for frame in self.symbolizer.frames(pc - 1) {
                all.push((
                    visible::kind(frame) == Kind::Program,
                    frame_of(writer, *pc, frame),
                ));
            }
        }
        // What parks and what starts a goroutine is the runtime's: a stack begins and ends with the
        // program, if it is in it.
        let is_program = |(program, _): &(bool, Frame)| *program;
        let first = all.iter().position(is_program).unwrap_or(0);
        let last = all
            .iter()
            .rposition(is_program)
            .unwrap_or(all.len().max(1) - 1);
        all.drain(..)
            .skip(first)
            .take(last + 1 - first)
            .map(|(_, frame)| frame)
            .collect()
    }

    /// The stack that names a new goroutine: its function, at its `go` statement. A function of the
    /// library's own (a handle's, a group's) is no name; then it is the one that has the statement.
    pub fn start(&mut self, writer: &mut Writer, function: &'static str, gopc: u64) -> u64 {
        let key = [1, function.as_ptr() as u64, gopc];
        writer.stack(&key, |writer| {
            let of_library = function.starts_with("gosched::");
            let name = (!of_library).then(|| function.to_string());
            self.start_frame(writer, name, gopc)
        })
    }

    /// The stack of a goroutine that was not seen: where it waits, or its `go` statement.
    pub fn living(&mut self, writer: &mut Writer, g: u64) -> u64 {
        let Some(living) = self.living.get(&g).cloned() else {
            return match g {
                1 => writer.stack(&[2], main_frame),
                _ => 0,
            };
        };
        if living.gopc == 0 {
            return writer.stack(&[2], main_frame);
        }
        let key = [&[3, living.gopc], &living.pcs[..]].concat();
        writer.stack(&key, |writer| {
            let mut frames = self.frames(writer, &living.pcs);
            frames.extend(self.start_frame(writer, None, living.gopc));
            frames
        })
    }

    fn start_frame(&mut self, writer: &mut Writer, name: Option<String>, gopc: u64) -> Vec<Frame> {
        let frames = self.symbolizer.frames(gopc.max(1) - 1);
        let program = |frame: &&symbols::Frame| visible::kind(frame) == Kind::Program;
        let Some(frame) = frames.iter().find(program).or(frames.first()) else {
            let function = writer.string(name.as_deref().unwrap_or("?"));
            return alloc::vec![Frame {
                pc: gopc.max(1),
                function,
                file: 0,
                line: 0
            }];
        };
        let mut named = frame_of(writer, gopc, frame);
        if let Some(name) = name {
            named.function = writer.string(&name);
        } else {
            let name = format!("{} (go)", frame.function);
            named.function = writer.string(&name);
        }
        alloc::vec![named]
    }
}

fn main_frame(writer: &mut Writer) -> Vec<Frame> {
    let function = writer.string("main");
    alloc::vec![Frame {
        pc: 1,
        function,
        file: 0,
        line: 0
    }]
}

fn frame_of(writer: &mut Writer, pc: u64, frame: &symbols::Frame) -> Frame {
    let function = writer.string(&frame.function.to_string());
    let file = frame
        .file
        .map_or(0, |file| writer.string(&file.to_string()));
    Frame {
        pc,
        function,
        file,
        line: u64::from(frame.line),
    }
}
