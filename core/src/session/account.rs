//! Accounts as clients claimed them: a user name with a password. MySQL alone says whether they are right (S47).
//!
//! Invariant: a password is only offered to later clients (fast authentication, new backend connections of other
//! sessions) after a backend has accepted it. Two passwords of one user are two accounts, so a wrong guess
//! never touches the right one's connections.

use crate::limits::ACCOUNTS_MAX;
use crate::time::Instant;
use rustc_hash::FxHashMap;
use std::rc::Rc;
use weir_net::secret::Secret;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

pub struct Account {
    pub user: Rc<[u8]>,
    pub password: Secret,
    pub proven: bool,
    /// Sessions and links that refer to it.
    pub uses: u32,
    pub used_at: Instant,
    /// Connect attributes of the client that claimed it last (S51).
    pub attributes: Rc<[(Vec<u8>, Vec<u8>)]>,
}

#[derive(Default)]
pub struct Accounts {
    by_id: FxHashMap<AccountId, Account>,
    by_user: FxHashMap<Rc<[u8]>, Vec<AccountId>>,
    next: u32,
}

impl Accounts {
    pub fn find(&self, id: AccountId) -> Option<&Account> {
        self.by_id.get(&id)
    }

    pub fn get(&self, id: AccountId) -> &Account {
        &self.by_id[&id]
    }

    /// The account of this user with this password, made when it is new.
    pub fn claim(&mut self, now: Instant, user: &[u8], password: Secret) -> AccountId {
        if let Some(ids) = self.by_user.get(user)
            && let Some(id) = ids.iter().find(|id| self.by_id[id].password == password)
        {
            return *id;
        }
        if self.by_id.len() >= ACCOUNTS_MAX {
            self.sweep();
        }
        self.next += 1;
        let id = AccountId(self.next);
        let user: Rc<[u8]> = Rc::from(user);
        self.by_user.entry(user.clone()).or_default().push(id);
        self.by_id
            .insert(id, Account { user, password, proven: false, uses: 0, used_at: now, attributes: Rc::from([]) });
        id
    }

    pub fn describe(&mut self, id: AccountId, attributes: Rc<[(Vec<u8>, Vec<u8>)]>) {
        if let Some(account) = self.by_id.get_mut(&id) {
            account.attributes = attributes;
        }
    }

    /// The password that a backend accepted last for this user.
    pub fn proven(&self, user: &[u8]) -> Option<&Secret> {
        let ids = self.by_user.get(user)?;
        ids.iter().rev().map(|id| &self.by_id[id]).find(|a| a.proven).map(|a| &a.password)
    }

    /// A backend accepted it; true when that is news. It becomes the one offered first.
    pub fn prove(&mut self, now: Instant, id: AccountId) -> bool {
        let Some(account) = self.by_id.get_mut(&id) else { return false };
        account.used_at = now;
        let news = !std::mem::replace(&mut account.proven, true);
        let ids = self.by_user.get_mut(&account.user).expect("every account is listed under its user");
        if ids.last() != Some(&id) {
            ids.retain(|other| *other != id);
            ids.push(id);
        }
        news
    }

    /// A backend refused it.
    pub fn refute(&mut self, id: AccountId) {
        if let Some(account) = self.by_id.get_mut(&id) {
            account.proven = false;
        }
    }

    pub fn hold(&mut self, id: AccountId) {
        if let Some(account) = self.by_id.get_mut(&id) {
            account.uses += 1;
        }
    }

    /// An unproven account that nobody uses is forgotten at once, password and all.
    pub fn let_go(&mut self, id: AccountId) {
        let Some(account) = self.by_id.get_mut(&id) else { return };
        account.uses = account.uses.saturating_sub(1);
        if account.uses == 0 && !account.proven {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: AccountId) {
        let Some(account) = self.by_id.remove(&id) else { return };
        if let Some(ids) = self.by_user.get_mut(&account.user) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_user.remove(&account.user);
            }
        }
    }

    fn sweep(&mut self) {
        let mut unused: Vec<(Instant, AccountId)> =
            self.by_id.iter().filter(|(_, a)| a.uses == 0).map(|(id, a)| (a.used_at, *id)).collect();
        unused.sort();
        for (_, id) in unused.iter().take(unused.len().div_ceil(2)) {
            self.forget(*id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_wrong_guess_is_another_account_and_is_forgotten() {
        let mut accounts = Accounts::default();
        let right = accounts.claim(Instant(1), b"app", secret("good"));
        accounts.hold(right);
        assert!(accounts.proven(b"app").is_none());
        assert!(accounts.prove(Instant(1), right));
        assert!(!accounts.prove(Instant(2), right));
        let wrong = accounts.claim(Instant(3), b"app", secret("guess"));
        assert_ne!(right, wrong);
        accounts.hold(wrong);
        assert!(accounts.proven(b"app") == Some(&secret("good")));
        accounts.let_go(wrong);
        assert_eq!(accounts.by_id.len(), 1);
        assert_eq!(accounts.claim(Instant(4), b"app", secret("good")), right);
    }

    #[test]
    fn a_changed_password_takes_over_and_the_old_one_can_be_refuted() {
        let mut accounts = Accounts::default();
        let old = accounts.claim(Instant(1), b"app", secret("old"));
        accounts.prove(Instant(1), old);
        let new = accounts.claim(Instant(2), b"app", secret("new"));
        accounts.prove(Instant(2), new);
        assert!(accounts.proven(b"app") == Some(&secret("new")));
        accounts.refute(new);
        assert!(accounts.proven(b"app") == Some(&secret("old")));
    }
}
