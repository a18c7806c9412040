//! The page of each code, as `gannet explain` shows it.
//! Law: every code has a page in the book, and the page is here.

use std::str::FromStr;

use crate::diag::Code;

/// A page's file by its code.
macro_rules! pages {
    ($code:expr; $($name:ident)*) => {
        match $code {
            $(Code::$name => include_str!(concat!("../../book/src/errors/", stringify!($name), ".md")),)*
        }
    };
}

/// The page of the book about a code, in Markdown: what it means, a wrong example, a right one.
pub fn page(code: Code) -> &'static str {
    pages!(code;
        G0001 G0002 G0003 G0004 G0005 G0006 G0007 G0008 G0009
        G0101 G0102 G0103 G0104 G0105 G0106 G0107 G0108 G0109
        G0201 G0202 G0203 G0204 G0205 G0206 G0207 G0208 G0209 G0210 G0211 G0212 G0213
        G0301 G0302 G0303 G0304 G0305 G0306 G0307 G0308 G0309 G0310 G0311 G0312 G0313
        G0401 G0402 G0403 G0404 G0405 G0406 G0407
        G0501 G0502 G0503 G0504 G0505 G0506 G0507
        G0601 G0602 G0603 G0604 G0605 G0606 G0607 G0608 G0609
        G0701 G0702 G0703
        G0801 G0802 G0803 G0804 G0805 G0806 G0807
    )
}

impl FromStr for Code {
    type Err = String;

    /// Reads `G0203`, in any case of the letter.
    ///
    /// # Errors
    /// A sentence that says what codes look like.
    fn from_str(text: &str) -> Result<Code, String> {
        let code = Code::ALL.iter().find(|code| code.to_string().eq_ignore_ascii_case(text.trim()));
        code.copied().ok_or_else(|| format!("`{text}` is no code; codes look like G0203"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::diag::Sources;

    /// The blocks of a page: what stands behind the fence, and the text.
    fn blocks(page: &str) -> Vec<(&str, &str)> {
        let fenced = page.split("\n```").skip(1).step_by(2);
        fenced.map(|block| block.split_once('\n').expect("a block has lines")).collect()
    }

    fn codes_of(source: &str) -> Vec<Code> {
        let mut sources = Sources::default();
        let file = sources.add("example.gnt", source);
        let found = crate::parse(&sources, file).err().unwrap_or_default();
        let codes: BTreeSet<Code> = found.0.iter().map(|d| d.code).collect();
        codes.into_iter().collect()
    }

    #[test]
    fn every_code_has_a_page() {
        for &code in Code::ALL {
            let page = page(code);
            let heading = format!("# {code}: {}\n", code.title());
            assert!(page.starts_with(&heading), "the page of {code} begins with {heading}");
            assert_eq!(blocks(page).len(), 2, "{code} has a wrong and a right example");
            assert_eq!(code.to_string().to_lowercase().parse(), Ok(code));
        }
        assert!("203".parse::<Code>().is_err());
    }

    /// Right examples are read; wrong ones too, unless the parser is what finds the mistake.
    #[test]
    fn examples_are_read() {
        for &code in Code::ALL {
            for (kind, source) in blocks(page(code)) {
                let found = codes_of(source);
                match kind {
                    "gannet" => assert_eq!(found, [], "{code}: {source}"),
                    wrong if wrong == format!("gannet,{code}") => {
                        let by_parser = code < Code::G0101 || code == Code::G0306;
                        assert_eq!(found, if by_parser { vec![code] } else { vec![] }, "{code}: {source}");
                    }
                    other => assert_eq!(other, "text", "{code}"),
                }
            }
        }
    }
}
