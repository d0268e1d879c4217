//! Starts a real SMTP server (`tools/node/mailbox.mjs`) for one test.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mailparse::{MailHeaderMap, parse_mail};
use tempfile::TempDir;

use super::eventually::{LIMIT, eventually};

pub struct Mailbox {
    process: Child,
    directory: TempDir,
    pub smtp_port: u16,
    pub http_port: u16,
}

/// The parts of a mail that tests check.
#[derive(Debug)]
pub struct Mail {
    pub raw: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Mailbox {
    /// Starts the server with `options`, which `mailbox.mjs` documents.
    pub fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/node/mailbox.mjs"))
            .args(["--with-parent", "--http-port", "0", "--dir"])
            .arg(directory.path())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ports: serde_json::Value = serde_json::from_str(&line).expect("the mailbox is ready");
        let port = |name: &str| ports[name].as_u64().unwrap() as u16;
        Self { process, directory, smtp_port: port("smtp"), http_port: port("http") }
    }

    pub fn mails(&self) -> Vec<Mail> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        files.sort();
        files.iter().map(|file| parse(&std::fs::read(file).unwrap())).collect()
    }

    /// A page as a browser would get it, headers included.
    pub fn page(&self, path: &str) -> String {
        use std::io::Write;
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    pub async fn wait_for(&self, count: usize) -> Vec<Mail> {
        eventually(&format!("{count} mails"), LIMIT, async || {
            let mails = self.mails();
            if mails.len() >= count { Ok(mails) } else { Err(mails) }
        })
        .await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn parse(bytes: &[u8]) -> Mail {
    let mail = parse_mail(bytes).unwrap();
    let part = |n: usize| mail.subparts[n].get_body().unwrap();
    Mail {
        raw: String::from_utf8_lossy(bytes).into_owned(),
        subject: mail.headers.get_first_value("Subject").unwrap(),
        text: part(0),
        html: part(1),
    }
}

/// A certificate for `localhost` and its key, made for one test.
pub struct Certificate {
    directory: TempDir,
}

impl Certificate {
    pub fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '))
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(directory.path())
            .output()
            .expect("openssl starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { directory }
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }
}
