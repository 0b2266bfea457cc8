//! Clients that go past the gates: they write to whatever server takes it.

use super::server::Outcome;
use super::world::{Node, World};

impl World {
    pub fn start_directs(&mut self) {
        (0..self.directs.len()).for_each(|at| self.direct(at));
    }

    fn direct(&mut self, at: usize) {
        let pause = if self.oracle.is_quiet { 400 } else { self.random.between(30, 120) };
        self.after(pause, move |w| {
            let server = w.directs[at].at;
            // It is beside the servers: what isolates a machine does not cut it off.
            let way = Node::Client;
            w.send(way, Node::Server(server), move |w| {
                let answer = move |w: &mut World, outcome| {
                    w.send(Node::Server(server), way, move |w| match outcome {
                        Outcome::Done(gtid) => w.oracle.acknowledged(gtid),
                        Outcome::ReadOnly | Outcome::Down => {
                            let count = w.servers.len();
                            w.directs[at].at = (w.directs[at].at + 1) % count;
                        }
                        Outcome::Unknown => {}
                    });
                };
                w.write(server, Box::new(answer));
            });
            w.direct(at);
        });
    }
}
