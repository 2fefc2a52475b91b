//! Faults: what befalls the nodes and their server, and when, drawn from a seed.

use std::time::Duration;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node is killed, and started again after a while.
    Kill { node: usize, pause: Duration },
    /// All connections of a node are cut.
    Cut { node: usize },
    /// The server is restarted, in good order or as after a crash.
    Restart { crashes: bool },
}

/// One of so many restarts the server: the first as after a crash, the next in good order.
const RESTARTS: usize = 12;
/// The longest pause after a kill, in milliseconds.
const LONGEST_PAUSE: u64 = 1_000;

/// Draws faults, each with the number of deliveries after which it happens, in that order. The one
/// in the middle, or of many one in each dozen, restarts the server.
pub(crate) fn draw(
    seed: u64,
    nodes: usize,
    count: usize,
    deliveries: usize,
) -> Vec<(usize, Fault)> {
    let mut drawn = Drawn(seed);
    // The end is left to what follows the faults.
    let mut moments: Vec<usize> = (0..count).map(|_| drawn.below(deliveries * 9 / 10)).collect();
    moments.sort_unstable();
    let faults = moments.into_iter().enumerate().map(|(n, at)| {
        let fault = if n % RESTARTS == RESTARTS.min(count) / 2 {
            Fault::Restart { crashes: (n / RESTARTS).is_multiple_of(2) }
        } else if drawn.below(5) < 3 {
            let pause = Duration::from_millis(drawn.next() % LONGEST_PAUSE);
            Fault::Kill { node: drawn.below(nodes), pause }
        } else {
            Fault::Cut { node: drawn.below(nodes) }
        };
        (at, fault)
    });
    faults.collect()
}

/// `SplitMix64`.
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).expect("it fits")).expect("it fits")
    }
}

pub(crate) fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(())
}
