//! The coordinator is gone at every step of a transaction's end.
//!
//! The end of a transaction is a row of syncs: the decision, the markers of each shard, the last
//! record. A run lets some of them happen and then kills the broker, or takes its power away. What
//! was answered holds; what was not answered is decided by who asks next, once and for all
//! partitions; the transaction after it works.

use crate::driver::World;
use crate::driver::script::Script;

/// Far more than an end has.
const SYNCS_MAX: usize = 20;

#[derive(Debug, Clone, Copy)]
struct Run {
    shards: u16,
    /// `v=3`, or `v=5` with produce `v=12`.
    version: i16,
    decision: &'static str,
    /// What is asked for after the crash.
    again: &'static str,
    power_cut: bool,
    /// Syncs that happen before the crash.
    syncs: usize,
}

impl Run {
    /// False when the end was over before so many syncs.
    fn play(self) -> bool {
        let mut script = Script::new(World::new(self.shards));
        let (end, produce) = match self.version {
            ..5 => ("v=3", "v=9"),
            5.. => ("v=5", "v=12"),
        };
        script.ask("topic t 2");
        assert_eq!(script.ask("init A tid=a"), "NONE id=0 epoch=0");
        for (partition, value) in [("t-0", "x"), ("t-1", "y")] {
            if self.version < 5 {
                assert_eq!(script.ask(&format!("add A {partition}")), "NONE");
            }
            let produced = script.ask(&format!("produce {partition} {value} as=A {produce}"));
            assert_eq!(produced, "base=0", "{self:?}");
        }
        script.world.hold_syncs = true;
        let mut told = script.ask(&format!("end A {} {end}", self.decision));
        for _ in 0..self.syncs {
            if !script.world.release_one_sync() {
                return false;
            }
            if told == "no answer" {
                told = script.ask(&format!("ended A {end}"));
            }
        }
        script.world.hold_syncs = false;
        match self.power_cut {
            true => script.world.crash(self.syncs as u64),
            false => script.world.kill(),
        }
        self.check(&mut script, &told, end, produce);
        true
    }

    fn check(self, script: &mut Script, told: &str, end: &str, produce: &str) {
        // Under version 2 an answer has brought a new epoch; the same request names the one before.
        let late = u8::from(told == "NONE" && 5 <= self.version);
        let again = script.ask(&format!("end A {} {end} late={late}", self.again));
        let same = self.decision == self.again;
        if told == "NONE" {
            let right = if same { "NONE" } else { "INVALID_TXN_STATE" };
            assert_eq!(again, right, "{self:?}");
        } else if same {
            assert_eq!(again, "NONE", "{self:?}");
        } else {
            assert!(["NONE", "INVALID_TXN_STATE"].contains(&again.as_str()), "{self:?}: {again}");
        }
        let decided = if again == "NONE" { self.again } else { self.decision };
        for (partition, value) in [("t-0", "x"), ("t-1", "y")] {
            let seen = script.ask(&format!("fetch {partition}@0 committed"));
            let aborted = if decided == "abort" { " aborted=0@0" } else { "" };
            assert!(!seen.contains("lso="), "{self:?}: a transaction stays open: {seen}");
            assert!(seen.contains(&format!("[0:{value} 1:end")), "{self:?}: {seen}");
            assert_eq!(seen.ends_with(" aborted=0@0"), !aborted.is_empty(), "{self:?}: {seen}");
        }
        if again == "INVALID_TXN_STATE" && 5 <= self.version && told != "NONE" {
            // The producer still has the epoch before the end: this brings it the one after.
            let next = script.ask(&format!("end A {} {end}", self.decision));
            assert_eq!(next, "NONE", "{self:?}");
        }
        if self.version < 5 {
            assert_eq!(script.ask("add A t-0"), "NONE", "{self:?}");
        }
        let next = script.ask(&format!("produce t-0 z as=A {produce}"));
        assert!(next.starts_with("base="), "{self:?}: {next}");
        assert_eq!(script.ask(&format!("end A commit {end}")), "NONE", "{self:?}");
        let seen = script.ask("fetch t-0@2 committed");
        assert!(seen.contains(":z ") && !seen.contains("lso="), "{self:?}: {seen}");
    }
}

#[test]
fn a_coordinator_that_is_gone_at_any_step_of_an_end_tells_one_outcome() {
    for (shards, version) in [(1, 3), (1, 5), (2, 3), (2, 5)] {
        for (decision, again) in
            [("commit", "commit"), ("commit", "abort"), ("abort", "abort"), ("abort", "commit")]
        {
            for power_cut in [false, true] {
                let run = |syncs| Run { shards, version, decision, again, power_cut, syncs };
                let steps = (0..SYNCS_MAX).take_while(|syncs| run(*syncs).play()).count();
                assert!((3..SYNCS_MAX).contains(&steps), "an end has {steps} steps");
            }
        }
    }
}
