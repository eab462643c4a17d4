//! A member of a group: it joins, reads its partitions, and commits or processes what it has read.
//!
//! One request is under way at a time. Between requests chance decides whether the member leaves,
//! dies, or falls silent: a silent member hears nothing and says nothing for a while, and then goes on
//! as if no time had passed, like a process that was paused. It may have lost its place meanwhile, and
//! what it does first may be to commit what it read before.
//!
//! Rules: see the group's book.

use super::intake::{FETCH_VERSION, partitions_of};
use super::membership::{Kind, Membership, MembershipAsk, State};
use super::positions::Positions;
use super::processing::{Fence, Processing, Progress};
use super::{FIND_VERSION, GROUP_KEY, Protocol, RETRY_AFTER, TOPIC, is_passing};
use crate::oracle::{SharedBook, Testimony};
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_platform::{Instant, Random as _};
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use mainstem_protocol::messages::{FetchRequest, FindCoordinatorRequest, OffsetCommitRequest};
use mainstem_protocol::{ErrorCode, TopicId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Versions of OffsetCommit: classic by name, with member epochs by name, by id.
const COMMIT_VERSIONS: [i16; 3] = [8, 9, 10];

/// What a member is made of.
#[derive(Debug, Clone)]
pub(crate) struct MemberPlan {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) book: SharedBook,
    /// `None` only commits how far it has read.
    pub(crate) processes_by: Option<Protocol>,
    /// At one answer in so many something happens to the member.
    pub(crate) restless: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Coordinator,
    Membership(MembershipAsk),
    Offsets,
    Fetch,
    Commit,
    Transaction,
}

/// What keeps a member from acting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Awake,
    /// Answers are kept until it wakes.
    Silent(Instant),
    /// Answers are not heard; it comes back as a newcomer.
    Away(Instant),
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Member {
    name: String,
    restless: u64,
    membership: Membership,
    positions: Positions,
    processing: Option<Processing>,
    has_coordinator: bool,
    waiting: Option<(i32, Ask)>,
    /// The commit under way: version, offsets, and whether it could succeed as far as the book knew.
    commit: (i16, BTreeMap<i32, i64>, bool),
    commit_now: bool,
    /// It was silent and does its work before it asks whether it still may.
    unaware: bool,
    rest: Rest,
    mailbox: VecDeque<(i32, Bytes)>,
    winding_down: bool,
}

impl Member {
    pub(crate) fn new(plan: MemberPlan) -> Self {
        let MemberPlan { name, kind, book, processes_by, restless } = plan;
        let processing = |protocol| Processing::new(name.clone(), protocol, book.clone());
        Self {
            processing: processes_by.map(processing),
            membership: Membership::new(kind, book, name.clone()),
            name,
            restless,
            positions: Positions::default(),
            has_coordinator: false,
            waiting: None,
            commit: (0, BTreeMap::new(), true),
            commit_now: false,
            unaware: false,
            rest: Rest::Awake,
            mailbox: VecDeque::new(),
            winding_down: false,
        }
    }

    fn is_busy(&self) -> bool {
        self.processing.as_ref().is_some_and(Processing::is_busy)
    }

    /// Sends the next request, if there is one.
    fn advance(&mut self, port: &mut Port) {
        if !port.connected || self.waiting.is_some() || self.rest != Rest::Awake {
            return;
        }
        if self.membership.book.borrow().all_finished() {
            return;
        }
        let (now, busy) = (port.now.instant, self.is_busy());
        if !self.has_coordinator {
            let request = FindCoordinatorRequest {
                key: self.membership.group(),
                key_type: GROUP_KEY,
                ..FindCoordinatorRequest::default()
            };
            let correlation = port.send(FIND_VERSION, &request);
            self.waiting = Some((correlation, Ask::Coordinator));
            return;
        }
        let works_first = self.unaware && (busy || self.commit_now);
        let due = self.membership.wish(now, busy).filter(|_| !works_first);
        let due = due.filter(|_| !self.commits_first());
        if let Some(ask) = due {
            let correlation = self.membership.send(ask, busy, port);
            self.waiting = Some((correlation, Ask::Membership(ask)));
        } else {
            self.work(port);
        }
    }

    /// Partitions are to be given up, and it wants to commit before.
    fn commits_first(&self) -> bool {
        let gives_up = self.membership.tell_owned || self.membership.state == State::Out;
        self.commit_now && gives_up && 0 < self.membership.generation
    }

    fn work(&mut self, port: &mut Port) {
        if let Some(processing) = self.processing.as_mut().filter(|p| !p.is_idle()) {
            let sent = processing.send(port);
            self.waiting = sent.map(|correlation| (correlation, Ask::Transaction));
            return;
        }
        if self.commit_now {
            self.commit_now = false;
            let offsets = self.positions.uncommitted();
            if !offsets.is_empty() && 0 < self.membership.generation {
                return self.send_commit(offsets, port);
            }
        }
        if !self.membership.is_in() || self.membership.assigned.is_empty() {
            return;
        }
        if self.positions.fit(&self.membership.assigned) {
            let stable = self.processing.is_some() || port.random.one_in(2);
            let correlation = self.positions.send_offset_fetch(&self.membership, stable, port);
            self.waiting = Some((correlation, Ask::Offsets));
            return;
        }
        if self.winding_down {
            let mut book = self.membership.book.borrow_mut();
            self.positions.finished().for_each(|partition| book.finish(partition));
        }
        let request = self.positions.fetch(self.winding_down);
        self.waiting = Some((port.send(FETCH_VERSION, &request), Ask::Fetch));
    }

    fn send_commit(&mut self, offsets: BTreeMap<i32, i64>, port: &mut Port) {
        let version = match self.membership.kind {
            Kind::Classic => COMMIT_VERSIONS[0],
            Kind::Consumer => COMMIT_VERSIONS[1 + port.random.below(2) as usize],
        };
        let who = self.membership.who();
        let mut book = self.membership.book.borrow_mut();
        let may_commit = book.may_commit(&who, offsets.keys());
        let partition = |(partition, offset): (&i32, &i64)| OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *offset,
            ..OffsetCommitRequestPartition::default()
        };
        let by_id = version == COMMIT_VERSIONS[2];
        let topic = OffsetCommitRequestTopic {
            name: if by_id { String::new() } else { TOPIC.to_owned() },
            topic_id: if by_id { self.membership.topic_id } else { TopicId::NONE },
            partitions: offsets.iter().map(partition).collect(),
        };
        let request = OffsetCommitRequest {
            group_id: book.name().to_owned(),
            generation_id_or_member_epoch: self.membership.generation,
            member_id: self.membership.member_id.clone(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        offsets.iter().for_each(|(partition, offset)| book.offer(*partition, *offset));
        drop(book);
        self.waiting = Some((port.send(version, &request), Ask::Commit));
        self.commit = (version, offsets, may_commit);
        self.lose_patience(port);
    }

    /// Now and then it gives up its connection while its commit is on its way, and begins anew: the
    /// commit may come when the generation is another one. In this one it would still be taken, and
    /// could undo a later one.
    fn lose_patience(&mut self, port: &mut Port) {
        if self.membership.kind == Kind::Classic && port.faulty && port.random.one_in(12) {
            self.waiting = None;
            self.membership.begin_anew();
            port.connect_beside();
        }
    }

    // ---- answers

    fn take(&mut self, port: &mut Port, ask: Ask, frame: Bytes) -> Result<(), Broken> {
        let later = match ask {
            Ask::Coordinator => {
                let response = answer::<FindCoordinatorRequest>(FIND_VERSION, frame);
                self.has_coordinator = response.error_code == ErrorCode::NONE;
                !self.has_coordinator
            }
            Ask::Membership(ask) => self.take_membership(port, ask, frame)?,
            Ask::Offsets => {
                self.positions.take_offsets(&mut self.membership, frame)?;
                self.positions.fit(&self.membership.assigned)
            }
            Ask::Fetch => self.take_records(port, frame)?,
            Ask::Commit => self.take_committed(port, frame)?,
            Ask::Transaction => self.take_transaction(port, frame)?,
        };
        if !later {
            self.advance(port);
        }
        Ok(())
    }

    fn take_membership(
        &mut self,
        port: &mut Port,
        ask: MembershipAsk,
        frame: Bytes,
    ) -> Result<bool, Broken> {
        let before = self.membership.assigned.clone();
        let error = self.membership.answered(ask, frame, port.now.instant)?;
        let assigned = &self.membership.assigned;
        if error != ErrorCode::NONE || ask != MembershipAsk::Heartbeat || before != *assigned {
            port.remark(format_args!("{ask:?} {error:?} {assigned:?}"));
        }
        let gives_up = self.membership.tell_owned || !self.membership.is_in();
        self.commit_now |= ask == MembershipAsk::Heartbeat
            && gives_up
            && self.processing.is_none()
            && port.random.one_in(2);
        // Who was thrown out has nothing to say any more.
        self.commit_now &= 0 < self.membership.generation;
        if !self.commit_now {
            self.positions.fit(&self.membership.assigned);
        }
        Ok(is_passing(error))
    }

    fn take_records(&mut self, port: &mut Port, frame: Bytes) -> Result<bool, Broken> {
        let before = self.positions.uncommitted();
        let mut rows = BTreeMap::new();
        for part in partitions_of(answer::<FetchRequest>(FETCH_VERSION, frame)) {
            let partition = part.partition_index;
            if let Some(intake) = self.positions.take_part(part)? {
                let values = intake.rows.into_iter().map(|(_, value)| value).collect();
                rows.insert(partition, values);
            }
        }
        let offsets = self.positions.uncommitted();
        if let Some(processing) = &mut self.processing {
            if !offsets.is_empty() {
                let fence = Fence {
                    who: self.membership.who(),
                    member_id: self.membership.member_id.clone(),
                    generation: self.membership.generation,
                };
                processing.begin(rows, offsets, fence, port.now.instant);
            }
        } else {
            let nothing_new = before == offsets;
            self.commit_now |=
                !offsets.is_empty() && (nothing_new || self.winding_down || port.random.one_in(4));
        }
        Ok(false)
    }

    fn take_committed(&mut self, port: &mut Port, frame: Bytes) -> Result<bool, Broken> {
        let (version, offsets, may_commit) = std::mem::take(&mut self.commit);
        self.unaware = false;
        let mut later = false;
        let response = answer::<OffsetCommitRequest>(version, frame);
        for part in response.topics.into_iter().flat_map(|topic| topic.partitions) {
            port.remark(format_args!("commit {offsets:?} {:?}", part.error_code));
            match part.error_code {
                ErrorCode::NONE if may_commit => {
                    let partition = part.partition_index;
                    let offset = offsets.get(&partition).copied().unwrap_or_default();
                    self.membership.book.borrow_mut().acknowledge(partition, offset);
                    self.positions.note_committed(partition, offset);
                }
                ErrorCode::NONE => {
                    let book = self.membership.book.borrow();
                    return book.not_fenced(&self.membership.who(), "a commit");
                }
                ErrorCode::STALE_MEMBER_EPOCH => later = true,
                ErrorCode::GROUP_ID_NOT_FOUND => {
                    self.membership.take_error(ErrorCode::UNKNOWN_MEMBER_ID)?;
                }
                error => later |= is_passing(self.membership.take_error(error)?),
            }
        }
        self.positions.fit(&self.membership.assigned);
        Ok(later)
    }

    fn take_transaction(&mut self, port: &mut Port, frame: Bytes) -> Result<bool, Broken> {
        let Some(processing) = &mut self.processing else { return Ok(false) };
        match processing.answered(port, frame)? {
            Progress::Later => return Ok(true),
            Progress::Onward => {}
            Progress::Committed(offsets) => {
                for (partition, offset) in offsets {
                    self.positions.note_committed(partition, offset);
                }
            }
            Progress::Lost => self.positions.at.clear(),
        }
        if !self.is_busy() {
            self.unaware = false;
        }
        Ok(false)
    }

    // ---- coming and going

    /// Something may happen to a member between two requests.
    fn live(&mut self, port: &mut Port) {
        if !port.faulty || !self.membership.is_in() || !port.random.one_in(self.restless) {
            return;
        }
        let now = port.now.instant;
        let pause = Duration::from_millis(50 + port.random.below(800));
        match port.random.below(4) {
            0 if !self.is_busy() => {
                port.remark(format_args!("leaves"));
                self.membership.send(MembershipAsk::Leave, false, port);
                self.go_away(now.plus(pause));
            }
            1 => {
                port.remark(format_args!("dies"));
                self.go_away(now.plus(pause));
            }
            _ => {
                port.remark(format_args!("falls silent for {pause:?}"));
                self.rest = Rest::Silent(now.plus(pause));
            }
        }
        port.wake_after(pause);
    }

    fn go_away(&mut self, until: Instant) {
        self.rest = Rest::Away(until);
        self.waiting = None;
        self.membership.end();
        self.positions.at.clear();
        self.commit_now = false;
        if let Some(processing) = &mut self.processing {
            processing.die();
        }
    }

    /// Comes back when it is time.
    fn wake(&mut self, port: &mut Port) -> Result<(), Broken> {
        match self.rest {
            Rest::Silent(until) if until <= port.now.instant => {
                port.remark(format_args!("wakes"));
                self.rest = Rest::Awake;
                self.unaware = port.random.one_in(2);
                self.commit_now |= self.processing.is_none() && self.unaware;
                for (correlation, frame) in std::mem::take(&mut self.mailbox) {
                    self.answered(port, correlation, frame)?;
                }
            }
            Rest::Away(until) if until <= port.now.instant => {
                port.remark(format_args!("comes back"));
                self.rest = Rest::Awake;
                self.mailbox.clear();
                port.connected = false;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Actor for Member {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn timer(&mut self, port: &mut Port) -> Result<(), Broken> {
        if self.is_done() && self.winding_down {
            return Ok(());
        }
        self.wake(port)?;
        if self.rest == Rest::Awake {
            if port.connected {
                self.advance(port);
            } else {
                port.connect();
            }
        }
        port.wake_after(RETRY_AFTER);
        Ok(())
    }

    fn connected(&mut self, port: &mut Port) -> Result<(), Broken> {
        self.advance(port);
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Port) {
        self.waiting = None;
        self.mailbox.clear();
        self.membership.disconnected();
    }

    fn answered(&mut self, port: &mut Port, correlation: i32, frame: Bytes) -> Result<(), Broken> {
        match self.rest {
            Rest::Silent(_) => {
                self.mailbox.push_back((correlation, frame));
                return Ok(());
            }
            Rest::Away(_) => return Ok(()),
            Rest::Awake => {}
        }
        let Some((_, ask)) = self.waiting.take_if(|(sent, _)| *sent == correlation) else {
            return Ok(());
        };
        self.live(port);
        match self.rest {
            Rest::Silent(_) => {
                self.waiting = Some((correlation, ask));
                self.mailbox.push_back((correlation, frame));
                Ok(())
            }
            Rest::Away(_) => Ok(()),
            Rest::Awake => self.take(port, ask, frame),
        }
    }

    fn is_done(&self) -> bool {
        !self.winding_down || self.membership.book.borrow().all_finished()
    }

    fn wind_down(&mut self) {
        self.winding_down = true;
    }

    fn testimony(&self) -> Testimony {
        Testimony::Nothing
    }
}
