//! Syncs after so many records (`flush.messages`) and after so long (`flush.ms`), where a record
//! counts as written before it is synced.
//!
//! `sync` tells whether a sync was asked for while they are held back. Each topic begins with a record
//! that is synced, and its files' names with it.

use crate::driver::World;
use crate::driver::script::{check, check_in};
use mainstem_node::NodeConfig;

#[test]
fn without_intervals_nothing_is_synced() {
    check(
        r"
topic t 1
  t NONE
produce t-0 0
  base=0
alter topic t flush.policy=os
  NONE
hold
produce t-0 a b c d
  base=1
advance 100000
produce t-0 e
  base=5
sync
  not asked
",
    );
}

#[test]
fn so_many_records_make_the_answer_wait_for_a_sync() {
    check(
        r"
topic t 1
  t NONE
produce t-0 0
  base=0
alter topic t flush.policy=os flush.messages=3
  NONE
hold
produce t-0 a
  base=1
produce t-0 b acks=1
  base=2
sync
  not asked
# The third one is answered when it is synced, whatever acks says.
produce t-0 c acks=1
  no answer
sync
  asked
fetch t-0@1
  t-0 hw=3 [1:a 2:b]
# Nor are those that come during the sync: five records are unsynced.
produce t-0 d e on=3
  no answer
release
answer
  base=3
answer on=3
  base=4
fetch t-0@3
  t-0 hw=6 [3:c 4:d 5:e]
# The count goes on behind what was synced: it was begun before they came.
hold
produce t-0 f
  no answer
sync
  asked
release
answer
  base=6
hold
produce t-0 g h
  base=7
sync
  not asked
release
produce t-0 i
  base=9
crash seed=4
fetch t-0@7
  t-0 hw=10 [7:g 8:h 9:i]
",
    );
}

#[test]
fn each_append_of_as_many_records_is_synced() {
    check(
        r"
topic t 1 flush.policy=os flush.messages=1
  t NONE
hold
produce t-0 a acks=1
  no answer
sync
  asked
release
answer
  base=0
produce t-0 b
  base=1
crash seed=1
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
# With flush=commit it adds that acks=1 waits too.
alter topic t flush.policy=commit
  NONE
hold
produce t-0 c acks=1
  no answer
release
answer
  base=2
alter topic t flush.messages=
  NONE
hold
produce t-0 d acks=1
  base=3
",
    );
}

#[test]
fn after_so_long_a_sync_is_asked_for_and_nobody_waits() {
    check(
        r"
topic t 1
  t NONE
produce t-0 0
  base=0
alter topic t flush.policy=os flush.ms=1000
  NONE
hold
produce t-0 a
  base=1
advance 600
produce t-0 b
  base=2
advance 399
sync
  not asked
# The oldest record counts.
advance 1
sync
  asked
# What comes during the sync has its own time.
produce t-0 c
  base=3
release
hold
advance 999
sync
  not asked
advance 1
sync
  asked
# A sync that lasts longer than the time is followed by another one.
produce t-0 d
  base=4
advance 5000
release
# All is synced: no more are asked for.
hold
advance 100000
sync
  not asked
produce t-0 e
  base=5
advance 1000
sync
  asked
release
crash seed=5
fetch t-0@1
  t-0 hw=6 [1:a 2:b 3:c 4:d 5:e]
",
    );
}

#[test]
fn intervals_change_while_records_are_unsynced() {
    check(
        r"
topic t 1 flush.policy=os flush.ms=60000
  t NONE
produce t-0 a
  base=0
advance 2000
alter topic t flush.ms=3000
  NONE
hold
advance 999
sync
  not asked
advance 1
sync
  asked
release
alter topic t flush.ms=
  NONE
produce t-0 b c
  base=1
advance 100000
# Two records are too many now.
alter topic t flush.messages=2
  NONE
crash seed=6
fetch t-0@0
  t-0 hw=3 [0:a 1:b 2:c]
# None may be unsynced at all.
produce t-0 d
  base=3
alter topic t flush.policy=commit flush.messages=
  NONE
crash seed=7
fetch t-0@3
  t-0 hw=4 [3:d]
delete t
  NONE
advance 100000
",
    );
}

#[test]
fn brokers_hand_their_intervals_to_topics() {
    let mut config = NodeConfig::default();
    config.topic_defaults.insert("flush.messages".to_owned(), "2".to_owned());
    let script = r"
topic t 1
  t NONE
produce t-0 0
  base=0
describe topic t flush.messages flush.ms
  flush.messages=2
    file log.flush.interval.messages=2
    default log.flush.interval.messages=9223372036854775807
  flush.ms=9223372036854775807
    default log.flush.interval.ms=9223372036854775807
alter brokers flush=os log.flush.interval.ms=500
  NONE
hold
produce t-0 a
  base=1
advance 499
sync
  not asked
advance 1
sync
  asked
release
hold
produce t-0 b c
  no answer
";
    for shards in [1, 2] {
        check_in(World::with_config(shards, config.clone()), script);
    }
}
