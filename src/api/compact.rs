//! JSON that is kept for long and looked at seldom, as its text: parsed, it takes several times the room. Data only.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

/// Any JSON, as text with sorted names: two that say the same are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactJson(Box<str>);

impl CompactJson {
    /// Returns the JSON as a value.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).expect("only the text of a value is kept")
    }

    /// Returns the JSON as a type that it fits; nothing if it does not.
    #[must_use]
    pub fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.0).ok()
    }

    /// Changes what it says.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut value = self.value();
        change(&mut value);
        *self = value.into();
    }

    /// Returns how many bytes it has as text.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl From<Value> for CompactJson {
    fn from(mut value: Value) -> Self {
        value.sort_all_objects();
        Self(value.to_string().into())
    }
}

impl Serialize for CompactJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CompactJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_is_the_same_in_any_order() {
        for text in [
            r#"[{"b": 1, "a": {"y": [null, 1.5e300, "\u0000"], "x": {}}}]"#,
            r#"[{"a": {"x": {}, "y": [null, 1.5e300, "\u0000"]}, "b": 1}]"#,
        ] {
            let kept: CompactJson = serde_json::from_str(text).unwrap();
            assert_eq!(kept, serde_json::from_str::<Value>(text).unwrap().into());
            assert_eq!(kept.value(), serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(serde_json::to_value(&kept).unwrap(), kept.value());
            let out = r#"[{"a":{"x":{},"y":[null,1.5e+300,"\u0000"]},"b":1}]"#;
            assert_eq!(serde_json::to_string(&kept).unwrap(), out);
            assert_eq!(kept.size(), out.len());
            assert_eq!(kept.parse::<Vec<Value>>().unwrap().len(), 1);
            assert_eq!(kept.parse::<Vec<String>>(), None);
        }
        assert_ne!(CompactJson::from(json!([1, 2])), json!([2, 1]).into());
    }
}
