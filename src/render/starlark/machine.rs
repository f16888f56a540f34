//! The machine: walks the statements of a script and calls its functions. What it works on is in the heap; what it may use, in the meter.

use std::rc::Rc;

use super::{
    meter::Meter,
    tree::{Block, Deed, Definition, Expression, Name, Parameter, Statement, Target, Trouble, Way},
    value::{Frame, Function, Heap, Value},
};

/// How a statement ended.
pub(super) enum Flow {
    Next,
    Break,
    Continue,
    Return(Value),
}

/// The arguments of a call.
#[derive(Default)]
pub(super) struct Arguments {
    pub(super) places: Vec<Value>,
    pub(super) names: Vec<(Name, Value)>,
}

/// A run of a script.
pub(super) struct Machine {
    pub(super) heap: Heap,
    /// The frame that names are looked up in first.
    pub(super) frame: usize,
    /// What was printed.
    pub(super) printed: String,
}

/// The frame of the whole script.
const SCRIPT: usize = 0;

impl Machine {
    pub(super) fn new(meter: Meter) -> Self {
        let mut heap = Heap::new(meter);
        heap.frames.push(Frame::default());
        Self {
            heap,
            frame: SCRIPT,
            printed: String::new(),
        }
    }

    /// Gives a name of the whole script a value.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.heap.frames[SCRIPT].values.insert(name.into(), value);
    }

    /// Runs statements until one of them leads away.
    ///
    /// # Errors
    /// [`Trouble`] of the script.
    pub(super) fn run(&mut self, block: &Block) -> Result<Flow, Trouble> {
        self.heap.meter.enter()?;
        for statement in block {
            let flow = self.statement(statement);
            let flow = flow.map_err(|trouble| trouble.or_at(statement.at))?;
            if !matches!(flow, Flow::Next) {
                self.heap.meter.leave();
                return Ok(flow);
            }
        }
        self.heap.meter.leave();
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Statement) -> Result<Flow, Trouble> {
        self.heap.meter.step(1)?;
        match &statement.deed {
            Deed::Pass => {}
            Deed::Break => return Ok(Flow::Break),
            Deed::Continue => return Ok(Flow::Continue),
            Deed::Expression(expression) => {
                self.evaluate(expression)?;
            }
            Deed::Assign(target, expression) => {
                let value = self.evaluate(expression)?;
                self.assign(target, value)?;
            }
            Deed::Augment(target, operator, expression) => {
                self.augment(target, operator, expression)?;
            }
            Deed::If(cases, otherwise) => return self.choose(cases, otherwise),
            Deed::For(target, over, body) => return self.repeat(target, over, body),
            Deed::While(condition, body) => return self.repeat_while(condition, body),
            Deed::Define(definition) => {
                let function = self.function(definition)?;
                self.put(&definition.name, function);
            }
            Deed::Return(None) => return Ok(Flow::Return(Value::None)),
            Deed::Return(Some(expression)) => return Ok(Flow::Return(self.evaluate(expression)?)),
            Deed::Load(module, names) => self.load(module, names)?,
        }
        Ok(Flow::Next)
    }

    fn choose(
        &mut self,
        cases: &[(Expression, Block)],
        otherwise: &Block,
    ) -> Result<Flow, Trouble> {
        for (condition, body) in cases {
            if self.holds(condition)? {
                return self.run(body);
            }
        }
        self.run(otherwise)
    }

    /// Returns whether an expression counts as true.
    pub(super) fn holds(&mut self, condition: &Expression) -> Result<bool, Trouble> {
        let value = self.evaluate(condition)?;
        Ok(self.heap.truth(&value))
    }

    fn repeat(
        &mut self,
        target: &Target,
        over: &Expression,
        body: &Block,
    ) -> Result<Flow, Trouble> {
        let (over, mut place) = (self.evaluate(over)?, 0);
        self.heap.hold(&over, 1);
        let mut ended = Flow::Next;
        while let Some(value) = self.heap.next(&over, &mut place)? {
            self.assign(target, value)?;
            match self.run(body)? {
                Flow::Break => break,
                flow @ Flow::Return(_) => {
                    ended = flow;
                    break;
                }
                _ => {}
            }
        }
        self.heap.hold(&over, -1);
        Ok(ended)
    }

    fn repeat_while(&mut self, condition: &Expression, body: &Block) -> Result<Flow, Trouble> {
        while self.holds(condition)? {
            match self.run(body)? {
                Flow::Break => break,
                flow @ Flow::Return(_) => return Ok(flow),
                _ => {}
            }
        }
        Ok(Flow::Next)
    }

    /// Gives a name of the frame a value.
    fn put(&mut self, name: &Name, value: Value) {
        self.heap.frames[self.frame]
            .values
            .insert(name.clone(), value);
    }

    /// Assigns a value to a target.
    pub(super) fn assign(&mut self, target: &Target, value: Value) -> Result<(), Trouble> {
        match target {
            Target::Name(name) => {
                self.put(name, value);
                Ok(())
            }
            Target::Index(of, index) => {
                let (of, index) = (self.evaluate(of)?, self.evaluate(index)?);
                self.heap.set_index(&of, index, value)
            }
            Target::Several(targets) => self.unpack(targets, &value),
        }
    }

    fn unpack(&mut self, targets: &[Target], value: &Value) -> Result<(), Trouble> {
        let parts = self.heap.parts(value)?;
        if parts.len() != targets.len() {
            let (got, want) = (parts.len(), targets.len());
            return Err(
                format!("wrong number of values to unpack (got {got}, want {want})").into(),
            );
        }
        for (target, part) in targets.iter().zip(parts) {
            self.assign(target, part)?;
        }
        Ok(())
    }

    fn augment(
        &mut self,
        target: &Target,
        operator: &'static str,
        by: &Expression,
    ) -> Result<(), Trouble> {
        match target {
            Target::Name(name) => {
                let (now, by) = (self.find(name)?, self.evaluate(by)?);
                let value = self.heap.augmented(operator, &now, &by)?;
                self.put(name, value);
                Ok(())
            }
            Target::Index(of, index) => {
                let (of, index) = (self.evaluate(of)?, self.evaluate(index)?);
                let (now, by) = (self.heap.index(&of, &index)?, self.evaluate(by)?);
                let value = self.heap.augmented(operator, &now, &by)?;
                self.heap.set_index(&of, index, value)
            }
            Target::Several(_) => Err("can't assign to several targets with an operator".into()),
        }
    }

    /// Returns the value of a name: of the frame, of one around it, of the script, or of this program.
    pub(super) fn find(&mut self, name: &Name) -> Result<Value, Trouble> {
        let mut at = self.frame;
        loop {
            self.heap.meter.step(1)?;
            let frame = &self.heap.frames[at];
            match (frame.values.get(name), frame.parent) {
                (Some(value), _) => return Ok(value.clone()),
                (None, None) => {
                    return super::builtin::find(name)
                        .ok_or_else(|| format!("undefined: {name}").into());
                }
                (None, Some(_)) if frame.locals.contains(name) => {
                    return Err(
                        format!("local variable {name} referenced before assignment").into(),
                    );
                }
                (None, Some(parent)) => at = parent,
            }
        }
    }

    /// Returns a new function, which keeps the frames that it may need.
    pub(super) fn function(&mut self, definition: &Rc<Definition>) -> Result<Value, Trouble> {
        let mut defaults = Vec::new();
        for parameter in &definition.parameters {
            defaults.push(match &parameter.way {
                Way::Any(Some(default)) | Way::Named(Some(default)) => {
                    Some(self.evaluate(default)?)
                }
                _ => None,
            });
        }
        let mut around = Some(self.frame);
        while let Some(at) = around {
            let frame = &mut self.heap.frames[at];
            around = if frame.kept { None } else { frame.parent };
            frame.kept = true;
        }
        self.heap.meter.take(super::value::size(defaults.len()))?;
        self.heap.functions.push(Rc::new(Function {
            definition: definition.clone(),
            defaults,
            frame: self.frame,
        }));
        Ok(Value::Function(self.heap.functions.len() - 1))
    }

    /// Returns what a call of a value returns.
    pub(super) fn call(&mut self, callee: &Value, arguments: Arguments) -> Result<Value, Trouble> {
        match callee {
            Value::Function(function) => {
                let function = self.heap.functions[*function].clone();
                self.call_function(&function, arguments)
            }
            Value::Builtin(name) => self.call_builtin(name, arguments),
            Value::Method(method) => {
                let (of, name) = self.heap.methods[*method].clone();
                self.call_method(&of, &name, &arguments)
            }
            _ => Err(format!("invalid call of non-function ({})", callee.kind()).into()),
        }
    }

    fn call_function(
        &mut self,
        function: &Function,
        arguments: Arguments,
    ) -> Result<Value, Trouble> {
        self.heap.meter.enter()?;
        let definition = &function.definition;
        let frame = self.heap.frame(&definition.locals, function.frame)?;
        self.bind(frame, function, arguments)?;
        let caller = std::mem::replace(&mut self.frame, frame);
        let flow = self.run(&definition.body)?;
        self.frame = caller;
        self.heap.free(frame);
        self.heap.meter.leave();
        Ok(match flow {
            Flow::Return(value) => value,
            _ => Value::None,
        })
    }

    /// Gives the parameters of a function their arguments.
    fn bind(
        &mut self,
        frame: usize,
        function: &Function,
        arguments: Arguments,
    ) -> Result<(), Trouble> {
        let definition = &function.definition;
        let (mut places, mut names) = (arguments.places.into_iter(), arguments.names);
        for (parameter, default) in definition.parameters.iter().zip(&function.defaults) {
            let value = match &parameter.way {
                Way::Places => self.heap.tuple(places.by_ref().collect())?,
                Way::Names => self.names(std::mem::take(&mut names))?,
                way => {
                    let place = if matches!(way, Way::Any(_)) {
                        places.next()
                    } else {
                        None
                    };
                    let name = take(&mut names, &parameter.name);
                    chosen(definition, parameter, place, name)?
                        .or_else(|| default.clone())
                        .ok_or_else(|| {
                            format!(
                                "function {} missing an argument for {}",
                                definition.name, parameter.name
                            )
                        })?
                }
            };
            self.heap.frames[frame]
                .values
                .insert(parameter.name.clone(), value);
        }
        if places.next().is_some() {
            return Err(format!(
                "function {} got too many positional arguments",
                definition.name
            )
            .into());
        }
        if let Some((name, _)) = names.first() {
            return Err(format!(
                "function {} got an unexpected keyword argument {name}",
                definition.name
            )
            .into());
        }
        Ok(())
    }

    fn names(&mut self, names: Vec<(Name, Value)>) -> Result<Value, Trouble> {
        let dict = self.heap.empty()?;
        for (name, value) in names {
            self.heap.insert(dict, Value::Text(name), value)?;
        }
        Ok(Value::Dict(dict))
    }
}

fn take(names: &mut Vec<(Name, Value)>, wanted: &Name) -> Option<Value> {
    let place = names.iter().position(|(name, _)| name == wanted)?;
    Some(names.remove(place).1)
}

fn chosen(
    definition: &Definition,
    parameter: &Parameter,
    place: Option<Value>,
    name: Option<Value>,
) -> Result<Option<Value>, Trouble> {
    if place.is_some() && name.is_some() {
        let (function, name) = (&definition.name, &parameter.name);
        return Err(format!("function {function} got multiple values for parameter {name}").into());
    }
    Ok(place.or(name))
}
