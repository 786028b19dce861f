//! A query with Grafana's variables in it, as a tree.

use std::collections::BTreeSet;
use std::time::Duration;

use promql_parser::parser::{self, Expr, LabelModifier, MatrixSelector, VectorSelector};

/// Windows are represented in the tree by lengths that no query uses.
const WINDOWS: [(&str, Duration); 4] = [
    ("__rate_interval", Duration::from_secs(241)),
    ("__interval", Duration::from_secs(61)),
    ("__range", Duration::from_secs(7_201)),
    ("window", Duration::from_secs(3_601)),
];

/// A parsed query.
#[derive(Debug)]
pub(crate) struct Query(Expr);

/// A selector in a query, and how it is read.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Each matcher as label and value; what a variable chooses has the variable as value.
    pub(crate) matchers: Vec<(String, String)>,
    /// The function over time that reads it, and the window: `increase` over `window`.
    pub(crate) over_time: Option<(String, String)>,
}

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut filled = text.to_owned();
        for (name, length) in WINDOWS {
            filled = filled.replace(&format!("${name}"), &format!("{}s", length.as_secs()));
        }
        for number in ["min_conversations", "min_events"] {
            filled = filled.replace(&format!("${number}"), "20");
        }
        parser::parse(&filled).map(Self).map_err(|error| format!("{error}: {text}"))
    }

    /// All selectors.
    pub(crate) fn selectors(&self) -> Vec<Series> {
        let mut found = Vec::new();
        collect(&self.0, None, &mut found);
        found
    }

    /// The labels of the result, where the form of the query determines them.
    pub(crate) fn labels(&self) -> Option<BTreeSet<String>> {
        labels(&self.0)
    }

    /// Each `by (...)` with the selectors under it.
    pub(crate) fn groupings(&self) -> Vec<(Vec<String>, Vec<Series>)> {
        let mut found = Vec::new();
        visit(&self.0, &mut |expr| {
            if let Expr::Aggregate(aggregate) = expr
                && let Some(LabelModifier::Include(by)) = &aggregate.modifier
            {
                let mut under = Vec::new();
                collect(&aggregate.expr, None, &mut under);
                found.push((by.labels.clone(), under));
            }
        });
        found
    }

    /// Labels that the query makes itself.
    pub(crate) fn made_labels(&self) -> BTreeSet<String> {
        let mut made = BTreeSet::new();
        visit(&self.0, &mut |expr| {
            if let Expr::Call(call) = expr
                && call.func.name == "label_replace"
                && let Some(Expr::StringLiteral(label)) = call.args.args.get(1).map(AsRef::as_ref)
            {
                made.insert(label.val.clone());
            }
        });
        made
    }

    /// Whether one increase is divided by another somewhere.
    pub(crate) fn divides_increases(&self) -> bool {
        let mut divides = false;
        visit(&self.0, &mut |expr| {
            if let Expr::Binary(binary) = expr
                && binary.op.to_string() == "/"
            {
                let grows = |side: &Expr| {
                    let mut found = Vec::new();
                    collect(side, None, &mut found);
                    found.iter().any(|series| {
                        series.over_time.as_ref().is_some_and(|(function, _)| function == "increase")
                    })
                };
                divides |= grows(&binary.lhs) && grows(&binary.rhs);
            }
        });
        divides
    }

    /// The labels that the argument of each call of `histogram_quantile` is summed by.
    pub(crate) fn quantiles(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        visit(&self.0, &mut |expr| {
            if let Expr::Call(call) = expr
                && call.func.name == "histogram_quantile"
            {
                found.push(match call.args.args.get(1).map(AsRef::as_ref) {
                    Some(Expr::Aggregate(aggregate)) => match &aggregate.modifier {
                        Some(LabelModifier::Include(by)) => by.labels.clone(),
                        _ => Vec::new(),
                    },
                    _ => Vec::new(),
                });
            }
        });
        found
    }
}

fn series(selector: &VectorSelector, over_time: Option<(String, String)>) -> Series {
    let matchers = &selector.matchers.matchers;
    Series {
        name: selector.name.clone().unwrap_or_default(),
        matchers: matchers.iter().map(|matcher| (matcher.name.clone(), matcher.value.clone())).collect(),
        over_time,
    }
}

fn window(range: Duration) -> String {
    let known = WINDOWS.iter().find(|(_, length)| *length == range);
    known.map_or_else(|| format!("{}s", range.as_secs()), |(name, _)| format!("${name}"))
}

fn collect(expr: &Expr, function: Option<&str>, found: &mut Vec<Series>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(series(selector, None)),
        Expr::MatrixSelector(MatrixSelector { vs, range }) => {
            found.push(series(vs, Some((function.unwrap_or_default().to_owned(), window(*range)))));
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                collect(argument, Some(call.func.name), found);
            }
        }
        Expr::Aggregate(_)
        | Expr::Unary(_)
        | Expr::Binary(_)
        | Expr::Paren(_)
        | Expr::Subquery(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => {
            children(expr).into_iter().for_each(|child| collect(child, function, found));
        }
    }
}

fn visit(expr: &Expr, with: &mut impl FnMut(&Expr)) {
    with(expr);
    for child in children(expr) {
        visit(child, with);
    }
}

fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Aggregate(aggregate) => {
            std::iter::once(aggregate.expr.as_ref()).chain(aggregate.param.as_deref()).collect()
        }
        Expr::Unary(unary) => vec![&unary.expr],
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Paren(paren) => vec![&paren.expr],
        Expr::Subquery(subquery) => vec![&subquery.expr],
        Expr::Call(call) => call.args.args.iter().map(AsRef::as_ref).collect(),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => Vec::new(),
    }
}

fn labels(expr: &Expr) -> Option<BTreeSet<String>> {
    match expr {
        Expr::Aggregate(aggregate) => match &aggregate.modifier {
            Some(LabelModifier::Include(by)) => Some(by.labels.iter().cloned().collect()),
            Some(LabelModifier::Exclude(_)) => None,
            // `topk` keeps what it is given; a sum without `by` keeps nothing.
            None if aggregate.param.is_some() => labels(&aggregate.expr),
            None => Some(BTreeSet::new()),
        },
        Expr::Binary(binary) if is_scalar(&binary.lhs) => labels(&binary.rhs),
        Expr::Binary(binary) => labels(&binary.lhs),
        Expr::Paren(paren) => labels(&paren.expr),
        Expr::Call(call) if call.func.name == "histogram_quantile" => {
            let mut labels = labels(call.args.args.get(1)?)?;
            labels.remove("le");
            Some(labels)
        }
        Expr::Call(call) if matches!(call.func.name, "sort_desc" | "sort" | "clamp_min") => {
            labels(call.args.args.first()?)
        }
        Expr::Unary(_)
        | Expr::Subquery(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Call(_)
        | Expr::Extension(_) => None,
    }
}

fn is_scalar(expr: &Expr) -> bool {
    matches!(expr, Expr::NumberLiteral(_)) || matches!(expr, Expr::Call(call) if call.func.name == "time")
}

/// The names of the variables in a text: `$name`, `${name}` and `${name:format}`.
pub(crate) fn placeholders(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in text.split('$').skip(1) {
        let (rest, braced) = rest.strip_prefix('{').map_or((rest, false), |rest| (rest, true));
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || (braced && c == '.');
        let name: String = rest.chars().take_while(|c| part_of_name(*c)).collect();
        if !name.is_empty() {
            found.insert(name);
        }
    }
    found
}
