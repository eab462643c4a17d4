//! One client's place in a group, by either protocol.
//!
//! It says which request the membership wants next and what an answer means for the partitions that
//! the member has. What it was told goes into the group's book, where it is held against what others
//! were told.
//!
//! Words: a member is *out* until it was told an assignment, and again when it has to join anew. An
//! *incarnation* is a member from one join as a newcomer to its end; in the book each has a name.

use super::is_passing;
use crate::oracle::SharedBook;
use crate::port::{Broken, Port};
use bytes::Bytes;
use mainstem_platform::Instant;
use mainstem_protocol::{ErrorCode, TopicId};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a member may be silent.
pub(crate) const SESSION: Duration = Duration::from_millis(300);
/// How long it has to give up partitions, or to join again: longer than a session, see the book.
pub(crate) const REBALANCE: Duration = Duration::from_millis(450);
/// How often it says that it is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(50);

/// Which protocol a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// JoinGroup and SyncGroup; the leader assigns ranges.
    Classic,
    /// ConsumerGroupHeartbeat (KIP-848); the coordinator assigns.
    Consumer,
}

/// A request of the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MembershipAsk {
    Join,
    Sync,
    Heartbeat,
    Leave,
    /// Learns the id of the topic.
    Topic,
}

/// How far a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Out,
    /// Classic only: the join was answered, with all members for the leader.
    Joined {
        members: Vec<String>,
    },
    In,
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(super) kind: Kind,
    pub(super) book: SharedBook,
    pub(super) client: String,
    pub(super) member_id: String,
    /// Generation or member epoch.
    pub(super) generation: i32,
    pub(super) state: State,
    pub(super) assigned: BTreeSet<i32>,
    /// Consumer protocol: the next heartbeat says everything.
    pub(super) tell_all: bool,
    /// Consumer protocol: what was given up is to be said in the next heartbeat.
    pub(super) tell_owned: bool,
    /// Consumer protocol: the request under way says what is owned.
    pub(super) tells_owned: bool,
    /// Consumer protocol: when the coordinator throws it out unless it has said by then what it has
    /// given up, however well its session is.
    confirm_by: Option<Instant>,
    /// When the last heartbeat left that was answered well, and the one before: since then it may
    /// have been told something that it has not heard.
    heard_at: [Instant; 2],
    pub(super) topic_id: TopicId,
    pub(super) heartbeat_at: Instant,
    /// When the request under way was sent.
    pub(super) sent_at: Instant,
    /// Of the book when the request under way was sent.
    pub(super) generation_before: i32,
    incarnation: u32,
    /// Goes along with a join: a follower that has something new to say gets a new generation.
    pub(super) changes: u32,
}

impl Membership {
    pub(super) fn new(kind: Kind, book: SharedBook, client: String) -> Self {
        Self {
            kind,
            book,
            client,
            member_id: String::new(),
            generation: -1,
            state: State::Out,
            assigned: BTreeSet::new(),
            tell_all: true,
            tell_owned: false,
            tells_owned: false,
            confirm_by: None,
            heard_at: [Instant::default(); 2],
            topic_id: TopicId::NONE,
            heartbeat_at: Instant::default(),
            sent_at: Instant::default(),
            generation_before: 0,
            incarnation: 0,
            changes: 0,
        }
    }

    /// The name in the book.
    pub(super) fn who(&self) -> String {
        format!("{}.{}", self.client, self.incarnation)
    }

    pub(super) fn group(&self) -> String {
        self.book.borrow().name().to_owned()
    }

    pub(super) fn is_in(&self) -> bool {
        self.state == State::In
    }

    /// The request that is due. A `busy` member is in the middle of a transaction: it joins anew or
    /// tells what it has given up only afterwards, but it goes on saying that it is there.
    pub(super) fn wish(&self, now: Instant, busy: bool) -> Option<MembershipAsk> {
        if self.topic_id.is_none() && self.kind == Kind::Consumer {
            return Some(MembershipAsk::Topic);
        }
        match (&self.state, self.kind) {
            (State::Out, _) if busy => None,
            (State::Out, Kind::Classic) => Some(MembershipAsk::Join),
            (State::Joined { .. }, _) => Some(MembershipAsk::Sync),
            (State::Out, Kind::Consumer) => Some(MembershipAsk::Heartbeat),
            (State::In, _) => {
                let is_due = self.heartbeat_at <= now || (self.tell_owned && !busy);
                is_due.then_some(MembershipAsk::Heartbeat)
            }
        }
    }

    pub(super) fn send(&mut self, ask: MembershipAsk, busy: bool, port: &mut Port) -> i32 {
        self.sent_at = port.now.instant;
        self.generation_before = self.book.borrow().generation();
        self.heartbeat_at = port.now.instant.plus(HEARTBEAT);
        match (ask, self.kind) {
            (MembershipAsk::Topic, _) => self.send_topic(port),
            (MembershipAsk::Join, _) => self.send_join(port),
            (MembershipAsk::Sync, _) => self.send_sync(port),
            (MembershipAsk::Heartbeat, Kind::Classic) => self.send_heartbeat(port),
            (MembershipAsk::Leave, Kind::Classic) => self.send_leave(port),
            (MembershipAsk::Heartbeat, Kind::Consumer) => self.send_consumer_heartbeat(busy, port),
            (MembershipAsk::Leave, Kind::Consumer) => self.send_farewell(port),
        }
    }

    pub(super) fn answered(
        &mut self,
        ask: MembershipAsk,
        frame: Bytes,
        now: Instant,
    ) -> Result<ErrorCode, Broken> {
        match (ask, self.kind) {
            (MembershipAsk::Topic, _) => Ok(self.take_topic(frame)),
            (MembershipAsk::Join, _) => self.take_join(frame),
            (MembershipAsk::Sync, _) => self.take_sync(frame, now),
            (MembershipAsk::Heartbeat, Kind::Classic) => self.take_heartbeat(frame),
            (MembershipAsk::Heartbeat, Kind::Consumer) => self.take_consumer_heartbeat(frame, now),
            // Whoever leaves does not wait to hear that it may.
            (MembershipAsk::Leave, _) => Ok(ErrorCode::NONE),
        }
    }

    /// The connection was lost: what was under way may have been heard or not.
    pub(super) fn disconnected(&mut self) {
        self.tell_all = true;
    }

    /// Stops to be this member, whether the coordinator knows or not.
    pub(super) fn end(&mut self) {
        self.lose_all();
        self.member_id.clear();
        self.generation = -1;
        self.incarnation += 1;
    }

    /// Joins again, in a new generation.
    pub(super) fn begin_anew(&mut self) {
        self.changes += 1;
        self.lose_all();
    }

    /// Does not use its partitions any more and joins again.
    pub(super) fn lose_all(&mut self) {
        self.book.borrow_mut().release_all(&self.who());
        self.assigned.clear();
        self.state = State::Out;
        self.tell_all = true;
        self.tell_owned = false;
        self.confirm_by = None;
    }

    /// What is to be done after an error of the coordinator that is about the membership.
    pub(super) fn take_error(&mut self, error: ErrorCode) -> Result<ErrorCode, Broken> {
        match error {
            ErrorCode::UNKNOWN_MEMBER_ID => self.end(),
            ErrorCode::FENCED_MEMBER_EPOCH => {
                self.lose_all();
                self.generation = 0;
            }
            ErrorCode::ILLEGAL_GENERATION | ErrorCode::REBALANCE_IN_PROGRESS => self.lose_all(),
            error if is_passing(error) => {}
            error => {
                let text = format!("{} in group {}: {error:?}", self.client, self.group());
                return Err(Broken::protocol(text));
            }
        }
        Ok(error)
    }

    /// How long it may believe in what it is told now.
    fn believes_until(&self) -> Instant {
        let until = self.sent_at.plus(SESSION);
        self.confirm_by.map_or(until, |confirm_by| confirm_by.min(until))
    }

    /// A heartbeat that left at `sent_at` was answered well.
    pub(super) fn heard(&mut self) {
        if self.tells_owned {
            self.confirm_by = None;
        }
        self.heard_at = [self.sent_at, self.heard_at[0]];
        let until = self.believes_until();
        self.book.borrow_mut().extend(&self.who(), &self.assigned, until);
    }

    /// It was told to have these partitions from now on.
    pub(super) fn take_assignment(
        &mut self,
        assigned: BTreeSet<i32>,
        now: Instant,
    ) -> Result<(), Broken> {
        let who = self.who();
        let mut book = self.book.borrow_mut();
        for partition in self.assigned.difference(&assigned) {
            book.release(&who, *partition);
        }
        self.tell_owned = !self.assigned.is_subset(&assigned);
        if self.tell_owned && self.kind == Kind::Consumer {
            self.confirm_by.get_or_insert(self.heard_at[1].plus(REBALANCE));
        }
        self.assigned = assigned;
        self.state = State::In;
        let until = self.believes_until();
        book.claim(&who, &self.assigned, now, until)
    }
}
