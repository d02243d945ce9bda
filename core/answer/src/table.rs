//! From a name in wire form to its number: a hash table that is filled once and only read then.

use xxhash_rust::xxh3::xxh3_64;

/// Names and their numbers, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    /// Number + 1; 0 is a free place. The length is a power of two, at least twice the names.
    slots: Box<[u32]>,
    /// Where each name begins and ends in `octets`.
    places: Vec<(usize, u8)>,
    octets: Vec<u8>,
}

impl NameTable {
    /// The table of `names`, which must differ.
    pub(crate) fn build<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let size = (names.len().max(1) * 2).next_power_of_two();
        let mut table =
            Self { slots: vec![0; size].into(), places: Vec::new(), octets: Vec::new() };
        for name in names {
            let number = u32::try_from(table.places.len() + 1).unwrap_or(u32::MAX);
            table.places.push((table.octets.len(), u8::try_from(name.len()).unwrap_or(0)));
            table.octets.extend_from_slice(name);
            let free = table.probe(name).find(|at| table.slots.get(*at) == Some(&0));
            if let Some(slot) = free.and_then(|at| table.slots.get_mut(at)) {
                *slot = number;
            }
        }
        table
    }

    /// The number of `name`, which must be in lower case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        for at in self.probe(name) {
            let number = self.slots.get(at)?.checked_sub(1)?;
            if self.name(number) == name {
                return Some(number);
            }
        }
        None
    }

    /// The name with this number; empty when there is none.
    pub(crate) fn name(&self, number: u32) -> &[u8] {
        let place = self.places.get(number as usize);
        place
            .and_then(|(at, length)| self.octets.get(*at..at + usize::from(*length)))
            .unwrap_or_default()
    }

    /// Every place where `name` may be, the likeliest first.
    fn probe(&self, name: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len().wrapping_sub(1);
        #[expect(clippy::cast_possible_truncation, reason = "the mask takes the low bits anyway")]
        let start = xxh3_64(name) as usize;
        (0..self.slots.len()).map(move |step| start.wrapping_add(step) & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::NameTable;

    #[test]
    fn finds_all_and_nothing_else() {
        let names: Vec<String> = (0..1_000).map(|n| format!("name{n}")).collect();
        let table = NameTable::build(names.iter().map(String::as_bytes));
        for (number, name) in names.iter().enumerate() {
            assert_eq!(table.find(name.as_bytes()), Some(u32::try_from(number).unwrap()));
        }
        assert_eq!(table.find(b"name1000"), None);
        assert_eq!(NameTable::default().find(b"x"), None);
        assert_eq!(NameTable::build(std::iter::empty::<&[u8]>()).find(b"x"), None);
    }
}
