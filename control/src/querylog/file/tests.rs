use super::*;

/// A disk that is full after so many bytes, and takes them in small parts.
struct Full {
    room: usize,
    part: usize,
    has: Vec<u8>,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.has.len()).min(self.part);
        self.has.extend_from_slice(&bytes[..taken]);
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_was_taken_ends_with_a_whole_line() {
    let lines = b"one\ntwo\nthree\n";
    let whole = [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 14];
    for (room, whole) in whole.into_iter().enumerate() {
        for part in [1, 3, 100] {
            let mut full = Full { room, part, has: Vec::new() };
            let (taken, written) = put_lines(&mut full, lines);
            assert_eq!((taken, written.is_ok()), (whole, room == lines.len()), "room {room}, part {part}");
            assert_eq!(full.has, lines[..room]);
        }
    }
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let path = std::env::temp_dir().join(format!("weir-torn-{}", std::process::id()));
    for (before, after) in [("", "next\n"), ("whole\n", "whole\nnext\n"), ("whole\nto", "whole\nto\nnext\n")] {
        std::fs::write(&path, before).unwrap();
        let mut log = LogFile::new(&path, 1 << 20, 0);
        let (taken, written) = log.write(b"next\n");
        assert_eq!((taken, written.is_ok()), (5, true), "{before:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    }
    std::fs::remove_file(&path).unwrap();
}

/// What is no file has no last line; what is full says so.
#[test]
fn a_pipe_is_not_looked_at() {
    let mut log = LogFile::new(Path::new("/dev/null"), 1 << 20, 0);
    assert!(log.write(b"one\n").1.is_ok());
    let mut full = LogFile::new(Path::new("/dev/full"), 1 << 20, 0);
    let (taken, written) = full.write(b"one\n");
    assert_eq!((taken, written.map_err(|error| error.kind())), (0, Err(io::ErrorKind::StorageFull)));
}
