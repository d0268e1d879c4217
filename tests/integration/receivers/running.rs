//! Runs one of the receivers: the Python one as a process, the Rust one in this process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::example;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What the receiver accepts: the secret in use, and the one before it.
const SECRETS: &str =
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
pub const TOKEN: &str = "st0re-t0ken";
pub const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(Clone, Copy, Debug)]
pub enum Language {
    Python,
    Rust,
}

pub struct Running {
    pub url: String,
    child: Option<Child>,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/receivers")
}

impl Running {
    pub async fn start(language: Language, recipe: &str, store: &str, journal: &Path) -> Self {
        let recipe = examples().join("recipes").join(format!("{recipe}.json"));
        match language {
            Language::Python => Self::python(&recipe, store, journal),
            Language::Rust => Self::rust(&recipe, store, journal).await,
        }
    }

    fn python(recipe: &Path, store: &str, journal: &Path) -> Self {
        let mut child = Command::new("python3")
            .arg("-B")
            .arg(examples().join("python/receiver.py"))
            .args(["--listen", "127.0.0.1:0", "--lift-every", "0.1", "--store", store])
            .arg("--recipe")
            .arg(recipe)
            .arg("--journal")
            .arg(journal)
            .env("KEYWATCH_WEBHOOK_SECRET", SECRETS)
            .env("STORE_TOKEN", TOKEN)
            .envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)])
            .env("AWS_REGION", "eu-central-1")
            .env_remove("AWS_SESSION_TOKEN")
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        if !line.starts_with("listening on ") {
            log.read_to_string(&mut line).unwrap();
            panic!("{line}");
        }
        let address = line.trim().rsplit(' ').next().unwrap_or_default();
        let url = format!("http://{address}/hook");
        // A full pipe would stop it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { url, child: Some(child), task: None }
    }

    async fn rust(recipe: &Path, store: &str, journal: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let args = example::Args {
            recipe: recipe.to_owned(),
            journal: journal.to_owned(),
            listen: String::new(),
            store: Some(store.to_owned()),
            lift_every: 0.1,
            secret: SECRETS.to_owned(),
            token: TOKEN.to_owned(),
        };
        let task = tokio::spawn(example::serve(args, listener));
        Self { url, child: None, task: Some(task) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
