//! Scripts about producing and fetching at wire level, on one shard and on two.

use crate::driver::script::check;

#[test]
fn what_is_produced_is_fetched() {
    check(
        r"
topic t 2
  t NONE
produce t-0 a b
  base=0
produce t-0 c
  base=2
produce t-1 d v=13
  base=0
fetch t-0@0 t-1@0
  t-0 hw=3 [0:a 1:b 2:c]
  t-1 hw=1 [0:d]
fetch t-0@2 v=17
  -0 hw=3 [2:c]
fetch t-0@4
  t-0 OFFSET_OUT_OF_RANGE
fetch t-7@0
  t-7 UNKNOWN_TOPIC_OR_PARTITION
fetch nothing-0@0
  nothing-0 UNKNOWN_TOPIC_OR_PARTITION
produce nothing-0 a
  UNKNOWN_TOPIC_OR_PARTITION
produce t-0 a acks=2
  INVALID_REQUIRED_ACKS
produce __consumer_offsets-0 a
  UNKNOWN_TOPIC_OR_PARTITION
",
    );
}

#[test]
fn batches_of_one_pass_are_written_together() {
    check(
        r"
topic t 2
  t NONE
init A
  NONE id=0 epoch=0
produce t-0 a as=A later
produce t-0 b as=A later
# A retry of what is not written yet.
produce t-0 b as=A seq=1 later
produce t-1 c acks=1 later
produce t-0 d acks=0 later
produce t-0 e acks=1 later
pass
answer
  base=0
answer
  base=1
answer
  base=1
answer
  base=0
answer
  base=3
fetch t-0@0 t-1@0
  t-0 hw=4 [0:a 1:b 2:d 3:e]
  t-1 hw=1 [0:c]
# What cannot be written was never there: its retry is no duplicate.
fill /data
produce t-0 f as=A later
produce t-0 g as=A later
produce t-0 g as=A seq=3 later
produce t-0 h acks=1 later
pass
answer
  KAFKA_STORAGE_ERROR
answer
  KAFKA_STORAGE_ERROR
answer
  KAFKA_STORAGE_ERROR
answer
  KAFKA_STORAGE_ERROR
mend /data
produce t-0 f as=A seq=2
  base=4
produce t-0 g as=A seq=3
  base=5
fetch t-0@4
  t-0 hw=6 [4:f 5:g]
",
    );
}

#[test]
fn what_cannot_be_stored_leaves_nothing() {
    check(
        r"
topic t 1 max.message.bytes=90
  t NONE
produce t-0 a corrupt
  CORRUPT_MESSAGE
produce t-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  MESSAGE_TOO_LARGE
fetch t-0@0
  t-0 hw=0 []
produce t-0 b
  base=0
topic c 1 cleanup.policy=compact
  c NONE
produce c-0 nokey another
  INVALID_RECORD records=0,1
produce c-0 v key=k
  base=0
",
    );
}

#[test]
fn acks_say_when_the_answer_leaves() {
    check(
        r"
topic t 1
  t NONE
hold
# acks=1 answers after the append; nobody sees the batch before it is durable.
produce t-0 a acks=1
  base=0
fetch t-0@0
  t-0 hw=0 []
# acks=all waits for the sync.
produce t-0 b
  no answer
release
answer
  base=1
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
# acks=0 gets no answer, and a closed connection when it failed.
produce t-0 c acks=0 on=5
  no answer
fetch t-0@2
  t-0 hw=3 [2:c]
produce nothing-0 c acks=0 on=5
  closed
",
    );
}

#[test]
fn a_fetch_waits_for_data_or_for_its_time() {
    check(
        r"
topic t 2
  t NONE
fetch t-0@0 t-1@0 wait=500
  waits
produce t-1 a
  base=0
fetched
  t-0 hw=0 []
  t-1 hw=1 [0:a]
fetch t-0@0 t-1@1 wait=500
  waits
advance 499
fetched
  waits
advance 1
fetched
  t-0 hw=0 []
  t-1 hw=1 []
# More bytes than one batch has.
fetch t-0@0 wait=500 min=100
  waits
produce t-0 a
  base=0
fetched
  waits
produce t-0 b
  base=1
fetched
  t-0 hw=2 [0:a 1:b]
# A topic that goes away ends the wait.
fetch t-0@2 wait=500
  waits
delete t
  NONE
fetched
  t-0 UNKNOWN_TOPIC_OR_PARTITION
",
    );
}

#[test]
fn limits_of_a_fetch_hold_but_one_batch_always_comes() {
    check(
        r"
topic t 2
  t NONE
produce t-0 aaaaaaaaaa
  base=0
produce t-0 bbbbbbbbbb
  base=1
produce t-1 cccccccccc
  base=0
fetch t-0@0 t-1@0 max=1
  t-0 hw=2 [0:aaaaaaaaaa]
  t-1 hw=1 []
fetch t-0@0 t-1@0 pmax=1
  t-0 hw=2 [0:aaaaaaaaaa]
  t-1 hw=1 []
fetch t-0@0 t-1@0 pmax=90
  t-0 hw=2 [0:aaaaaaaaaa]
  t-1 hw=1 [0:cccccccccc]
",
    );
}

#[test]
fn a_leader_epoch_that_is_not_ours_is_refused() {
    check(
        r"
topic t 1
  t NONE
produce t-0 a
  base=0
fetch t-0@0 epoch=0
  t-0 hw=1 [0:a]
fetch t-0@0 epoch=5
  t-0 UNKNOWN_LEADER_EPOCH
# A start of the broker is an election.
restart
fetch t-0@0 epoch=0
  t-0 FENCED_LEADER_EPOCH
fetch t-0@0 epoch=1
  t-0 hw=1 [0:a]
",
    );
}

#[test]
fn offsets_are_found_by_place_and_by_time() {
    check(
        r"
topic t 1 message.timestamp.after.max.ms=9223372036854775807
  t NONE
offsets t-0 latest
  NONE offset=0 timestamp=-1
offsets t-0 max
  NONE offset=-1 timestamp=-1
produce t-0 a at=1000
  base=0
produce t-0 b at=3000
  base=1
produce t-0 c at=2000
  base=2
offsets t-0 latest
  NONE offset=3 timestamp=-1
offsets t-0 earliest
  NONE offset=0 timestamp=-1
offsets t-0 max
  NONE offset=1 timestamp=3000
offsets t-0 1500
  NONE offset=1 timestamp=3000
offsets t-0 9999
  NONE offset=-1 timestamp=-1
offsets t-0 max v=6
  UNSUPPORTED_VERSION offset=-1 timestamp=-1
offsets u-0 latest
  UNKNOWN_TOPIC_OR_PARTITION offset=-1 timestamp=-1
",
    );
}

#[test]
fn old_produce_versions_are_refused_in_their_own_words() {
    use crate::driver::World;
    use bytes::{BufMut, BytesMut};
    let mut world = World::new(1);
    for (version, tail) in [(0_i16, 0_usize), (1, 4), (2, 12)] {
        let mut frame = BytesMut::new();
        frame.put_i16(0);
        frame.put_i16(version);
        frame.put_i32(77);
        frame.put_i16(-1);
        frame.put_i16(1); // acks
        frame.put_i32(1000); // timeout
        frame.put_i32(1);
        frame.put_i16(1);
        frame.put_slice(b"t");
        frame.put_i32(1);
        frame.put_i32(0);
        frame.put_i32(3);
        frame.put_slice(b"xyz");
        world.send_frame(1, frame.freeze());
        world.pump();
        let answer = world.take_frame(1).expect("an answer");
        assert_eq!(&answer[..4], 77_i32.to_be_bytes());
        // Topics, name, partitions, partition: then the error.
        assert_eq!(&answer[19..21], 35_i16.to_be_bytes());
        assert_eq!(answer.len(), 29 + tail);
    }
}

#[test]
fn a_compacted_topic_keeps_the_last_value_of_a_key() {
    check(
        r"
topic c 1 cleanup.policy=compact segment.ms=1 min.cleanable.dirty.ratio=0.1
  c NONE
produce c-0 one key=k at=1700000000000
  base=0
produce c-0 two key=k at=1700000000010
  base=1
produce c-0 three key=k at=1700000000020
  base=2
fetch c-0@0
  c-0 hw=3 [0:one 1:two 2:three]
# The active segment, in which the last record is, does not take part.
advance 15000
fetch c-0@0
  c-0 hw=3 [1:two 2:three]
restart shards=2
fetch c-0@0
  c-0 hw=3 [1:two 2:three]
produce c-0 four key=k at=1700000000030
  base=3
crash seed=3
# The start has made the recovery point durable, so the first look may compact.
advance 15000
fetch c-0@0
  c-0 hw=4 [2:three 3:four]
",
    );
}

#[test]
fn a_topic_may_have_a_compression_of_its_own() {
    check(
        r"
topic z 1 compression.type=zstd compression.zstd.level=9
  z NONE
produce z-0 aaaa b
  base=0
fetch z-0@0
  z-0 hw=2 [0:aaaa 1:b]
topic l 1 compression.type=lz5
  l INVALID_CONFIG
",
    );
}
