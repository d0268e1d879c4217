//! Names kinds so that a user can select them: `all`, `none`, or names with commas.

use std::fmt;
use std::str::FromStr;

/// A closed set of named things.
pub trait Kind: Copy + PartialEq + 'static {
    /// The noun for one of them in messages.
    const NOUN: &'static str;
    const ALL: &'static [Self];
    /// Kinds that `all` does not include.
    const BY_NAME_ONLY: &'static [Self];
    fn name(self) -> &'static str;
}

/// Declares an enum whose variants have names.
macro_rules! kinds {
    ($(#[$about:meta])* $type:ident, $noun:literal, by_name_only [$($rare:ident),*],
     { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$doc])* $variant,)+ }

        impl $crate::generate::kinds::Kind for $type {
            const NOUN: &'static str = $noun;
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            const BY_NAME_ONLY: &'static [Self] = &[$(Self::$rare),*];
            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}
pub(super) use kinds;

/// Selected kinds in the order of their declaration, without repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<K>(pub Vec<K>);

impl<K: Kind> Selection<K> {
    /// All kinds except those of `BY_NAME_ONLY`.
    pub fn all() -> Self {
        let kinds = K::ALL.iter().copied();
        Self(kinds.filter(|kind| !K::BY_NAME_ONLY.contains(kind)).collect())
    }

    pub const fn none() -> Self {
        Self(Vec::new())
    }

    pub fn contains(&self, kind: K) -> bool {
        self.0.contains(&kind)
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownKind {
    noun: &'static str,
    given: String,
    nearest: &'static str,
    known: Vec<&'static str>,
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { noun, given, nearest, known } = self;
        let known = known.join(", ");
        write!(f, "no {noun} is called `{given}`, did you mean `{nearest}`? ")?;
        write!(f, "Give `all`, `none`, or some of {known}")
    }
}

impl<K: Kind> FromStr for Selection<K> {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text.trim() {
            "all" => return Ok(Self::all()),
            "none" | "" => return Ok(Self::none()),
            _ => {}
        }
        let named = text.split(',').map(find).collect::<Result<Vec<K>, _>>()?;
        Ok(Self(K::ALL.iter().copied().filter(|kind| named.contains(kind)).collect()))
    }
}

fn find<K: Kind>(name: &str) -> Result<K, UnknownKind> {
    let name = name.trim().replace('-', "_");
    if let Some(kind) = K::ALL.iter().find(|kind| kind.name() == name) {
        return Ok(*kind);
    }
    let known: Vec<_> = K::ALL.iter().map(|kind| kind.name()).collect();
    let likeness = |known: &&&str| (strsim::jaro_winkler(known, &name) * 1e6) as u32;
    let nearest = known.iter().max_by_key(likeness).copied().unwrap_or_default();
    Err(UnknownKind { noun: K::NOUN, given: name, nearest, known })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::attacks::AttackKind;
    use super::*;

    #[test]
    fn a_list_is_read_in_any_order_and_spelling() {
        let selection: Selection<AttackKind> = "takeover, rate-spike,takeover".parse().unwrap();
        assert_eq!(selection.0, [AttackKind::RateSpike, AttackKind::Takeover]);
        assert_eq!("none".parse::<Selection<AttackKind>>().unwrap().0, []);
        assert_eq!("all".parse::<Selection<AttackKind>>().unwrap(), Selection::all());
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        let error = "rate_spkie".parse::<Selection<AttackKind>>().unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("no attack is called `rate_spkie`, did you mean `rate_spike`?")
        );
    }
}
