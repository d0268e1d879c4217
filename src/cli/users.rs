//! `keywatch users` says who may use the console and the API.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::alerts::{person, print};
use super::{CommandError, listing, load_config};
use crate::access::{self, Account, Kind, Role, Secret};
use crate::event::EventTime;
use crate::store::{AccountRow, Store};
use crate::text::visible;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch users add alice --role responder           # asks for a password
  pass show keywatch/alice | keywatch users add alice --role responder
  keywatch users add ticketing --role responder --token   # prints a token once
  keywatch users change alice --role viewer
  keywatch users remove alice

A viewer reads. A responder also acts on incidents. An admin may also hide critical alerts. As long as
nobody has an account, everybody on this machine can read the console, and nobody can change anything
over HTTP. docs/CONSOLE.md explains accounts, sessions and tokens.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Add a person, or with --token a program
    Add(AddArgs),
    /// Change the role, or the password or token; sessions of the account end
    Change(ChangeArgs),
    /// Remove an account; its sessions end
    Remove(RemoveArgs),
    /// List accounts with their last use
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct AddArgs {
    #[arg(value_parser = name)]
    name: String,
    /// viewer, responder or admin
    #[arg(long, value_parser = role)]
    role: Role,
    /// For a program: print a token instead of asking for a password
    #[arg(long)]
    token: bool,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(clap::Args)]
struct ChangeArgs {
    #[arg(value_parser = name)]
    name: String,
    /// viewer, responder or admin
    #[arg(long, value_parser = role, required_unless_present = "renew")]
    role: Option<Role>,
    /// Ask for a new password, or print a new token; the old one is void
    #[arg(long)]
    renew: bool,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(clap::Args)]
struct RemoveArgs {
    #[arg(value_parser = name)]
    name: String,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

fn role(text: &str) -> Result<Role, String> {
    Role::named(text).ok_or_else(|| "roles are viewer, responder and admin".to_owned())
}

fn name(text: &str) -> Result<String, String> {
    access::check_name(text).map(|()| text.to_owned())
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?;
    let store = Store::new(&config.clickhouse);
    super::runtime()?.block_on(async {
        match &args.action {
            Action::Add(args) => add(args, &store).await,
            Action::Change(args) => change(args, &store).await,
            Action::Remove(args) => remove(args, &store).await,
            Action::List { json } => list(*json, &store).await,
        }
    })
}

async fn add(args: &AddArgs, store: &Store) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let (earlier, account) = find(store, &args.name).await?;
    let name = &args.name;
    if account.is_some() {
        return Err(
            anyhow!("{name} has an account; `keywatch users change {name}` changes it").into()
        );
    }
    let kind = if args.token { Kind::Program } else { Kind::Person };
    let (secret, token) = secret(kind)?;
    let row = row(earlier, name, kind, Some(args.role), secret, who);
    store.write_account(&row).await.context("the account could not be stored")?;
    tell(&format!("{name} is a {} now", args.role.as_str()), token)
}

async fn change(args: &ChangeArgs, store: &Store) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let (earlier, account) = find(store, &args.name).await?;
    let account = account.ok_or_else(|| unknown(&args.name))?;
    let (new, token) = if args.renew { secret(account.kind)? } else { (account.secret, None) };
    let role = args.role.unwrap_or(account.role);
    let row = row(earlier, &args.name, account.kind, Some(role), new, who);
    store.write_account(&row).await.context("the change could not be stored")?;
    tell(&format!("{} is changed: a {}; its sessions end", args.name, role.as_str()), token)
}

async fn remove(args: &RemoveArgs, store: &Store) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let (earlier, account) = find(store, &args.name).await?;
    let account = account.ok_or_else(|| unknown(&args.name))?;
    let row = row(earlier, &args.name, account.kind, None, String::new(), who);
    store.write_account(&row).await.context("the removal could not be stored")?;
    tell(&format!("{} is removed; its sessions end", args.name), None)?;
    let left = store.accounts().await.map_err(anyhow::Error::from)?;
    if left.iter().all(|row| row.role.is_empty()) {
        tell("nobody has an account now: who can open the console on loopback reads it", None)?;
    }
    Ok(())
}

/// The latest row of the name, and the account if it was not removed.
async fn find(
    store: &Store,
    name: &str,
) -> Result<(Option<AccountRow>, Option<Account>), CommandError> {
    let rows = store.accounts().await.map_err(anyhow::Error::from)?;
    let row = rows.into_iter().find(|row| row.name == name);
    let account = row.clone().and_then(Account::read);
    Ok((row, account))
}

fn row(
    earlier: Option<AccountRow>,
    name: &str,
    kind: Kind,
    role: Option<Role>,
    secret: String,
    who: String,
) -> AccountRow {
    AccountRow {
        name: name.to_owned(),
        id: format!("acc_{:032x}", rand::random::<u128>()),
        kind: kind.as_str().to_owned(),
        role: role.map(Role::as_str).unwrap_or_default().to_owned(),
        secret,
        who,
        time: earlier.map(|row| row.time).unwrap_or_default(),
    }
}

/// A hash to store, and the token to print.
fn secret(kind: Kind) -> Result<(String, Option<Secret>), CommandError> {
    match kind {
        Kind::Program => {
            let token = Secret::random("kwt_");
            Ok((token.digest(), Some(token)))
        }
        Kind::Person => {
            let hash = access::hash(&password()?);
            Ok((hash.map_err(|error| CommandError::Usage(error.into()))?, None))
        }
    }
}

/// Asks twice on a terminal; otherwise takes the first line of standard input.
fn password() -> Result<String, CommandError> {
    if io::stdin().is_terminal() {
        let ask =
            |words: &str| rpassword::prompt_password(words).context("the password cannot be read");
        let least = access::LEAST_PASSWORD;
        let first = ask(&format!("Password, at least {least} characters: "))?;
        if first != ask("Again: ")? {
            return Err(CommandError::Usage(anyhow!("the two passwords differ")));
        }
        return Ok(first);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the password cannot be read")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn unknown(name: &str) -> CommandError {
    anyhow!("{name} has no account; `keywatch users list` names all").into()
}

fn tell(sentence: &str, token: Option<Secret>) -> Result<(), CommandError> {
    let Some(token) = token else { return print(&format!("{sentence}\n")) };
    anstream::eprintln!(
        "{sentence}; the token is shown this once, send it as `Authorization: Bearer TOKEN`"
    );
    print(&format!("{}\n", token.reveal()))
}

const LAST_USES: &str = "SELECT name, toString(max(time)) AS at FROM account_uses GROUP BY name";

#[derive(Deserialize)]
struct LastUse {
    name: String,
    at: String,
}

#[derive(Serialize)]
struct Line {
    name: String,
    kind: Kind,
    role: Role,
    since: EventTime,
    last_used: Option<String>,
    changed_by: String,
}

async fn list(as_json: bool, store: &Store) -> Result<(), CommandError> {
    let rows = store.accounts().await.map_err(anyhow::Error::from)?;
    let uses: Vec<LastUse> = store.query_rows(LAST_USES, &[]).await.map_err(anyhow::Error::from)?;
    let line = |row: AccountRow| {
        let changed_by = row.who.clone();
        let Account { name, kind, role, since, .. } = Account::read(row)?;
        let last_used = uses.iter().find(|used| used.name == name).map(|used| used.at.clone());
        Some(Line { name, kind, role, since, last_used, changed_by })
    };
    let lines: Vec<Line> = rows.into_iter().filter_map(line).collect();
    if as_json {
        let json: Result<Vec<String>, _> = lines.iter().map(serde_json::to_string).collect();
        let json = json.map_err(anyhow::Error::from)?;
        return print(&json.into_iter().map(|line| line + "\n").collect::<String>());
    }
    const COLUMNS: [&str; 6] = ["name", "kind", "role", "since", "last_used", "changed_by"];
    let cells = || lines.iter().map(cells);
    print(&listing::rows(
        |width| listing::text_of(&listing::table(COLUMNS, cells(), &[], width)),
        COLUMNS,
        cells(),
    ))
}

fn cells(line: &Line) -> [String; 6] {
    [
        line.name.clone(),
        line.kind.as_str().to_owned(),
        line.role.as_str().to_owned(),
        line.since.to_string(),
        line.last_used.clone().unwrap_or_else(|| "never".to_owned()),
        visible(&line.changed_by),
    ]
}
