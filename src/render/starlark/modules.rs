//! The modules that a script may load: what reads resources, JSON and YAML. In come the names that a script wants of a module, out come
//! functions of this program.

use std::io::{self, Write};

use super::{
    machine::Machine,
    meter::Meter,
    tree::{Name, Trouble},
    value::{Heap, Value},
};
use crate::yaml;

const KRMFN: &[(&str, &str)] = &[
    ("match_gvk", "krmfn.match_gvk"),
    ("match_name", "krmfn.match_name"),
    ("match_namespace", "krmfn.match_namespace"),
];
const JSON: &[(&str, &str)] = &[("encode", "json.encode"), ("decode", "json.decode")];
const YAML: &[(&str, &str)] = &[("dumps", "yaml.dumps"), ("loads", "yaml.loads")];

/// Most bytes that a text of YAML can say again by aliases: reading ends there.
const MOST_AGAIN: usize = 64 << 20;

impl Machine {
    /// Gives names of the script what a module has for them.
    pub(super) fn load(&mut self, module: &Name, names: &[(Name, Name)]) -> Result<(), Trouble> {
        let (whole, members) = match &**module {
            "krmfn.star" => ("krmfn", KRMFN),
            "json.star" | "encoding/json.star" => ("json", JSON),
            "yaml.star" | "encoding/yaml.star" => ("yaml", YAML),
            _ => {
                return Err(format!(
                    "cannot load {module}: there are only krmfn.star, json.star and yaml.star"
                )
                .into());
            }
        };
        for (here, there) in names {
            let member = members.iter().find(|(name, _)| *name == &**there);
            let value = match member {
                Some((_, function)) => Value::Builtin(function),
                None if **there == *whole => {
                    let fields = members
                        .iter()
                        .map(|(name, function)| (*name, Value::Builtin(function)));
                    self.heap.record(fields.collect())?
                }
                None => {
                    return Err(format!("load: name {there} not found in module {module}").into());
                }
            };
            self.set(here, value);
        }
        Ok(())
    }
}

impl Heap {
    /// Returns a value as JSON.
    pub(super) fn encode(&mut self, value: &Value) -> Result<Value, Trouble> {
        let json = self.json_out(value)?;
        let mut text = Paid {
            meter: &mut self.meter,
            text: Vec::new(),
        };
        serde_json::to_writer(&mut text, &json).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&text.text).into_owned();
        self.text(&text)
    }

    /// Returns what a text of JSON says.
    pub(super) fn decode(&mut self, text: &str) -> Result<Value, Trouble> {
        // A value of JSON takes many times its text.
        self.meter.take(text.len().saturating_mul(64))?;
        let json: serde_json::Value =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        self.json_in(&json)
    }

    /// Returns a value as YAML, the keys of maps in order.
    pub(super) fn encode_yaml(&mut self, value: &Value) -> Result<Value, Trouble> {
        let json = self.json_out(value)?;
        // Each line is indented as deep as its value is, and written once for each list around it.
        let (lines, depth) = (json.to_string().len(), depth(&json));
        self.meter.take(lines.saturating_mul(4 + 3 * depth))?;
        self.meter.look(lines.saturating_mul(1 + depth))?;
        self.text(&yaml::emit(&sorted(json)))
    }

    /// Returns what the first document of a text of YAML says.
    pub(super) fn decode_yaml(&mut self, text: &str) -> Result<Value, Trouble> {
        self.meter.take(text.len().saturating_mul(64))?;
        // Aliases say again, and again, what stands somewhere else.
        let anchored = if text.contains('&') {
            text.matches('*').count()
        } else {
            0
        };
        let again = text.len().saturating_mul(anchored).min(MOST_AGAIN);
        self.meter.take(again)?;
        self.meter.look(again)?;
        let json: serde_json::Value = yaml::from_str(text).map_err(|error| error.to_string())?;
        self.json_in(&json)
    }

    /// Returns whether a resource has a text at a path of keys.
    pub(super) fn reads(&mut self, of: &Value, path: &[&str], text: &str) -> Result<bool, Trouble> {
        let mut at = of.clone();
        for key in path {
            let Value::Dict(dict) = at else {
                return Ok(false);
            };
            let key = self.key(&Value::text(key))?;
            at = self.dicts[dict].get(&key).cloned().unwrap_or(Value::None);
        }
        self.equal(&at, &Value::text(text))
    }
}

/// Returns how many values are within each other.
fn depth(value: &serde_json::Value) -> usize {
    let deepest = match value {
        serde_json::Value::Array(items) => items.iter().map(depth).max(),
        serde_json::Value::Object(map) => map.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or_default()
}

fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().collect();
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            let pairs = pairs.into_iter();
            pairs.map(|(key, value)| (key, sorted(value))).collect()
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// A text that is paid for while it grows: what is escaped is longer than what it says.
struct Paid<'meter> {
    meter: &'meter mut Meter,
    text: Vec<u8>,
}

impl Write for Paid<'_> {
    fn write(&mut self, some: &[u8]) -> io::Result<usize> {
        let paid = self.meter.take(some.len());
        paid.map_err(|trouble| io::Error::other(trouble.message))?;
        self.text.extend_from_slice(some);
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
