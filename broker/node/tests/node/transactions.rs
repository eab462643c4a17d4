//! Transactions of both versions: what is visible when, and what is refused.

use crate::driver::script::check;

#[test]
fn readers_see_whole_transactions_of_version_one() {
    check(
        r"
topic t 2
  t NONE
init A tid=a
  NONE id=0 epoch=0
# The broker checks with the coordinator before the first batch.
produce t-0 x as=A seq=0
  INVALID_TXN_STATE
add A t-0
  NONE
produce t-0 x as=A seq=0
  base=0
produce t-0 y as=A seq=1
  base=1
fetch t-0@0 committed
  t-0 hw=2 lso=0 []
fetch t-0@0
  t-0 hw=2 lso=0 [0:x 1:y]
offsets t-0 latest committed
  NONE offset=0 timestamp=-1
end A commit
  NONE
fetch t-0@0 committed
  t-0 hw=3 [0:x 1:y 2:end]
add A t-0
  NONE
produce t-0 z as=A seq=2
  base=3
end A abort
  NONE
fetch t-0@0 committed
  t-0 hw=5 [0:x 1:y 2:end 3:z 4:end] aborted=0@3
fetch t-0@0
  t-0 hw=5 [0:x 1:y 2:end 3:z 4:end]
# An empty transaction ends as well.
add A t-1
  NONE
end A commit
  NONE
",
    );
}

#[test]
fn a_waiting_fetch_completes_with_the_aborted_list() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
fetch t-0@0 committed wait=5000
  waits
end A abort v=5
  NONE
fetched
  t-0 hw=2 [0:x 1:end] aborted=0@0
",
    );
}

#[test]
fn version_two_adds_partitions_by_writing_and_bumps_the_epoch() {
    check(
        r"
topic t 2
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
produce t-1 y as=A v=12
  base=0
end A commit v=5
  NONE
fetch t-0@0 t-1@0 committed
  t-0 hw=2 [0:x 1:end]
  t-1 hw=2 [0:y 1:end]
produce t-0 z as=A v=12
  base=2
kill
# The transaction is still open, and still ends.
fetch t-0@2 committed
  t-0 hw=3 lso=2 []
end A commit v=5
  NONE
fetch t-0@2 committed
  t-0 hw=4 [2:z 3:end]
",
    );
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    check(
        r"
topic t 1
  t NONE
init A tid=a timeout=1000
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
advance 60000
advance 60000
fetch t-0@0 committed
  t-0 hw=2 [0:x 1:end] aborted=0@0
end A commit v=5
  INVALID_TXN_STATE
produce t-0 y as=A v=12
  INVALID_PRODUCER_EPOCH
",
    );
}

#[test]
fn a_new_instance_fences_the_old_one() {
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
init B tid=a
  NONE id=0 epoch=2
end A commit v=5
  PRODUCER_FENCED
fetch t-0@0 committed
  t-0 hw=2 [0:x 1:end] aborted=0@0
produce t-0 y as=B v=12
  base=2
end B commit v=5
  NONE
",
    );
}

#[test]
fn transactional_batches_need_a_transaction() {
    check(
        r"
topic t 1
  t NONE
init A tid=a
  NONE id=0 epoch=0
produce t-0 x as=A v=12
  base=0
# Not transactional, from a producer with an open transaction.
produce t-0 y as=A seq=1 plain=1 v=12
  INVALID_TXN_STATE
end A commit v=5
  NONE
",
    );
}
