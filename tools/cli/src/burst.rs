//! What a burst-control message says, field by field.

use mcast_srtp::wire::{
    Text,
    burst::{BurstMessage, BurstPacket, Connect, Participants},
};

use crate::field::Field;

/// The fields of a message, its sender and what a later version may have added.
pub(crate) fn fields(packet: &BurstPacket<'_>) -> Vec<Field> {
    let mut fields = vec![Field::text("sender", packet.sender)];
    fields.extend(message_fields(&packet.message));
    fields.extend(packet.trailing.items().map(|item| {
        Field::group(
            "unknown item",
            vec![Field::number("code", item.code), Field::octets("value", item.value)],
        )
    }));
    let ignored = packet.trailing.ignored();
    if ignored > 0 {
        fields.push(Field::number("octets ignored", ignored as u64));
    }
    fields
}

fn message_fields(message: &BurstMessage<'_>) -> Vec<Field> {
    match message {
        BurstMessage::Request(request) => {
            let priority = request.priority.map(|p| Field::code("priority", p.0, p.name()));
            let time = request.time_stamp.map(|time| Field::number("time stamp", time.0));
            priority.into_iter().chain(time).collect()
        }
        BurstMessage::Granted(granted) => {
            let mut limit = Field::number("stop talking after", granted.stop_talking.0);
            limit.meaning = Some(granted.stop_talking.name().unwrap_or("seconds").to_owned());
            [Some(limit), granted.participants.map(participants)].into_iter().flatten().collect()
        }
        BurstMessage::Taken(taken) => {
            let mut fields = vec![Field::text("talker", taken.talker), text("cname", taken.cname)];
            fields.extend(taken.name.map(|name| text("name", name)));
            fields.extend(taken.participants.map(participants));
            fields.push(Field::flag("acknowledgement expected", taken.ack_expected));
            fields
        }
        BurstMessage::Deny(deny) => vec![
            Field::code("reason", deny.reason.0, deny.reason.name()),
            text("phrase", deny.phrase),
        ],
        BurstMessage::Release(release) => match release.last_seq {
            Some(seq) => vec![Field::number("last sequence number", seq.0)],
            None => Vec::new(),
        },
        BurstMessage::Revoke(revoke) => {
            let mut fields = vec![Field::code("reason", revoke.reason.0, revoke.reason.name())];
            fields.push(match revoke.retry_after() {
                Some(time) => Field::number("retry after", time.as_secs()).meaning("seconds"),
                None => Field::number("information", revoke.info),
            });
            fields
        }
        BurstMessage::Acknowledgement(ack) => vec![
            Field::code("acknowledged", ack.of.0, ack.of.name()),
            Field::code("reason", ack.reason.0, ack.reason.name()),
        ],
        BurstMessage::QueueStatusResponse(status) => {
            let mut position = Field::number("position", status.position.0);
            position.meaning = status.position.name().map(str::to_owned);
            vec![Field::code("priority", status.priority.0, status.priority.name()), position]
        }
        BurstMessage::Connect(connect) => connect_fields(connect),
        _ => Vec::new(),
    }
}

fn connect_fields(connect: &Connect<'_>) -> Vec<Field> {
    let texts = [
        ("inviting identity", connect.inviting_identity),
        ("inviting name", connect.inviting_name),
        ("session identity", connect.session_identity),
        ("group name", connect.group_name),
        ("group identity", connect.group_identity),
    ];
    let mut fields: Vec<_> =
        texts.into_iter().filter_map(|(name, value)| Some(text(name, value?))).collect();
    let kind = connect.session_type;
    fields.push(Field::code("session type", kind.0, kind.name()));
    fields.push(Field::flag("manual answer override", connect.manual_answer_override));
    fields
}

fn participants(count: Participants) -> Field {
    let mut field = Field::number("participants", count.0);
    field.meaning = count.name().map(str::to_owned);
    field
}

fn text(name: &'static str, text: Text<'_>) -> Field {
    Field::text(name, text)
}
