//! Fear: a request whose answer was lost is asked again, and keys change twice; or a bad one leaves
//! something behind.

use mcast_srtp::{
    ids::{KeyDomainId, MskId},
    keyserver::{ChannelSpec, LeavePolicy, Reach, UpdateCause},
    service::{EventKind, RefusedKind, Request},
};

use crate::{
    group::{muk, muk_id},
    world::{CHANNEL, KEY_GROUP, LATE, World, add, expel, join, leave, spec},
};

/// Asks twice: the first time something changes, the second time nothing.
fn twice(world: &World, request: impl Fn() -> Request) {
    let name = request().name();
    assert!(world.does(request()).changed, "{name}");
    let done = || {
        let counters = world.service.counters();
        (world.knows(), counters.commits, counters.msk_messages_sent, counters.offers)
    };
    let before = done();
    let again = world.does(request());
    assert!(!again.changed && again.update.is_none(), "{name} again");
    assert_eq!(done(), before, "{name} again");
}

#[test]
fn every_request_may_be_repeated_and_then_changes_and_sends_nothing() {
    let mut world = World::with(|options| options.timing.udp = LATE);
    let channel = || CHANNEL.into();
    let reach = Reach::Udp("127.0.0.1:9".parse().unwrap());
    let opened = || spec(KEY_GROUP, |spec| spec.leave = LeavePolicy::UpdateMsk);
    twice(&world, || Request::OpenChannel { channel: channel(), spec: opened() });
    twice(&world, || add("c1", Reach::Sdp));
    twice(&world, || add("c2", reach));
    twice(&world, || add("c3", reach));
    let moved = Reach::Udp("127.0.0.1:10".parse().unwrap());
    twice(&world, || Request::Relocate { client: "c1".into(), reach: moved });
    twice(&world, || Request::RenewMuk {
        client: "c1".into(),
        muk_id: muk_id("c1-new"),
        muk: muk("c1-new"),
    });
    for client in ["c1", "c2", "c3"] {
        twice(&world, || join(client));
    }
    twice(&world, || Request::Update {
        channel: channel(),
        cause: UpdateCause::Command,
        replaces: Some(MskId { group: KEY_GROUP, number: 1 }),
    });
    twice(&world, || expel(&["c2", "c9", "c2"]));
    twice(&world, || leave("c3"));
    twice(&world, || Request::Readmit { channel: channel(), client: "c2".into() });
    twice(&world, || Request::RemoveClient { client: "c3".into() });
    twice(&world, || Request::SetPolicy { channel: channel(), spec: spec(KEY_GROUP, |_| ()) });
    twice(&world, || Request::CloseChannel { channel: channel() });

    let told = world.told(|_| true);
    let causes = told.iter().filter_map(|kind| match kind {
        EventKind::UpdateBegun { cause, .. } => Some(cause.name()),
        _ => None,
    });
    assert_eq!(
        causes.collect::<Vec<_>>(),
        ["command", "expulsion"],
        "the leave waits for the switch"
    );
    let expelled = told.iter().filter(|kind| matches!(kind, EventKind::Expelled { .. }));
    assert_eq!(expelled.count(), 2, "each is told once");
}

#[test]
fn refused_request_changes_nothing_and_says_of_which_kind_it_is() {
    let world = World::new();
    world.open(|_| ());
    let c1 = world.add("c1");
    world.does(join("c1"));
    world.does(expel(&["c2"]));
    world.does(add("c2", Reach::Sdp));
    c1.message();
    let channel = || CHANNEL.into();
    let other_group = || spec(0x18, |_| ());
    use RefusedKind::{Conflict, Invalid, NotFound};
    let before = world.knows();
    let v6 = Reach::Udp("[::1]:2269".parse().unwrap());
    for (request, kind, says) in [
        (add("c1", Reach::Sdp), Conflict, "renew its MUK or relocate"),
        (add("c3", v6), Invalid, "address family"),
        (
            Request::AddClient {
                client: "c3".into(),
                muk_id: muk_id("c1"),
                muk: muk("c3"),
                reach: Reach::Sdp,
            },
            Conflict,
            "client c1",
        ),
        (
            Request::RenewMuk { client: "c9".into(), muk_id: muk_id("c9"), muk: muk("c9") },
            NotFound,
            "c9",
        ),
        (Request::Relocate { client: "c9".into(), reach: Reach::Sdp }, NotFound, "c9"),
        (Request::OpenChannel { channel: channel(), spec: other_group() }, Conflict, "is open"),
        (
            Request::OpenChannel { channel: "18".into(), spec: spec(KEY_GROUP, |_| ()) },
            Conflict,
            "belongs to channel",
        ),
        (
            Request::OpenChannel {
                channel: "18".into(),
                spec: spec(0x18, |spec| spec.msk_len = 5),
            },
            Invalid,
            "16 to 32",
        ),
        (
            Request::OpenChannel {
                channel: "18".into(),
                spec: spec(0x18, |spec| spec.sdp = Some("v=0".into())),
            },
            Invalid,
            "no m= line",
        ),
        (Request::SetPolicy { channel: "18".into(), spec: other_group() }, NotFound, "18"),
        (
            Request::SetPolicy {
                channel: channel(),
                spec: ChannelSpec::new(KeyDomainId([1, 2, 3]), KEY_GROUP),
            },
            Invalid,
            "stay",
        ),
        (Request::Join { channel: "18".into(), client: "c1".into() }, NotFound, "18"),
        (join("c9"), NotFound, "c9"),
        (join("c2"), Conflict, "readmit"),
        (Request::Leave { channel: "18".into(), client: "c1".into() }, NotFound, "18"),
        (Request::Readmit { channel: "18".into(), client: "c1".into() }, NotFound, "18"),
        (Request::RequestMsk { channel: channel(), client: "c2".into() }, NotFound, "no member"),
        (Request::Solicit { channel: channel(), client: "c2".into() }, NotFound, "no member"),
        (
            Request::Update { channel: "18".into(), cause: UpdateCause::Command, replaces: None },
            NotFound,
            "18",
        ),
        (Request::Answer { client: "c9".into(), answer: vec![1] }, NotFound, "c9"),
        (Request::Answer { client: "c1".into(), answer: b"v=0\r\n".to_vec() }, Invalid, "confirms"),
        (Request::Answer { client: "c1".into(), answer: vec![1, 2] }, Invalid, "does not verify"),
        (
            Request::BroadcasterHolds { channel: channel(), broadcaster: "x".into(), version: 1 },
            NotFound,
            "does not name",
        ),
    ] {
        let name = request.name();
        let (refused, text) = world.refuses(request);
        assert_eq!(refused, kind, "{name}: {text}");
        assert!(text.contains(says), "{name}: {text}");
        assert_eq!(world.knows(), before, "{name}");
    }
    assert!(c1.hears_nothing());
    let counters = world.service.counters();
    assert_eq!(counters.refused(NotFound), 12);
    assert_eq!(counters.refused(RefusedKind::Unavailable), 0);
}
