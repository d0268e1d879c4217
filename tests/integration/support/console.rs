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
    pub service: Service,
    pub address: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Console {
    pub fn start(clickhouse: &ClickHouseConfig) -> Self {
        Self::start_with(Settings::new(clickhouse))
    }

    pub fn start_with(settings: Settings) -> Self {
        let settings = settings.set("source.kind", "http").set("source.http.listen", "127.0.0.1:0");
        let service = Service::start(&settings);
        let address = service.logged_address("serving the console");
        eventually_blocking("the service is ready", LIMIT, || service.is_ready());
        Self { service, address }
    }

    /// Asks as a browser of this machine does.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("host", &self.address), ("accept", "text/html")])
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        answer(self.connect(method, path, headers))
    }

    /// Sends a form as a browser does that has it from the console.
    pub fn submit(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.address);
        let headers = [("origin", origin.as_str()), ("cookie", cookie)];
        self.submit_with(path, &headers, fields)
    }

    /// Sends a form with these headers and no others that tell who sends it.
    pub fn submit_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let form = ("content-type", "application/x-www-form-urlencoded");
        let own = [("host", self.address.as_str()), ("accept", "text/html"), form];
        self.send_body("POST", path, &[&own, headers].concat(), &body.join("&"))
    }

    pub fn send_body(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let length = body.len().to_string();
        let headers = [headers, &[("content-length", length.as_str())]].concat();
        let mut stream = self.connect(method, path, &headers);
        stream.write_all(body.as_bytes()).unwrap();
        answer(stream)
    }

    /// Logs in and returns the cookie.
    pub fn login(&self, name: &str, password: &str) -> String {
        let answer = self.submit("/login", "", &[("name", name), ("password", password)]);
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer.cookie().unwrap()
    }

    /// Asks as a browser that has logged in.
    pub fn get_as(&self, cookie: &str, path: &str) -> Answer {
        let host = ("host", self.address.as_str());
        self.send("GET", path, &[host, ("accept", "text/html"), ("cookie", cookie)])
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

    /// Opens the stream of alerts as a page of a session does.
    pub fn stream_as(&self, cookie: &str) -> Stream {
        let headers = [("host", self.address.as_str()), ("cookie", cookie)];
        let mut stream = Stream(BufReader::new(self.connect("GET", "/v1/alerts/stream", &headers)));
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

impl Answer {
    /// The cookie that it sets, as `name=value`.
    pub fn cookie(&self) -> Option<String> {
        let line = self.headers.lines().find_map(|line| line.strip_prefix("set-cookie: "))?;
        line.split(';').next().map(str::to_owned)
    }

    /// The value of the first hidden field with this name.
    pub fn hidden(&self, name: &str) -> String {
        let field = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.body.split_once(&field).unwrap_or_else(|| panic!("{}", self.body));
        rest.split('"').next().unwrap().to_owned()
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
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
    /// Reads to the end, if it comes.
    pub fn ends(&mut self) -> bool {
        self.0.read_to_string(&mut String::new()).is_ok()
    }

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
