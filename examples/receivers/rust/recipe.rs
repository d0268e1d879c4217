//! Asks a key store to suspend, resume or revoke a key, as a recipe says: a file of JSON with the HTTP
//! requests of each action. `{key}` is the key's id, `{token}` the credential of the store,
//! `{answer.NAME}` a field of the previous step's answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use reqwest::{Client, Method, redirect};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Document {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    sign: Option<String>,
    #[serde(flatten)]
    actions: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Step {
    method: String,
    path: String,
    body: Option<Value>,
    /// Whether the body is the previous answer with these fields replaced.
    #[serde(default)]
    over_answer: bool,
}

pub struct Recipe {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
    actions: BTreeMap<String, Vec<Step>>,
}

/// Why the store did not do it.
pub enum Fault {
    /// It has no such key.
    Unknown,
    /// Another attempt may succeed.
    Failed(anyhow::Error),
}

impl Recipe {
    pub fn read(path: &Path, url: Option<String>, token: String) -> anyhow::Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let document: Document = serde_json::from_str(&text).with_context(|| name.to_string())?;
        ensure!(document.sign.is_none(), "{name}: only the Python receiver signs requests to AWS");
        let headers = document.headers.into_iter().filter(|_| !token.is_empty());
        let headers = headers.map(|(name, value)| (name, value.replace("{token}", &token)));
        let actions = document.actions.into_iter().filter(|(_, steps)| steps.is_array());
        let steps = |(action, steps)| Ok((action, serde_json::from_value(steps)?));
        Ok(Self {
            client: Client::builder()
                .timeout(Duration::from_secs(10))
                .redirect(redirect::Policy::none())
                .build()?,
            url: url.unwrap_or(document.url).trim_end_matches('/').to_owned(),
            headers: headers.collect(),
            actions: actions.map(steps).collect::<serde_json::Result<_>>()?,
        })
    }

    pub fn can(&self, action: &str) -> bool {
        self.actions.contains_key(action)
    }

    pub async fn run(&self, action: &str, key: &str) -> Result<(), Fault> {
        let mut answer = Map::new();
        for step in self.actions.get(action).into_iter().flatten() {
            answer = self.call(step, key, &answer).await?;
        }
        Ok(())
    }

    async fn call(
        &self,
        step: &Step,
        key: &str,
        answer: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Fault> {
        let name = |name: &str| match name {
            "key" => Some(key.to_owned()),
            name => Some(answer.get(name.strip_prefix("answer.")?)?.as_str()?.to_owned()),
        };
        let path = filled(&step.path, &|it| name(it).map(|value| percent_encoded(&value)))?;
        let method = Method::from_bytes(step.method.as_bytes()).map_err(failed)?;
        let mut call = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        if let Some(body) = &step.body {
            let mut body = filled_all(body, &name)?;
            if step.over_answer
                && let Value::Object(fields) = body
            {
                let mut whole = answer.clone();
                whole.extend(fields);
                body = Value::Object(whole);
            }
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        let response = call.send().await.map_err(|error| failed(error.without_url()))?;
        match response.status() {
            status if status.as_u16() == 404 => return Err(Fault::Unknown),
            status if !status.is_success() => {
                return Err(failed(anyhow!("the key store answered {status}")));
            }
            _ => {}
        }
        let body = response.bytes().await.map_err(failed)?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }
}

fn failed(error: impl Into<anyhow::Error>) -> Fault {
    Fault::Failed(error.into())
}

/// Fills in names in one pass: what an id holds is never taken for another name.
fn filled(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        filled += &value(name).ok_or_else(|| failed(anyhow!("the key store gave no {name}")))?;
        filled += rest;
    }
    Ok(filled)
}

fn filled_all(value: &Value, of: &dyn Fn(&str) -> Option<String>) -> Result<Value, Fault> {
    Ok(match value {
        Value::String(text) => Value::String(filled(text, of)?),
        Value::Array(items) => {
            items.iter().map(|it| filled_all(it, of)).collect::<Result<_, _>>()?
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, it)| Ok((name.clone(), filled_all(it, of)?)));
            Value::Object(fields.collect::<Result<_, Fault>>()?)
        }
        other => other.clone(),
    })
}

/// All but the characters that no address gives a meaning.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}
