//! Arguments of the commands that act on incidents.

use anyhow::anyhow;

use super::acting::Order;
use super::filter::Filter;
use super::person;
use crate::alert::CloseReason;
use crate::casework;
use crate::cli::CommandError;
use crate::workflow::{Kind, Origin};

/// The incidents to act on.
#[derive(clap::Args)]
struct Which {
    /// The incidents' ids, as the mail, the webhook and `alerts list` show them
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten, next_help_heading = "All incidents that match a filter")]
    filter: Filter,
    /// Do it; without this, only the number of incidents that match is told
    #[arg(long)]
    yes: bool,
}

/// Who acts, and how the result is told.
#[derive(clap::Args)]
struct How {
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print one JSON object for each incident
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts ack inc_9c0f6a1b2d3e4f5061728394 -m 'asking the owner'
  keywatch alerts ack --key ak_123 --yes")]
pub struct AckArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten, next_help_heading = "The act")]
    how: How,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts assign inc_9c0f6a1b2d3e4f5061728394 --to alice
  keywatch alerts assign --severity critical --since 24h --to alice --yes")]
pub struct AssignArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten, next_help_heading = "The act")]
    how: How,
    /// The person who takes it
    #[arg(long, value_name = "NAME")]
    to: String,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts comment inc_9c0f6a1b2d3e4f5061728394 -m 'the owner does not answer'")]
pub struct CommentArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten, next_help_heading = "The act")]
    how: How,
    /// The comment
    #[arg(short, long, value_name = "TEXT")]
    message: String,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts confirm inc_9c0f6a1b2d3e4f5061728394 -m 'the owner has lost a laptop'
  keywatch alerts confirm inc_9c0f6a1b2d3e4f5061728394 --reason misuse_by_owner")]
pub struct ConfirmArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten, next_help_heading = "The act")]
    how: How,
    /// theft or misuse_by_owner
    #[arg(long, default_value = "theft", value_parser = confirming)]
    reason: CloseReason,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts dismiss inc_9c0f6a1b2d3e4f5061728394 --reason false_travel
  keywatch alerts dismiss --detector client.new_agent --since 2h --reason false_deploy --yes")]
pub struct DismissArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten, next_help_heading = "The act")]
    how: How,
    /// test, false_travel, false_deploy, false_other or duplicate
    #[arg(long, value_parser = dismissing)]
    reason: CloseReason,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts reopen inc_9c0f6a1b2d3e4f5061728394 -m 'dismissed by mistake'")]
pub struct ReopenArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten, next_help_heading = "The act")]
    how: How,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts approve inc_9c0f6a1b2d3e4f5061728394 -m 'spoke to the owner'
  keywatch alerts approve inc_9c0f6a1b2d3e4f5061728394 --reject

An approval covers the action and the evidence that are known now. It goes beyond an open breaker and
the limit of a tenant, and never beyond the budget of the installation.")]
pub struct ApproveArgs {
    /// The incidents' ids, as the mail, the webhook and `alerts list` show them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Forbid the action
    #[arg(long)]
    reject: bool,
    #[command(flatten, next_help_heading = "The act")]
    how: How,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

impl ApproveArgs {
    pub fn order(&self) -> Result<Order, CommandError> {
        let kind = if self.reject { Kind::Reject } else { Kind::Approve };
        // Each approval is of its own: a filter would approve what nobody has looked at.
        let which = Which { ids: self.ids.clone(), filter: Filter::default(), yes: false };
        order(kind, &which, &self.how, self.message.as_deref())
    }
}

impl AckArgs {
    pub fn order(&self) -> Result<Order, CommandError> {
        order(Kind::Acknowledge, &self.which, &self.how, self.message.as_deref())
    }
}

impl AssignArgs {
    pub fn order(&self) -> Result<Order, CommandError> {
        let assignee = Some(person::name("--to", &self.to).map_err(usage)?);
        let order = order(Kind::Assign, &self.which, &self.how, self.message.as_deref())?;
        Ok(Order { act: casework::Order { assignee, ..order.act }, ..order })
    }
}

impl CommentArgs {
    pub fn order(&self) -> Result<Order, CommandError> {
        order(Kind::Comment, &self.which, &self.how, Some(&self.message))
    }
}

impl ConfirmArgs {
    pub fn order(&self, quiet_hours: f64) -> Result<Order, CommandError> {
        let order = order(Kind::Confirm, &self.which, &self.how, self.message.as_deref())?;
        Ok(closing(order, self.reason, quiet_hours))
    }
}

impl DismissArgs {
    pub fn order(&self, quiet_hours: f64) -> Result<Order, CommandError> {
        let order = order(Kind::Dismiss, &self.which, &self.how, self.message.as_deref())?;
        Ok(closing(order, self.reason, quiet_hours))
    }
}

impl ReopenArgs {
    pub fn order(&self) -> Result<Order, CommandError> {
        order(Kind::Reopen, &self.which, &self.how, self.message.as_deref())
    }
}

fn order(
    kind: Kind,
    which: &Which,
    how: &How,
    message: Option<&str>,
) -> Result<Order, CommandError> {
    if which.ids.is_empty() == which.filter.is_empty() {
        let sentence = if which.ids.is_empty() {
            "name incidents by their ids, or by a filter such as --key; `keywatch alerts list` shows them"
        } else {
            "give either ids or a filter, and not both"
        };
        return Err(usage(sentence.to_owned()));
    }
    let who = person::acting(how.by.as_deref())?;
    let text = message.map(person::message).transpose().map_err(usage)?;
    let act = casework::Order {
        kind,
        reason: None,
        assignee: None,
        text: text.unwrap_or_default(),
        quiet_seconds: 0,
        who,
        origin: Origin::CommandLine,
    };
    Ok(Order {
        act,
        ids: which.ids.clone(),
        filter: which.filter.clone(),
        is_sure: which.yes,
        as_json: how.json,
    })
}

fn closing(order: Order, reason: CloseReason, quiet_hours: f64) -> Order {
    let quiet_seconds = casework::quiet_seconds(quiet_hours);
    Order { act: casework::Order { reason: Some(reason), quiet_seconds, ..order.act }, ..order }
}

fn usage(sentence: String) -> CommandError {
    CommandError::Usage(anyhow!(sentence))
}

fn confirming(text: &str) -> Result<CloseReason, String> {
    match CloseReason::named(text) {
        Some(reason) if reason.confirms() => Ok(reason),
        Some(_) => Err("this reason dismisses an incident: use `keywatch alerts dismiss`".into()),
        None => Err("reasons to confirm are theft and misuse_by_owner".into()),
    }
}

fn dismissing(text: &str) -> Result<CloseReason, String> {
    match CloseReason::named(text) {
        Some(reason) if !reason.confirms() => Ok(reason),
        Some(_) => Err("this reason confirms an incident: use `keywatch alerts confirm`".into()),
        None => Err("reasons to dismiss are test, false_travel, false_deploy, false_other and \
                     duplicate"
            .into()),
    }
}
