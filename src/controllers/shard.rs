//! A part of all Repositories, so that several processes can share them. Which part one belongs to follows from its
//! namespace and name alone, so all processes agree.

use sha2::{Digest, Sha256};

use super::repository::Name;

/// One of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which; less than `of`.
    pub index: u32,
    /// How many there are; at least one.
    pub of: u32,
}

impl Default for Shard {
    /// Returns the one part that is the whole.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Shard {
    /// Returns whether a Repository belongs to this part.
    #[must_use]
    pub fn has(self, (namespace, name): &Name) -> bool {
        let digest = Sha256::digest(format!("{namespace}/{name}"));
        let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        first % self.of.max(1) == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_repository_belongs_to_one_part_and_each_part_has_some() {
        for of in [1, 2, 7] {
            let mut sizes = vec![0; of as usize];
            for number in 0..700 {
                let name = ("team".to_owned(), format!("repository-{number}"));
                let homes = (0..of).filter(|index| Shard { index: *index, of }.has(&name));
                let homes: Vec<u32> = homes.collect();
                assert_eq!(homes.len(), 1);
                sizes[homes[0] as usize] += 1;
            }
            assert!(sizes.iter().all(|size| *size > 50), "{sizes:?}");
        }
    }
}
