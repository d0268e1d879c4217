//! Serializes arrays as their entries that are not the default, with their indices.
//!
//! Most seasons of a young key are empty. Also, serde supports arrays of at most 32 entries only.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S, T, const N: usize>(
    array: &[T; N],
    serializer: S,
) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Serialize + Default + PartialEq,
{
    let empty = T::default();
    let is_used = |(_, entry): &(usize, &T)| **entry != empty;
    serializer.collect_seq(array.iter().enumerate().filter(is_used).collect::<Vec<_>>())
}

pub(crate) fn deserialize<'de, D, T, const N: usize>(deserializer: D) -> Result<[T; N], D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + Copy,
{
    let mut array = [T::default(); N];
    for (place, entry) in Vec::<(usize, T)>::deserialize(deserializer)? {
        let out_of_range = || D::Error::custom(format_args!("entry {place} of an array of {N}"));
        *array.get_mut(place).ok_or_else(out_of_range)? = entry;
    }
    Ok(array)
}
