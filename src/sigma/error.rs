//! Says why a rule has no query, and where in it the reason stands.

/// A rule that cannot be read or has no query, with the line of the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SigmaError {
    pub line: usize,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("this is not YAML: {0}")]
    Yaml(String),
    #[error("the file is larger than {0} bytes: a rule is a page of text")]
    TooLarge(usize),
    #[error("values are nested deeper than {0} levels: write the rule flat")]
    TooDeep(usize),
    #[error("anchors, aliases and tags of YAML are not supported: write the value out")]
    NotPlain,
    #[error("the file holds several rules: give one rule a file")]
    SeveralRules,
    #[error("`{0}` stands twice: join the two")]
    Twice(String),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{place} must be {wanted}")]
    Shape { place: String, wanted: &'static str },
    #[error(
        "this is a rule about {0}, and access logs have none of it. Rules of the categories `webserver` and `proxy`, of the services `cloudtrail` and `keywatch`, and without a log source are supported"
    )]
    OtherLogs(String),
    #[error(
        "`{0}` is not supported: it needs more than one request at a time, as the detectors see"
    )]
    Correlation(String),
    #[error(
        "access logs have no field `{0}`. `keywatch sigma --fields` lists those that there are"
    )]
    UnknownField(String),
    #[error(
        "the modifier `{0}` is not supported. Supported are contains, startswith, endswith, all, cased, cidr, re (with i, m, s), exists, lt, lte, gt, gte"
    )]
    UnknownModifier(String),
    #[error("the modifiers of `{0}` do not go together")]
    Modifiers(String),
    #[error("`{value}` of `{field}` is not {wanted}")]
    Value { field: String, value: String, wanted: &'static str },
    #[error("`{0}` is no name of a selection: use letters, digits, `_` and `-`")]
    Name(String),
    #[error("the condition names `{0}`, and `detection` has no such selection")]
    UnknownSelection(String),
    #[error("the condition ends too early or has a word too many, at `{0}`")]
    Condition(String),
    #[error("the condition has more than {0} words or parentheses: divide the rule")]
    LongCondition(usize),
    #[error("the query would be longer than the {0} bytes that ClickHouse reads: divide the rule")]
    LongQuery(usize),
}

impl Problem {
    pub(super) fn at(self, line: usize) -> SigmaError {
        SigmaError { line, problem: self }
    }
}
