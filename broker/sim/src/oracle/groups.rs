//! What the members of one group were told, held against each other while the run goes on.
//!
//! All members write into one book, which no real group could have. Rules:
//! - *two owners*: a partition belongs to one member at a time. A member may believe in what it was
//!   told for as long as its session lasts, counted from when it sent the last heartbeat that was
//!   answered well, and not for longer than it has to confirm what it gives up: after that time the
//!   coordinator throws it out. Members give more time to a rebalance than to a session, so the
//!   coordinator must not give a partition away before its owner has given it up or has stopped to
//!   believe.
//! - *generation*: an assignment of a classic generation gives a partition to one member, and
//!   generations do not go back behind one whose assignment was told.
//! - *fencing*: whoever lost a partition to another member, and that one was told so before the
//!   request left, commits it no more.
//! - *offsets*: what OffsetFetch shows was committed: by an acknowledged commit, or one in doubt, or a
//!   transaction whose commit was asked for. It is never older than what was acknowledged or shown
//!   before. Members that behave go on from what is committed, so offsets only grow.

use crate::port::Broken;
use mainstem_platform::Instant;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The book in the hands of all members.
pub(crate) type SharedBook = Rc<RefCell<GroupBook>>;

/// What is known of one partition's offset.
#[derive(Debug, Default)]
struct Register {
    /// Acknowledged, or shown.
    floor: Option<i64>,
    /// May be shown from now on.
    possible: BTreeSet<i64>,
}

/// See the module's words.
#[derive(Debug, Default)]
pub(crate) struct GroupBook {
    name: String,
    partitions: i32,
    /// Who believes to own a partition, and until when.
    claims: BTreeMap<i32, BTreeMap<String, Instant>>,
    /// To whom a partition was told last.
    last_owner: BTreeMap<i32, String>,
    /// Who was told since that a partition is its own, too late to believe it: when the broker takes it
    /// for a member still, its commit may succeed.
    told_late: BTreeMap<i32, String>,
    /// Classic assignments by generation and partition.
    told: BTreeMap<(i32, i32), String>,
    /// The newest generation of which an assignment was told.
    generation: i32,
    registers: BTreeMap<i32, Register>,
    finished: BTreeSet<i32>,
    /// How often somebody was told an assignment with something new in it.
    pub(crate) rebalances: u64,
    /// Transactions that moved offsets and were acknowledged.
    pub(crate) transactions: u64,
}

impl GroupBook {
    pub(crate) fn new(name: &str, partitions: i32) -> SharedBook {
        let book = Self { name: name.to_owned(), partitions, ..Self::default() };
        Rc::new(RefCell::new(book))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn partitions(&self) -> i32 {
        self.partitions
    }

    fn broken<T>(&self, oracle: &'static str, text: &str) -> Result<T, Broken> {
        Err(Broken::new(oracle, format!("group {}: {text}", self.name)))
    }

    // ---- ownership

    /// `who` was told that these partitions are its own, and believes it until then.
    pub(crate) fn claim(
        &mut self,
        who: &str,
        partitions: &BTreeSet<i32>,
        now: Instant,
        until: Instant,
    ) -> Result<(), Broken> {
        let mut news = false;
        if until <= now {
            // The answer comes after the session: its member knows how late it is.
            self.told_late.extend(partitions.iter().map(|partition| (*partition, who.to_owned())));
            return Ok(());
        }
        for partition in partitions {
            let claims = self.claims.entry(*partition).or_default();
            let other = claims.iter().find(|(other, until)| *other != who && now < **until);
            if let Some((other, until)) = other {
                let until_ms = until.0 as f64 / 1e6;
                let text =
                    format!("{partition} is given to {who} and is {other}'s until {until_ms} ms");
                return self.broken("two owners", &text);
            }
            news |= claims.insert(who.to_owned(), until).is_none();
            self.last_owner.insert(*partition, who.to_owned());
            self.told_late.remove(partition);
        }
        self.rebalances += u64::from(news);
        Ok(())
    }

    /// `who` was heard: it believes for longer in what it has.
    pub(crate) fn extend(&mut self, who: &str, partitions: &BTreeSet<i32>, until: Instant) {
        for partition in partitions {
            let claims = self.claims.entry(*partition).or_default();
            match claims.get_mut(who) {
                Some(claim) => *claim = until.max(*claim),
                // It was told so too late to believe it, and was a member still.
                None => {
                    claims.insert(who.to_owned(), until);
                    self.last_owner.insert(*partition, who.to_owned());
                }
            }
        }
    }

    /// `who` does not use a partition any more.
    pub(crate) fn release(&mut self, who: &str, partition: i32) {
        if let Some(claims) = self.claims.get_mut(&partition) {
            claims.remove(who);
        }
    }

    pub(crate) fn release_all(&mut self, who: &str) {
        for claims in self.claims.values_mut() {
            claims.remove(who);
        }
    }

    // ---- classic generations

    /// A join was answered; `generation_before` was the newest when it was sent.
    pub(crate) fn joined(&self, generation: i32, generation_before: i32) -> Result<(), Broken> {
        if generation < generation_before {
            let text = format!("joined {generation} after {generation_before} was assigned");
            return self.broken("generation", &text);
        }
        Ok(())
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// `who` was told its part of a generation's assignment.
    pub(crate) fn assigned(
        &mut self,
        who: &str,
        generation: i32,
        partitions: &BTreeSet<i32>,
    ) -> Result<(), Broken> {
        self.generation = self.generation.max(generation);
        for partition in partitions {
            let first = self.told.entry((generation, *partition));
            let first = first.or_insert_with(|| who.to_owned()).clone();
            if first != who {
                let text = format!("{generation} gives {partition} to {first} and to {who}");
                return self.broken("generation", &text);
            }
        }
        Ok(())
    }

    // ---- offsets

    /// Whether a commit that leaves now may succeed as far as anybody was told.
    pub(crate) fn may_commit<'a>(
        &self,
        who: &str,
        partitions: impl IntoIterator<Item = &'a i32>,
    ) -> bool {
        let is =
            |owners: &BTreeMap<i32, String>, of| owners.get(of).is_some_and(|owner| owner == who);
        let mut partitions = partitions.into_iter();
        partitions.all(|of| {
            !self.last_owner.contains_key(of) || is(&self.last_owner, of) || is(&self.told_late, of)
        })
    }

    /// A commit of `who` that left when it might not succeed has succeeded.
    pub(crate) fn not_fenced<T>(&self, who: &str, what: &str) -> Result<T, Broken> {
        self.broken("fencing", &format!("{what} of {who}, whose partitions are another's"))
    }

    /// From now on the offset may be shown.
    pub(crate) fn offer(&mut self, partition: i32, offset: i64) {
        self.registers.entry(partition).or_default().possible.insert(offset);
    }

    /// From now on nothing older may be shown.
    pub(crate) fn acknowledge(&mut self, partition: i32, offset: i64) {
        let floor = &mut self.registers.entry(partition).or_default().floor;
        *floor = (*floor).max(Some(offset));
    }

    /// What an OffsetFetch that leaves now has to show at least.
    pub(crate) fn floors(&self) -> BTreeMap<i32, i64> {
        let floor = |(partition, register): (&i32, &Register)| Some((*partition, register.floor?));
        self.registers.iter().filter_map(floor).collect()
    }

    /// An OffsetFetch has shown this; `None` is no offset. `floors` is of when it left, and empty for
    /// a request that does not insist on stable offsets.
    pub(crate) fn shown(
        &mut self,
        partition: i32,
        offset: Option<i64>,
        floors: &BTreeMap<i32, i64>,
    ) -> Result<(), Broken> {
        let floor = floors.get(&partition).copied();
        if offset < floor {
            let text = format!("{partition} is shown at {offset:?}, was at {floor:?} before");
            return self.broken("offsets", &text);
        }
        let Some(offset) = offset else { return Ok(()) };
        let register = self.registers.entry(partition).or_default();
        if !register.possible.contains(&offset) {
            let text = format!("{partition} is shown at {offset}, which nobody has committed");
            return self.broken("offsets", &text);
        }
        register.floor = register.floor.max(Some(offset));
        Ok(())
    }

    // ---- the end

    /// The owner of a partition has committed its end.
    pub(crate) fn finish(&mut self, partition: i32) {
        self.finished.insert(partition);
    }

    pub(crate) fn all_finished(&self) -> bool {
        self.finished.len() as i32 == self.partitions
    }
}
