//! What statements cost, summed by what they are without their literals, who says them, and where.
//!
//! Each worker has a table of its own, behind a lock that only those who read the sums ever compete for. A table is bounded in
//! bytes: when it is full, the quarter of its digests that were seen longest ago are summed under one. So all sums together are
//! always those of all statements, and what is new finds room.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use protocol::response_tracker::Summary;
use sql::Digest;
use tokio::time::Instant;

use crate::limits::DIGEST_TEXT_BYTES_MAX;

/// What an entry takes beside its text and names, in both collections.
const ENTRY_BYTES: usize = size_of::<Entry>() + 2 * size_of::<(Key, usize)>() + 64;

/// The digests of all workers.
#[derive(Debug)]
pub(crate) struct Digests {
    /// None where nobody wants digests.
    tables: Box<[Mutex<Table>]>,
    hasher: RandomState,
}

/// What statements of one digest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestReport {
    /// `None` for all those that there is no room for by themselves.
    pub digest: Option<Digest>,
    /// The statement without its literals; its beginning, if it is long. Printable.
    pub text: String,
    /// Who said it; empty for digests without room of their own.
    pub username: String,
    /// The default database, where it is known. Empty for none.
    pub database: String,
    /// Answers of servers.
    pub count: u64,
    /// ERRs among them.
    pub errors: u64,
    /// Rows of all their resultsets.
    pub rows: u64,
    /// From the statement's last byte to the answer's.
    pub total_time: Duration,
    /// The shortest.
    pub min_time: Duration,
    /// The longest.
    pub max_time: Duration,
    /// When the first one was said.
    pub first_seen: SystemTime,
    /// When the latest answer ended.
    pub last_seen: SystemTime,
}

/// Who says statements, and in which database.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    /// The user's, and behind it the database's.
    names: Arc<[u8]>,
    user_bytes: usize,
    hash: u64,
}

/// What an entry is found by. The names' hash is a secret of the process: nobody can make two that are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) digest: Digest,
    whose: u64,
}

/// Where a statement that was begun will be counted, unless its entry moves meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    key: Key,
    at: u32,
}

impl Place {
    pub(crate) fn digest(&self) -> Digest {
        self.key.digest
    }
}

#[derive(Debug)]
struct Table {
    bytes_max: usize,
    bytes: usize,
    entries: Vec<Entry>,
    /// Where the entries are.
    index: HashMap<Key, usize>,
    others: Sums,
    /// Digests among them.
    others_digests: u64,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    text: Arc<str>,
    whose: Whose,
    sums: Sums,
}

#[derive(Debug, Clone, Copy)]
struct Sums {
    count: u64,
    errors: u64,
    rows: u64,
    total: Duration,
    min: Duration,
    max: Duration,
    first_seen: Instant,
    last_seen: Instant,
}

impl Digests {
    /// `bytes_max` is for all workers together; 0 for no digests.
    pub(crate) fn new(workers: usize, bytes_max: usize) -> Self {
        let tables = match bytes_max {
            0 => 0,
            _ => workers,
        };
        let table = |_| Mutex::new(Table::new(bytes_max / workers));
        Self {
            tables: (0..tables).map(table).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Somebody wants them.
    pub(crate) fn are_on(&self) -> bool {
        !self.tables.is_empty()
    }

    pub(crate) fn whose(&self, username: &[u8], database: &[u8]) -> Whose {
        Whose {
            hash: self.hasher.hash_one((username, database)),
            names: [username, database].concat().into(),
            user_bytes: username.len(),
        }
    }

    /// A statement begins. `text` is made for a digest that is new; it comes back where it is wanted.
    pub(crate) fn begin(
        &self,
        worker: usize,
        (digest, whose): (Digest, &Whose),
        (text, is_wanted): (impl Fn() -> Arc<str>, bool),
    ) -> (Place, Option<Arc<str>>) {
        let key = Key {
            digest,
            whose: whose.hash,
        };
        let mut table = self.table(worker);
        let at = table
            .as_mut()
            .and_then(|table| table.find_or_add(key, whose, &text));
        let place = Place {
            key,
            at: at.map_or(u32::MAX, |at| at as u32),
        };
        if !is_wanted {
            return (place, None);
        }
        let entry = table
            .zip(at)
            .map(|(table, at)| Arc::clone(&table.entries[at].text));
        (place, Some(entry.unwrap_or_else(text)))
    }

    /// Its answer has ended.
    pub(crate) fn end(
        &self,
        worker: usize,
        place: Place,
        summary: &Summary,
        (began, took): (Instant, Duration),
    ) {
        if let Some(mut table) = self.table(worker) {
            let sums = table.sums(place);
            sums.add(&Sums {
                count: 1,
                errors: u64::from(summary.is_err),
                rows: summary.rows,
                total: took,
                min: took,
                max: took,
                first_seen: began,
                last_seen: began + took,
            });
        }
    }

    /// The latest seen first.
    pub(crate) fn reports(&self) -> Vec<DigestReport> {
        let mut others = (Sums::none(Instant::now()), 0);
        let mut sums: HashMap<Key, (Arc<str>, Whose, Sums)> = HashMap::new();
        for table in &self.tables {
            let table = locked(table);
            others.0.add(&table.others);
            others.1 += table.others_digests;
            let answered = table.entries.iter().filter(|entry| entry.sums.count > 0);
            for entry in answered {
                let known = sums.entry(entry.key);
                let known = known.or_insert_with(|| entry.parts());
                known.2.add(&entry.sums);
            }
        }
        let clock = Clock::read();
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, (_, _, sums))| std::cmp::Reverse(sums.last_seen));
        let reports = sums.into_iter().map(|(key, (text, whose, sums))| {
            let names = (whose.username(), whose.database());
            clock.report(Some(key.digest), &text, names, &sums)
        });
        let text = format!("(others: {} digests)", others.1);
        let others = others.0;
        let others = (others.count > 0).then(|| clock.report(None, &text, (b"", b""), &others));
        reports.chain(others).collect()
    }

    /// Forgets all that was summed up.
    pub(crate) fn reset(&self) {
        for table in &self.tables {
            let mut table = locked(table);
            *table = Table::new(table.bytes_max);
        }
    }

    fn table(&self, worker: usize) -> Option<MutexGuard<'_, Table>> {
        self.tables.get(worker).map(locked)
    }
}

/// A normalised text as it is kept.
pub(crate) fn kept_text(normalised: &[u8]) -> Arc<str> {
    let beginning = &normalised[..normalised.len().min(DIGEST_TEXT_BYTES_MAX)];
    let mut text = printable(beginning);
    if normalised.len() > DIGEST_TEXT_BYTES_MAX {
        text.push_str("...");
    }
    text.into()
}

/// What peers have sent may stand in a terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.contains(char::is_control) {
        false => text.into_owned(),
        true => text
            .chars()
            .map(|c| match c.is_control() {
                true => char::REPLACEMENT_CHARACTER,
                false => c,
            })
            .collect(),
    }
}

impl Whose {
    pub(crate) fn username(&self) -> &[u8] {
        &self.names[..self.user_bytes]
    }

    pub(crate) fn database(&self) -> &[u8] {
        &self.names[self.user_bytes..]
    }

    fn bytes(&self) -> usize {
        self.names.len()
    }
}

impl Table {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            entries: Vec::new(),
            index: HashMap::new(),
            others: Sums::none(Instant::now()),
            others_digests: 0,
        }
    }

    fn find_or_add(
        &mut self,
        key: Key,
        whose: &Whose,
        text: impl Fn() -> Arc<str>,
    ) -> Option<usize> {
        if let Some(at) = self.index.get(&key) {
            return Some(*at);
        }
        let entry = Entry {
            key,
            text: text(),
            whose: whose.clone(),
            sums: Sums::none(Instant::now()),
        };
        if self.bytes + entry.bytes() > self.bytes_max {
            self.make_room();
        }
        if self.bytes + entry.bytes() > self.bytes_max {
            self.others_digests += 1;
            return None;
        }
        let at = self.entries.len();
        self.bytes += entry.bytes();
        self.index.insert(key, at);
        self.entries.push(entry);
        Some(at)
    }

    /// The quarter that was seen longest ago goes to the others.
    fn make_room(&mut self) {
        self.entries
            .sort_by_key(|entry| std::cmp::Reverse(entry.sums.last_seen));
        let stay = self.entries.len() * 3 / 4;
        for entry in self.entries.drain(stay..) {
            self.bytes -= entry.bytes();
            self.others_digests += u64::from(entry.sums.count > 0);
            self.others.add(&entry.sums);
        }
        let keys = self.entries.iter().map(|entry| entry.key);
        self.index = keys.zip(0..).collect();
    }

    /// Of an entry that has moved since, too.
    fn sums(&mut self, place: Place) -> &mut Sums {
        let at = place.at as usize;
        let at = match self.entries.get(at) {
            Some(entry) if entry.key == place.key => Some(at),
            _ => self.index.get(&place.key).copied(),
        };
        match at.and_then(|at| self.entries.get_mut(at)) {
            Some(entry) => &mut entry.sums,
            None => &mut self.others,
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.text.len() + self.whose.bytes()
    }

    fn parts(&self) -> (Arc<str>, Whose, Sums) {
        let none = Sums::none(self.sums.first_seen);
        (Arc::clone(&self.text), self.whose.clone(), none)
    }
}

impl Sums {
    /// Of no statement, for one that is seen `now`.
    fn none(now: Instant) -> Self {
        Self {
            count: 0,
            errors: 0,
            rows: 0,
            total: Duration::ZERO,
            min: Duration::MAX,
            max: Duration::ZERO,
            first_seen: now,
            last_seen: now,
        }
    }

    fn add(&mut self, more: &Self) {
        if more.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *more;
            return;
        }
        self.count += more.count;
        self.errors += more.errors;
        self.rows += more.rows;
        self.total += more.total;
        self.min = self.min.min(more.min);
        self.max = self.max.max(more.max);
        self.first_seen = self.first_seen.min(more.first_seen);
        self.last_seen = self.last_seen.max(more.last_seen);
    }
}

/// Both clocks at one moment.
struct Clock(Instant, SystemTime);

impl Clock {
    fn read() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn time(&self, at: Instant) -> SystemTime {
        self.1 - self.0.saturating_duration_since(at)
    }

    fn report(
        &self,
        digest: Option<Digest>,
        text: &str,
        (username, database): (&[u8], &[u8]),
        sums: &Sums,
    ) -> DigestReport {
        DigestReport {
            digest,
            text: text.to_owned(),
            username: printable(username),
            database: printable(database),
            count: sums.count,
            errors: sums.errors,
            rows: sums.rows,
            total_time: sums.total,
            min_time: sums.min,
            max_time: sums.max,
            first_seen: self.time(sums.first_seen),
            last_seen: self.time(sums.last_seen),
        }
    }
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Summary = Summary { rows: 3, ..SUMMARY };
    const ERR: Summary = Summary {
        is_err: true,
        ..SUMMARY
    };
    const SUMMARY: Summary = Summary {
        first: None,
        rows: 0,
        row_bytes: 0,
        affected_rows: None,
        last_insert_id: None,
        warnings: 0,
        statement_id: None,
        has_insert_id: false,
        has_resultset: false,
        is_err: false,
        error_code: None,
        sql_state: None,
        is_out_of_sequence: false,
    };

    fn run(digests: &Digests, worker: usize, number: u64, whose: &Whose, summary: &Summary) {
        let text = || Arc::<str>::from(format!("statement {number}"));
        let (place, kept) = digests.begin(worker, (Digest(number), whose), (text, true));
        assert_eq!(kept.as_deref(), Some(&*text()));
        let took = Duration::from_millis(number);
        digests.end(worker, place, summary, (Instant::now() - took, took));
    }

    #[test]
    fn workers_are_summed_up_by_digest_user_and_database() {
        let digests = Digests::new(2, 1 << 20);
        let ada = digests.whose(b"ada", b"shop");
        let bob = digests.whose(b"bob\n", b"");
        for (worker, number, whose, summary) in [
            (0, 5, &ada, &ROWS),
            (1, 5, &ada, &ERR),
            (1, 5, &bob, &ROWS),
            (0, 7, &ada, &ROWS),
        ] {
            run(&digests, worker, number, whose, summary);
        }
        let mut reports = digests.reports();
        reports.sort_by_key(|report| (report.digest, report.username.clone()));
        let sums = |report: &DigestReport| (report.count, report.errors, report.rows);
        assert_eq!(reports.len(), 3);
        assert_eq!(sums(&reports[0]), (2, 1, 3));
        assert_eq!(reports[0].text, "statement 5");
        assert_eq!(reports[0].database, "shop");
        assert_eq!(reports[0].total_time, Duration::from_millis(10));
        assert_eq!(reports[0].min_time, Duration::from_millis(5));
        assert_eq!(
            (sums(&reports[1]), &*reports[1].username),
            ((1, 0, 3), "bob\u{fffd}")
        );
        assert_eq!(reports[2].digest, Some(Digest(7)));
        digests.reset();
        assert_eq!(digests.reports(), []);
    }

    /// What was begun before a reset, or before its entry had to go, is counted all the same.
    #[test]
    fn a_full_table_sums_up_what_was_seen_longest_ago() {
        let digests = Digests::new(1, 100 * (ENTRY_BYTES + 20));
        let whose = digests.whose(b"a", b"b");
        let (place, _) = digests.begin(0, (Digest(0), &whose), (|| "slow".into(), false));
        for number in 1..=1000 {
            run(&digests, 0, number, &whose, &ROWS);
            run(&digests, 0, 1, &whose, &ROWS);
        }
        digests.end(0, place, &ERR, (Instant::now(), Duration::from_secs(9)));
        let reports = digests.reports();
        let count = |digest| {
            let mut of = reports.iter().filter(|report| report.digest == digest);
            of.next().map(|report| report.count)
        };
        assert!((50..=110).contains(&reports.len()), "{}", reports.len());
        assert_eq!(count(Some(Digest(1))), Some(1001), "it is used");
        assert_eq!(count(Some(Digest(1000))), Some(1), "it is new");
        let others = reports.last().unwrap();
        assert_eq!((others.digest, others.errors), (None, 1));
        assert_eq!(others.max_time, Duration::from_secs(9));
        let all: u64 = reports.iter().map(|report| report.count).sum();
        assert_eq!(all, 2001, "nothing is lost");
        let table = locked(&digests.tables[0]);
        assert!(table.bytes <= table.bytes_max);
        assert_eq!(table.bytes, table.entries.iter().map(Entry::bytes).sum());
    }

    #[test]
    fn a_table_without_room_for_any_counts_all_together() {
        let digests = Digests::new(1, 1);
        let whose = digests.whose(b"a", b"b");
        for number in 1..=3 {
            run(&digests, 0, number, &whose, &ROWS);
        }
        let reports = digests.reports();
        assert_eq!((reports.len(), reports[0].count), (1, 3));
        assert_eq!(reports[0].text, "(others: 3 digests)");
        let off = Digests::new(1, 0);
        run(&off, 0, 1, &whose, &ROWS);
        assert!(!off.are_on());
        assert_eq!(off.reports(), []);
    }

    #[test]
    fn a_kept_text_is_bounded_and_printable() {
        assert_eq!(&*kept_text(b"SELECT `\x1b[2J`"), "SELECT `\u{fffd}[2J`");
        let long = kept_text(&"ä".repeat(DIGEST_TEXT_BYTES_MAX).into_bytes());
        assert!(long.ends_with("..."));
        assert!(long.len() <= DIGEST_TEXT_BYTES_MAX + 6);
        // Each byte that is no text becomes three.
        assert!(kept_text(&[0xff; 9000]).len() <= 3 * DIGEST_TEXT_BYTES_MAX + 3);
    }
}
