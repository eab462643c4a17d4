//! The rules of transactions at wire level, one test per rule. The list of all rules with their
//! tests is `docs/exactly-once.md`; what other files of this folder prove is not repeated here.

use crate::driver::World;
use crate::driver::script::{Script, check};
use mainstem_node::{LocalCommand, LocalReply, NodeConfig};
use std::time::Duration;

#[test]
fn the_last_stable_offset_is_not_before_the_start_of_the_log() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 a as=A v=12
  base=0
produce t-0 b
  base=1
trim t-0 2
  NONE low=2
offsets t-0 latest committed
  NONE offset=2 timestamp=-1
fetch t-0@2 committed
  t-0 hw=2 []
produce t-0 c as=A v=12
  base=2
fetch t-0@2 committed
  t-0 hw=3 lso=2 []
end A abort v=5
  NONE
fetch t-0@2 committed
  t-0 hw=4 [2:c 3:end] aborted=0@0
",
    );
}

#[test]
fn control_batches_and_batches_beside_the_open_transaction_are_refused() {
    check(
        r"
topic t 1
  t NONE
produce t-0 x control=1
  INVALID_RECORD
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A control=1 v=12
  INVALID_RECORD
produce t-0 x as=A seq=0 v=12
  base=0
produce t-0 y as=A plain=1 v=12
  INVALID_TXN_STATE
# The request says nothing of the transaction that its batch is part of (CVE-2018-17196).
produce t-0 y as=A seq=1 nameless=1 v=12
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED
fetch t-0@0
  t-0 hw=1 lso=0 [0:x]
",
    );
}

#[test]
fn a_commit_whose_marker_is_not_durable_is_not_seen() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
hold
end A commit v=5
  no answer
offsets t-0 latest committed
  NONE offset=0 timestamp=-1
fetch t-0@0 committed
  t-0 hw=1 lso=0 []
release
ended A v=5
  NONE
fetch t-0@0 committed
  t-0 hw=2 [0:x 1:end]
offsets t-0 latest committed
  NONE offset=2 timestamp=-1
",
    );
}

#[test]
fn a_write_without_its_partition_added_leaves_no_hanging_transaction() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A seq=0 v=9
  INVALID_TXN_STATE
produce t-0 x as=A seq=0 v=11
  TRANSACTION_ABORTABLE
# What came behind the refused batch must not begin the transaction in its place.
produce t-0 y as=A seq=1 v=9
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 p
  base=0
fetch t-0@0 committed
  t-0 hw=1 [0:p]
add A t-0
  NONE
produce t-0 x as=A seq=0 v=9
  base=1
# The end is decided by version 1, so a batch that is late finds the transaction over.
end A commit
  NONE
produce t-0 z as=A seq=1 v=9
  INVALID_TXN_STATE
fetch t-0@0 committed
  t-0 hw=3 [0:p 1:x 2:end]
",
    );
}

#[test]
fn batches_of_a_producer_do_not_overtake_the_one_whose_transaction_is_asked_about() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
hold
produce t-0 x as=A v=12
  no answer
produce t-0 y as=A v=12
  no answer
produce t-0 z as=A v=12
  no answer
release
answer v=12
  base=0
answer v=12
  base=1
answer v=12
  base=2
end A commit v=5
  NONE
",
    );
}

#[test]
fn an_end_that_arrives_in_the_next_transaction_is_fenced() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
end A commit v=5
  NONE
# Before the next one it is a retry: the same answer, nothing new; never the other decision.
end A commit v=5 late=1
  NONE
end A abort v=5 late=1
  INVALID_TXN_STATE
produce t-0 y as=A v=12
  base=2
end A commit v=5 late=1
  PRODUCER_FENCED
end A abort v=5 late=1
  PRODUCER_FENCED
end A commit v=4 late=1
  PRODUCER_FENCED
end A commit v=1 late=1
  INVALID_PRODUCER_EPOCH
fetch t-0@0 committed
  t-0 hw=3 lso=2 [0:x 1:end]
end A abort v=5
  NONE
fetch t-0@2 committed
  t-0 hw=4 [2:y 3:end] aborted=0@2
",
    );
}

#[test]
fn an_end_of_nothing_is_answered_by_the_rules_of_its_version() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
# Version 1 has not heard of a transaction.
end A commit v=4
  INVALID_TXN_STATE
# Version 2: to abort nothing is welcome, to commit nothing a mistake.
end A abort v=5
  NONE
end A commit v=5
  INVALID_TXN_STATE
# A partition was added and never written to.
add A t-0
  NONE
end A commit v=4
  NONE
add A t-0
  NONE
end A abort v=4
  NONE
fetch t-0@0 committed
  t-0 hw=2 [0:end 1:end]
",
    );
}

#[test]
fn of_two_racing_instances_one_survives() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
init B tid=a
  CONCURRENT_TRANSACTIONS id=-1 epoch=-1
init C tid=a
  NONE id=0 epoch=2
init B tid=a
  NONE id=0 epoch=3
produce t-0 c as=C v=12
  INVALID_PRODUCER_EPOCH
end C abort v=5
  PRODUCER_FENCED
produce t-0 b as=B v=12
  base=2
end B commit v=5
  NONE
# A holder goes on under a new epoch (KIP-360); the one before it is fenced (KIP-588: the name of
# that by version).
init D tid=a as=B
  NONE id=0 epoch=5
init E tid=a as=C
  PRODUCER_FENCED
init E tid=a as=C v=3
  INVALID_PRODUCER_EPOCH
fetch t-0@0 committed
  t-0 hw=4 [0:x 1:end 2:b 3:end] aborted=0@0
",
    );
}

#[test]
fn a_transaction_lives_in_the_log_of_its_coordinator_before_data_is_acknowledged() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12 acks=1
  base=0
# Power cut: what was acknowledged by the leader alone may be lost, the transaction is not.
crash seed=3
produce t-0 y as=A v=12 seq=1
  base=1
end A commit v=5
  NONE
",
    );
}

#[test]
fn offsets_of_a_transaction_are_seen_at_its_end_and_unstable_before() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
# Version 1 adds the group first.
offset A g t-0 3
  INVALID_TXN_STATE
add-group A g
  NONE
offset A g t-0 3
  NONE
committed g t-0
  -1
committed g t-0 stable
  UNSTABLE_OFFSET_COMMIT
end A commit
  NONE
committed g t-0 stable
  3
# Version 2 does it by writing.
offset A g t-0 5 v=5
  NONE
kill
committed g t-0 stable
  UNSTABLE_OFFSET_COMMIT
end A commit v=5
  NONE
committed g t-0 stable
  5
offset A g t-0 9 v=5
  NONE
# Late offsets of the transaction before never take it back.
offset A g t-0 5 late=1 v=5
  INVALID_PRODUCER_EPOCH
end A abort v=5
  NONE
committed g t-0 stable
  5
# Whoever is no member of the group is fenced by it (KIP-447).
offset A g t-0 9 gen=4 member=m v=5
  ILLEGAL_GENERATION
",
    );
}

#[test]
fn a_transaction_that_timed_out_is_over_for_its_client() {
    check(
        r"
topic t 1
  t NONE
init A tid=a timeout=1000
  NONE id=0 epoch=0
init X tid=x timeout=900001
  INVALID_TRANSACTION_TIMEOUT id=-1 epoch=-1
add A t-0
  NONE
produce t-0 x as=A
  base=0
advance 1000
fetch t-0@0 committed
  t-0 hw=2 [0:x 1:end] aborted=0@0
# Version 1: fenced. The old code by the old versions.
end A commit v=4
  PRODUCER_FENCED
end A commit v=1
  INVALID_PRODUCER_EPOCH
produce t-0 y as=A
  INVALID_PRODUCER_EPOCH
add A t-0
  PRODUCER_FENCED
init B tid=a timeout=1000
  NONE id=0 epoch=2
produce t-0 z as=B v=12
  base=2
advance 1000
# Version 2: the commit comes too late, and the client may go on from the abort (KIP-588).
end B commit v=5
  INVALID_TXN_STATE
end B abort v=5
  NONE
produce t-0 w as=B v=12
  base=4
end B commit v=5
  NONE
fetch t-0@2 committed
  t-0 hw=6 [2:z 3:end 4:w 5:end] aborted=0@2
",
    );
}

#[test]
fn a_transaction_ends_although_its_topic_is_gone_or_made_anew() {
    check(
        r"
topic t 1
  t NONE
topic u 1
  u NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
produce u-0 y as=A v=12
  base=0
delete t
  NONE
end A commit v=5
  NONE
fetch u-0@0 committed
  u-0 hw=2 [0:y 1:end]
produce u-0 z as=A v=12
  base=2
topic t 1
  t NONE
produce t-0 x as=A v=12
  base=0
delete t
  NONE
topic t 1
  t NONE
end A abort v=5
  NONE
fetch u-0@2 committed
  u-0 hw=4 [2:z 3:end] aborted=0@2
# The new life of the topic has got a marker that ends nothing there.
fetch t-0@0 committed
  t-0 hw=1 [0:end]
produce t-0 x as=A v=12
  base=1
end A commit v=5
  NONE
",
    );
}

#[test]
fn a_transaction_that_should_have_ended_is_counted_as_late() {
    let config =
        NodeConfig { transaction_max_timeout: Duration::from_secs(60), ..NodeConfig::default() };
    let mut script = Script::new(World::with_config(1, config));
    script.ask("topic t 2");
    script.ask("init A tid=a timeout=60000");
    assert_eq!(script.ask("produce t-0 x as=A v=12"), "base=0");
    let late = |script: &mut Script| match script.world.command(0, LocalCommand::Metrics) {
        LocalReply::Metrics(snapshot) => {
            (snapshot.open_transactions, snapshot.partitions_with_late_transactions)
        }
        _ => unreachable!("another question was answered"),
    };
    assert_eq!(late(&mut script), (1, 0));
    // Syncs are held back, so the abort of its timeout does not become durable.
    script.world.hold_syncs = true;
    script.ask("advance 60000");
    script.ask("advance 240000");
    assert_eq!(late(&mut script), (1, 0));
    script.ask("advance 60001");
    assert_eq!(late(&mut script), (1, 1));
    script.ask("release");
    script.ask("advance 1");
    assert_eq!(late(&mut script), (0, 0));
}

#[test]
fn a_transaction_ends_as_it_was_begun_whatever_the_level_becomes() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 a as=A v=12
  base=0
# The client has not heard of it yet.
level transaction.version=0 down
  NONE results=0
end A commit v=5
  NONE
# It has raised the epoch.
producers t-0
  t-0 NONE
    0:1 sequence=-1 coordinator=0 open=-1
# Now it has heard.
add A t-0
  NONE
produce t-0 b as=A v=11
  base=2
level transaction.version=2
  NONE results=0
end A abort v=4
  NONE
producers t-0
  t-0 NONE
    0:1 sequence=0 coordinator=0 open=-1
# The epoch has not changed, and the next transaction may be of version 2.
produce t-0 c as=A v=12
  base=4
end A commit v=5
  NONE
producers t-0
  t-0 NONE
    0:2 sequence=-1 coordinator=0 open=-1
fetch t-0@0 committed
  t-0 hw=6 [0:a 1:end 2:b 3:end 4:c 5:end] aborted=0@2
",
    );
}
