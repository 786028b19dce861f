//! Traversal of PromQL expressions.

use std::collections::BTreeSet;

use polyai_domain::problem::Problem;
use polyai_exporter::events::Event;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{BinaryExpr, Expr, VectorSelector};

use super::names::{Series, series};

/// A selector whose name is known.
pub(crate) struct Named<'e> {
    pub(crate) selector: &'e VectorSelector,
    /// The functions around it.
    pub(crate) around: Vec<&'static str>,
    pub(crate) series: Series,
}

/// Every part of `expr`, itself first, with the names of the functions and aggregations around it.
pub(crate) fn parts(expr: &Expr) -> Vec<(&Expr, Vec<&'static str>)> {
    let mut found = Vec::new();
    collect(expr, &[], &mut found);
    found
}

fn collect<'e>(expr: &'e Expr, around: &[&'static str], found: &mut Vec<(&'e Expr, Vec<&'static str>)>) {
    found.push((expr, around.to_vec()));
    match expr {
        Expr::Aggregate(aggregate) => collect(&aggregate.expr, around, found),
        Expr::Unary(unary) => collect(&unary.expr, around, found),
        Expr::Binary(binary) => {
            collect(&binary.lhs, around, found);
            collect(&binary.rhs, around, found);
        }
        Expr::Paren(paren) => collect(&paren.expr, around, found),
        Expr::Subquery(subquery) => collect(&subquery.expr, around, found),
        Expr::Call(call) => {
            let around = [around, &[call.func.name]].concat();
            call.args.args.iter().for_each(|argument| collect(argument, &around, found));
        }
        Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => {}
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only two kinds of expression select")]
/// The selectors in `expr`, each with the functions around it.
pub(crate) fn selectors(expr: &Expr) -> Vec<(&VectorSelector, Vec<&'static str>)> {
    parts(expr)
        .into_iter()
        .filter_map(|(part, around)| match part {
            Expr::VectorSelector(selector) => Some((selector, around)),
            Expr::MatrixSelector(matrix) => Some((&matrix.vs, around)),
            _ => None,
        })
        .collect()
}

pub(crate) fn binaries(expr: &Expr) -> Vec<&BinaryExpr> {
    parts(expr)
        .into_iter()
        .filter_map(|(part, _)| if let Expr::Binary(binary) = part { Some(binary) } else { None })
        .collect()
}

/// Resolves every selector of `expr`, or returns the first fault.
pub(crate) fn resolved<'e>(expr: &'e Expr, recorded: &BTreeSet<String>) -> Result<Vec<Named<'e>>, String> {
    let resolve = |(selector, around): (&'e VectorSelector, _)| {
        let name = selector.name.as_deref().ok_or("a selector without a name")?;
        let series = series(name, recorded).ok_or(format!("there is no series {name}"))?;
        for matcher in &selector.matchers.matchers {
            if !series.labels.contains(&matcher.name) {
                return Err(format!("{name} has no label {}", matcher.name));
            }
            valued(matcher)?;
        }
        Ok(Named { selector, around, series })
    };
    selectors(expr).into_iter().map(resolve).collect()
}

/// Values of labels that are closed sets.
fn valued(matcher: &Matcher) -> Result<(), String> {
    let known: BTreeSet<&str> = match matcher.name.as_str() {
        "problem" => Problem::ALL.iter().map(|problem| problem.code()).collect(),
        "event" => Event::ALL.iter().map(|event| event.as_str()).collect(),
        "outcome" => BTreeSet::from(["committed", "failed"]),
        _ => return Ok(()),
    };
    let is_pattern = matches!(matcher.op, MatchOp::Re(_) | MatchOp::NotRe(_));
    let mut values =
        if is_pattern { matcher.value.split('|').collect() } else { vec![matcher.value.as_str()] };
    values.retain(|value| !known.contains(value));
    if values.is_empty() { Ok(()) } else { Err(format!("{} is never {values:?}", matcher.name)) }
}
