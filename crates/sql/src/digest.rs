//! Digests: what a statement is, whatever its literals are.
//!
//! A text is read once, piece by piece, and its digest is computed on the way, without any memory. [`normalised`] writes the same
//! reading down. What counts and what does not:
//!
//! * Literals are `?`: strings, numbers, `NULL` and `TRUE` where they are values, with sign and character set. So is a parameter.
//! * Elements of a list in parentheses that repeat the one before are `...`: `IN (1, 2, 3)` is `IN (?, ...)`, and so is `IN (1)`;
//!   `VALUES (1, now()), (2, now())` is `VALUES (?, now()), ...`.
//! * Comments and white space are nothing. What servers run of a comment (`/*! */`) counts as if it stood there without. Hints
//!   (`/*+ */`) change what a server does, and count.
//! * The case of words is nothing, names without quotes included; names in backquotes are taken as they are. `"..."` counts as a
//!   string, though with `ANSI_QUOTES` it is a name.
//!
//! A text that was cut short is known by its beginning, up to the last list element that is there.

mod scanner;
#[cfg(test)]
mod tests;

use std::fmt;

use self::scanner::{Piece, Scanner};

/// Lists within lists that are looked at for repetitions.
const FRAMES_MAX: usize = 8;

/// What a statement is without its literals. The same in every process.
///
/// Not made against those who look for two statements of one digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub u64);

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// A backslash in a string is an escape, unless the SQL mode has `NO_BACKSLASH_ESCAPES`.
    pub backslash_escapes: bool,
    /// The text goes on behind its end.
    pub is_cut: bool,
}

impl Default for Reading {
    /// A whole text in the default SQL mode.
    fn default() -> Self {
        Self {
            backslash_escapes: true,
            is_cut: false,
        }
    }
}

impl Digest {
    /// Of a text of one statement or several. Allocates nothing; takes time linear in the length.
    pub fn of(sql: &[u8], reading: Reading) -> Self {
        Normaliser::new((), sql, reading).run().0
    }
}

impl fmt::Display for Digest {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text as its digest has it, in the first one's spelling: no byte of a literal is in it. At most thrice as long.
pub fn normalised(sql: &[u8], reading: Reading) -> Vec<u8> {
    Normaliser::new(Vec::new(), sql, reading).run().1
}

/// Where the text is written, if anywhere.
trait Output {
    fn push(&mut self, bytes: &[u8]);
    fn at(&self) -> u32;
    fn cut(&mut self, at: u32);
}

impl Output for () {
    fn push(&mut self, _: &[u8]) {}

    fn at(&self) -> u32 {
        0
    }

    fn cut(&mut self, _: u32) {}
}

impl Output for Vec<u8> {
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn at(&self) -> u32 {
        self.len() as u32
    }

    fn cut(&mut self, at: u32) {
        self.truncate(at as usize);
    }
}

/// What was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Literal,
    /// With its key.
    Word(u64),
    Name,
    /// Between two names.
    Dot,
    Open,
    Close,
    Symbol,
}

/// A list whose elements are compared: each has a hash of its own, which the list's takes in.
#[derive(Debug, Clone, Copy, Default)]
struct Frame {
    /// Of what stands before, and of the elements so far.
    outer: u64,
    /// The hash of the element before; 0 before the first one.
    previous: u64,
    /// Where the text of the current element begins, with its comma.
    element_at: u32,
    /// Elements so far, up to two.
    elements: u8,
    /// The element before stands for several.
    is_repeated: bool,
    /// The list follows IN.
    is_in: bool,
    /// Its elements are lists outside of any other one: rows.
    is_rows: bool,
    /// What is around the list has a literal before it.
    outer_has_literal: bool,
    /// An element so far has one.
    elements_have_literal: bool,
}

/// Hashes of pieces that are none of words: those have other highest bytes.
mod key {
    pub(super) const LITERAL: u64 = 0x04 << 56;
    pub(super) const OPEN: u64 = 0x05 << 56;
    pub(super) const CLOSE: u64 = 0x06 << 56;
    pub(super) const COMMA: u64 = 0x07 << 56;
    pub(super) const REPEATED: u64 = 0x08 << 56;
    pub(super) const CUT: u64 = 0x09 << 56;
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of the hash.
const fn mix(state: u64, value: u64) -> u64 {
    let product = ((state ^ value) as u128).wrapping_mul(0xa076_1d64_78bd_642f);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Of an element that is a literal and nothing else, and of one that stands for repetitions.
const LITERAL_ELEMENT: u64 = mix(SEED, key::LITERAL);
const REPEATED_ELEMENT: u64 = mix(SEED, key::REPEATED);

/// What a word in lower case is known by.
const fn word(text: &[u8]) -> u64 {
    scanner::short_word(text)
}

const IN: u64 = word(b"in");
const NOT: u64 = word(b"not");
/// Behind these, `NULL` and `TRUE` are no values but a part of the operator.
const IS: [u64; 2] = [word(b"is"), NOT];
const CONSTANTS: [u64; 3] = [word(b"null"), word(b"true"), word(b"false")];
/// Behind these a sign belongs to the number that follows.
const BEFORE_VALUES: [u64; 26] = [
    word(b"select"),
    word(b"where"),
    word(b"and"),
    word(b"or"),
    NOT,
    word(b"on"),
    word(b"when"),
    word(b"then"),
    word(b"else"),
    word(b"between"),
    word(b"return"),
    word(b"limit"),
    word(b"offset"),
    word(b"by"),
    word(b"having"),
    word(b"case"),
    word(b"div"),
    word(b"mod"),
    word(b"xor"),
    word(b"like"),
    word(b"regexp"),
    word(b"rlike"),
    word(b"until"),
    word(b"while"),
    word(b"default"),
    word(b"all"),
];

struct Normaliser<'a, O> {
    scanner: Scanner<'a>,
    is_cut: bool,
    output: O,
    /// Of the current element; without any list, of everything so far.
    state: u64,
    frames: [Frame; FRAMES_MAX],
    depth: usize,
    /// Parentheses open beyond [`FRAMES_MAX`].
    unframed: usize,
    last: Last,
    has_literal: bool,
    /// Of the innermost frame, which is one of rows: a row has ended, and nothing but a comma came behind it.
    is_behind_row: bool,
    has_comma: bool,
    /// Signs that may belong to a literal: minus and plus.
    signs: (usize, usize),
}

impl<'a, O: Output> Normaliser<'a, O> {
    fn new(output: O, sql: &'a [u8], reading: Reading) -> Self {
        Self {
            scanner: Scanner::new(sql, reading.backslash_escapes),
            is_cut: reading.is_cut,
            output,
            state: SEED,
            frames: [Frame::default(); FRAMES_MAX],
            depth: 0,
            unframed: 0,
            last: Last::Nothing,
            has_literal: false,
            is_behind_row: false,
            has_comma: false,
            signs: (0, 0),
        }
    }

    fn run(mut self) -> (Digest, O) {
        while let Some(piece) = self.scanner.next() {
            // What the end cuts may be something else.
            if self.is_cut && self.scanner.is_at_end() {
                break;
            }
            self.take(piece);
        }
        match self.is_cut {
            true => self.finish_cut(),
            false => self.finish(),
        }
        (Digest(self.state), self.output)
    }

    #[inline(always)]
    fn take(&mut self, piece: Piece<'a>) {
        if self.is_behind_row && self.goes_on_with_rows(&piece) {
            return;
        }
        match piece {
            Piece::Sign(sign) if !self.is_behind_operand() => match sign {
                b'-' => self.signs.0 += 1,
                _ => self.signs.1 += 1,
            },
            Piece::Literal => self.literal(),
            Piece::Word(_, key) if self.is_constant(key) => {
                self.scanner.takes_for_literal();
                self.literal();
            }
            piece => {
                self.flush_signs();
                self.write(piece);
            }
        }
    }

    #[inline(always)]
    fn write(&mut self, piece: Piece<'a>) {
        match piece {
            Piece::Word(text, key) => self.put(Last::Word(key), key, text),
            Piece::Name(text, key) => self.put(Last::Name, key, text),
            Piece::Dot if matches!(self.last, Last::Word(_) | Last::Name) => {
                self.state = mix(self.state, scanner::symbol(b"."));
                self.output.push(b".");
                self.last = Last::Dot;
            }
            Piece::Dot => self.put(Last::Symbol, scanner::symbol(b"."), b"."),
            Piece::Open => self.open(),
            Piece::Close => self.close(),
            Piece::Comma => self.comma(),
            Piece::Repeated => self.put(Last::Symbol, key::REPEATED, b"..."),
            Piece::Sign(sign) => self.put(Last::Symbol, scanner::symbol(&[sign]), &[sign]),
            Piece::Symbol(text) => self.put(Last::Symbol, scanner::symbol(text), text),
            Piece::Literal => {}
        }
    }

    #[inline(always)]
    fn put(&mut self, kind: Last, key: u64, text: &[u8]) {
        self.state = mix(self.state, key);
        let is_close = match self.last {
            Last::Nothing | Last::Open => true,
            Last::Dot => matches!(kind, Last::Word(_) | Last::Name) || text == b"*",
            _ => text == b";",
        };
        if !is_close {
            self.output.push(b" ");
        }
        self.output.push(text);
        self.last = kind;
    }

    #[inline(always)]
    fn literal(&mut self) {
        self.signs = (0, 0);
        // Strings side by side are one.
        if self.last != Last::Literal {
            self.has_literal = true;
            self.put(Last::Literal, key::LITERAL, b"?");
        }
    }

    #[inline(always)]
    fn is_constant(&self, key: u64) -> bool {
        let is_behind = |last: Last| match last {
            Last::Word(last) => IS.contains(&last),
            last => last == Last::Dot,
        };
        CONSTANTS.contains(&key) && !is_behind(self.last)
    }

    /// A sign is an operator.
    fn is_behind_operand(&self) -> bool {
        match self.last {
            Last::Literal | Last::Name | Last::Close => self.signs == (0, 0),
            Last::Word(key) => self.signs == (0, 0) && !BEFORE_VALUES.contains(&key),
            Last::Nothing | Last::Dot | Last::Open | Last::Symbol => false,
        }
    }

    /// They belong to no literal.
    #[inline(always)]
    fn flush_signs(&mut self) {
        if self.signs == (0, 0) {
            return;
        }
        let (minus, plus) = std::mem::take(&mut self.signs);
        for _ in 0..minus {
            self.put(Last::Symbol, scanner::symbol(b"-"), b"-");
        }
        for _ in 0..plus {
            self.put(Last::Symbol, scanner::symbol(b"+"), b"+");
        }
    }

    fn comma(&mut self) {
        if self.unframed == 0 && self.depth > 0 {
            self.end_element();
            self.begin_element();
        } else {
            self.state = mix(self.state, key::COMMA);
        }
        self.output.push(b",");
        self.last = Last::Symbol;
    }

    fn open(&mut self) {
        let is_in = self.last == Last::Word(IN);
        if self.depth == 0 {
            self.push_frame(Frame {
                is_rows: true,
                ..Frame::default()
            });
        }
        self.open_list(is_in);
    }

    fn open_list(&mut self, is_in: bool) {
        self.state = mix(self.state, key::OPEN);
        let is_close = match self.last {
            Last::Nothing | Last::Open => true,
            Last::Word(_) | Last::Name => self.scanner.was_adjacent(),
            _ => false,
        };
        if !is_close {
            self.output.push(b" ");
        }
        self.output.push(b"(");
        self.last = Last::Open;
        match self.depth < FRAMES_MAX && self.unframed == 0 {
            true => self.push_frame(Frame {
                is_in,
                ..Frame::default()
            }),
            false => self.unframed += 1,
        }
    }

    fn close(&mut self) {
        if self.unframed > 0 {
            self.unframed -= 1;
        } else if self.depth > 0 {
            self.end_element();
            let frame = self.frames[self.depth - 1];
            let is_one_literal =
                frame.elements == 1 && frame.previous == LITERAL_ELEMENT && !frame.is_repeated;
            if frame.is_in && is_one_literal {
                self.repeat();
            }
            self.pop_frame();
        }
        self.state = mix(self.state, key::CLOSE);
        self.output.push(b")");
        self.last = Last::Close;
        if self.depth == 1 && self.unframed == 0 && self.frames[0].is_rows {
            self.end_element();
            self.is_behind_row = true;
            self.has_comma = false;
        }
    }

    /// Behind a row: whether the piece is taken as another one, or what stands for others. Else the rows are over.
    fn goes_on_with_rows(&mut self, piece: &Piece<'a>) -> bool {
        match piece {
            Piece::Comma if !self.has_comma => {
                self.has_comma = true;
                return true;
            }
            Piece::Open if self.has_comma => {
                self.is_behind_row = false;
                self.begin_element();
                self.output.push(b",");
                self.last = Last::Symbol;
                self.open_list(false);
                return true;
            }
            Piece::Repeated if self.has_comma => {
                self.repeat();
                self.has_comma = false;
                return true;
            }
            _ => {}
        }
        self.end_rows();
        false
    }

    fn end_rows(&mut self) {
        self.pop_frame();
        self.is_behind_row = false;
        if std::mem::take(&mut self.has_comma) {
            self.comma();
        }
    }

    fn push_frame(&mut self, frame: Frame) {
        self.frames[self.depth] = Frame {
            outer: self.state,
            element_at: self.output.at(),
            outer_has_literal: self.has_literal,
            ..frame
        };
        self.depth += 1;
        self.state = SEED;
        self.has_literal = false;
    }

    fn pop_frame(&mut self) {
        self.depth -= 1;
        let frame = self.frames[self.depth];
        self.state = frame.outer;
        self.has_literal = frame.outer_has_literal || frame.elements_have_literal;
    }

    fn begin_element(&mut self) {
        self.frames[self.depth - 1].element_at = self.output.at();
        self.state = SEED;
        self.has_literal = false;
    }

    /// The current element goes into its list, unless it repeats the one before.
    fn end_element(&mut self) {
        let element = self.state;
        let has_literal = std::mem::take(&mut self.has_literal);
        let frame = &mut self.frames[self.depth - 1];
        let repeats = element == frame.previous && has_literal;
        if frame.previous != 0 && (repeats || element == REPEATED_ELEMENT) {
            self.output.cut(frame.element_at);
            return self.repeat();
        }
        frame.outer = mix(frame.outer, element);
        frame.previous = element;
        frame.elements = (frame.elements + 1).min(2);
        frame.is_repeated = false;
        frame.elements_have_literal |= has_literal;
    }

    /// The element before stands for more than itself.
    fn repeat(&mut self) {
        let frame = &mut self.frames[self.depth - 1];
        if !std::mem::replace(&mut frame.is_repeated, true) {
            frame.outer = mix(frame.outer, key::REPEATED);
            self.output.push(b", ...");
        }
    }

    fn finish(&mut self) {
        self.flush_signs();
        if self.is_behind_row {
            self.end_rows();
        }
        while self.depth > 0 {
            let frame = &mut self.frames[self.depth - 1];
            frame.outer = mix(frame.outer, self.state);
            self.pop_frame();
        }
    }

    /// Of every list that is open, the elements that are whole are left, or else the one that is not.
    fn finish_cut(&mut self) {
        self.has_comma = false;
        while self.depth > 0 {
            let frame = &mut self.frames[self.depth - 1];
            match frame.previous {
                0 => frame.outer = mix(frame.outer, self.state),
                _ if self.is_behind_row => {}
                _ => self.output.cut(frame.element_at),
            }
            self.is_behind_row = false;
            self.pop_frame();
        }
        self.state = mix(self.state, key::CUT);
        self.output.push(b" ...");
    }
}
