//! The words and signs of a script. Text in, tokens out, with line ends and changes of indentation as tokens of their own.

use std::rc::Rc;

use super::tree::{At, Name, Trouble};

/// Words that can't be names, and signs; of signs that begin alike, the longest first.
const WORDS: &[&str] = &[
    "and", "break", "continue", "def", "elif", "else", "for", "if", "in", "lambda", "load", "not",
    "or", "pass", "return", "while",
];
const RESERVED: &[&str] = &[
    "as", "assert", "async", "await", "class", "del", "except", "finally", "from", "global",
    "import", "is", "nonlocal", "raise", "try", "with", "yield",
];
const SIGNS: &[&str] = &[
    "//=", "<<=", ">>=", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "+=", "-=", "*=", "/=",
    "%=", "&=", "|=", "^=", "+", "-", "*", "/", "%", "<", ">", "=", ".", ",", ";", ":", "(", ")",
    "[", "]", "{", "}", "&", "|", "^", "~",
];
/// Most levels of indentation.
const MOST_INDENTS: usize = 50;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(Name),
    Int(i128),
    Float(f64),
    Text(Rc<str>),
    /// A sign, or a word with a meaning.
    Sign(&'static str),
    Newline,
    Indent,
    Dedent,
    End,
}

impl Token {
    /// Returns how the token is called in messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(_) => "identifier".into(),
            Self::Int(_) => "int literal".into(),
            Self::Float(_) => "float literal".into(),
            Self::Text(_) => "string literal".into(),
            Self::Sign(sign) if sign.starts_with(|c: char| c.is_alphabetic()) => (*sign).into(),
            Self::Sign(sign) => format!("'{sign}'"),
            Self::Newline => "newline".into(),
            Self::Indent => "indent".into(),
            Self::Dedent => "outdent".into(),
            Self::End => "end of file".into(),
        }
    }
}

/// Returns the tokens of a script, each with its place; the last is the end.
///
/// # Errors
/// [`Trouble`] where the text is no token.
pub(super) fn tokens(text: &str) -> Result<Vec<(At, Token)>, Trouble> {
    let mut lexer = Lexer {
        rest: text,
        at: At { line: 1, column: 1 },
        open: 0,
        indents: vec![0],
        found: Vec::new(),
    };
    lexer.begin_line()?;
    while !lexer.rest.is_empty() {
        lexer.step()?;
    }
    lexer.end();
    Ok(lexer.found)
}

struct Lexer<'text> {
    rest: &'text str,
    at: At,
    /// How many brackets are open: in them, lines do not count.
    open: usize,
    indents: Vec<usize>,
    found: Vec<(At, Token)>,
}

impl Lexer<'_> {
    fn trouble<T>(&self, message: impl Into<String>) -> Result<T, Trouble> {
        Err(Trouble::at(self.at, message))
    }

    fn push(&mut self, at: At, token: Token) {
        self.found.push((at, token));
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.at.line += 1;
            self.at.column = 1;
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) -> usize {
        let mut count = 0;
        while self.peek().is_some_and(&wanted) {
            self.next();
            count += 1;
        }
        count
    }

    /// Reads the indentation of a line; lines with nothing on them have none.
    fn begin_line(&mut self) -> Result<(), Trouble> {
        loop {
            let width = self.skip_while(|c| c == ' ' || c == '\t');
            match self.peek() {
                Some('#') => {
                    self.skip_while(|c| c != '\n');
                }
                Some('\r' | '\n') => {
                    self.next();
                }
                None => return Ok(()),
                Some(_) => return self.indent(width),
            }
        }
    }

    fn indent(&mut self, width: usize) -> Result<(), Trouble> {
        let now = self.indents.last().copied().unwrap_or_default();
        if width > now {
            if self.indents.len() > MOST_INDENTS {
                return self.trouble("too many levels of indentation");
            }
            self.indents.push(width);
            self.push(self.at, Token::Indent);
            return Ok(());
        }
        while self.indents.last().is_some_and(|last| *last > width) {
            self.indents.pop();
            self.push(self.at, Token::Dedent);
        }
        if self.indents.last() != Some(&width) {
            return self.trouble("unindent does not match any outer indentation level");
        }
        Ok(())
    }

    fn end(&mut self) {
        let at = self.at;
        if !matches!(self.found.last(), None | Some((_, Token::Newline))) {
            self.push(at, Token::Newline);
        }
        for _ in 1..self.indents.len() {
            self.push(at, Token::Dedent);
        }
        self.push(at, Token::End);
    }

    fn step(&mut self) -> Result<(), Trouble> {
        let Some(c) = self.peek() else { return Ok(()) };
        match c {
            ' ' | '\t' | '\r' => self.skip(1),
            '#' => {
                self.skip_while(|c| c != '\n');
            }
            '\\' if self.rest.starts_with("\\\n") => self.skip(2),
            '\\' if self.rest.starts_with("\\\r\n") => self.skip(3),
            '\n' if self.open > 0 => self.skip(1),
            '\n' => {
                self.push(self.at, Token::Newline);
                self.next();
                self.begin_line()?;
            }
            '"' | '\'' => self.text(false)?,
            'r' if self.rest.starts_with("r\"") || self.rest.starts_with("r'") => {
                self.text(true)?;
            }
            c if c.is_ascii_digit() => self.number()?,
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
            c if c.is_alphabetic() || c == '_' => self.word()?,
            _ => self.sign()?,
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Trouble> {
        let (at, text) = (self.at, self.rest);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.skip_while(is_part);
        let word = &text[..text.len() - self.rest.len()];
        if RESERVED.contains(&word) {
            return Err(Trouble::at(at, format!("reserved word {word:?}")));
        }
        let known = WORDS.iter().find(|known| **known == word);
        let token = known.map_or_else(|| Token::Name(word.into()), |sign| Token::Sign(sign));
        self.push(at, token);
        Ok(())
    }

    fn sign(&mut self) -> Result<(), Trouble> {
        let known = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
        let Some(sign) = known else {
            let c = self.peek().unwrap_or_default();
            return self.trouble(format!("unexpected input character {c:?}"));
        };
        match *sign {
            "(" | "[" | "{" => self.open += 1,
            ")" | "]" | "}" => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        self.push(self.at, Token::Sign(sign));
        self.skip(sign.len());
        Ok(())
    }

    fn number(&mut self) -> Result<(), Trouble> {
        let (at, text) = (self.at, self.rest);
        self.skip_while(|c| c.is_ascii_alphanumeric() || c == '.');
        let mut word = &text[..text.len() - self.rest.len()];
        let is_plain = !word.starts_with("0x") && !word.starts_with("0X");
        if is_plain && word.ends_with(['e', 'E']) && self.rest.starts_with(['+', '-']) {
            self.skip(1);
            self.skip_while(|c| c.is_ascii_digit());
            word = &text[..text.len() - self.rest.len()];
        }
        let token = number(word).ok_or_else(|| Trouble::at(at, format!("invalid number {word:?}")));
        self.push(at, token?);
        Ok(())
    }

    fn text(&mut self, is_raw: bool) -> Result<(), Trouble> {
        let at = self.at;
        self.skip(usize::from(is_raw));
        let quote = if self.rest.starts_with('"') {
            '"'
        } else {
            '\''
        };
        let three: String = [quote; 3].iter().collect();
        let is_long = self.rest.starts_with(&three);
        self.skip(if is_long { 3 } else { 1 });
        let mut text = String::new();
        loop {
            if is_long && self.rest.starts_with(&three) {
                self.skip(3);
                break;
            }
            match self.next() {
                Some(c) if c == quote && !is_long => break,
                None => return Err(Trouble::at(at, "unexpected EOF in string")),
                Some('\n') if !is_long => {
                    return Err(Trouble::at(at, "unexpected newline in string"));
                }
                Some('\\') if is_raw => {
                    text.push('\\');
                    text.extend(self.next());
                }
                Some('\\') => self.escape(&mut text)?,
                Some(c) => text.push(c),
            }
        }
        self.push(at, Token::Text(text.into()));
        Ok(())
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, into: &mut String) -> Result<(), Trouble> {
        let plain = match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('\n') => return Ok(()),
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(c @ ('\\' | '\'' | '"')) => c,
            Some('x') => self.code(2, 16)?,
            Some('u') => self.code(4, 16)?,
            Some('U') => self.code(8, 16)?,
            Some('0') => self.code(self.octals(), 8)?,
            Some(c) => return self.trouble(format!("invalid escape sequence \\{c}")),
            None => return self.trouble("unexpected EOF in string"),
        };
        into.push(plain);
        Ok(())
    }

    fn octals(&self) -> usize {
        let digits = self.rest.chars().take(2);
        digits.take_while(|c| c.is_digit(8)).count()
    }

    fn code(&mut self, digits: usize, radix: u32) -> Result<char, Trouble> {
        let text: String = self.rest.chars().take(digits).collect();
        self.skip(digits);
        let text = if text.is_empty() { "0" } else { &text };
        let code = u32::from_str_radix(text, radix)
            .ok()
            .and_then(char::from_u32);
        let told = format!("invalid escape sequence {text:?}");
        code.map_or_else(|| self.trouble(told), Ok)
    }
}

fn number(word: &str) -> Option<Token> {
    let lower = word.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return i128::from_str_radix(digits, radix).ok().map(Token::Int);
        }
    }
    if lower.contains(['.', 'e']) {
        return lower.parse().ok().map(Token::Float);
    }
    let is_octal = lower.len() > 1 && lower.starts_with('0') && lower.contains(|c| c != '0');
    (!is_octal).then(|| lower.parse().ok().map(Token::Int))?
}
