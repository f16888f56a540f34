//! Labels and annotations put on resources, wherever their kinds have them. In come a list and a table of fields, out comes how much
//! changed.

use serde_json::{Value, json};

use super::{
    super::{Failure, Item, List},
    config,
    field::{self, Field, Fields},
    report, resource,
};
use crate::api::ResultItem;

/// A function that puts pairs.
pub(super) struct Putting {
    /// The kind of config that is its own.
    pub(super) own: &'static str,
    /// Where that has the pairs.
    pub(super) member: &'static str,
    /// Where that has more fields.
    pub(super) more: &'static str,
    /// Where resources have them.
    pub(super) fields: &'static [Field<'static>],
    /// What one is called.
    pub(super) word: &'static str,
}

impl Putting {
    /// Puts the pairs of the config on all resources, and returns a report of how many changed.
    pub(super) fn run(&self, list: &mut List) -> Result<Vec<ResultItem>, Failure> {
        match self.put(list) {
            Ok(changed) => Ok(vec![report::info(self.told(changed))]),
            Err(why) => Err(report::failure(list, why)),
        }
    }

    fn put(&self, list: &mut List) -> Result<usize, String> {
        let List {
            items,
            config,
            audience,
        } = list;
        let config = config.as_ref().ok_or_else(|| config::missing(self.own))?;
        let pairs = self.pairs(config)?;
        let more = field::described(config, self.more)?;
        let fields = Fields::of(self.fields.iter().chain(&more));
        let mut changed = 0;
        for item in items {
            audience.check()?;
            let is_changed = put_on(item, &fields, &pairs)
                .map_err(|why| format!("{}: {why}", resource::told(item)))?;
            changed += usize::from(is_changed);
        }
        Ok(changed)
    }

    fn pairs(&self, config: &Value) -> Result<Vec<(String, String)>, String> {
        let member = if config::is_config_map(config) {
            "data"
        } else if config::is_own(config, self.own) {
            self.member
        } else {
            return Err(config::unknown(config, self.own));
        };
        let pairs = config::pairs(config.get(member));
        if pairs.is_empty() {
            return Err(format!("`{member}` should not be empty"));
        }
        Ok(pairs)
    }

    fn told(&self, changed: usize) -> String {
        match changed {
            0 => format!("all {}s are already set. no value changed", self.word),
            _ => format!("{}s set on {changed} resource(s)", self.word),
        }
    }
}

/// Puts pairs on a resource; returns whether that changed anything.
fn put_on(
    item: &mut Item,
    fields: &Fields<'_>,
    pairs: &[(String, String)],
) -> Result<bool, String> {
    let mut is_changed = false;
    let mut put = |value: &mut Value| {
        if value.is_null() {
            *value = json!({});
        }
        let map = value
            .as_object_mut()
            .ok_or("what should be a map is none")?;
        for (key, value) in pairs {
            if map.get(key).and_then(Value::as_str) != Some(value) {
                map.insert(key.clone(), value.as_str().into());
                is_changed = true;
            }
        }
        Ok(())
    };
    fields.change(&mut item.object, &mut put)?;
    Ok(is_changed)
}
