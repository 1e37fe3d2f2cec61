//! The bins of a feature whose values stand for categories.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::{FeatureCounts, ProfileOptions};

/// One bin per named category, then [`other`](Self::other), then [`new`](Self::new_bin).
///
/// A lookup is one hash, on average one and a half probes of a table, and one comparison; nothing is allocated.
#[derive(Clone)]
pub(crate) struct Categories {
    named: Named,
    /// Hashes of the categories without a name, ascending.
    known: Vec<u32>,
    /// Whether `named` and `known` are all there are.
    complete: bool,
    /// A power of two of slots, at most half of them taken; probed one after the other.
    table: Box<[Slot]>,
}

/// The categories that have a bin each, the most frequent first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Named {
    /// None of them empty.
    Words(Vec<String>),
    /// No NaN, no negative zero; and how they are written.
    Numbers(Vec<f64>, Vec<String>),
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    bin: u16,
}

const FREE: u16 = u16::MAX;

impl Categories {
    /// The bins of a reference and its counts in them, from how often each distinct category comes, and how
    /// many values are in none of these counts. Categories must not be empty or NaN.
    pub(crate) fn of<K: Category>(
        mut distinct: Vec<(K, u64)>,
        missing: u64,
        lost: u64,
        options: &ProfileOptions,
    ) -> (Self, FeatureCounts) {
        distinct.sort_unstable_by(|(a, n), (b, m)| Reverse(n).cmp(&Reverse(m)).then_with(|| a.order(b)));
        let rest = distinct.split_off(options.named_categories.min(distinct.len()));
        let mut bins: Vec<u64> = distinct.iter().map(|(_, count)| *count).collect();
        bins.extend([rest.iter().fold(lost, |sum: u64, (_, count)| sum.saturating_add(*count)), 0]);

        let mut known: Vec<u32> =
            rest.iter().take(options.known_categories).map(|(key, _)| key.hash()).collect();
        known.sort_unstable();
        known.dedup();
        let complete = lost == 0 && rest.len() <= options.known_categories;
        let named = K::named(distinct.into_iter().map(|(key, _)| key));
        (Self::build(named, known, complete), FeatureCounts::new(bins, missing))
    }

    /// Puts the bins together; says what is wrong with them.
    pub(crate) fn new(named: Named, known: Vec<u32>, complete: bool) -> Result<Self, &'static str> {
        let mut names: Vec<&String> = named.texts().iter().collect();
        names.sort_unstable();
        if names.len() >= usize::from(FREE) - 2 {
            return Err("has too many categories");
        }
        if names.iter().any(|name| name.is_empty()) || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("has a category that is empty or comes twice");
        }
        if !known.is_sorted_by(|a, b| a < b) {
            return Err("has known categories out of order");
        }
        Ok(Self::build(named, known, complete))
    }

    fn build(named: Named, known: Vec<u32>, complete: bool) -> Self {
        let size = (2 * (named.texts().len() + known.len())).next_power_of_two().max(8);
        let mut categories = Self {
            table: vec![Slot { hash: 0, bin: FREE }; size].into(),
            known: Vec::new(),
            named,
            complete,
        };
        let other = categories.other() as u16;
        let hashes: Vec<u32> = match &categories.named {
            Named::Words(words) => words.iter().map(|word| hash(word.as_bytes())).collect(),
            Named::Numbers(numbers, _) => numbers.iter().map(Category::hash).collect(),
        };
        for (bin, hash) in hashes.into_iter().enumerate() {
            categories.insert(Slot { hash, bin: bin as u16 });
        }
        for &hash in &known {
            categories.insert(Slot { hash, bin: other });
        }
        categories.known = known;
        categories
    }

    fn insert(&mut self, slot: Slot) {
        let mask = self.table.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.table[at].bin != FREE {
            at = (at + 1) & mask;
        }
        self.table[at] = slot;
    }

    /// The bin of the category with that hash; `is` compares it with the one of a bin.
    fn find(&self, hash: u32, is: impl Fn(usize) -> bool) -> usize {
        let (mask, other) = (self.table.len() - 1, self.other());
        let mut at = hash as usize & mask;
        loop {
            let slot = self.table[at];
            let bin = usize::from(slot.bin);
            if slot.bin == FREE {
                return if self.complete { other + 1 } else { other };
            }
            if slot.hash == hash && (bin == other || is(bin)) {
                return bin;
            }
            at = (at + 1) & mask;
        }
    }

    /// The bin of a word that is not empty.
    pub(crate) fn bin_of_word(&self, word: &str) -> usize {
        match &self.named {
            Named::Words(words) => self.find(hash(word.as_bytes()), |bin| words[bin] == word),
            Named::Numbers(..) => match word.parse() {
                Ok(number) if !f64::is_nan(number) => self.bin_of_number(number),
                _ => self.new_bin(),
            },
        }
    }

    /// The bin of a number; the one behind all of them is that of missing values.
    pub(crate) fn cell(&self, number: f64) -> usize {
        if number.is_nan() { self.bins() } else { self.bin_of_number(number) }
    }

    /// The bin of a number that is not NaN.
    pub(crate) fn bin_of_number(&self, number: f64) -> usize {
        match &self.named {
            Named::Numbers(numbers, _) => self.find(number.hash(), |bin| numbers[bin] == number),
            Named::Words(_) => self.bin_of_word(&text_of(number)),
        }
    }

    /// The bin of categories that the reference has, but not by name.
    pub(crate) fn other(&self) -> usize {
        self.named.texts().len()
    }

    /// The bin of categories that the reference does not have.
    pub(crate) fn new_bin(&self) -> usize {
        self.other() + 1
    }

    pub(crate) fn bins(&self) -> usize {
        self.other() + 2
    }

    pub(crate) fn named(&self) -> &Named {
        &self.named
    }

    pub(crate) fn known(&self) -> &[u32] {
        &self.known
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Named {
    /// How they are written.
    pub(crate) fn texts(&self) -> &[String] {
        match self {
            Self::Words(texts) | Self::Numbers(_, texts) => texts,
        }
    }

    /// Reads numbers as [`text_of`] writes them.
    pub(crate) fn numbers_from(texts: Vec<String>) -> Option<Self> {
        let number = |text: &String| text.parse().ok().filter(|number: &f64| text_of(*number) == *text);
        let numbers: Option<Vec<f64>> = texts.iter().map(number).collect();
        numbers
            .filter(|numbers| !numbers.iter().any(|number| number.is_nan()))
            .map(|it| Self::Numbers(it, texts))
    }
}

/// What stands for a category.
pub(crate) trait Category: Sized {
    fn hash(&self) -> u32;

    fn order(&self, other: &Self) -> std::cmp::Ordering;

    fn named(categories: impl Iterator<Item = Self>) -> Named;
}

impl Category for Cow<'_, str> {
    fn hash(&self) -> u32 {
        hash(self.as_bytes())
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.cmp(other)
    }

    fn named(categories: impl Iterator<Item = Self>) -> Named {
        Named::Words(categories.map(Cow::into_owned).collect())
    }
}

impl Category for f64 {
    fn hash(&self) -> u32 {
        hash(&(self + 0.0).to_bits().to_le_bytes()) // -0 + 0 is 0
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.total_cmp(other)
    }

    fn named(categories: impl Iterator<Item = Self>) -> Named {
        let numbers: Vec<f64> = categories.map(|number| number + 0.0).collect();
        let texts = numbers.iter().map(|number| text_of(*number)).collect();
        Named::Numbers(numbers, texts)
    }
}

/// The shortest text that reads back as the number: `3`, `0.5`, `inf`; `0` for negative zero.
pub(crate) fn text_of(number: f64) -> String {
    (number + 0.0).to_string()
}

/// The upper half of XXH3-64. Profiles hold it, so it stays as it is.
fn hash(bytes: &[u8]) -> u32 {
    (xxh3_64(bytes) >> 32) as u32
}

impl PartialEq for Categories {
    fn eq(&self, other: &Self) -> bool {
        self.named == other.named && self.known == other.known && self.complete == other.complete
    }
}

impl fmt::Debug for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Categories({} named, {} known)", self.other(), self.known.len())
    }
}
