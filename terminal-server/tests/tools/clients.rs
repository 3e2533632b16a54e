//! Who is connected, and closing them.

use crate::server::Server;
use crate::support::ended;

#[test]
fn the_clients_of_a_line_are_listed() {
    let server = Server::start();
    let (code, listed, _) = ended(&mut server.command(&["clients", "pms"]));
    let rows: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(code, Some(0));
    assert_eq!(rows[0], ["CLIENT", "FROM", "NAME", "KIND", "ROLE", "FOR", "IN", "OUT", "LAG"]);
    assert_eq!(rows[2], ["2", "127.0.0.1:5002", "-", "raw", "observer", "5s", "10", "20", "0"]);
    let (_, json, _) = ended(&mut server.command(&["clients", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["line"], &json["clients"][1]["id"]), (&"pms".into(), &2.into()));
}

#[test]
fn those_who_are_kicked_are_named_and_nobody_is_a_no() {
    let server = Server::start();
    for (args, code, out, err) in [
        (vec!["kick"], 0, "pms: closed client 1, holder, raw from 127.0.0.1:5001\n", ""),
        (
            vec!["kick", "pms", "--client", "2"],
            0,
            "pms: closed client 2, observer, raw from 127.0.0.1:5002\n",
            "",
        ),
        (
            vec!["kick", "pms", "--client", "9"],
            1,
            "",
            "terminal-server: pms: there is no client 9; see: terminal-server clients pms\n",
        ),
        (vec!["kick", "--observers"], 1, "", "terminal-server: pms: nobody observes it\n"),
    ] {
        let got = ended(&mut server.command(&args));
        assert_eq!(got, (Some(code), out.to_owned(), err.to_owned()), "{args:?}");
    }
    let (code, ..) = ended(&mut server.command(&["kick", "--client", "1", "--observers"]));
    assert_eq!(code, Some(64));
}
