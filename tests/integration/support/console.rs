//! A client of the console that sends exactly the headers it is given, and the console of a service
//! without traffic of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use keywatch::config::ClickHouseConfig;

use super::eventually::{LIMIT, eventually_blocking};
use super::service::Service;
use super::settings::Settings;

/// A service whose console shows the database; it reads nothing.
pub struct Console {
    _service: Service,
    pub address: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Console {
    pub fn start(clickhouse: &ClickHouseConfig) -> Self {
        let settings = Settings::new(clickhouse)
            .set("source.kind", "http")
            .set("source.http.listen", "127.0.0.1:0");
        let service = Service::start(&settings);
        let address = service.logged_address("serving the console");
        eventually_blocking("the service is ready", LIMIT, || service.is_ready());
        Self { _service: service, address }
    }

    /// Asks as a browser of this machine does.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("host", &self.address), ("accept", "text/html")])
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        answer(self.connect(method, path, headers))
    }

    /// Sends these bytes as they are.
    pub fn send_raw(&self, request: &str) -> Answer {
        answer(self.write(request))
    }

    /// Opens the stream of alerts, after the event with this id if there is one.
    pub fn stream(&self, last: Option<&str>) -> Stream {
        let host = ("host", self.address.as_str());
        let headers: Vec<_> =
            std::iter::once(host).chain(last.map(|id| ("last-event-id", id))).collect();
        let stream = self.connect("GET", "/v1/alerts/stream", &headers);
        let mut stream = Stream(BufReader::new(stream));
        // The head ends with an empty line; the greeting follows at once.
        while !stream.line().is_empty() {}
        stream
    }

    fn connect(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.write(&format!("{method} {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n"))
    }

    fn write(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: head.to_lowercase(), body: body.to_owned() }
}

pub struct Stream(BufReader<TcpStream>);

impl Stream {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line that begins with `prefix`, without it. Lines of chunk sizes lie in between.
    pub fn next(&mut self, prefix: &str) -> String {
        loop {
            if let Some(rest) = self.line().strip_prefix(prefix) {
                return rest.trim_start().to_owned();
            }
        }
    }

    /// Id and alert of the next event.
    pub fn event(&mut self) -> (String, serde_json::Value) {
        let mut id = None;
        loop {
            let line = self.line();
            if let Some(rest) = line.strip_prefix("id:") {
                id = Some(rest.trim().to_owned());
            } else if let Some(rest) = line.strip_prefix("data:") {
                let alert = serde_json::from_str(rest).unwrap();
                // The id comes before or after the data.
                let id = id.unwrap_or_else(|| self.next("id:"));
                return (id, alert);
            }
        }
    }
}
