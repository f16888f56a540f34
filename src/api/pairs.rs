//! Names with their values, as few as one file's labels: a sorted list where a map would be many times as large. In JSON
//! it is a map. It is made once and never grows.

use std::{collections::BTreeMap, ops::Index};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names with their values, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Box<[(Box<str>, Box<str>)]>);

impl Pairs {
    /// Returns the value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .binary_search_by(|(known, _)| known.as_ref().cmp(name));
        found.ok().map(|at| self.0[at].1.as_ref())
    }

    /// Returns names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Returns how many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the same as a map, for those who go on to change it.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }
}

impl From<BTreeMap<String, String>> for Pairs {
    fn from(map: BTreeMap<String, String>) -> Self {
        let sorted = map.into_iter();
        Self(
            sorted
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl FromIterator<(String, String)> for Pairs {
    /// Of several values of one name the last one counts.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        pairs.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl Index<&str> for Pairs {
    type Output = str;

    fn index(&self, name: &str) -> &str {
        self.get(name).expect("whoever indexes knows the name")
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(BTreeMap::into)
    }
}

impl JsonSchema for Pairs {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        BTreeMap::<String, String>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, String>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_a_map_in_json_and_find_what_they_hold() {
        let pairs: Pairs = serde_json::from_str(r#"{"b":"2","a":"1","c":"","b":"3"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&pairs).unwrap(),
            r#"{"a":"1","b":"3","c":""}"#
        );
        assert_eq!(
            (pairs.get("b"), pairs.get("c"), pairs.get("d")),
            (Some("3"), Some(""), None)
        );
        assert_eq!(
            (&pairs["a"], pairs.len(), pairs.is_empty()),
            ("1", 3, false)
        );
        assert_eq!(Pairs::from(pairs.to_map()), pairs);
        assert_eq!(Pairs::default().get(""), None);
    }
}
