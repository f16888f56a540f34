//! Labels and annotations put on resources, wherever their kinds have them. In come a list and a table of fields, out comes how much
//! changed.

use serde_json::{Value, json};

use super::{
    super::{Failure, Item, List},
    config,
    field::{self, Field},
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
        let fields: Vec<_> = self.fields.iter().chain(&more).collect();
        let mut changed = 0;
        for item in items {
            audience.check()?;
            let before = item.object.clone();
            put_on(item, &fields, &pairs)
                .map_err(|why| format!("{}: {why}", resource::told(item)))?;
            changed += usize::from(item.object != before);
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

fn put_on(
    item: &mut Item,
    fields: &[&Field<'_>],
    pairs: &[(String, String)],
) -> Result<(), String> {
    let mut put = |value: &mut Value| {
        if value.is_null() {
            *value = json!({});
        }
        let map = value
            .as_object_mut()
            .ok_or("what should be a map is none")?;
        for (key, value) in pairs {
            map.insert(key.clone(), Value::from(value.as_str()));
        }
        Ok(())
    };
    let object = &mut item.object;
    fields
        .iter()
        .try_for_each(|field| field.change(object, &mut put))
}
