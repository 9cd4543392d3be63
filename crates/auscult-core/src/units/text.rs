//! Text written by strangers, made fit to be stored, shown and copied: the one cleaner every reader passes text through.
//!
//! What a terminal, a browser, a spreadsheet or a log reader obeys, and what a person cannot see, is replaced; letters,
//! digits, punctuation, symbols and blanks of every script stay. A text that is clean is returned as it is: cleaning twice
//! is cleaning once.

use unicode_general_category::{GeneralCategory, get_general_category};

/// Longest run of combining marks kept on one base character. Vietnamese takes 2, pointed Hebrew and stacked Tibetan 4;
/// longer stacks paint over the lines above and below.
pub const MARKS_MAX: usize = 4;

/// What takes the place of a character that is not kept and has no picture.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// What becomes of one character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Printable,
    /// Any blank but a line end.
    Blank,
    /// A mark that combines with the character before it.
    Mark,
    /// It only picks a variant of the glyph before it (variation selectors): left out without a trace.
    Variant,
    /// U+200C and U+200D: part of the spelling inside words of some scripts, invisible everywhere else.
    Joiner,
    Replaced(char),
}

fn kind(c: char) -> Kind {
    match c {
        ' ' => Kind::Blank,
        '!'..='~' => Kind::Printable,
        // Pictures of the control characters, Unicode block 2400.
        '\0'..='\x1f' => Kind::Replaced(char::from_u32(0x2400 + c as u32).unwrap_or(REPLACEMENT)),
        '\x7f' => Kind::Replaced('\u{2421}'),
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Kind::Variant,
        '\u{200c}' | '\u{200d}' => Kind::Joiner,
        // Default-ignorable although they are letters or marks: they are drawn as nothing at all.
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' => {
            Kind::Replaced(REPLACEMENT)
        }
        c => match get_general_category(c) {
            // Format: bidirectional controls, zero-width characters, tags. Unassigned: noncharacters, and what a
            // newer terminal may take for any of the others.
            GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned => Kind::Replaced(REPLACEMENT),
            GeneralCategory::SpaceSeparator => Kind::Blank,
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => Kind::Mark,
            _ => Kind::Printable,
        },
    }
}

/// Scripts whose spelling needs U+200C or U+200D: Arabic to Mandaic, those of India, Sinhala, Myanmar, Khmer, Mongolian.
fn takes_joiners(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18af}')
}

/// One character by itself, without regard to its neighbours: what is not kept becomes its picture or U+FFFD.
pub fn visible(c: char) -> char {
    match kind(c) {
        Kind::Replaced(with) => with,
        Kind::Variant | Kind::Joiner => REPLACEMENT,
        Kind::Blank | Kind::Mark | Kind::Printable => c,
    }
}

/// One line of text, at most `max` bytes and so at most `max` characters. Runs of blanks, tabs and line ends become one
/// space, those at both ends go.
pub fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    Cleaner::new(&mut out, max, Layout::OneLine).all(text);
    out.truncate(out.trim_end_matches(' ').len());
    out
}

/// As [`clean`], of bytes that should be UTF-8; those that are not become U+FFFD. At most `2 * max` bytes are looked at.
pub fn clean_bytes(bytes: &[u8], max: usize) -> String {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let bytes = bytes.get(start..).unwrap_or_default();
    clean(&String::from_utf8_lossy(bytes.get(..bytes.len().min(max.saturating_mul(2))).unwrap_or(bytes)), max)
}

/// Text of several lines, at most `max` bytes: line feeds and blanks stay where they are, tabs become spaces.
pub fn clean_lines(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    Cleaner::new(&mut out, max, Layout::Lines).all(text);
    out
}

/// As [`clean_lines`], of a text that is at hand: one that is plain is not copied.
pub fn cleaned_lines(text: String, max: usize) -> String {
    let plain = text.len() <= max && run_of(text.as_bytes(), is_plain_in_lines) == text.len();
    if plain { text } else { clean_lines(&text, max) }
}

/// Length of the run at the front whose bytes are printable ASCII or blanks.
pub fn printable_run(bytes: &[u8]) -> usize {
    run_of(bytes, |b| matches!(b, b' '..=b'~'))
}

fn is_plain_in_lines(b: u8) -> bool {
    matches!(b, b' '..=b'~' | b'\n')
}

/// Length of the run at the front of bytes that `is` takes, sixteen at a time: without a branch for each, the compiler
/// compares them together.
#[inline]
fn run_of(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    let whole = bytes.chunks_exact(16).take_while(|chunk| chunk.iter().fold(true, |all, b| all & is(*b))).count();
    let rest = bytes.get(16 * whole..).unwrap_or_default();
    16 * whole + rest.iter().position(|b| !is(*b)).unwrap_or(rest.len())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    OneLine,
    Lines,
}

struct Cleaner<'o> {
    out: &'o mut String,
    max: usize,
    layout: Layout,
    /// The last character that came out; a line feed before the first.
    last: char,
    /// Combining marks since the last base character.
    marks: usize,
}

impl<'o> Cleaner<'o> {
    fn new(out: &'o mut String, max: usize, layout: Layout) -> Cleaner<'o> {
        Cleaner { out, max, layout, last: '\n', marks: 0 }
    }

    fn all(mut self, text: &str) {
        let mut text = text;
        // Nearly all text is plain: it comes out as it is, a run at a time.
        while !text.is_empty() {
            let plain = self.plain(text);
            let (run, rest) = text.split_at(plain);
            if !self.push_plain(run) {
                break;
            }
            let other = rest.bytes().position(|b| b.is_ascii_graphic()).unwrap_or(rest.len());
            let (other, after) = rest.split_at(other);
            if !self.others(other, after) {
                break;
            }
            text = after;
        }
        // The letter that needed it did not fit.
        if matches!(self.last, '\u{200c}' | '\u{200d}') {
            self.out.pop();
        }
    }

    /// Length of the run of characters at the front that come out as they are, whatever is around them.
    fn plain(&self, text: &str) -> usize {
        match self.layout {
            Layout::OneLine => run_of(text.as_bytes(), |b| b.is_ascii_graphic()),
            Layout::Lines => run_of(text.as_bytes(), is_plain_in_lines),
        }
    }

    /// False when there is no more space.
    fn push_plain(&mut self, run: &str) -> bool {
        let room = self.max.saturating_sub(self.out.len());
        let fits = &run[..run.len().min(room)];
        if let Some(last) = fits.bytes().last() {
            self.out.push_str(fits);
            (self.last, self.marks) = (char::from(last), 0);
        }
        fits.len() == run.len()
    }

    /// Characters one by one; `after` follows them. False when there is no more space.
    fn others(&mut self, text: &str, after: &str) -> bool {
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let went = match (self.layout, kind(c)) {
                (Layout::Lines, _) if c == '\n' => self.base('\n'),
                (Layout::Lines, _) if c == '\t' => self.base(' '),
                (Layout::Lines, Kind::Blank) => self.base(' '),
                (Layout::OneLine, Kind::Blank) => self.blank(),
                (Layout::OneLine, _) if matches!(c, '\n' | '\r' | '\t') => self.blank(),
                (_, Kind::Printable) => self.base(c),
                (_, Kind::Replaced(with)) => self.base(with),
                (_, Kind::Variant) => true,
                (_, Kind::Mark) => self.mark(c),
                (_, Kind::Joiner) => {
                    let letter = |next: char| takes_joiners(next) && kind(next) == Kind::Printable;
                    let next = rest.peek().copied().or_else(|| after.chars().next());
                    let needed = takes_joiners(self.last) && next.is_some_and(letter);
                    if needed { self.push(c) } else { self.base(REPLACEMENT) }
                }
            };
            if !went {
                return false;
            }
        }
        true
    }

    /// False when there is no more space.
    fn push(&mut self, c: char) -> bool {
        if self.out.len() + c.len_utf8() > self.max {
            return false;
        }
        self.out.push(c);
        self.last = c;
        true
    }

    fn base(&mut self, c: char) -> bool {
        self.marks = 0;
        self.push(c)
    }

    fn blank(&mut self) -> bool {
        let again = matches!(self.last, ' ' | '\n');
        again || self.base(' ')
    }

    /// A mark without a base would combine with what the text is shown behind.
    fn mark(&mut self, c: char) -> bool {
        if self.last == '\n' {
            return self.base(REPLACEMENT);
        }
        self.marks = self.marks.saturating_add(1);
        match self.marks {
            n if n <= MARKS_MAX => self.push(c),
            // One sign for all that are left out; the mark count goes on.
            n if n == MARKS_MAX + 1 => self.push(REPLACEMENT),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Characters of a class, as another package knows Unicode.
    fn class(class: &str) -> Vec<char> {
        let parsed = regex_syntax::parse(class).unwrap();
        let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(ranges)) = parsed.into_kind() else {
            unreachable!("a class of characters")
        };
        ranges.iter().flat_map(|range| range.start()..=range.end()).collect()
    }

    #[test]
    fn every_character_that_is_obeyed_or_invisible_is_replaced_wherever_it_stands() {
        let hostile = class(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]");
        assert!(hostile.len() > 4000, "{}", hostile.len());
        for c in hostile {
            for text in [format!("{c}"), format!("a{c}b"), format!("{c}{c}"), format!("\u{644}{c}")] {
                assert!(!clean(&text, 64).contains(c), "{c:?}");
                assert!(c == '\n' || !clean_lines(&text, 64).contains(c), "{c:?}");
            }
            assert!(visible(c) != c, "{c:?}");
        }
    }

    #[test]
    fn private_use_and_what_no_character_has_is_replaced() {
        // Characters that are assigned in the newer of two versions of Unicode are in the class and kept.
        let mut newer = 0;
        for c in class(r"[\p{Co}\p{Cn}]").into_iter().step_by(7) {
            let kept = kind(c) == Kind::Printable;
            assert!(!kept || !matches!(c as u32, 0xe000..=0xf8ff | 0xe0000.. ) && c as u32 & 0xfffe != 0xfffe, "{c:?}");
            newer += usize::from(kept);
        }
        assert!(newer < 3_000, "{newer}");
        assert_eq!(clean("a\u{e000}\u{fdd0}\u{ffff}\u{10fffd}b", 64), "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b");
    }

    #[test]
    fn names_of_every_script_stay_as_they_are() {
        for name in [
            "Zoë Müller-Łukasz",
            "Nguyễn Thị Minh Khai",
            "Nguye\u{302}\u{303}n",
            "Ольга Петрівна",
            "Γιώργος Παπαδόπουλος",
            "محمد عبد الرحمن",
            "علی\u{200c}رضا",
            "שָׁלוֹם",
            "राजेश्वरी",
            "क्\u{200d}ष",
            "இளங்கோவன்",
            "สมชาย ใจดี",
            "བསྟན་འཛིན་རྒྱ་མཚོ",
            "山田 太郎",
            "김철수",
            "\u{1112}\u{1161}\u{11ab}",
            "Ⓐ ☎ € “x” ½ 😀",
            "+49 (30) 1234-567;phone-context=x",
            "5b1c02@192.0.2.10",
        ] {
            assert_eq!(clean(name, 512), name);
            assert_eq!(clean_lines(name, 512), name);
        }
    }

    #[test]
    fn what_is_not_kept_is_seen() {
        assert_eq!(clean("a\x1b]0;x\x07b\u{9b}31mc", 99), "a\u{241b}]0;x\u{2407}b\u{fffd}31mc");
        assert_eq!(clean("admin\u{202e}gpj.exe", 99), "admin\u{fffd}gpj.exe");
        assert_eq!(clean("PC\u{200b}MU", 99), "PC\u{fffd}MU");
        assert_eq!(clean("a\u{200c}b", 99), "a\u{fffd}b", "a joiner outside of the scripts that need it");
        assert_eq!(clean("علی\u{200c}", 99), "علی\u{fffd}", "and at the end of a word");
        assert_eq!(clean("علی\u{200c}\u{70f}ی", 99), "علی\u{fffd}\u{fffd}ی", "and before what is no letter");
        assert_eq!(clean("葛\u{e0100}城 ❤\u{fe0f}", 99), "葛城 ❤");
        assert_eq!(clean("a\u{a0}\u{3000}\u{2003}b", 99), "a b");
    }

    #[test]
    fn marks_are_bounded_and_have_a_base() {
        let stack = format!("z{}a", "\u{301}".repeat(500));
        assert_eq!(clean(&stack, 4096), format!("z{}\u{fffd}a", "\u{301}".repeat(MARKS_MAX)));
        assert_eq!(clean("\u{301}a", 99), "\u{fffd}a");
        assert_eq!(clean_lines("a\n\u{20dd}b", 99), "a\n\u{fffd}b");
    }

    #[test]
    fn lines_are_folded_or_kept() {
        assert_eq!(clean(" a\r\n  b\t\tc \n", 99), "a b c");
        assert_eq!(clean_lines("a\r\n  b\tc\n", 99), "a\u{240d}\n  b c\n");
        assert_eq!(clean_bytes(b"\r\n a\xff\n", 99), "a\u{fffd}");
    }

    proptest! {
        #[test]
        fn cleaning_is_bounded_and_done_once(text in "\\PC{0,40}|[\\s\\p{M}\\p{Cf}a\u{627}]{0,40}|.{0,40}", max in 0usize..80) {
            for (cleaned, again) in [
                (clean(&text, max), clean as fn(&str, usize) -> String),
                (clean_lines(&text, max), clean_lines),
            ] {
                prop_assert!(cleaned.len() <= max && cleaned.chars().count() <= max);
                prop_assert_eq!(again(&cleaned, max), cleaned);
            }
            prop_assert!(clean_bytes(text.as_bytes(), max).len() <= max);
        }
    }
}
