//! Makes a session that shows a difference smaller while it still does.

use std::time::{Duration, Instant};

use crate::session::{Ending, Session, Step};

/// Steps are left out for so long.
const TIME: Duration = Duration::from_secs(60);

/// utf8mb4_general_ci
const ORDINARY_CHARACTER_SET: u16 = 45;

/// `differs` has a session and says whether it shows a difference.
pub(crate) fn shrink(mut session: Session, mut differs: impl FnMut(&Session) -> bool) -> Session {
    let until = Instant::now() + TIME;
    let mut shows = |session: &Session| Instant::now() < until && differs(session);
    let mut count = session.steps.len().next_power_of_two();
    while count > 0 {
        let before = session.steps.len();
        for at in (0..before).step_by(count).rev() {
            let mut smaller = session.clone();
            smaller
                .steps
                .drain(at.min(before)..(at + count).min(session.steps.len()));
            if smaller.steps.len() < session.steps.len() && shows(&smaller) {
                session = smaller;
            }
        }
        // What is left may be of no use without what was taken last.
        if count > 1 || session.steps.len() == before {
            count /= 2;
        }
    }
    while let Some(smaller) = simpler(&session).into_iter().find(&mut shows) {
        session = smaller;
    }
    session
}

/// One thing simpler each: a command of those said at once is left out, or what an ordinary session does not have.
fn simpler(session: &Session) -> Vec<Session> {
    let mut simpler = Vec::new();
    let mut add = |simplify: &dyn Fn(&mut Session)| {
        let mut smaller = session.clone();
        simplify(&mut smaller);
        simpler.push(smaller);
    };
    for (n, step) in session.steps.iter().enumerate() {
        let Step::Commands(commands) = step else {
            continue;
        };
        for command in 0..commands.len() {
            if commands.len() > 1 {
                add(&|session| {
                    if let Step::Commands(commands) = &mut session.steps[n] {
                        commands.remove(command);
                    }
                });
            }
        }
    }
    for flag in session.login.with.iter() {
        add(&|session| session.login.with -= flag);
    }
    for flag in session.login.without.iter() {
        add(&|session| session.login.without -= flag);
    }
    if session.login.character_set != ORDINARY_CHARACTER_SET {
        add(&|session| session.login.character_set = ORDINARY_CHARACTER_SET);
    }
    if session.ending != Ending::Quit {
        add(&|session| session.ending = Ending::Quit);
    }
    simpler
}
