//! The rules of idempotent producers at wire level, one test per rule. The list of all rules with
//! their tests is `docs/exactly-once.md`.

use crate::driver::World;
use crate::driver::script::{check, check_in};
use mainstem_node::NodeConfig;
use std::time::Duration;

#[test]
fn a_resent_batch_of_the_last_five_is_answered_with_its_first_offset() {
    check(
        r"
topic t 1
  t NONE
init A
  NONE id=0 epoch=0
produce t-0 a b as=A
  base=0
produce t-0 c as=A
  base=2
produce t-0 d e f as=A
  base=3
produce t-0 g as=A
  base=6
produce t-0 h as=A
  base=7
produce t-0 i as=A
  base=8
# Each of the last five, in any order.
produce t-0 i as=A seq=8
  base=8
produce t-0 c as=A seq=2
  base=2
produce t-0 h as=A seq=7
  base=7
produce t-0 d e f as=A seq=3
  base=3
produce t-0 g as=A seq=6
  base=6
# The sixth is not known any more, and neither is what is no whole batch.
produce t-0 a b as=A seq=0
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 d e as=A seq=3
  OUT_OF_ORDER_SEQUENCE_NUMBER
fetch t-0@0
  t-0 hw=9 [0:a 1:b 2:c 3:d 4:e 5:f 6:g 7:h 8:i]
# Nor does a restart change an answer.
restart shards=1
produce t-0 c as=A seq=2
  base=2
produce t-0 j as=A seq=9
  base=9
produce t-0 c as=A seq=2
  OUT_OF_ORDER_SEQUENCE_NUMBER
",
    );
}

#[test]
fn with_the_first_of_five_in_flight_lost_the_others_are_refused_until_it_comes() {
    check(
        r"
topic t 1
  t NONE
init A
  NONE id=0 epoch=0
produce t-0 a as=A
  base=0
produce t-0 c as=A seq=2
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 d as=A seq=3
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 e as=A seq=4
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 f as=A seq=5
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 b as=A seq=1
  base=1
produce t-0 c as=A seq=2
  base=2
produce t-0 d as=A seq=3
  base=3
fetch t-0@0
  t-0 hw=4 [0:a 1:b 2:c 3:d]
",
    );
}

#[test]
fn after_the_last_sequence_comes_zero_also_within_a_batch() {
    check(
        r"
topic t 1
  t NONE
init A
  NONE id=0 epoch=0
# Nothing is known of the producer here: any sequence begins.
produce t-0 a b as=A seq=2147483645
  base=0
produce t-0 c d as=A seq=2147483647
  base=2
produce t-0 e as=A seq=2
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 e as=A seq=1
  base=4
produce t-0 c d as=A seq=2147483647
  base=2
",
    );
}

#[test]
fn a_new_epoch_begins_with_sequence_zero() {
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
produce t-0 y as=A seq=1 v=12
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 y as=A seq=0 v=12
  base=2
# An older one is refused, whatever its sequence.
produce t-0 z as=A late=1 seq=1 v=12
  INVALID_PRODUCER_EPOCH
produce t-0 x as=A late=1 seq=0 v=12
  INVALID_PRODUCER_EPOCH
",
    );
}

#[test]
fn a_producer_goes_on_after_all_of_its_records_were_deleted() {
    check(
        r"
topic t 1
  t NONE
init A
  NONE id=0 epoch=0
produce t-0 a as=A
  base=0
produce t-0 b as=A
  base=1
trim t-0 2
  NONE low=2
produce t-0 c as=A
  base=2
trim t-0 3
  NONE low=3
kill
produce t-0 d as=A seq=3
  base=3
fetch t-0@3
  t-0 hw=4 [3:d]
",
    );
}

#[test]
fn an_idle_producer_is_forgotten_after_a_day_and_an_open_transaction_never() {
    let hour = 3_600_000;
    let config = NodeConfig {
        transaction_max_timeout: Duration::from_secs(60 * 3_600),
        ..NodeConfig::default()
    };
    for shards in [1, 2] {
        let world = World::with_config(shards, config.clone());
        let script = format!(
            r"
topic t 2
  t NONE
init A
  NONE id=0 epoch=0
init B tid=b timeout=200000000
  NONE id=1 epoch=0
produce t-0 a as=A
  base=0
produce t-0 b as=B v=12
  base=1
produce t-1 b as=B v=12
  base=0
advance {almost}
# A retry is still known just before.
produce t-0 a as=A seq=0
  base=0
advance {more}
# Forgotten: any sequence begins anew. What is open goes on.
produce t-0 c as=A seq=7
  base=2
produce t-0 d as=B seq=1 v=12
  base=3
produce t-1 e as=B seq=7 v=12
  OUT_OF_ORDER_SEQUENCE_NUMBER
end B commit v=5
  NONE
",
            almost = 23 * hour,
            more = 3 * hour,
        );
        check_in(world, &script);
    }
}
