//! How many classes of an expression have to be brought into every case, told from its syntax
//! alone.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, Ast, ClassSetBinaryOp, ClassSetItem, Flag, Visitor};

/// The widest range that is brought into every case in no time.
const NARROW: u32 = 256;

/// The classes that have to be brought into every case: of an expression with `(?i)` in which some
/// class is large, all that it has; of any other none. Each takes milliseconds.
pub(in crate::trigger::filter) fn folded_classes(text: &str) -> usize {
    let Ok(syntax) = Parser::new().parse(text) else { return 0 };
    let Ok(found) = ast::visit(&syntax, Found::default());
    if found.ignores_case && found.is_large { found.classes } else { 0 }
}

#[derive(Default)]
struct Found {
    classes: usize,
    ignores_case: bool,
    is_large: bool,
}

impl Visitor for Found {
    type Output = Self;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self, Self::Err> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => {
                if let Some(flags) = group.flags() {
                    self.flags(flags);
                }
            }
            Ast::ClassUnicode(_) => self.class(true),
            Ast::ClassBracketed(_) => self.class(false),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Unicode(_) => self.class(true),
            ClassSetItem::Bracketed(inner) => self.class(inner.negated),
            ClassSetItem::Perl(_) => self.is_large = true,
            ClassSetItem::Ascii(class) => self.is_large |= class.negated,
            ClassSetItem::Range(range) => {
                self.is_large |= u32::from(range.end.c) - u32::from(range.start.c) > NARROW;
            }
            _ => {}
        }
        Ok(())
    }

    /// Both sides are brought into every case, and then what is left of them.
    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Self::Err> {
        self.classes += 2;
        Ok(())
    }
}

impl Found {
    fn flags(&mut self, flags: &ast::Flags) {
        self.ignores_case |= flags.flag_state(Flag::CaseInsensitive) == Some(true);
    }

    fn class(&mut self, is_large: bool) {
        self.classes += 1;
        self.is_large |= is_large;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_count_where_a_large_one_ignores_case() {
        for (expression, classes) in [
            (r"(?i)\pL\pN", 2),
            (r"(?i)^[\w.-]+/[a-z]+$", 2),
            (r"(?i:\pL)|x", 1),
            (r"(?i)[[^a]b]", 2),
            (r"(?i)[\w&&\pL]", 4),
            ("(?i)[\u{100}-\u{1000}]", 1),
            (r"(?i)^[^/]+/[a-z]+$", 0),
            (r"(?i)^\w+$", 0),
            (r"(?-i)\pL", 0),
            (r"\pL[\w-]", 0),
            ("(", 0),
        ] {
            assert_eq!(folded_classes(expression), classes, "{expression}");
        }
    }
}
