//! Incremental fetch sessions (KIP-227): what a client fetches is remembered, so that it only
//! names what changed and is only told what changed.
//!
//! Words: the *epoch* of a session counts its requests. Epoch 0 asks for a new session, -1 is a
//! fetch without one and closes the one it names.
//!
//! Invariants:
//! - There are at most `max` sessions. When the cache is full, the session that was used longest
//!   ago is evicted if it is idle; otherwise the new client fetches without a session.
//! - A request with an unexpected epoch changes nothing.
//!
//! Absent on purpose: sharing between shards. A client that comes back on another shard is told
//! FETCH_SESSION_ID_NOT_FOUND and starts anew, as after a restart.

use mainstem_platform::{Instant, Random, SeededRandom};
use mainstem_protocol::{ErrorCode, LeaderEpoch, Offset, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a session must be unused before another may have its place. Kafka's value.
const IDLE: Duration = Duration::from_secs(120);

/// A partition as the client names it: by name before version 13, by id from then on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FetchKey {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
}

/// What the client wants of a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchWish {
    pub(crate) from: Offset,
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) last_fetched_epoch: LeaderEpoch,
    pub(crate) bytes_max: i32,
}

/// What the client was last told of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
}

#[derive(Debug)]
struct Entry {
    wish: FetchWish,
    told: Option<Told>,
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    last_used: Instant,
    partitions: BTreeMap<FetchKey, Entry>,
    /// The next request begins behind this partition, so that none starves.
    begin_after: Option<FetchKey>,
}

/// What a fetch has to do with sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionUse {
    /// Everything is named and everything is answered.
    None,
    /// As `None`, and remembered for the next request.
    New(i32),
    /// Only changes are named and answered.
    Incremental(i32),
}

impl SessionUse {
    /// The id in the answer.
    pub(crate) fn id(self) -> i32 {
        match self {
            SessionUse::None => 0,
            SessionUse::New(id) | SessionUse::Incremental(id) => id,
        }
    }
}

/// The session part of a fetch request.
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) wishes: Vec<(FetchKey, FetchWish)>,
    pub(crate) forgotten: Vec<FetchKey>,
}

/// All sessions of a shard.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    /// The same sessions by their last use.
    by_use: BTreeSet<(Instant, i32)>,
    max: usize,
    partitions_max: usize,
    random: SeededRandom,
}

impl FetchSessions {
    pub(crate) fn new(max: usize, partitions_max: usize, random: SeededRandom) -> FetchSessions {
        FetchSessions {
            sessions: BTreeMap::new(),
            by_use: BTreeSet::new(),
            max,
            partitions_max,
            random,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// What is to be fetched, in order.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        request: SessionRequest,
    ) -> Result<(SessionUse, Vec<(FetchKey, FetchWish)>), ErrorCode> {
        match request.epoch {
            -1 => {
                self.close(request.id);
                Ok((SessionUse::None, request.wishes))
            }
            0 => {
                self.close(request.id);
                Ok((self.create(now, &request.wishes), request.wishes))
            }
            _ => self.go_on(now, request),
        }
    }

    fn close(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.by_use.remove(&(session.last_used, id));
        }
    }

    fn create(&mut self, now: Instant, wishes: &[(FetchKey, FetchWish)]) -> SessionUse {
        if self.max <= self.sessions.len() {
            let oldest = self.by_use.first().copied();
            match oldest.filter(|(used, _)| IDLE <= now.saturating_duration_since(*used)) {
                Some((_, id)) => self.close(id),
                None => return SessionUse::None,
            }
        }
        if self.max == 0 || self.partitions_max < wishes.len() {
            return SessionUse::None;
        }
        let id = loop {
            let id = (self.random.next_u64() & 0x7fff_ffff) as i32;
            if id != 0 && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let entries =
            wishes.iter().map(|(key, wish)| (key.clone(), Entry { wish: *wish, told: None }));
        let session = Session {
            next_epoch: 1,
            last_used: now,
            partitions: entries.collect(),
            begin_after: None,
        };
        self.sessions.insert(id, session);
        self.by_use.insert((now, id));
        SessionUse::New(id)
    }

    fn go_on(
        &mut self,
        now: Instant,
        request: SessionRequest,
    ) -> Result<(SessionUse, Vec<(FetchKey, FetchWish)>), ErrorCode> {
        let id = request.id;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        };
        if session.next_epoch != request.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        session.next_epoch =
            if session.next_epoch == i32::MAX { 1 } else { session.next_epoch + 1 };
        self.by_use.remove(&(session.last_used, id));
        session.last_used = now;
        self.by_use.insert((now, id));
        for key in &request.forgotten {
            session.partitions.remove(key);
        }
        for (key, wish) in request.wishes {
            let full = self.partitions_max <= session.partitions.len();
            match session.partitions.get_mut(&key) {
                Some(entry) => entry.wish = wish,
                None if full => return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND),
                None => {
                    session.partitions.insert(key, Entry { wish, told: None });
                }
            }
        }
        Ok((SessionUse::Incremental(id), session.in_turn()))
    }

    /// Whether an incremental answer must name this partition; remembers that it was told.
    pub(crate) fn must_tell(&mut self, session: SessionUse, key: &FetchKey, told: Told) -> bool {
        let id = match session {
            SessionUse::None => return true,
            SessionUse::New(id) | SessionUse::Incremental(id) => id,
        };
        let Some(session_state) = self.sessions.get_mut(&id) else { return true };
        let Some(entry) = session_state.partitions.get_mut(key) else { return true };
        let changed = entry.told.replace(told) != Some(told);
        changed || matches!(session, SessionUse::New(_))
    }

    /// This partition had records or an error: it is told again next time whatever happens, and
    /// others have their turn before it.
    pub(crate) fn served(&mut self, session: SessionUse, key: &FetchKey) {
        if let Some(session) = self.sessions.get_mut(&session.id()) {
            session.begin_after = Some(key.clone());
        }
    }
}

impl Session {
    fn in_turn(&self) -> Vec<(FetchKey, FetchWish)> {
        let mut wishes: Vec<(FetchKey, FetchWish)> =
            self.partitions.iter().map(|(key, entry)| (key.clone(), entry.wish)).collect();
        if let Some(after) = &self.begin_after {
            let middle = wishes.partition_point(|(key, _)| key <= after);
            wishes.rotate_left(middle);
        }
        wishes
    }
}
