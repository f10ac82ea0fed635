//! Two goroutines that wait for each other: the scheduler sees that nobody can run again, and says
//! who waits where. Ends with status 2.
#![no_std]
#![no_main]

use gosched::{chan, go, println};

#[gosched::main]
fn main() {
    let (request, requests) = chan::bounded::<u32>(0);
    let (answer, answers) = chan::bounded::<u32>(0);
    go(move || {
        // It waits for a question, which is asked after the answer has come.
        for n in requests {
            let _ = answer.send(n * n);
        }
    });
    println!("the answer is {:?}", answers.recv());
    let _ = request.send(7);
}
