//! A script as a tree: what the parser makes and the machine walks. Data only.

use std::{collections::HashSet, rc::Rc};

/// A name in a script.
pub(super) type Name = Rc<str>;

/// A place in a script, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What went wrong with a script, and where if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) message: String,
    pub(super) at: Option<At>,
}

impl Trouble {
    /// Returns trouble at a place.
    pub(super) fn at(at: At, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: Some(at),
        }
    }

    /// Returns this with its place, if it has none yet: the innermost one tells most.
    pub(super) fn or_at(self, at: At) -> Self {
        Self {
            at: self.at.or(Some(at)),
            ..self
        }
    }
}

impl<T: Into<String>> From<T> for Trouble {
    fn from(message: T) -> Self {
        Self {
            message: message.into(),
            at: None,
        }
    }
}

/// Statements, one after the other.
pub(super) type Block = Vec<Statement>;

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) at: At,
    pub(super) deed: Deed,
}

#[derive(Debug)]
pub(super) enum Deed {
    Expression(Expression),
    Assign(Target, Expression),
    /// `target op= expression`; the sign is that of the operator alone.
    Augment(Target, &'static str, Expression),
    /// Each condition with what is done if it is the first that holds, and what is done if none does.
    If(Vec<(Expression, Block)>, Block),
    For(Target, Expression, Block),
    While(Expression, Block),
    Define(Rc<Definition>),
    Return(Option<Expression>),
    /// Names here and names there, of a module.
    Load(Name, Vec<(Name, Name)>),
    Break,
    Continue,
    Pass,
}

#[derive(Debug)]
pub(super) enum Target {
    Name(Name),
    Index(Expression, Expression),
    Several(Vec<Target>),
}

/// A function as it is written.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: Name,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Block,
    /// All names that are assigned to in it.
    pub(super) locals: Rc<HashSet<Name>>,
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: Name,
    pub(super) way: Way,
}

/// How a parameter gets its argument.
#[derive(Debug)]
pub(super) enum Way {
    /// By place or by name.
    Any(Option<Expression>),
    /// By name only.
    Named(Option<Expression>),
    /// All places that are left.
    Places,
    /// All names that are left.
    Names,
}

#[derive(Debug)]
pub(super) struct Expression {
    pub(super) at: At,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Int(i128),
    Float(f64),
    Text(Rc<str>),
    Name(Name),
    List(Vec<Expression>),
    Tuple(Vec<Expression>),
    Dict(Vec<(Expression, Expression)>),
    Comprehension(Box<Comprehension>),
    Unary(&'static str, Box<Expression>),
    Binary(&'static str, Box<(Expression, Expression)>),
    /// `then if condition else otherwise`, in this order.
    Choice(Box<(Expression, Expression, Expression)>),
    Attribute(Box<Expression>, Name),
    Index(Box<(Expression, Expression)>),
    /// From, to and step.
    Slice(Box<Expression>, Box<[Option<Expression>; 3]>),
    Call(Box<Expression>, Vec<Argument>),
    Lambda(Rc<Definition>),
}

#[derive(Debug)]
pub(super) enum Argument {
    Place(Expression),
    Name(Name, Expression),
    Places(Expression),
    Names(Expression),
}

#[derive(Debug)]
pub(super) struct Comprehension {
    pub(super) yields: Yield,
    pub(super) clauses: Vec<Clause>,
}

#[derive(Debug)]
pub(super) enum Yield {
    Item(Expression),
    Entry(Expression, Expression),
}

#[derive(Debug)]
pub(super) enum Clause {
    For(Target, Expression),
    If(Expression),
}

/// Puts all names that are assigned to in a block into a set; those of functions within are not.
pub(super) fn assigned(block: &Block, into: &mut HashSet<Name>) {
    for statement in block {
        match &statement.deed {
            Deed::Assign(target, _) | Deed::Augment(target, ..) => named(target, into),
            Deed::For(target, _, body) => {
                named(target, into);
                assigned(body, into);
            }
            Deed::While(_, body) => assigned(body, into),
            Deed::If(cases, otherwise) => {
                for (_, body) in cases {
                    assigned(body, into);
                }
                assigned(otherwise, into);
            }
            Deed::Define(definition) => {
                into.insert(definition.name.clone());
            }
            Deed::Load(_, names) => into.extend(names.iter().map(|(here, _)| here.clone())),
            _ => {}
        }
    }
}

/// Puts all names of a target into a set.
fn named(target: &Target, into: &mut HashSet<Name>) {
    match target {
        Target::Name(name) => {
            into.insert(name.clone());
        }
        Target::Several(targets) => {
            for target in targets {
                named(target, into);
            }
        }
        Target::Index(..) => {}
    }
}
