//! MSK messages that a key server makes: a delivery, another with the streams on the air, a solicited pull,
//! the coming MSK, and its deletion, because it was superseded before its use.

use std::time::Instant;

use mcast_srtp::{
    ids::{Roc, Ssrc},
    keys::{CryptoSession, KeyLimits, KeyStore, Outcome},
    keyserver::{
        Action, ChannelSpec, KeyServer, MskMessage, Purpose, Reach, Sender, Timing, UpdateCause,
    },
    srtp::Profile,
};

use crate::group::{DOMAIN, muk, muk_id};

/// The messages to client `c1`, which is reached in this way, in their order.
pub(crate) fn messages(reach: Reach, profile: Profile) -> Vec<MskMessage> {
    let (channel, client, now) = ("group 17".into(), "c1".into(), Instant::now());
    let mut filling = 0_u8;
    let random = &mut |out: &mut [u8]| {
        filling += 1;
        out.fill(filling);
    };
    let mut server = KeyServer::new(Timing::default());
    server.add_client(&client, muk_id("c1"), muk("c1"), reach).unwrap();
    let mut spec = ChannelSpec::new(DOMAIN, 0x17);
    spec.profile = profile;
    server.open_channel(&channel, spec, now, random).unwrap();
    let mut store = KeyStore::new(KeyLimits::default());
    store.insert_muk(muk_id("c1"), muk("c1")).unwrap();
    let mut confirm = |server: &mut KeyServer, actions: &[Action]| {
        let [Action::SendMsk(message)] = actions else { panic!("{actions:?}") };
        let Outcome::Msk(accepted) = store.receive(&message.octets).unwrap() else { panic!() };
        let answer = accepted.verification.unwrap();
        server.receive(&answer, Sender::Client(&client), now).unwrap();
    };
    let mut actions = server.join(&channel, &client, now).unwrap();
    confirm(&mut server, &actions);
    let stream = |n| CryptoSession { policy: 0, ssrc: Ssrc(n), roc: Roc(n) };
    server.set_streams(&channel, None, &(1..=200).map(stream).collect::<Vec<_>>()).unwrap();
    let copy = server.resend(&channel, &client, now).unwrap();
    confirm(&mut server, &copy);
    actions.extend(copy);
    // An offer brings the MSK itself.
    if reach != Reach::Sdp {
        actions.extend(server.solicit(&channel, &client, now).unwrap());
    }
    for cause in [UpdateCause::Command, UpdateCause::Compromise] {
        actions.extend(server.update(&channel, cause, now, random).unwrap());
    }
    let messages: Vec<_> = actions.into_iter().filter_map(msk_message).collect();
    assert!(messages.iter().any(|message| message.purpose == Purpose::Delete), "{messages:?}");
    messages
}

fn msk_message(action: Action) -> Option<MskMessage> {
    match action {
        Action::SendMsk(message) => Some(message),
        _ => None,
    }
}
