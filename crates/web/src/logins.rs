//! Who is logged in: random tokens, each for a time, and not too many.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use admin::Account;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use tokio::time::Instant;

use crate::limits::{LOGIN_TIME, LOGINS_MAX};

const TOKEN_BYTES: usize = 32;

/// All logins, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<Vec<Login>>);

#[derive(Debug)]
struct Login {
    /// As the browser shows it.
    token: String,
    /// A login ends when its name or password is not the operator's any more.
    account: Account,
    until: Instant,
}

impl Logins {
    /// A new one. Its token, in hexadecimal digits.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn open(&self, account: Account, now: Instant) -> io::Result<String> {
        let mut bytes = [0; TOKEN_BYTES];
        rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut logins = self.current(now);
        if logins.len() == LOGINS_MAX {
            logins.remove(0);
        }
        logins.push(Login {
            token: token.clone(),
            account,
            until: now + LOGIN_TIME,
        });
        Ok(token)
    }

    /// Whether the token is somebody's who is logged in to this account.
    pub(crate) fn is_open(&self, token: &str, account: &Account, now: Instant) -> bool {
        let mut logins = self.current(now);
        logins.retain(|login| login.account == *account);
        logins.iter().any(|login| login.is(token))
    }

    /// Ends a login, if it is one.
    pub(crate) fn close(&self, token: &str, now: Instant) {
        self.current(now).retain(|login| !login.is(token));
    }

    /// Those whose time is not up.
    fn current(&self, now: Instant) -> MutexGuard<'_, Vec<Login>> {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|login| now < login.until);
        logins
    }
}

impl Login {
    fn is(&self, token: &str) -> bool {
        verify_slices_are_equal(self.token.as_bytes(), token.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(password: &str) -> Account {
        Account {
            username: "root".to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn another_password_ends_logins() {
        let (logins, now) = (Logins::default(), Instant::now());
        let token = logins.open(account("secret"), now).unwrap();
        assert!(!logins.is_open(&token, &account("other"), now));
        assert!(!logins.is_open(&token, &account("secret"), now), "for good");
    }

    #[test]
    fn a_login_lasts_until_it_is_closed_or_its_time_is_up() {
        let (logins, now) = (Logins::default(), Instant::now());
        let [a, b] = [(); 2].map(|()| logins.open(account("secret"), now).unwrap());
        assert_eq!(a.len(), 2 * TOKEN_BYTES);
        assert!(
            a != b
                && logins.is_open(&a, &account("secret"), now)
                && logins.is_open(&b, &account("secret"), now)
        );
        assert!(
            !logins.is_open("", &account("secret"), now)
                && !logins.is_open(&a[1..], &account("secret"), now)
        );
        logins.close(&a, now);
        assert!(
            !logins.is_open(&a, &account("secret"), now)
                && logins.is_open(&b, &account("secret"), now)
        );
        assert!(!logins.is_open(&b, &account("secret"), now + LOGIN_TIME));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (logins, now) = (Logins::default(), Instant::now());
        let first = logins.open(account("secret"), now).unwrap();
        let second = logins.open(account("secret"), now).unwrap();
        (2..LOGINS_MAX).for_each(|_| drop(logins.open(account("secret"), now).unwrap()));
        assert!(logins.is_open(&first, &account("secret"), now));
        logins.open(account("secret"), now).unwrap();
        assert!(
            !logins.is_open(&first, &account("secret"), now)
                && logins.is_open(&second, &account("secret"), now)
        );
    }
}
