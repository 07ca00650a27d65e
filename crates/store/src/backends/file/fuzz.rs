//! Names in a store's directory, for the fuzzing workspace alone (`--cfg fuzzing`).

use super::names::{DirName, Place, is_shard, revision_name, revision_number};

/// Takes a name for that of a shard, a key and a revision. True: it is one; and then it is the only name of what it stands for.
pub fn name(text: &str) -> bool {
    let number = revision_number(text);
    if let Some(number) = number {
        assert_eq!(revision_name(number), text);
    }
    let key = match DirName::parse(text) {
        DirName::Key(key) => {
            assert_eq!(Place::of(&key).name, text);
            true
        }
        DirName::Hashed => true,
        DirName::Foreign => false,
    };
    number.is_some() || key || is_shard(text)
}
