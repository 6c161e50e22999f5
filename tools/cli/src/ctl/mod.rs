//! `ctl`: the client of the key server's control interface.

mod args;
mod events;
mod show;

use std::{env, io::Read, path::Path};

use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    control::{
        ChannelSettings, ChannelView, ClientBody, ErrorBody, ExpelBody, GivenMukBody, HealthBody,
        MukBody, ReachBody, ReplyBody, UpdateBody,
    },
    exit::Failure,
    http::{Answer, Call, Client, Endpoint, Token, path},
    key_source::KeySource,
    keyfile::{GivenClient, KeyFile},
    user_key::reach_text,
};
pub(crate) use args::CtlArgs;
use args::{ChannelCommand, ClientCommand, CtlCommand, Member, Members, SettingsArgs};
use show::Show;

/// Runs the command.
///
/// # Errors
/// Usage: an argument, a file, or what was asked cannot be used. Failed: the server refuses, or does
/// not answer.
pub(crate) fn run(args: &CtlArgs) -> Result<(), Failure> {
    let endpoint: Endpoint =
        args.server.parse().map_err(|what| Failure::usage(format!("--server: {what}")))?;
    let client = Client::new(endpoint.with_token(token(args)?));
    let client = client.map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    let control = Control { client, json: args.json };
    match &args.command {
        CtlCommand::Client(command) => control.client(command),
        CtlCommand::Channel(command) => control.channel(command),
        CtlCommand::Join(members) => control.each_member(Method::PUT, "members", members),
        CtlCommand::Leave(members) => control.each_member(Method::DELETE, "members", members),
        CtlCommand::Expel(members) => control.expel(members),
        CtlCommand::Readmit(members) => control.each_member(Method::DELETE, "expelled", members),
        CtlCommand::Update { channel, compromise } => control.update(channel, *compromise),
        CtlCommand::Solicit(member) => control.member_does(member, "solicit"),
        CtlCommand::Resend(member) => control.member_does(member, "msk-request"),
        CtlCommand::Offer(member) => control.offer(member),
        CtlCommand::Answer { member, file, mikey } => control.answer(member, file, *mikey),
        CtlCommand::Events { follow, after } => control.events(*follow, *after),
        CtlCommand::Health => control.health(),
    }
}

fn token(args: &CtlArgs) -> Result<Option<Token>, Failure> {
    const VARIABLE: &str = "MCAST_SRTP_TOKEN";
    let source = match &args.token_file {
        Some(path) => KeySource::File(path.clone()),
        None if env::var_os(VARIABLE).is_some() => KeySource::Env(VARIABLE.to_owned()),
        None => return Ok(None),
    };
    Token::read("token", &source).map(Some)
}

/// The server, and how to print what it says.
struct Control {
    client: Client,
    json: bool,
}

impl Control {
    fn client(&self, command: &ClientCommand) -> Result<(), Failure> {
        match command {
            ClientCommand::Add { keys, clients } => self.add_clients(keys, clients),
            ClientCommand::Show { client } => {
                self.show::<crate::control::ClientView>(&["v1", "clients", client])
            }
            ClientCommand::List => self.show::<crate::control::Clients>(&["v1", "clients"]),
            ClientCommand::Remove { client } => {
                self.change(client, Call::new(Method::DELETE, path(&["v1", "clients", client])))
            }
            ClientCommand::Muk { client, keys } => {
                let given = of_client(keys, KeyFile::read(keys)?, client)?;
                let body = MukBody { muk: Some(given_muk(&given)), gba: None };
                self.put(client, &["v1", "clients", client, "muk"], &body)
            }
            ClientCommand::Reach { client, reach } => {
                let body = ReachBody { reach: reach.clone() };
                self.put(client, &["v1", "clients", client, "reach"], &body)
            }
        }
    }

    fn add_clients(&self, file: &Path, wanted: &[String]) -> Result<(), Failure> {
        let keys = KeyFile::read(file)?;
        if let Some(name) =
            wanted.iter().find(|name| keys.muks.iter().all(|given| given.client != **name))
        {
            let told = format!("{}: has no entry of client {name}", file.display());
            return Err(Failure::usage(told));
        }
        if keys.muks.is_empty() {
            let told = format!("{}: has no [[muk]] or [[gba]] entry", file.display());
            return Err(Failure::usage(told));
        }
        let all = wanted.is_empty();
        for given in keys.muks.iter().filter(|given| all || wanted.contains(&given.client)) {
            let reach = reach_text(given.reach);
            let body = ClientBody { muk: Some(given_muk(given)), gba: None, reach };
            self.put(&given.client, &["v1", "clients", &given.client], &body)?;
        }
        Ok(())
    }

    fn channel(&self, command: &ChannelCommand) -> Result<(), Failure> {
        let of = |channel| path(&["v1", "channels", channel]);
        match command {
            ChannelCommand::Open { channel, settings } => {
                let body = settings_body(settings)?;
                self.put(channel, &["v1", "channels", channel], &body)
            }
            ChannelCommand::Show { channel } => {
                self.show::<ChannelView>(&["v1", "channels", channel])?;
                self.show::<crate::control::Members>(&["v1", "channels", channel, "members"])
            }
            ChannelCommand::List => self.show::<crate::control::Channels>(&["v1", "channels"]),
            ChannelCommand::Close { channel } => {
                self.change(channel, Call::new(Method::DELETE, of(channel)))
            }
            ChannelCommand::Policy { channel, settings } => {
                // The same settings twice are the same settings.
                let call = Call::new(Method::PATCH, of(channel)).repeatable();
                self.change(channel, with_json(call, &settings_body(settings)?)?)
            }
        }
    }

    fn each_member(&self, method: Method, list: &str, members: &Members) -> Result<(), Failure> {
        for client in &members.clients {
            let path = path(&["v1", "channels", &members.channel, list, client]);
            self.change(client, Call::new(method.clone(), path))?;
        }
        Ok(())
    }

    fn expel(&self, members: &Members) -> Result<(), Failure> {
        let body = ExpelBody { clients: members.clients.clone() };
        let call = Call::new(Method::POST, path(&["v1", "channels", &members.channel, "expel"]));
        // Who is expelled already costs nothing.
        self.change(&members.channel, with_json(call.repeatable(), &body)?)
    }

    fn update(&self, channel: &str, compromise: bool) -> Result<(), Failure> {
        let present: ChannelView =
            read(&self.ask(&Call::new(Method::GET, path(&["v1", "channels", channel])))?)?;
        let cause = if compromise { "compromise" } else { "command" }.to_owned();
        // Who may know the keys may know the MSK that is on its way.
        let coming = present.update.filter(|_| compromise).map(|update| update.msk_id);
        let body = UpdateBody { cause, replaces: coming.or(present.msk_in_force) };
        let call = Call::new(Method::POST, path(&["v1", "channels", channel, "update"]));
        self.change(channel, with_json(call.repeatable(), &body)?)
    }

    fn member_does(&self, member: &Member, what: &str) -> Result<(), Failure> {
        let Member { channel, client } = member;
        let path = path(&["v1", "channels", channel, "members", client, what]);
        self.change(client, Call::new(Method::POST, path))
    }

    fn offer(&self, member: &Member) -> Result<(), Failure> {
        let Member { channel, client } = member;
        let path = path(&["v1", "channels", channel, "members", client, "offer"]);
        let answer = self.ask(&Call::new(Method::GET, path))?;
        show::offer(&answer.body, self.json).map_err(Failure::output)
    }

    fn answer(&self, member: &Member, file: &Path, mikey: bool) -> Result<(), Failure> {
        let mut octets = Zeroizing::new(Vec::new());
        let taken = if file == Path::new("-") {
            std::io::stdin().read_to_end(&mut octets)
        } else {
            std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut octets))
        };
        taken.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        let Member { channel, client } = member;
        let path = path(&["v1", "channels", channel, "members", client, "answer"]);
        let media_type = if mikey { "application/mikey" } else { "application/sdp" };
        self.change(client, Call::new(Method::POST, path).with_body(media_type, octets))
    }

    fn health(&self) -> Result<(), Failure> {
        let call = Call::new(Method::GET, "/v1/health");
        let answer = self.client.send_with_retries(&call).map_err(Failure::failed)?;
        let health: HealthBody = read(&answer)?;
        show::print(&health, &answer.body, self.json).map_err(Failure::output)?;
        if health.ok { Ok(()) } else { Err(Failure::failed("the server does not do its work")) }
    }

    fn put(&self, what: &str, segments: &[&str], body: &impl Serialize) -> Result<(), Failure> {
        self.change(what, with_json(Call::new(Method::PUT, path(segments)), body)?)
    }

    /// Asks for a change to something, and says what became of it.
    fn change(&self, what: &str, call: Call) -> Result<(), Failure> {
        let answer = self.ask(&call)?;
        let reply: ReplyBody = read(&answer)?;
        show::reply(what, &reply, &answer.body, self.json).map_err(Failure::output)
    }

    fn show<T: DeserializeOwned + Show>(&self, segments: &[&str]) -> Result<(), Failure> {
        let answer = self.ask(&Call::new(Method::GET, path(segments)))?;
        show::print(&read::<T>(&answer)?, &answer.body, self.json).map_err(Failure::output)
    }

    /// The answer, if it is none of refusal.
    fn ask(&self, call: &Call) -> Result<Answer, Failure> {
        let answer = self.client.send_with_retries(call).map_err(Failure::failed)?;
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(&answer)) }
    }
}

/// What the server refused. What cannot work as it was asked is a matter of usage.
fn refusal(answer: &Answer) -> Failure {
    let told = match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(body) => body.error.message,
        Err(_) => format!("the server answers {}, and does not say why", answer.status),
    };
    match answer.status.as_u16() {
        400 | 413 | 415 | 422 => Failure::usage(told),
        _ => Failure::failed(told),
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::failed("the server's answer is not of the form that is known here"))
}

/// The call with a body in JSON, which is erased after use.
fn with_json(call: Call, body: &impl Serialize) -> Result<Call, Failure> {
    // More than any body with keys has, so that none is left behind by growing.
    let mut json = Zeroizing::new(Vec::with_capacity(8192));
    serde_json::to_writer(&mut *json, body).map_err(Failure::usage)?;
    Ok(call.with_body("application/json", json))
}

fn given_muk(given: &GivenClient) -> GivenMukBody {
    GivenMukBody {
        idi: given.id.idi.clone(),
        idr: given.id.idr.clone(),
        key: Zeroizing::new(hex::encode(given.muk.0.expose())),
    }
}

/// The entry of a client, or the only one.
fn of_client(file: &Path, keys: KeyFile, client: &str) -> Result<GivenClient, Failure> {
    let mut entries = keys.muks;
    let place = entries.iter().position(|given| given.client == client);
    match place.or_else(|| (entries.len() == 1).then_some(0)) {
        Some(place) => Ok(entries.swap_remove(place)),
        None => {
            let told = format!("{}: has no entry of client {client}", file.display());
            Err(Failure::usage(told))
        }
    }
}

fn settings_body(args: &SettingsArgs) -> Result<ChannelSettings, Failure> {
    let template = args.sdp.as_ref().map(|file| {
        std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
    });
    Ok(args.settings(template.transpose()?))
}
