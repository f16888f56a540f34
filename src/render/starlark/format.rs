//! Texts with holes: `%` and `format`. What fills a hole is paid for like any other text.

use super::{
    machine::Arguments,
    tree::Trouble,
    value::{Heap, Value, whole},
};

impl Heap {
    /// Returns a text with its `%` filled in.
    pub(super) fn percent(&mut self, format: &str, with: &Value) -> Result<Value, Trouble> {
        self.meter.take(format.len())?;
        let values = match with {
            Value::Tuple(_) => self.parts(with)?,
            _ => vec![with.clone()],
        };
        let mut values = values.into_iter();
        let (mut text, mut rest) = (String::new(), format);
        let mut is_by_name = false;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let (value, after) = match after
                .strip_prefix('(')
                .and_then(|name| name.split_once(')'))
            {
                Some((name, after)) => {
                    is_by_name = true;
                    (self.index(with, &Value::text(name))?, after)
                }
                None => (
                    values
                        .next()
                        .ok_or("not enough arguments for format string")?,
                    after,
                ),
            };
            let mut chars = after.chars();
            let filled = self.filled(chars.next(), &value)?;
            text.push_str(&filled);
            rest = chars.as_str();
        }
        text.push_str(rest);
        if !is_by_name && values.next().is_some() {
            return Err("too many arguments for format string".into());
        }
        self.text(&text)
    }

    fn filled(&mut self, conversion: Option<char>, value: &Value) -> Result<String, Trouble> {
        let number = |value: &Value| match value {
            Value::Int(int) => Some(*int),
            Value::Float(float) => whole(float.trunc()),
            _ => None,
        };
        let wanted = || {
            format!(
                "%{} requires a number, not {}",
                conversion.unwrap_or_default(),
                value.kind()
            )
        };
        match conversion {
            Some('s') => self.shown(value),
            Some('r') => self.written(value),
            Some('d' | 'i') => Ok(number(value).ok_or_else(wanted)?.to_string()),
            Some('x') => Ok(format!("{:x}", number(value).ok_or_else(wanted)?)),
            Some('X') => Ok(format!("{:X}", number(value).ok_or_else(wanted)?)),
            Some('o') => Ok(format!("{:o}", number(value).ok_or_else(wanted)?)),
            Some('f' | 'g' | 'e') => match self.binary("+", value, &Value::Float(0.0)) {
                Ok(Value::Float(float)) if conversion == Some('f') => Ok(format!("{float:.6}")),
                Ok(Value::Float(float)) => Ok(float.to_string()),
                _ => Err(wanted().into()),
            },
            Some(c) => Err(format!("unknown conversion %{c}").into()),
            None => Err("incomplete format".into()),
        }
    }

    /// Returns a text with its braces filled in.
    pub(super) fn braces(&mut self, format: &str, arguments: &Arguments) -> Result<Value, Trouble> {
        self.meter.take(format.len())?;
        let (mut text, mut rest, mut count) = (String::new(), format, 0);
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
                continue;
            }
            let hole = (brace == "{").then(|| rest.split_once('}')).flatten();
            let (hole, after) = hole.ok_or("single brace in format")?;
            rest = after;
            let (name, conversion) = hole.split_once('!').unwrap_or((hole, "s"));
            let value = chosen(name, arguments, &mut count)?;
            let filled = match conversion {
                "s" => self.shown(&value)?,
                "r" => self.written(&value)?,
                _ => return Err(format!("unknown conversion {conversion:?}").into()),
            };
            text.push_str(&filled);
        }
        text.push_str(rest);
        self.text(&text)
    }
}

fn chosen(name: &str, arguments: &Arguments, count: &mut usize) -> Result<Value, Trouble> {
    let place = if name.is_empty() {
        Some(*count)
    } else {
        name.parse().ok()
    };
    *count += usize::from(name.is_empty());
    let by_name = || arguments.names.iter().find(|(given, _)| **given == *name);
    let found = match place {
        Some(place) => arguments.places.get(place),
        None => by_name().map(|(_, value)| value),
    };
    let told = || format!("format has no argument for {{{name}}}");
    Ok(found.ok_or_else(told)?.clone())
}
