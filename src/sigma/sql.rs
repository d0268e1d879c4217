//! One value of a rule as a condition of a query. Texts of the rule are in it as literals only.

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::Problem;
use super::fields::{Field, Kind};
use super::modifiers::{Flags, Modifiers, Operator};
use super::pattern::Pattern;
use super::yaml::Value;

/// The condition that `field` has this value.
pub(super) fn test(field: &Field, modifiers: Modifiers, value: &Value) -> Result<String, Problem> {
    let text = match value {
        Value::Null if matches!(modifiers.operator, Operator::Like { .. }) => {
            return Ok(field.is_missing());
        }
        Value::Scalar(text) => text,
        _ => return Err(wrong(field, "", "a value")),
    };
    let sql = match modifiers.operator {
        Operator::Like { before, behind } => {
            return like(field, text, (before, behind), modifiers.is_cased);
        }
        Operator::Regex { flags } => return Ok(regex(field, text, flags)),
        Operator::Exists => return exists(field, text),
        Operator::Cidr => network(field, text)?,
        Operator::Compare(operator) => format!("{} {operator} {}", field.sql, number(field, text)?),
    };
    Ok(known(field, sql))
}

/// Nothing is true of a value that is not known; ClickHouse would say neither true nor false, and
/// `not` would change nothing.
fn known(field: &Field, sql: String) -> String {
    if field.is_nullable { format!("ifNull({sql}, false)") } else { sql }
}

fn wrong(field: &Field, value: &str, wanted: &'static str) -> Problem {
    Problem::Value { field: field.names[0].to_owned(), value: value.to_owned(), wanted }
}

fn like(
    field: &Field,
    text: &str,
    (before, behind): (bool, bool),
    is_cased: bool,
) -> Result<String, Problem> {
    let pattern = Pattern::read(text).open(before, behind);
    match (field.kind, pattern.plain()) {
        (Kind::Number, Some(plain)) => {
            Ok(known(field, format!("{} = {}", field.sql, number(field, &plain)?)))
        }
        (Kind::Address, Some(plain)) => address(field, &plain),
        (Kind::Flag, Some(plain)) => {
            Ok(known(field, format!("{} = {}", field.sql, flag(field, &plain)?)))
        }
        _ => {
            let operator = if is_cased { "LIKE" } else { "ILIKE" };
            Ok(format!("{} {operator} {}", field.as_text(), literal(&pattern.like())))
        }
    }
}

fn address(field: &Field, text: &str) -> Result<String, Problem> {
    let address: IpAddr = text.parse().map_err(|_| wrong(field, text, "an address"))?;
    Ok(format!("{} = toIPv6('{address}')", field.sql))
}

fn network(field: &Field, text: &str) -> Result<String, Problem> {
    if field.kind != Kind::Address {
        return Err(wrong(field, text, "for `cidr`: that is for addresses"));
    }
    let net: IpNet =
        text.parse().map_err(|_| wrong(field, text, "a network such as 192.0.2.0/24"))?;
    let (first, last) = (net.network(), net.broadcast());
    Ok(format!("{} BETWEEN toIPv6('{first}') AND toIPv6('{last}')", field.sql))
}

/// The largest whole number that ClickHouse and JSON read as it is written.
const LARGEST: f64 = 9_007_199_254_740_991.0;

fn number(field: &Field, text: &str) -> Result<f64, Problem> {
    if field.kind != Kind::Number {
        return Err(wrong(field, text, "to be compared as a number: the field holds none"));
    }
    let number = text.parse::<f64>().ok().filter(|number| number.abs() <= LARGEST);
    number.ok_or_else(|| wrong(field, text, "a number"))
}

fn flag(field: &Field, text: &str) -> Result<bool, Problem> {
    let flag = text.to_ascii_lowercase().parse();
    flag.map_err(|_| wrong(field, text, "true or false"))
}

fn exists(field: &Field, text: &str) -> Result<String, Problem> {
    let missing = field.is_missing();
    Ok(if flag(field, text)? { format!("NOT ({missing})") } else { missing })
}

fn regex(field: &Field, text: &str, flags: Flags) -> String {
    let of = |is_set: bool, flag: &'static str| if is_set { flag } else { "" };
    let set = [
        of(flags.ignore_case, "i"),
        of(flags.multi_line, "m"),
        // ClickHouse lets a point match line ends; Sigma does so on demand.
        of(flags.dot_all, "s"),
    ]
    .concat();
    let unset = of(!flags.dot_all, "-s");
    format!("match({}, {})", field.as_text(), literal(&format!("(?{set}{unset}){text}")))
}

/// A string literal of ClickHouse.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for char in text.chars() {
        match char {
            '\'' | '\\' => literal.extend(['\\', char]),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\0' => literal.push_str("\\0"),
            // Braces would make a parameter of `{name:Type}` in a client that looks for them.
            char if char.is_ascii_control() || char == '{' || char == '}' => {
                literal.push_str(&format!("\\x{:02x}", u32::from(char)));
            }
            char => literal.push(char),
        }
    }
    literal.push('\'');
    literal
}
