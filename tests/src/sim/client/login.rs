//! Logging in as a client: `caching_sha2_password` on a plain connection, switches, the full exchange by RSA.
//!
//! Rules: MySQL "Connection Phase", "Caching_sha2_password information".

use weir_net::auth::rsa::encrypt_oaep;
use weir_net::auth::{CACHING_SHA2, scramble};
use weir_net::command::{ChangeUser, Command};
use weir_net::flags::Capabilities;
use weir_net::greeting::Greeting;
use weir_net::login::Login;
use weir_net::outcome::ErrPacket;
use weir_net::reader::Reader;

/// A login, or a change of user, being talked about.
#[derive(Debug)]
pub struct Talk {
    pub user: String,
    password: String,
    schema: Option<String>,
    caps: Capabilities,
    nonce: [u8; 20],
    seq: u8,
    greeted: bool,
}

/// What a packet of the server's leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// To be sent with this sequence number.
    Send(u8, Vec<u8>),
    Wait,
    In,
    Refused(u16, String),
}

impl Talk {
    pub fn new(user: &str, password: &str, schema: Option<&str>, caps: Capabilities) -> Talk {
        Talk {
            user: user.to_string(),
            password: password.to_string(),
            schema: schema.map(str::to_string),
            caps,
            nonce: [0; 20],
            seq: 0,
            greeted: false,
        }
    }

    /// A change of user on an open connection, and its command's payload.
    pub fn change(
        user: &str,
        password: &str,
        schema: Option<&str>,
        caps: Capabilities,
        nonce: [u8; 20],
    ) -> (Talk, Vec<u8>) {
        let talk = Talk { nonce, seq: 1, greeted: true, ..Talk::new(user, password, schema, caps) };
        let auth = scramble::caching_sha2(password.as_bytes(), &nonce);
        let request = ChangeUser {
            user: user.as_bytes(),
            auth: &auth,
            schema: schema.unwrap_or_default().as_bytes(),
            charset: 255,
            plugin: Some(CACHING_SHA2),
            attributes: &[],
        };
        let mut payload = Vec::new();
        request.encode(&mut payload, caps).expect("32 bytes fit");
        assert_eq!(payload.first(), Some(&Command::ChangeUser.to_byte()));
        (talk, payload)
    }

    pub fn nonce(&self) -> [u8; 20] {
        self.nonce
    }

    /// The sequence number that the next packet must have.
    pub fn seq(&self) -> u8 {
        self.seq
    }

    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// A packet has come. The connection id comes with the greeting.
    pub fn packet(&mut self, seq: u8, payload: &[u8], connection_id: &mut u32) -> Result<Said, String> {
        if seq != self.seq {
            return Err(format!("login packet with sequence number {seq} instead of {}", self.seq));
        }
        self.seq = seq.wrapping_add(1);
        let (first, rest) = payload.split_first().ok_or("an empty login packet")?;
        if *first == 0xff {
            let err = ErrPacket::decode(payload).map_err(|e| e.0.to_string())?;
            return Ok(Said::Refused(err.code, String::from_utf8_lossy(err.message).into_owned()));
        }
        if !self.greeted {
            return self.greeting(payload, connection_id);
        }
        match (first, rest) {
            (0, _) => Ok(Said::In),
            (0xfe, switch) => {
                let mut reader = Reader::new(switch);
                let plugin = reader.nul_bytes().map_err(|e| e.0.to_string())?;
                if plugin != CACHING_SHA2 {
                    return Err("switched to another plugin than the account's".into());
                }
                self.nonce = reader.array().map_err(|e| e.0.to_string())?;
                Ok(self.send(scramble::caching_sha2(self.password.as_bytes(), &self.nonce).to_vec()))
            }
            (1, [3]) => Ok(Said::Wait),
            (1, [4]) => Ok(self.send(vec![2])),
            (1, pem) => {
                let mut secret = [self.password.as_bytes(), b"\0"].concat();
                scramble::mask(&mut secret, &self.nonce);
                let cipher = encrypt_oaep(pem, &secret).map_err(|e| e.0.to_string())?;
                Ok(self.send(cipher))
            }
            _ => Err(format!("an unknown login packet {payload:?}")),
        }
    }

    fn send(&mut self, payload: Vec<u8>) -> Said {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        Said::Send(seq, payload)
    }

    fn greeting(&mut self, payload: &[u8], connection_id: &mut u32) -> Result<Said, String> {
        let greeting = Greeting::decode(payload).map_err(|e| e.0.to_string())?;
        self.greeted = true;
        self.nonce = greeting.nonce;
        *connection_id = greeting.connection_id;
        if !greeting.capabilities.contains(self.caps) {
            return Err(format!("the greeting lacks {:?}", self.caps.minus(greeting.capabilities)));
        }
        let login = Login {
            capabilities: self.caps,
            max_packet: 1 << 24,
            charset: 255,
            user: self.user.clone().into_bytes(),
            auth: scramble::caching_sha2(self.password.as_bytes(), &self.nonce).to_vec(),
            schema: self.schema.clone().map(String::into_bytes),
            plugin: Some(CACHING_SHA2.to_vec()),
            attributes: vec![(b"program_name".to_vec(), b"sim".to_vec())],
            zstd_level: 0,
        };
        let mut out = Vec::new();
        login.encode(&mut out);
        Ok(self.send(out))
    }
}
