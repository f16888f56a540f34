//! Expressions: operators by how tightly they bind, and what they hold together.

use super::{
    parse::{Parser, define, target},
    token::Token,
    tree::{
        Argument, Clause, Comprehension, Deed, Expression, Kind, Statement, Target, Trouble, Yield,
    },
};

/// Most operators and suffixes that follow each other on one level.
const MOST_CHAIN: usize = 500;

/// Operators of two sides, loosest first.
const LEVELS: &[&[&str]] = &[
    &["or"],
    &["and"],
    &["not"],
    &["==", "!=", "<", ">", "<=", ">=", "in"],
    &["|"],
    &["^"],
    &["&"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "//", "%"],
];
/// The level of `not`, which stands before one side; `not in` is a comparison.
const NOT: usize = 2;

impl Parser {
    /// Reads an expression, or several with commas, which are a tuple.
    pub(super) fn expressions(&mut self) -> Result<Expression, Trouble> {
        let first = self.expression()?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let (at, mut parts) = (first.at, vec![first]);
        while self.passes(",") && !self.ends() {
            parts.push(self.expression()?);
        }
        let kind = Kind::Tuple(parts);
        Ok(Expression { at, kind })
    }

    /// Returns whether no expression can follow.
    fn ends(&self) -> bool {
        matches!(
            self.peek(),
            Token::Newline | Token::End | Token::Sign(")" | "]" | "}" | "=" | ":" | ";" | "in")
        )
    }

    pub(super) fn expression(&mut self) -> Result<Expression, Trouble> {
        self.deeper(|parser| {
            if parser.is_sign("lambda") {
                return parser.lambda();
            }
            let then = parser.level(0)?;
            if !parser.passes("if") {
                return Ok(then);
            }
            let condition = parser.level(0)?;
            parser.expect("else")?;
            let (at, otherwise) = (then.at, parser.expression()?);
            let kind = Kind::Choice(Box::new((then, condition, otherwise)));
            Ok(Expression { at, kind })
        })
    }

    fn lambda(&mut self) -> Result<Expression, Trouble> {
        let at = self.at();
        self.take();
        let parameters = self.parameters(":")?;
        self.expect(":")?;
        let body = self.expression()?;
        let deed = Deed::Return(Some(body));
        let kind = Kind::Lambda(define(
            "lambda".into(),
            parameters,
            vec![Statement { at, deed }],
        ));
        Ok(Expression { at, kind })
    }

    /// Reads what binds at least as tightly as a level.
    fn level(&mut self, level: usize) -> Result<Expression, Trouble> {
        if level == LEVELS.len() {
            return self.unary();
        }
        if level == NOT {
            return self.negation();
        }
        let mut left = self.level(level + 1)?;
        for _ in 0..MOST_CHAIN {
            let Some(operator) = self.operator(level)? else {
                return Ok(left);
            };
            let (at, right) = (left.at, self.level(level + 1)?);
            let kind = Kind::Binary(operator, Box::new((left, right)));
            left = Expression { at, kind };
        }
        Err(Trouble::at(self.at(), "the expression is too long"))
    }

    fn negation(&mut self) -> Result<Expression, Trouble> {
        let at = self.at();
        if !self.passes("not") {
            return self.level(NOT + 1);
        }
        let inner = self.deeper(Self::negation)?;
        let kind = Kind::Unary("not", Box::new(inner));
        Ok(Expression { at, kind })
    }

    /// Passes an operator of a level, and returns it.
    fn operator(&mut self, level: usize) -> Result<Option<&'static str>, Trouble> {
        if LEVELS[level].contains(&"in") && self.passes("not") {
            self.expect("in")?;
            return Ok(Some("not in"));
        }
        let found = LEVELS[level].iter().find(|sign| self.is_sign(sign));
        if found.is_some() {
            self.take();
        }
        Ok(found.copied())
    }

    fn unary(&mut self) -> Result<Expression, Trouble> {
        let at = self.at();
        for sign in ["-", "+", "~"] {
            if self.passes(sign) {
                let inner = self.deeper(Self::unary)?;
                let kind = Kind::Unary(sign, Box::new(inner));
                return Ok(Expression { at, kind });
            }
        }
        self.suffixed()
    }

    /// Reads a primary expression with its fields, indexes and calls.
    fn suffixed(&mut self) -> Result<Expression, Trouble> {
        let mut inner = self.primary()?;
        for _ in 0..MOST_CHAIN {
            let at = self.at();
            let kind = if self.passes(".") {
                Kind::Attribute(Box::new(inner), self.name()?)
            } else if self.passes("[") {
                self.index(inner)?
            } else if self.passes("(") {
                Kind::Call(Box::new(inner), self.arguments()?)
            } else {
                return Ok(inner);
            };
            inner = Expression { at, kind };
        }
        Err(Trouble::at(self.at(), "the expression is too long"))
    }

    fn index(&mut self, inner: Expression) -> Result<Kind, Trouble> {
        let mut parts = [None, None, None];
        let mut is_slice = false;
        for (number, part) in parts.iter_mut().enumerate() {
            if number > 0 {
                if !self.passes(":") {
                    break;
                }
                is_slice = true;
            }
            if !self.is_sign(":") && !self.is_sign("]") {
                *part = Some(self.expressions()?);
            }
        }
        if !self.passes("]") {
            return self.wanted("']'");
        }
        match parts {
            [Some(index), None, None] if !is_slice => Ok(Kind::Index(Box::new((inner, index)))),
            [None, ..] if !is_slice => self.wanted("primary expression"),
            parts => Ok(Kind::Slice(Box::new(inner), Box::new(parts))),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Argument>, Trouble> {
        let mut arguments = Vec::new();
        while !self.is_sign(")") {
            arguments.push(self.argument()?);
            if !self.passes(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    fn argument(&mut self) -> Result<Argument, Trouble> {
        if self.passes("*") {
            return Ok(Argument::Places(self.expression()?));
        }
        if self.passes("**") {
            return Ok(Argument::Names(self.expression()?));
        }
        let value = self.expression()?;
        if !self.is_sign("=") {
            return Ok(Argument::Place(value));
        }
        let Kind::Name(name) = value.kind else {
            return Err(Trouble::at(
                value.at,
                "keyword argument must have form name=expr",
            ));
        };
        self.take();
        Ok(Argument::Name(name, self.expression()?))
    }

    fn primary(&mut self) -> Result<Expression, Trouble> {
        let at = self.at();
        let kind = match self.peek().clone() {
            Token::Name(name) => Kind::Name(name),
            Token::Int(int) => Kind::Int(int),
            Token::Float(float) => Kind::Float(float),
            Token::Text(text) => Kind::Text(text),
            Token::Sign("(") => return self.parentheses(),
            Token::Sign("[") => return self.deeper(Self::list),
            Token::Sign("{") => return self.deeper(Self::dict),
            _ => return self.wanted("primary expression"),
        };
        self.take();
        Ok(Expression { at, kind })
    }

    fn parentheses(&mut self) -> Result<Expression, Trouble> {
        let at = self.at();
        self.take();
        if self.passes(")") {
            let kind = Kind::Tuple(Vec::new());
            return Ok(Expression { at, kind });
        }
        let inner = self.expressions()?;
        self.expect(")")?;
        Ok(inner)
    }

    fn list(&mut self) -> Result<Expression, Trouble> {
        let at = self.at();
        self.take();
        let mut items = Vec::new();
        while !self.is_sign("]") {
            items.push(self.expression()?);
            if self.is_sign("for") && items.len() == 1 {
                let yields = items.pop().map(Yield::Item);
                return self.comprehension(yields, "]");
            }
            if !self.passes(",") {
                break;
            }
        }
        self.expect("]")?;
        let kind = Kind::List(items);
        Ok(Expression { at, kind })
    }

    fn dict(&mut self) -> Result<Expression, Trouble> {
        let at = self.at();
        self.take();
        let mut entries = Vec::new();
        while !self.is_sign("}") {
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
            if self.is_sign("for") && entries.len() == 1 {
                let yields = entries.pop().map(|(key, value)| Yield::Entry(key, value));
                return self.comprehension(yields, "}");
            }
            if !self.passes(",") {
                break;
            }
        }
        self.expect("}")?;
        let kind = Kind::Dict(entries);
        Ok(Expression { at, kind })
    }

    fn comprehension(&mut self, yields: Option<Yield>, end: &str) -> Result<Expression, Trouble> {
        let at = self.at();
        let mut clauses = Vec::new();
        while clauses.len() < MOST_CHAIN {
            if self.passes("for") {
                let variable = self.variables()?;
                self.expect("in")?;
                clauses.push(Clause::For(variable, self.level(0)?));
            } else if self.passes("if") {
                clauses.push(Clause::If(self.level(0)?));
            } else {
                break;
            }
        }
        self.expect(end)?;
        let Some(yields) = yields else {
            return self.wanted("primary expression");
        };
        let kind = Kind::Comprehension(Box::new(Comprehension { yields, clauses }));
        Ok(Expression { at, kind })
    }

    /// Reads the variables of a loop, up to its `in`.
    pub(super) fn variables(&mut self) -> Result<Target, Trouble> {
        let first = target(self.suffixed()?)?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.passes(",") && !self.is_sign("in") {
            targets.push(target(self.suffixed()?)?);
        }
        Ok(Target::Several(targets))
    }
}
