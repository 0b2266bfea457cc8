use super::*;
use crate::controller::record::tests::member;
use crate::store::Memory;
use crate::store::memory::Fault;

/// A head that leads a cluster of its own.
async fn leading() -> (Arc<Memory>, Arc<Head>) {
    let store = Arc::new(Memory::new());
    let head = Head::new(store.clone(), "main", 5_000);
    head.handle_leadership(store.leadership().borrow().clone());
    assert!(head.take_over().await);
    (store, head)
}

fn with_member(name: &'static str, at: usize) -> impl FnOnce(&Record) -> Result<Option<Record>, Refusal> {
    move |record| {
        let mut next = record.clone();
        next.members.insert(name.to_string(), member(at));
        Ok(Some(next))
    }
}

fn epoch(head: &Head) -> u64 {
    head.record().unwrap().epoch.number()
}

#[tokio::test]
async fn changes_follow_each_other_by_one() {
    let (_, head) = leading().await;
    assert_eq!(epoch(&head), 1);
    let record = head.change("op", Some(Epoch::new(1)), with_member("a", 1)).await.unwrap();
    assert_eq!((record.epoch.number(), record.changed_by.as_str()), (2, "op"));
    let late = head.change("op", Some(Epoch::new(1)), with_member("b", 2)).await;
    assert_eq!(late, Err(Refusal::Conflict(Epoch::new(2))));
    let wrong = head.change("op", None, with_member("b", 1)).await;
    assert!(matches!(wrong, Err(Refusal::Wrong(why)) if why.contains("the same server")));
    let huge = head.change("op", None, |record| {
        let mut next = record.clone();
        for at in 0..40 {
            let note = "x".repeat(crate::controller::limits::GTID_BYTES_MAX);
            next.members.insert(format!("m{at}"), crate::controller::record::Member { note, ..member(100 + at) });
        }
        Ok(Some(next))
    });
    assert!(matches!(huge.await, Err(Refusal::Wrong(why)) if why.contains("1048576 at most")));
    let nothing = head.change("op", None, |_| Ok(None)).await.unwrap();
    assert_eq!(nothing.epoch.number(), 2);
}

#[tokio::test]
async fn what_became_of_an_unanswered_swap_is_found_out() {
    let (store, head) = leading().await;
    store.fail_next(Fault::UnknownDone);
    assert_eq!(head.change("op", None, with_member("a", 1)).await.unwrap().epoch.number(), 2);
    store.fail_next(Fault::UnknownNotDone);
    let unknown = head.change("op", None, with_member("b", 2)).await;
    assert!(matches!(unknown, Err(Refusal::Store(StoreError::Unknown(_)))), "{unknown:?}");
    assert_eq!(head.change("op", None, with_member("c", 3)).await.unwrap().epoch.number(), 3);
    store.fail_next(Fault::Failed);
    assert!(matches!(head.change("op", None, with_member("d", 4)).await, Err(Refusal::Store(StoreError::Failed(_)))));
}

#[tokio::test]
async fn who_does_not_lead_changes_nothing() {
    let (store, head) = leading().await;
    store.lead(Leadership::Theirs(Some("other:1".to_string())));
    let refused = head.change("op", None, with_member("a", 1)).await;
    assert_eq!(refused, Err(Refusal::NotLeader(Some("other:1".to_string()))));
    assert_eq!(head.with_leases(Instant::now(), |_| ()), Err(Refusal::NotLeader(Some("other:1".to_string()))));
    let now = Instant::now();
    store.lead(Leadership::Ours { since: now, until: now + Duration::from_secs(60) });
    // A leadership of ours again, and not the one that the book is of.
    assert_eq!(head.with_leases(now, |_| ()), Err(Refusal::Starting));
    store.lead(Leadership::Ours { since: now, until: now });
    assert_eq!(head.check_leader(now), Err(Refusal::NotLeader(None)));
    // The store knows it before we do.
    assert_eq!(store.swap(Revision(1), b"").await, Ok(Swap::Deposed));
}

#[tokio::test]
async fn an_old_copy_of_the_store_is_not_believed() {
    let (store, head) = leading().await;
    let old = store.load().await.unwrap();
    head.change("op", None, with_member("a", 1)).await.unwrap();
    for restored in [old, None] {
        store.overwrite(restored);
        let now = Instant::now();
        head.handle_leadership(Leadership::Theirs(None));
        store.lead(Leadership::Ours { since: now, until: now + Duration::from_secs(60) });
        head.handle_leadership(store.leadership().borrow().clone());
        assert!(!head.take_over().await);
        assert_eq!(epoch(&head), 2);
        assert_eq!(head.with_leases(now, |_| ()), Err(Refusal::Starting));
    }
}
