//! The filters in the record: changed by one statement at a time, whole or not at all.

use super::head::{Head, Refusal};
use super::limits::NOTE_BYTES_MAX;
use super::record::Record;
use std::sync::Arc;
use weir_core::session::filters::told;
use weir_planner::filter::{Filter, Statement};

/// Makes the record that follows from `CREATE`, `ALTER` or `DROP FILTER`.
pub async fn change(head: &Head, by: &str, statement: &Statement) -> Result<Arc<Record>, Refusal> {
    // For people: what is longer is cut, at four bytes a letter.
    let by: String = by.chars().filter(|c| !c.is_control()).take(NOTE_BYTES_MAX / 4).collect();
    head.change(&by, None, |record| edited(record, statement)).await
}

fn edited(record: &Record, statement: &Statement) -> Result<Option<Record>, Refusal> {
    let unknown =
        |why| Refusal::NotNow(format!("the store holds a filter that this controller does not understand: {why}"));
    let held = Filter::parse_all(&record.filters.join(";\n")).map_err(unknown)?;
    let mut next = statement.apply(&held).map_err(Refusal::Wrong)?;
    if next == held {
        return Ok(None);
    }
    next.sort_by(|a, b| a.name.cmp(&b.name));
    let filters = next.iter().map(ToString::to_string).collect();
    Ok(Some(Record { filters, reason: told(statement), ..record.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::record::Phase;
    use crate::controller::record::tests::record;

    #[test]
    fn each_statement_makes_the_next_record() {
        let mut now = record(7, Phase::Forming);
        let mut run = |text: &str| {
            let next = edited(&now, &Statement::read(text).unwrap()).map_err(|refusal| refusal.to_string())?;
            let is_other = next.is_some();
            now = next.unwrap_or(now.clone());
            Ok::<_, String>((is_other, now.filters.clone(), now.reason.clone()))
        };
        let create =
            |name: &str| format!("create filter {name} () with_pattern (plans='Select') execute (action='FAIL')");
        assert_eq!(run(&create("b")).unwrap().2, "CREATE FILTER b");
        assert_eq!(run(&create("a")).unwrap().1.len(), 2);
        assert!(run(&create("a")).unwrap_err().contains("exists already"));
        assert!(!run(&create("a").replace("filter a", "filter if not exists a")).unwrap().0);
        assert!(run("alter filter a (priority='7')").unwrap().0);
        assert!(run("alter filter c (priority='7')").unwrap_err().contains("no filter 'c'"));
        assert!(run("alter filter a (priority='x')").unwrap_err().contains("no whole number"));
        let (_, left, _) = run("drop filter b").unwrap();
        assert!(
            left.len() == 1 && left[0].starts_with("create filter `a`") && left[0].contains("priority='7'"),
            "{left:?}"
        );
        let odd = Record { filters: vec!["create filter of the future".to_string()], ..record(7, Phase::Forming) };
        let refused = edited(&odd, &Statement::read("drop filter a").unwrap()).unwrap_err().to_string();
        assert!(refused.contains("does not understand"), "{refused}");
    }
}
