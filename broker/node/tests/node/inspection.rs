//! What operators see of a broker, and what they can mend: producers, transactions, hanging ones
//! among them, pages of topics, elections, the quorum.

use crate::driver::script::check;

#[test]
fn producers_and_their_open_transactions_are_described() {
    check(
        r"
topic t 2
  t NONE
topic u 1
  u NONE
init I
  NONE id=0 epoch=0
produce u-0 x y as=I
  base=0
init A tid=a
  NONE id=1 epoch=0
produce t-0 x as=A v=12
  base=0
end A commit v=5
  NONE
produce t-0 y z as=A v=12
  base=2
producers t-0 t-1 u-0 t-2 nothing-0 bad/name-0
  t-0 NONE
    1:1 sequence=1 coordinator=0 open=2
  t-1 NONE
  u-0 NONE
    0:0 sequence=1 coordinator=-1 open=-1
  t-2 UNKNOWN_TOPIC_OR_PARTITION
  nothing-0 UNKNOWN_TOPIC_OR_PARTITION
  bad/name-0 INVALID_TOPIC_EXCEPTION
end A abort v=5
  NONE
producers t-0
  t-0 NONE
    1:2 sequence=-1 coordinator=0 open=-1
",
    );
}

#[test]
fn transactions_are_listed_and_described() {
    check(
        r"
transactions
topic t 2
  t NONE
init A tid=a
  NONE id=0 epoch=0
init B tid=b
  NONE id=1 epoch=0
produce t-0 x as=A v=12
  base=0
produce t-1 x as=A v=12
  base=0
transactions
  a 0 Ongoing
  b 1 Empty
transactions states=Empty
  b 1 Empty
advance 10
transactions older=5 states=Ongoing
  a 0 Ongoing
transactions older=10 states=Ongoing
transactions pattern=[ab]
  a 0 Ongoing
  b 1 Empty
transactions pattern=a+
  a 0 Ongoing
transactions pattern=[
  INVALID_REGULAR_EXPRESSION
transaction a b c
  a Ongoing 0:0 t[0, 1]
  b Empty 1:0
  c TRANSACTIONAL_ID_NOT_FOUND
end A commit v=5
  NONE
transaction a
  a CompleteCommit 0:1
",
    );
}

#[test]
fn an_operator_ends_a_transaction_past_its_coordinator() {
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
# Older epochs may not, and a marker of version 2 must raise the epoch.
mark t-0 as=A epoch=-1
  t-0 INVALID_PRODUCER_EPOCH
mark t-0 as=A tv=2
  t-0 INVALID_PRODUCER_EPOCH
mark t-0 t-0 t-9 x-0 as=A v=1
  t-0 NONE
  t-0 NONE
  t-9 UNKNOWN_TOPIC_OR_PARTITION
  x-0 UNKNOWN_TOPIC_OR_PARTITION
fetch t-0@0 committed
  t-0 hw=2 [0:x 1:end] aborted=0@0
producers t-0 t-1
  t-0 NONE
    0:0 sequence=0 coordinator=0 open=-1
  t-1 NONE
    0:0 sequence=0 coordinator=-1 open=0
# The coordinator knows nothing of it, and ends its transaction in the other partition.
end A commit v=5
  NONE
fetch t-1@0 committed
  t-1 hw=2 [0:y 1:end]
# A coordinator of the past is fenced.
produce t-1 z as=A v=12
  base=2
mark t-1 as=A coordinator=5 tv=2 epoch=2 commit
  t-1 NONE
mark t-1 as=A coordinator=4 epoch=3
  t-1 TRANSACTION_COORDINATOR_FENCED
# An older epoch is refused when nothing is open too.
mark t-1 as=A coordinator=5 epoch=1
  t-1 INVALID_PRODUCER_EPOCH
mark t-1 as=A coordinator=5 tv=2 epoch=1
  t-1 INVALID_PRODUCER_EPOCH
fetch t-1@0 committed
  t-1 hw=4 [0:y 1:end 2:z 3:end]
# The same one again is a repetition.
mark t-1 as=A coordinator=5 tv=2 epoch=2 commit
  t-1 NONE
fetch t-1@0 committed
  t-1 hw=5 [0:y 1:end 2:z 3:end 4:end]
",
    );
}

#[test]
fn topics_are_described_in_pages() {
    check(
        r"
topic u 3
  u NONE
topic t 2
  t NONE
pages
  t NONE [0, 1]
  u NONE [0, 1, 2]
pages limit=3
  t NONE [0, 1]
  u NONE [0]
  next u-1
pages limit=3 from=u-1
  u NONE [1, 2]
# A page that is full to the brim points to the next topic.
pages limit=2
  t NONE [0, 1]
  next u-0
pages u bad/name nothing t t
  bad/name INVALID_TOPIC_EXCEPTION []
  nothing UNKNOWN_TOPIC_OR_PARTITION []
  t NONE [0, 1]
  u NONE [0, 1, 2]
pages t u limit=0
  t NONE [0]
  next t-1
pages t u from=u-9
  u NONE []
pages t from=u-0
  t INVALID_REQUEST []
pages t u from=t--1
  t INVALID_REQUEST []
  u INVALID_REQUEST []
",
    );
}

#[test]
fn there_is_nothing_to_elect() {
    check(
        r"
topic t 2
  t NONE
elect t-1 t-2 x-0
  t 1:ELECTION_NOT_NEEDED
  t 2:UNKNOWN_TOPIC_OR_PARTITION
  x 0:UNKNOWN_TOPIC_OR_PARTITION
elect t-0 type=1
  t 0:ELECTION_NOT_NEEDED
elect t-0 type=2
  INVALID_REQUEST
  t 0:INVALID_REQUEST
elect all
  t
",
    );
}

#[test]
fn the_quorum_is_this_broker() {
    check(
        r"
quorum
  NONE leader=1 epoch=1 hw=0 voters=[1@0]
topic t 2
  t NONE
quorum
  NONE leader=1 epoch=1 hw=3 voters=[1@3]
restart
quorum
  NONE leader=1 epoch=2 hw=5 voters=[1@5]
quorum t-0
  UNKNOWN_TOPIC_OR_PARTITION leader=-1 epoch=-1 hw=-1 voters=[]
",
    );
}

#[test]
fn features_are_shown_raised_and_lowered() {
    check(
        r"
features
  supported group.version 0-1
  supported metadata.version 30-30
  supported transaction.version 0-2
  finalized group.version 1
  finalized metadata.version 30
  finalized transaction.version 2
# Older clients cannot read that a lowest level is 0.
features v=3
  supported metadata.version 30-30
  finalized group.version 1
  finalized metadata.version 30
  finalized transaction.version 2
features v=2
level transaction.version=1
  INVALID_UPDATE_VERSION results=0
level transaction.version=1 down v=1
  NONE results=1
level transaction.version=0 down try
  NONE results=0
crash
features v=3
  supported metadata.version 30-30
  finalized group.version 1
  finalized metadata.version 30
  finalized transaction.version 1
level transaction.version=0 down v=0
  NONE results=1
# What is off is not shown.
features v=3
  supported metadata.version 30-30
  finalized group.version 1
  finalized metadata.version 30
# Whoever uses the consumer protocol sees that it is off.
level group.version=0 down
  NONE results=0
features v=3
  supported metadata.version 30-30
  finalized metadata.version 30
level group.version=1
  NONE results=0
level metadata.version=29 down
  INVALID_UPDATE_VERSION results=0
level transaction.version=2
  NONE results=0
features v=3
  supported metadata.version 30-30
  finalized group.version 1
  finalized metadata.version 30
  finalized transaction.version 2
",
    );
}
