//! `weir top` in a real terminal (tmux), and for scripts.

use std::process::Command;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_tests::real::place::{ask, place};
use weir_tests::real::wire::Wire;

use super::page::{load, start};
use super::scene::{WEIR, say, until};

/// A tmux server of this test's own, with one session of this size.
struct Tmux {
    socket: String,
}

impl Tmux {
    fn start(name: &str, command: &str) -> Tmux {
        let tmux = Tmux { socket: format!("weir-{name}-{}", std::process::id()) };
        let output = tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "40", command]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        tmux
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        say("tmux", &[&["-L", &self.socket], args].concat())
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p"]).stdout).into_owned()
    }

    fn press(&self, keys: &[&str]) {
        let output = self.run(&[&["send-keys"], keys].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until the screen is as it should be.
    fn shows(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        until(what, Duration::from_secs(15), || {
            let screen = self.screen();
            if is_so(&screen) { Ok(screen) } else { Err(screen) }
        })
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn a_terminal_shows_what_happens_and_is_given_back() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, |_| {});
    let http = gate.http().expect("its status").to_string();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| load(place, &gate, &is_over));
        // Whatever fails must end the load, or the scope waits for ever.
        let seen = std::panic::catch_unwind(|| look(&http));
        is_over.store(true, Ordering::Relaxed);
        if let Err(why) = seen {
            std::panic::resume_unwind(why);
        }
    });
}

fn look(http: &str) {
    let tmux = Tmux::start("top", "sh");
    tmux.press(&["echo before", "Enter"]);
    // A prompt may stand in front of it.
    let said_before = |screen: &str| screen.lines().any(|line| line.ends_with("before") && !line.contains("echo"));
    tmux.shows("a shell", said_before);
    tmux.press(&[&format!("{WEIR} top --http {http} --interval 0.5; echo ended $?"), "Enter"]);
    let screen = tmux.shows("figures", |screen| {
        screen.contains("db1") && screen.contains("STATEMENT") && !screen.contains("statements -/s")
    });
    assert!(!screen.contains("before") && screen.contains("q quit"), "{screen}");
    assert!(screen.lines().any(|line| line.starts_with("db1") && line.contains("primary  up")), "{screen}");
    println!("{screen}");
    tmux.press(&["p"]);
    let paused = tmux.shows("a pause", |screen| screen.contains("PAUSED"));
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(tmux.screen(), paused, "it went on");
    tmux.press(&["p"]);
    tmux.shows("that it goes on", |screen| !screen.contains("PAUSED") && screen != paused);
    tmux.run(&["resize-window", "-x", "60", "-y", "12"]);
    tmux.shows("another size", |screen| {
        screen.lines().count() == 12 && screen.lines().all(|line| line.chars().count() <= 60)
    });
    tmux.run(&["resize-window", "-x", "150", "-y", "40"]);
    tmux.press(&["q"]);
    let after = tmux.shows("the shell again", |screen| screen.contains("ended 0"));
    assert!(said_before(&after) && !after.contains("q quit"), "{after}");
    // Ctrl-C, and echo is back on.
    tmux.press(&[&format!("clear; {WEIR} top --http {http}; echo ended $?"), "Enter"]);
    tmux.shows("figures", |screen| screen.contains("q quit"));
    tmux.press(&["C-c"]);
    tmux.shows("the shell again", |screen| screen.contains("ended 0"));
    tmux.press(&["stty -a | tr ' ' '\\n' | grep -cx -e icanon -e echo -e isig", "Enter"]);
    tmux.shows("a terminal as before", |screen| screen.lines().any(|line| line == "3"));
}

#[test]
fn scripts_get_one_screen_as_plain_text() {
    let place = place();
    let _others = place.stage.read().unwrap_or_else(PoisonError::into_inner);
    let gate = start(place, |_| {});
    let http = gate.http().expect("its status").to_string();
    let mut wire = Wire::login(&gate.address(), &place.account()).expect("a login");
    ask(&mut wire, "SELECT GET_LOCK('weir_top', 1)").expect("a lock");
    let output = say(WEIR, &["top", "--http", &http, "--once", "--interval", "0.2"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["clients 1 of", "db1", "GET_LOCK", "primary_found", "SELECT `GET_LOCK` (...)"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}') && text.ends_with('\n'), "{text:?}");

    // No terminal, nobody there, a wrong interval: each says what to do, with its exit code.
    let mut command = Command::new(WEIR);
    command.args(["top", "--http", &http]);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("use weir top --once"), "{said}");
    for (args, code, says) in [
        (["--http", "127.0.0.1:1"], 3, "name its admin_listen with --http"),
        (["--interval", "0"], 2, "write seconds from 0.1 to 3600"),
    ] {
        let output = say(WEIR, &[&["top", "--once"][..], &args].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(says), "{said}");
    }
}
