//! The parser: tokens in, statements out. What nests too deeply is refused, so that nothing that walks a tree runs out of stack.

use std::{collections::HashSet, rc::Rc};

use super::{
    token::{Token, tokens},
    tree::{
        At, Block, Deed, Definition, Expression, Kind, Name, Parameter, Statement, Target, Trouble,
        Way, assigned,
    },
};

/// Most levels of expressions and statements within each other.
const MOST_DEPTH: usize = 100;

/// Most parameters of a function.
const MOST_PARAMETERS: usize = 255;

/// Signs that assign with an operator.
const AUGMENTS: &[(&str, &str)] = &[
    ("+=", "+"),
    ("-=", "-"),
    ("*=", "*"),
    ("/=", "/"),
    ("//=", "//"),
    ("%=", "%"),
    ("&=", "&"),
    ("|=", "|"),
    ("^=", "^"),
    ("<<=", "<<"),
    (">>=", ">>"),
];

/// Returns the statements of a script.
///
/// # Errors
/// [`Trouble`] where the script is not one.
pub(super) fn parse(text: &str) -> Result<Block, Trouble> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        functions: 0,
        loops: 0,
    };
    let mut block = Block::new();
    while !parser.is_next(&Token::End) {
        parser.statement(&mut block)?;
    }
    Ok(block)
}

pub(super) struct Parser {
    tokens: Vec<(At, Token)>,
    next: usize,
    depth: usize,
    /// How many functions and how many loops this is in.
    functions: usize,
    loops: usize,
}

impl Parser {
    /// Returns the place of the next token.
    pub(super) fn at(&self) -> At {
        self.tokens[self.next].0
    }

    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn is_next(&self, token: &Token) -> bool {
        self.peek() == token
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(next) if *next == sign)
    }

    /// Returns the next token, which is passed; the end stays.
    pub(super) fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    /// Passes a sign if it is next, and returns whether it was.
    pub(super) fn passes(&mut self, sign: &str) -> bool {
        let is_next = self.is_sign(sign);
        if is_next {
            self.take();
        }
        is_next
    }

    pub(super) fn expect(&mut self, sign: &str) -> Result<(), Trouble> {
        if self.passes(sign) {
            return Ok(());
        }
        self.wanted(&format!("'{sign}'"))
    }

    pub(super) fn wanted<T>(&self, what: &str) -> Result<T, Trouble> {
        let got = self.peek().shown();
        Err(Trouble::at(self.at(), format!("got {got}, want {what}")))
    }

    pub(super) fn name(&mut self) -> Result<Name, Trouble> {
        match self.peek().clone() {
            Token::Name(name) => {
                self.take();
                Ok(name)
            }
            _ => self.wanted("identifier"),
        }
    }

    /// Does something one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        what: impl FnOnce(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if self.depth >= MOST_DEPTH {
            return Err(Trouble::at(self.at(), "the script nests too deeply"));
        }
        self.depth += 1;
        let done = what(self);
        self.depth -= 1;
        done
    }

    fn statement(&mut self, into: &mut Block) -> Result<(), Trouble> {
        let at = self.at();
        let deed = match self.peek() {
            Token::Sign("if") => self.deeper(Self::choice)?,
            Token::Sign("for") => self.deeper(Self::for_loop)?,
            Token::Sign("while") => self.deeper(Self::while_loop)?,
            Token::Sign("def") => self.deeper(Self::definition)?,
            _ => return self.line(into),
        };
        into.push(Statement { at, deed });
        Ok(())
    }

    /// Reads a line of simple statements.
    fn line(&mut self, into: &mut Block) -> Result<(), Trouble> {
        loop {
            let at = self.at();
            let deed = self.simple()?;
            into.push(Statement { at, deed });
            if !self.passes(";") || self.is_next(&Token::Newline) {
                break;
            }
        }
        if !self.is_next(&Token::Newline) {
            return self.wanted("newline");
        }
        self.take();
        Ok(())
    }

    fn simple(&mut self) -> Result<Deed, Trouble> {
        let at = self.at();
        if self.passes("pass") {
            return Ok(Deed::Pass);
        }
        for (word, deed) in [("break", Deed::Break), ("continue", Deed::Continue)] {
            if self.passes(word) {
                let told = format!("{word} not in a loop");
                return (self.loops > 0)
                    .then_some(deed)
                    .ok_or_else(|| Trouble::at(at, told));
            }
        }
        if self.passes("return") {
            if self.functions == 0 {
                return Err(Trouble::at(at, "return statement not within a function"));
            }
            let is_bare = self.is_next(&Token::Newline) || self.is_sign(";");
            return Ok(Deed::Return(if is_bare {
                None
            } else {
                Some(self.expressions()?)
            }));
        }
        if self.passes("load") {
            return self.load();
        }
        let left = self.expressions()?;
        if self.passes("=") {
            return Ok(Deed::Assign(target(left)?, self.expressions()?));
        }
        let augment = AUGMENTS.iter().find(|(sign, _)| self.is_sign(sign));
        let Some((_, operator)) = augment else {
            return Ok(Deed::Expression(left));
        };
        self.take();
        let target = target(left)?;
        if matches!(target, Target::Several(_)) {
            return Err(Trouble::at(
                at,
                "can't assign to several targets with an operator",
            ));
        }
        Ok(Deed::Augment(target, operator, self.expressions()?))
    }

    fn load(&mut self) -> Result<Deed, Trouble> {
        self.expect("(")?;
        let module = self.text()?;
        let mut names = Vec::new();
        while self.passes(",") && !self.is_sign(")") {
            if let Token::Text(there) = self.peek().clone() {
                self.take();
                names.push((there.clone(), there));
                continue;
            }
            let here = self.name()?;
            self.expect("=")?;
            names.push((here, self.text()?));
        }
        self.expect(")")?;
        Ok(Deed::Load(module, names))
    }

    fn text(&mut self) -> Result<Name, Trouble> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.take();
                Ok(text)
            }
            _ => self.wanted("string literal"),
        }
    }

    fn block(&mut self) -> Result<Block, Trouble> {
        self.expect(":")?;
        let mut block = Block::new();
        if !self.is_next(&Token::Newline) {
            self.line(&mut block)?;
            return Ok(block);
        }
        self.take();
        if !self.is_next(&Token::Indent) {
            return self.wanted("indent");
        }
        self.take();
        while !matches!(self.peek(), Token::Dedent | Token::End) {
            self.statement(&mut block)?;
        }
        self.take();
        Ok(block)
    }

    fn choice(&mut self) -> Result<Deed, Trouble> {
        self.take();
        let mut cases = vec![(self.expression()?, self.block()?)];
        while self.passes("elif") {
            cases.push((self.expression()?, self.block()?));
        }
        let otherwise = if self.passes("else") {
            self.block()?
        } else {
            Block::new()
        };
        Ok(Deed::If(cases, otherwise))
    }

    fn for_loop(&mut self) -> Result<Deed, Trouble> {
        self.take();
        let variable = self.variables()?;
        self.expect("in")?;
        let over = self.expressions()?;
        Ok(Deed::For(variable, over, self.looped()?))
    }

    fn while_loop(&mut self) -> Result<Deed, Trouble> {
        self.take();
        Ok(Deed::While(self.expression()?, self.looped()?))
    }

    fn looped(&mut self) -> Result<Block, Trouble> {
        self.loops += 1;
        let body = self.block();
        self.loops -= 1;
        body
    }

    fn definition(&mut self) -> Result<Deed, Trouble> {
        self.take();
        let name = self.name()?;
        self.expect("(")?;
        let parameters = self.parameters(")")?;
        self.expect(")")?;
        let loops = std::mem::take(&mut self.loops);
        self.functions += 1;
        let body = self.block();
        self.functions -= 1;
        self.loops = loops;
        Ok(Deed::Define(define(name, parameters, body?)))
    }

    /// Reads parameters up to a sign.
    pub(super) fn parameters(&mut self, end: &str) -> Result<Vec<Parameter>, Trouble> {
        let (mut parameters, mut only_names) = (Vec::<Parameter>::new(), false);
        while !self.is_sign(end) {
            let at = self.at();
            if parameters.len() >= MOST_PARAMETERS {
                return Err(Trouble::at(at, "too many parameters"));
            }
            let (is_places, is_names) = (self.passes("*"), self.passes("**"));
            if is_places && (self.is_sign(",") || self.is_sign(end)) {
                only_names = true;
            } else {
                let name = self.name()?;
                if parameters.iter().any(|parameter| parameter.name == name) {
                    return Err(Trouble::at(at, format!("duplicate parameter: {name}")));
                }
                let way = match (is_places, is_names) {
                    (true, _) => Way::Places,
                    (_, true) => Way::Names,
                    _ => self.way(only_names)?,
                };
                only_names |= is_places;
                parameters.push(Parameter { name, way });
            }
            if !self.passes(",") {
                break;
            }
        }
        Ok(parameters)
    }

    fn way(&mut self, is_named: bool) -> Result<Way, Trouble> {
        let default = if self.passes("=") {
            Some(self.expression()?)
        } else {
            None
        };
        Ok(if is_named {
            Way::Named(default)
        } else {
            Way::Any(default)
        })
    }
}

/// Returns a function with its local names.
pub(super) fn define(name: Name, parameters: Vec<Parameter>, body: Block) -> Rc<Definition> {
    let mut locals: HashSet<Name> = parameters
        .iter()
        .map(|parameter| parameter.name.clone())
        .collect();
    assigned(&body, &mut locals);
    Rc::new(Definition {
        name,
        parameters,
        body,
        locals: Rc::new(locals),
    })
}

/// Returns an expression as something that can be assigned to.
pub(super) fn target(expression: Expression) -> Result<Target, Trouble> {
    match expression.kind {
        Kind::Name(name) => Ok(Target::Name(name)),
        Kind::Index(both) => Ok(Target::Index(both.0, both.1)),
        Kind::List(parts) | Kind::Tuple(parts) => {
            let targets: Result<_, _> = parts.into_iter().map(target).collect();
            Ok(Target::Several(targets?))
        }
        Kind::Attribute(..) => Err(Trouble::at(expression.at, "can't assign to a field")),
        _ => Err(Trouble::at(expression.at, "can't assign to an expression")),
    }
}
