//! The status page: one document for people, which loads nothing and asks the same process for its data.
//!
//! Invariant: what comes from outside (names, notes, first words of statements) is text in it and never markup: here it is escaped, and
//! the script makes text nodes of it. The policy allows this script and these styles alone, by their hashes.
//!
//! ```text
//!   page.html ── {STYLE} page.css   {SCRIPT} page.js (polls /status, /events, /digests)   {PLAIN} the status as tables, for
//!                                                                                   browsers without scripts and for the first moment
//! ```

use crate::ctl;
use crate::status::GateStatus;
use aws_lc_rs::digest::{SHA256, digest};
use std::sync::LazyLock;
use weir_net::auth::rsa::base64;

/// The page, with this status in plain words.
pub fn render(status: &GateStatus) -> String {
    let (before, after) = &*FRAME;
    format!("{before}{}{after}", escaped(&ctl::tables(status)))
}

/// `Content-Security-Policy` of the page.
pub fn policy() -> &'static str {
    &POLICY
}

/// A text as HTML shows it; also inside of quoted attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// What stands before the status and behind it.
static FRAME: LazyLock<(String, String)> = LazyLock::new(|| {
    let (before, after) = HTML.split_once("{PLAIN}").expect("page.html has a place for the status");
    (before.replace("{STYLE}", STYLE), after.replace("{SCRIPT}", SCRIPT))
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| {
        let bytes = base64(digest(&SHA256, text.as_bytes()).as_ref());
        format!("'sha256-{}'", String::from_utf8_lossy(&bytes))
    };
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::picture;

    #[test]
    fn what_comes_from_outside_is_text() {
        let mut status = picture().status();
        status.backends[0].name = "<script>alert(1)</script>".to_string();
        status.pins[0].user = "<img src=x onerror=\"alert('2')\">&".to_string();
        let page = render(&status);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(page.contains("&lt;img src=x onerror=&quot;alert(&#39;2&#39;)&quot;&gt;&amp;"), "{page}");
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(!page.contains("<img"), "{page}");
    }

    /// A script that made markup of texts would need one of these.
    #[test]
    fn the_page_is_whole_and_makes_no_markup_of_texts() {
        let page = render(&picture().status());
        for hole in ["{STYLE}", "{SCRIPT}", "{PLAIN}"] {
            assert!(!page.contains(hole), "{hole} was not filled");
        }
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"] {
            let text = SCRIPT.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(way) && !HTML.contains(way) && !STYLE.contains(way), "the page uses {way}");
        }
        for part in ["</script", "<!--"] {
            assert!(!SCRIPT.contains(part), "{part} would end or change the script");
        }
        assert!(page.contains(&format!("<script>{SCRIPT}</script>")) && page.contains("on 3 cores, ready"));
        assert_eq!(policy().matches("'sha256-").count(), 2);
        // SHA-256 is 32 bytes: 44 letters with one sign of filling.
        let hash = policy().split("'sha256-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
        assert!(hash.len() == 44 && hash.ends_with('='), "{hash}");
    }
}
