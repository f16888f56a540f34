//! The machine's other half: what expressions are worth.

use std::rc::Rc;

use super::{
    machine::{Arguments, Machine},
    tree::{Argument, Clause, Comprehension, Expression, Kind, Name, Trouble, Yield},
    value::Value,
};

impl Machine {
    /// Returns what an expression is worth.
    ///
    /// # Errors
    /// [`Trouble`] of the script, with its place.
    pub(super) fn evaluate(&mut self, expression: &Expression) -> Result<Value, Trouble> {
        self.heap
            .meter
            .enter()
            .map_err(|trouble| trouble.or_at(expression.at))?;
        let value = self.worth(&expression.kind);
        self.heap.meter.leave();
        value.map_err(|trouble| trouble.or_at(expression.at))
    }

    fn worth(&mut self, kind: &Kind) -> Result<Value, Trouble> {
        match kind {
            Kind::Int(int) => Ok(Value::Int(*int)),
            Kind::Float(float) => Ok(Value::Float(*float)),
            Kind::Text(text) => Ok(Value::Text(text.clone())),
            Kind::Name(name) => self.find(name),
            Kind::List(items) => {
                let items = self.all(items)?;
                self.heap.list(items)
            }
            Kind::Tuple(items) => {
                let items = self.all(items)?;
                self.heap.tuple(items)
            }
            Kind::Dict(entries) => self.dict(entries),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
            Kind::Unary(operator, inner) => {
                let inner = self.evaluate(inner)?;
                self.heap.unary(operator, &inner)
            }
            Kind::Binary(operator, sides) => self.binary(operator, &sides.0, &sides.1),
            Kind::Choice(choice) => {
                let holds = self.holds(&choice.1)?;
                self.evaluate(if holds { &choice.0 } else { &choice.2 })
            }
            Kind::Attribute(of, name) => {
                let of = self.evaluate(of)?;
                self.attribute(&of, name)
            }
            Kind::Index(both) => {
                let (of, index) = (self.evaluate(&both.0)?, self.evaluate(&both.1)?);
                self.heap.index(&of, &index)
            }
            Kind::Slice(of, parts) => self.slice(of, parts),
            Kind::Call(callee, arguments) => self.called(callee, arguments),
            Kind::Lambda(definition) => self.function(definition),
        }
    }

    fn all(&mut self, expressions: &[Expression]) -> Result<Vec<Value>, Trouble> {
        let values = expressions
            .iter()
            .map(|expression| self.evaluate(expression));
        values.collect()
    }

    fn dict(&mut self, entries: &[(Expression, Expression)]) -> Result<Value, Trouble> {
        let dict = self.heap.empty()?;
        for (key, value) in entries {
            let (key, value) = (self.evaluate(key)?, self.evaluate(value)?);
            self.heap.insert(dict, key, value)?;
        }
        Ok(Value::Dict(dict))
    }

    fn binary(
        &mut self,
        operator: &'static str,
        left: &Expression,
        right: &Expression,
    ) -> Result<Value, Trouble> {
        let left = self.evaluate(left)?;
        // These two look at their right side only if the left one does not decide.
        match operator {
            "and" if !self.heap.truth(&left) => Ok(left),
            "or" if self.heap.truth(&left) => Ok(left),
            "and" | "or" => self.evaluate(right),
            _ => {
                let right = self.evaluate(right)?;
                self.heap.binary(operator, &left, &right)
            }
        }
    }

    fn slice(
        &mut self,
        of: &Expression,
        parts: &[Option<Expression>; 3],
    ) -> Result<Value, Trouble> {
        let of = self.evaluate(of)?;
        let mut bounds = [None, None, None];
        for (bound, part) in bounds.iter_mut().zip(parts) {
            let value = part.as_ref().map(|part| self.evaluate(part)).transpose()?;
            *bound = match value {
                None | Some(Value::None) => None,
                Some(Value::Int(int)) => Some(int),
                Some(other) => {
                    return Err(
                        format!("a slice has {} where an int is wanted", other.kind()).into(),
                    );
                }
            };
        }
        self.heap.slice(&of, bounds)
    }

    fn called(&mut self, callee: &Expression, arguments: &[Argument]) -> Result<Value, Trouble> {
        // A method that is called at once needs no value of its own.
        if let Kind::Attribute(of, name) = &callee.kind {
            let of = self.evaluate(of)?;
            if !matches!(of, Value::Record(_)) {
                let arguments = self.arguments(arguments)?;
                return self.call_method(&of, name, &arguments);
            }
            let callee = self.attribute(&of, name)?;
            let arguments = self.arguments(arguments)?;
            return self.call(&callee, arguments);
        }
        let callee = self.evaluate(callee)?;
        let arguments = self.arguments(arguments)?;
        self.call(&callee, arguments)
    }

    fn arguments(&mut self, written: &[Argument]) -> Result<Arguments, Trouble> {
        let mut arguments = Arguments::default();
        for argument in written {
            match argument {
                Argument::Place(value) => arguments.places.push(self.evaluate(value)?),
                Argument::Name(name, value) => {
                    let value = self.evaluate(value)?;
                    arguments.names.push((name.clone(), value));
                }
                Argument::Places(values) => {
                    let values = self.evaluate(values)?;
                    arguments.places.extend(self.heap.parts(&values)?);
                }
                Argument::Names(values) => {
                    let values = self.evaluate(values)?;
                    self.spread(&values, &mut arguments.names)?;
                }
            }
        }
        // Names are looked up one after the other.
        self.heap
            .meter
            .step(arguments.names.len().saturating_pow(2))?;
        Ok(arguments)
    }

    fn spread(&mut self, values: &Value, into: &mut Vec<(Name, Value)>) -> Result<(), Trouble> {
        let Value::Dict(dict) = values else {
            return Err(format!("argument after ** must be a dict, not {}", values.kind()).into());
        };
        let mut place = 0;
        while let Some((next, key, value)) = self.heap.entry(*dict, place)? {
            let Value::Text(name) = key else {
                return Err("argument after ** must have strings for keys".into());
            };
            into.push((name, value));
            place = next;
        }
        Ok(())
    }

    fn attribute(&mut self, of: &Value, name: &Name) -> Result<Value, Trouble> {
        if let Value::Record(record) = of {
            let fields = self.heap.records[*record].iter();
            let found = fields
                .filter(|(field, _)| **field == **name)
                .map(|(_, value)| value.clone())
                .next();
            return found.ok_or_else(|| format!("struct has no .{name} attribute").into());
        }
        if !super::method::exists(of, name) {
            return Err(format!("{} has no .{name} field or method", of.kind()).into());
        }
        self.heap.meter.take(64)?;
        self.heap.methods.push((of.clone(), name.clone()));
        Ok(Value::Method(self.heap.methods.len() - 1))
    }

    fn comprehension(&mut self, comprehension: &Comprehension) -> Result<Value, Trouble> {
        let made = match comprehension.yields {
            Yield::Item(_) => self.heap.list(Vec::new())?,
            Yield::Entry(..) => Value::Dict(self.heap.empty()?),
        };
        // What is not set yet is looked up around it: the first list may have the name of a variable.
        let frame = self.heap.frame(&Rc::default(), self.frame)?;
        let outer = std::mem::replace(&mut self.frame, frame);
        self.clauses(comprehension, 0, &made)?;
        self.frame = outer;
        self.heap.free(frame);
        Ok(made)
    }

    fn clauses(
        &mut self,
        comprehension: &Comprehension,
        from: usize,
        into: &Value,
    ) -> Result<(), Trouble> {
        self.heap.meter.enter()?;
        match comprehension.clauses.get(from) {
            None => self.yielded(&comprehension.yields, into)?,
            Some(Clause::If(condition)) => {
                if self.holds(condition)? {
                    self.clauses(comprehension, from + 1, into)?;
                }
            }
            Some(Clause::For(target, over)) => {
                let (over, mut place) = (self.evaluate(over)?, 0);
                self.heap.hold(&over, 1);
                while let Some(value) = self.heap.next(&over, &mut place)? {
                    self.assign(target, value)?;
                    self.clauses(comprehension, from + 1, into)?;
                }
                self.heap.hold(&over, -1);
            }
        }
        self.heap.meter.leave();
        Ok(())
    }

    fn yielded(&mut self, yields: &Yield, into: &Value) -> Result<(), Trouble> {
        match (yields, into) {
            (Yield::Item(item), Value::List(list)) => {
                let item = self.evaluate(item)?;
                self.heap.meter.take(size_of::<Value>())?;
                self.heap.lists[*list].items.push(item);
                Ok(())
            }
            (Yield::Entry(key, value), Value::Dict(dict)) => {
                let (key, value) = (self.evaluate(key)?, self.evaluate(value)?);
                self.heap.insert(*dict, key, value)
            }
            _ => Ok(()),
        }
    }
}
