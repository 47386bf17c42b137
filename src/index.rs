//! Names, and where the things they name stand.
//!
//! A sorted list in which names are compared from their ends: names of one pod mostly start alike, and in wasm each
//! byte that is compared costs.

use std::cmp::Ordering;

/// Orders texts by their ends.
pub fn compare(one: &str, other: &str) -> Ordering {
    one.bytes().rev().cmp(other.bytes().rev())
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

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_of_a_name_counts() {
        let mut index = Index::default();
        assert!(index.is_empty());
        let names = ["", "b", "ab", "aab", "ba", "a"];
        for (place, name) in names.into_iter().enumerate() {
            assert_eq!(index.insert(name, place), None, "{name}");
        }
        assert_eq!(index.insert("ab", 9), Some(2));
        assert_eq!(names.map(|name| index.get(name)), [0, 1, 9, 3, 4, 5].map(Some));
        assert_eq!(index.get("bab"), None);
    }
}
