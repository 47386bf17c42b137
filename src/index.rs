//! Names, and where the things they name stand.
//!
//! A sorted list in which names are compared from their ends: names of one pod mostly start alike, and in wasm each
//! byte that is compared costs.

use std::cmp::Ordering;

/// Orders texts by their ends.
#[inline(always)]
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    // Read from the end, eight bytes are a number.
    while let (Some((left, one_end)), Some((right, other_end))) = (last_eight(one), last_eight(other)) {
        if one_end != other_end {
            return one_end.cmp(&other_end);
        }
        (one, other) = (left, right);
    }
    one.iter().rev().cmp(other.iter().rev())
}

#[inline(always)]
fn last_eight(text: &[u8]) -> Option<(&[u8], u64)> {
    let (rest, end) = text.split_at_checked(text.len().wrapping_sub(8))?;
    Some((rest, u64::from_le_bytes(*end.first_chunk()?)))
}

/// Places by name.
#[derive(Clone, Debug, Default)]
pub struct Index<'a>(Vec<(&'a str, usize)>);

impl<'a> Index<'a> {
    fn search(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| compare(known, name))
    }

    /// The place of what has this name.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.search(name).ok().and_then(|found| self.0.get(found)).map(|(_, place)| *place)
    }

    /// Gives a name a place, and says which one it had before.
    pub fn insert(&mut self, name: &'a str, place: usize) -> Option<usize> {
        match self.search(name) {
            Ok(found) => self.0.get_mut(found).map(|(_, known)| std::mem::replace(known, place)),
            Err(free) => {
                self.0.insert(free, (name, place));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_ordered_by_their_ends() {
        let texts = ["", "a", "aaaaaaa", "aaaaaaaa", "baaaaaaaa", "bbaaaaaaa", "ab", "zzzzzzzzb", "aaaaaaaba"];
        for one in texts {
            for other in texts {
                let reversed = one.bytes().rev().collect::<Vec<u8>>().cmp(&other.bytes().rev().collect());
                assert_eq!(compare(one, other), reversed, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_last_place_of_a_name_counts() {
        let mut index = Index::default();
        let names = ["", "b", "ab", "aab", "ba", "a"];
        for (place, name) in names.into_iter().enumerate() {
            assert_eq!(index.insert(name, place), None, "{name}");
        }
        assert_eq!(index.insert("ab", 9), Some(2));
        assert_eq!(names.map(|name| index.get(name)), [0, 1, 9, 3, 4, 5].map(Some));
        assert_eq!(index.get("bab"), None);
    }
}
