use super::*;

/// The tokens of a text as `kind:text`, shortened.
fn cut(sql: &[u8], facts: &Facts) -> String {
    let mut lexer = Lexer::new(sql, facts);
    let mut out = Vec::new();
    for _ in 0..=sql.len() {
        let token = lexer.next();
        let text = String::from_utf8_lossy(lexer.text(&token)).into_owned();
        out.push(match token.kind {
            TokenKind::End => break,
            TokenKind::Word => format!("w:{text}"),
            TokenKind::Name => format!("n:{text}"),
            TokenKind::Number => format!("0:{text}"),
            TokenKind::Text => format!("s:{text}"),
            TokenKind::Bits => format!("x:{text}"),
            TokenKind::UserVariable => format!("v:{text}"),
            TokenKind::Bad => format!("!:{text}"),
            _ => text,
        });
    }
    out.join(" ")
}

fn check(sql: &str, wanted: &str) {
    assert_eq!(cut(sql.as_bytes(), &Facts::default()), wanted, "{sql}");
}

#[test]
fn words_names_and_dots() {
    check("SELECT a.b FROM `x y`.t", "w:SELECT n:a . n:b w:FROM n:`x y` . n:t");
    check("t.into t . into .5 t.5x", "n:t . n:into w:t . w:into 0:.5 n:t . n:5x");
    check(
        "1st 1into 1e5into 1.into .5into 1e+5into",
        "n:1st n:1into 0:1e5 w:into 0:1. w:into 0:.5 w:into 0:1e+5 w:into",
    );
    check(
        "0x1f 0x1g 0b01 0b2 x'1f' X'1' b'01' N'a' _utf8'a' 0X1",
        "x:0x1f n:0x1g x:0b01 n:0b2 x:x'1f' x:X'1' x:b'01' s:N'a' w:_utf8 s:'a' n:0X1",
    );
    check("é.ü dé", "n:é . n:ü w:dé");
}

#[test]
fn quotes() {
    check(r"'it''s' 'a\'b' 'a\\' `a``b` ", r"s:'it''s' s:'a\'b' s:'a\\' n:`a``b`");
    check("\"a\"\"b\" 'a", "s:\"a\"\"b\" !:'a");
    let ansi = Facts { ansi_quotes: true, ..Facts::default() };
    assert_eq!(cut(br#""a\" b"#, &ansi), r#"n:"a\" w:b"#);
    let plain = Facts { no_backslash_escapes: true, ..Facts::default() };
    assert_eq!(cut(br"'a\' b", &plain), r"s:'a\' w:b");
}

#[test]
fn variables() {
    check(
        "@a @'b c' @`d` @@e @@global.f @g.h$i:=1 @ x",
        "v:@a v:@'b c' v:@`d` @@ w:e @@ n:global . n:f v:@g.h$i := 0:1 v:@ w:x",
    );
    check("u@h 'u'@'h' db@replica", "w:u v:@h s:'u' v:@'h' w:db v:@replica");
}

#[test]
fn comments() {
    check("a-- b\nc --d #e\nf /* g */h", "w:a w:c - - w:d w:f w:h");
    check("a/*!b*/c/*!80000 d*/ e /*!90000 f /* g */ h */ i", "w:a w:b w:c w:d w:e w:i");
    check("/*M! a */ b /*+ SET_VAR(x=1) */ --", "w:b");
    check("/* a", "!:/* a");
    check("/*! a", "w:a !:");
    check("*/ a /*! b */ */", "* / w:a w:b * /");
    check("/*!8000 a*/", "0:8000 w:a");
}

#[test]
fn versions_of_six_digits_need_a_space_and_a_server_that_knows_them() {
    let nine = Facts { server_version: 90_704, ..Facts::default() };
    for (sql, wanted, doubt) in [
        ("/*!090704 a*/", "w:a", false),
        ("/*!090705 a*/", "", false),
        ("/*!90704 a*/", "w:a", false),
        ("/*!080000a*/", "n:0a", true),
        ("/*!800001 */", "", false),
    ] {
        let mut lexer = Lexer::new(sql.as_bytes(), &nine);
        while lexer.next().kind != TokenKind::End {}
        assert_eq!((cut(sql.as_bytes(), &nine).as_str(), lexer.doubt), (wanted, doubt), "{sql}");
    }
}

#[test]
fn characters_of_several_bytes() {
    let with = |charset| Facts { charset, ..Facts::default() };
    // The second byte is a backslash in GBK, Big5 and Shift-JIS, and a backtick in GBK.
    assert_eq!(cut(b"'\x81\x5c' a", &with(Charset::Gbk)), "s:'\u{fffd}\\' w:a");
    assert_eq!(cut(b"'\xa4\x5c' a", &with(Charset::Big5)), "s:'\u{fffd}\\' w:a");
    assert_eq!(cut(b"'\x83\x5c' a", &with(Charset::Sjis)), "s:'\u{fffd}\\' w:a");
    assert_eq!(cut(b"'\x81\x30\x81\x30\x81\x5c' a", &with(Charset::Gb18030)), "s:'\u{fffd}0\u{fffd}0\u{fffd}\\' w:a");
    assert_eq!(cut(b"`\x81\x60` a", &with(Charset::Gbk)), "n:`\u{fffd}`` w:a");
    assert_eq!(cut(b"'\x81\x5c' a", &with(Charset::Utf8)), "!:'\u{fffd}\\' a");
}

#[test]
fn a_space_beyond_ascii_is_no_letter() {
    let latin = Facts { charset: Charset::Single, ..Facts::default() };
    assert_eq!(cut(b"caf\xe9 a\xa0b", &latin), "w:caf\u{fffd} w:a !:\u{fffd} w:b");
    assert_eq!(cut("caf\u{e9}".as_bytes(), &Facts::default()), "w:café");
}
