//! Looking at thirty-two bytes at once: most of a payload is only asked where it ends.
//!
//! Knows quotes, escapes and brackets; knows nothing of values.

use wide::u8x32;

/// Thirty-two bytes of a text. Where it ends sooner, spaces stand for what is missing; nobody looks for those.
#[derive(Clone, Copy)]
struct Block(u8x32);

/// One bit for each byte of a block, the lowest for the first.
type Bits = u32;

impl Block {
    const WIDTH: usize = 32;
    const LAST: Bits = 1 << (Self::WIDTH - 1);

    /// The block that starts at a place; `None` at the end of the text.
    #[inline(always)]
    fn at(text: &[u8], at: usize) -> Option<Self> {
        let rest = text.get(at..)?;
        if let Some(full) = rest.first_chunk() {
            return Some(Self(u8x32::new(*full)));
        }
        let mut padded = [b' '; Self::WIDTH];
        padded.get_mut(..rest.len())?.copy_from_slice(rest);
        (!rest.is_empty()).then(|| Self(u8x32::new(padded)))
    }

    #[inline(always)]
    fn is(self, byte: u8) -> Hits {
        Hits(self.0.simd_eq(u8x32::splat(byte)))
    }

    #[inline(always)]
    fn either(self, one: u8, other: u8) -> Hits {
        self.is(one).or(self.is(other))
    }

    /// Control characters of ASCII, from NUL to what comes before the space.
    #[inline(always)]
    fn control(self) -> Hits {
        Self(self.0 & u8x32::splat(0xe0)).is(0)
    }

    /// `[` and `{`, `]` and `}` each differ in one bit, which is set here.
    #[inline(always)]
    fn folded(self) -> Self {
        Self(self.0 | u8x32::splat(0x20))
    }
}

/// The bytes of a block that were looked for.
#[derive(Clone, Copy)]
struct Hits(u8x32);

impl Hits {
    #[inline(always)]
    fn any(self) -> bool {
        self.0.any()
    }

    #[inline(always)]
    fn bits(self) -> Bits {
        self.0.to_bitmask()
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The first quote or backslash from a place on.
pub(super) fn quote_or_backslash(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let hits = Block::at(text, at)?.either(b'"', b'\\').bits();
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize);
        }
        at += Block::WIDTH;
    }
}

/// The first byte from a place on that cannot stand in a string as it is: a quote, a backslash, a control character.
pub(super) fn special(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let block = Block::at(text, at)?;
        let hits = block.either(b'"', b'\\').or(block.control()).bits();
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize);
        }
        at += Block::WIDTH;
    }
}

/// Where the list or object that starts at a place ends: after its last bracket.
pub(super) fn end_of_nested(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0;
    let mut strings = Strings::default();
    loop {
        let block = Block::at(text, at)?;
        let inside = strings.inside(block);
        let brackets = block.folded();
        let (opening, closing) = (brackets.is(b'{').bits() & !inside, brackets.is(b'}').bits() & !inside);
        if closing.count_ones() < depth {
            depth = depth + opening.count_ones() - closing.count_ones();
        } else {
            let mut both = opening | closing;
            while both != 0 {
                let bracket = both & both.wrapping_neg();
                both ^= bracket;
                match opening & bracket {
                    0 if depth == 1 => return Some(at + bracket.trailing_zeros() as usize + 1),
                    0 => depth -= 1,
                    _ => depth += 1,
                }
            }
        }
        at += Block::WIDTH;
    }
}

/// What goes on from one block to the next.
#[derive(Default)]
struct Strings {
    /// Whether the next byte stands in a string.
    open: bool,
    /// Whether the next byte is escaped.
    escape: bool,
}

impl Strings {
    /// The bytes that stand in strings, their opening quotes too.
    fn inside(&mut self, block: Block) -> Bits {
        let quotes = block.is(b'"').bits() & !self.escaped(block.is(b'\\').bits());
        // Each quote turns all bits from its own on.
        let mut inside = quotes;
        for distance in [1, 2, 4, 8, 16] {
            inside ^= inside << distance;
        }
        if self.open {
            inside = !inside;
        }
        self.open = inside & Block::LAST != 0;
        inside
    }

    fn escaped(&mut self, mut backslashes: Bits) -> Bits {
        let mut escaped = Bits::from(std::mem::take(&mut self.escape));
        backslashes &= !escaped;
        while backslashes != 0 {
            let backslash = backslashes & backslashes.wrapping_neg();
            self.escape = backslash == Block::LAST;
            escaped |= backslash << 1;
            backslashes &= !(backslash | backslash << 1);
        }
        escaped
    }
}

/// Whether `needle`, plain ASCII with a slash inside, can be part of a string in `text`. Never false when it is, however
/// it is escaped.
pub fn may_hold(text: &[u8], needle: &[u8]) -> bool {
    // Slashes are rare in pods, and so are escapes.
    let slash = needle.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
    let (pairs, _) = text.as_chunks().0.as_chunks();
    let mut last = [[b' '; Block::WIDTH]; 2];
    let rest = text.get(pairs.as_flattened().as_flattened().len()..).unwrap_or_default();
    if let Some(there) = last.as_flattened_mut().get_mut(..rest.len()) {
        there.copy_from_slice(rest);
    }
    let mut start = 0;
    for [left, right] in pairs.iter().chain([&last]) {
        let left = Block(u8x32::new(*left)).either(b'/', b'\\');
        let right = Block(u8x32::new(*right)).either(b'/', b'\\');
        if left.or(right).any() {
            let mut bits = u64::from(left.bits()) | u64::from(right.bits()) << Block::WIDTH;
            while bits != 0 {
                if holds(text, start + bits.trailing_zeros() as usize, needle, slash) {
                    return true;
                }
                bits &= bits - 1;
            }
        }
        start += 2 * Block::WIDTH;
    }
    false
}

/// Whether the slash or backslash at a place is part of the needle, or of an escape that could be.
#[inline(always)]
fn holds(text: &[u8], at: usize, needle: &[u8], slash: usize) -> bool {
    match (text.get(at), text.get(at + 1)) {
        // Most slashes come after something else.
        (Some(b'/'), _) => {
            text.get(at.wrapping_sub(1)) == needle.get(slash.wrapping_sub(1))
                && text.get(at.wrapping_sub(slash)..).is_some_and(|rest| rest.starts_with(needle))
        }
        // Only these escapes can stand for a character of a plain ASCII needle.
        (_, Some(b'u' | b'/')) => {
            let before = text.get(..at).unwrap_or_default();
            before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte, what [`end_of_nested`] does in blocks.
    fn end_byte_by_byte(text: &[u8]) -> Option<usize> {
        let (mut depth, mut in_string, mut escaped) = (0, false, false);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                _ if std::mem::take(&mut escaped) => {}
                b'\\' => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    #[test]
    fn nested_values_end_where_they_end_wherever_blocks_do() {
        for value in [
            r#"{"a":"}]","b":[{},[]],"c":"\"}"}"#,
            r#"[["\\"],{"\\\"]":"\\\\"},"\u005d"]"#,
            r#"{"a":{"b":{"c":[[[[]]]]}}}"#,
            r#"["never ends\"]"#,
        ] {
            for fill in 0..2 * Block::WIDTH {
                for (open, close) in [("", ""), ("[", "]"), ("\"", "\"")] {
                    // The filling stands in front of the value, in it, or in a string in it.
                    let filling = [open, &" ".repeat(fill), close].concat();
                    let comma = if filling.is_empty() { "" } else { "," };
                    let (bracket, inner) = value.split_at(1);
                    let text = [bracket, &filling, comma, inner, "]}"].concat();
                    assert_eq!(end_of_nested(text.as_bytes(), 0), end_byte_by_byte(text.as_bytes()), "{text}");
                }
            }
        }
    }

    #[test]
    fn single_bytes_are_found_at_each_place() {
        for length in 0..3 * Block::WIDTH {
            for at in 0..length {
                for (byte, quote, special_one) in [
                    (b'"', true, true),
                    (b'\\', true, true),
                    (0x1f, false, true),
                    (0, false, true),
                    (0xff, false, false),
                ] {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    assert_eq!(quote_or_backslash(&text, 0), quote.then_some(at), "{byte} at {at} of {length}");
                    assert_eq!(special(&text, 0), special_one.then_some(at), "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_needle_is_found_at_each_place_and_so_is_what_could_hide_it() {
        let length = 5 * Block::WIDTH;
        for at in 0..length - 4 {
            let found = |part: &str| {
                let mut text = "/".repeat(length);
                text.replace_range(at..at + part.len(), part);
                may_hold(text.as_bytes(), b"a/b")
            };
            let table =
                [("a/b", true), ("a/c", false), (r"x\u", true), (r"\\ux", false), (r"\n\u", true), (r"\\\u", true)];
            for (part, held) in table {
                assert_eq!(found(part), held, "{part} at {at}");
            }
        }
    }
}
