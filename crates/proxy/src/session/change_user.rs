//! COM_CHANGE_USER: a login within a session.

use std::borrow::Cow;
use std::sync::Arc;

use backend::packet_io::PacketReader;
use protocol::change_user::ChangeUser;
use protocol::packet::{put_payload, split_payload};
use script::Login;
use sql::Pin;

use super::authentication::{Authentication, Decision, FirstAnswer};
use super::error::{Party, SessionError};
use super::link::Link;
use super::script::Script;
use super::unless_expired;
use crate::buffer::Buffer;

/// The command at the start of `input`, and everything up to the backend's OK or ERR: whether it was the OK. A session
/// whose user could not be changed goes on as the server lets it.
pub(super) async fn relay(link: &mut Link, input: &mut Buffer) -> Result<bool, SessionError> {
    link.show();
    let context = Arc::clone(link.context());
    let capabilities = link.capabilities;
    let nonce = std::mem::take(&mut link.nonce);
    let reader = PacketReader::after(std::mem::take(input).into_bytes());
    let Some((client, backend, registration)) = link.parts() else {
        return Err(SessionError::Closed(Party::Backend));
    };
    let mut login = Authentication::new((client, reader), backend, nonce, &context, None);
    let decision = unless_expired(registration, attempt(&mut login, capabilities))
        .await
        .flatten();
    let sequence_id = login.client_sequence_id;
    let (reader, nonce) = login.into_rest();
    link.nonce = nonce;
    *input = Buffer::from(reader.into_rest());
    link.err_sequence_id = Some(sequence_id.wrapping_add(1));
    let (decision, names) = decision?;
    if let Decision::Accepted(status) = decision {
        link.status = status;
    }
    if let (Decision::Accepted(_), Some((username, database))) = (&decision, names) {
        link.changed_user(&username, &database);
    }
    link.err_sequence_id = None;
    Ok(decision != Decision::Denied)
}

/// [`relay`] where a script is told who the client has become.
pub(super) async fn relay_for(
    link: &mut Link,
    script: &mut Script,
    input: &mut Buffer,
) -> Result<(), SessionError> {
    let payload = split_payload(input.bytes()).map_or_else(Cow::default, |(payload, _)| payload);
    let change = ChangeUser::decode(&payload, link.capabilities).ok();
    let changed = change.map(|change| {
        let login = Login {
            username: change.username.to_vec(),
            auth_response: change.auth_response.to_vec(),
            auth_plugin_name: change.auth_plugin_name.to_vec(),
        };
        Some((login, change.database.to_vec(), change.character_set?))
    });
    let is_accepted = relay(link, input).await?;
    let Some(session) = &mut link.session else {
        return Ok(());
    };
    if !is_accepted {
        // MariaDB goes on with the user before, but not with the rest of its session.
        session.add_pin(Some(Pin::ForGood("a COM_CHANGE_USER that was refused")));
        return Ok(());
    }
    let Some((login, database, character_set)) = changed.flatten() else {
        session.add_pin(Some(Pin::ForGood("a COM_CHANGE_USER that cannot be read")));
        return Ok(());
    };
    session.change_user(&login.username, &database, character_set);
    script.changed_user(login, database, character_set);
    Ok(())
}

/// A script's own: `packet` stands before what the client says next, which has to answer for it.
pub(super) async fn inject(
    link: &mut Link,
    script: &mut Script,
    input: &mut Buffer,
    packet: &[u8],
) -> Result<(), SessionError> {
    let mut bytes = Vec::new();
    put_payload(&mut bytes, 0, packet);
    bytes.extend_from_slice(input.bytes());
    *input = Buffer::from(bytes);
    relay_for(link, script, input).await
}

/// What the backend says, and who the client is then, with its default database; `None` where that cannot be read.
async fn attempt(
    login: &mut Authentication<'_>,
    capabilities: protocol::Capabilities,
) -> Result<(Decision, Option<(Vec<u8>, Vec<u8>)>), SessionError> {
    let mut payload = login.client_packet().await?.payload;
    let mut names = None;
    // One that we cannot read is for the server to refuse.
    if let Ok(change) = ChangeUser::decode(&payload, capabilities) {
        names = Some((change.username.to_vec(), change.database.to_vec()));
        login.plugin_name = change.auth_plugin_name.to_vec();
        let answer = login.first_answer(change.auth_plugin_name, change.auth_response)?;
        let auth_response = match answer {
            FirstAnswer::Relay => None,
            FirstAnswer::Password(key_request) => {
                login.password = Some(change.auth_response.to_vec());
                Some(vec![key_request])
            }
            FirstAnswer::OfferKey(_) => Some(login.password_under_our_key().await?),
        };
        if let Some(auth_response) = &auth_response {
            let mut changed = Vec::new();
            ChangeUser {
                auth_response,
                ..change
            }
            .encode(capabilities, &mut changed);
            payload = changed;
        }
    }
    login.start_command(&payload).await?;
    Ok((login.run().await?, names))
}
