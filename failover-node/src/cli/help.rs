//! What the help says beside the flags.

pub(super) const USAGE: &str = "\
failover-node --config FILE [OPTIONS]
       failover-node --group NAME --line NAME --key-file FILE --multicast ADDR:PORT
              --interface ADDR|NAME --terminal-server HOST:PORT [OPTIONS] -- COMMAND [ARGS]...
       failover-node check-config FILE
       failover-node status [--watch] [--json]
       failover-node handover [--to NODE]
       failover-node maintenance [off | on [--for TIME|--until-off] [--force]]
       failover-node why-not
       failover-node events [-n COUNT] [--follow]
       failover-node records [--inbox|--outbox] [--json|--csv] [--follow]
       failover-node post --key KEY --room ROOM --amount AMOUNT | --file FILE";

pub(super) const EXIT_STATUS: &str = "\
Exit status of a node: 0 stopped in order, 64 wrong usage or configuration, 66 file unreadable, 69
network or status socket in use or not there, 71 the system refused, 73 the status socket cannot be
made, 75 stopped by a second signal or too slowly, 77 not permitted (as a key file that others may
read).";

pub(super) const PROBE_STATUS: &str = "\
Exit status, for probes: 0 this node is coordinator; 3 it stands ready and the line has a holder;
4 it stands ready and knows of no holder, as for a moment during a takeover; 69 no node answers;
77 not permitted.

Examples:
  How does this host's node stand, and the others with it?
      failover-node status

  Again every half second, until q:
      failover-node status --watch 0.5

  May the load balancer send the operators here?
      failover-node status --json > /dev/null && echo yes";

pub(super) const HANDOVER_HELP: &str = "\
The payload is asked to end, the line is released and kept for the other node for one lease. If the
other node does not take it, any node may, this one last.

Exit status: 0 the hand-over has begun, 1 nothing was changed (not the coordinator, or the other node
is not heard), 69 no node answers, 77 not permitted.

Examples:
  Before this host is updated, on whichever node is best:
      failover-node handover

  To a certain one:
      failover-node handover --to node-b";

pub(super) const MAINTENANCE_HELP: &str = "\
A node in maintenance does not become coordinator. One that is coordinator hands the line over
first, and stays coordinator if nobody can take it, unless --force. Without on or off it says how
it stands. Maintenance ends by itself, so that nobody can forget it; it ends with the process, too.

Exit status: 0 done, 1 nothing was changed, 69 no node answers, 77 not permitted.

Examples:
  While this host is updated:
      failover-node maintenance on --for 30m

  Done early:
      failover-node maintenance off";

pub(super) const WHY_NOT_HELP: &str = "\
The weightiest reason comes first: as long as it stands the others do not matter. Nothing is changed.

Exit status: 0 it leads, or would now; 3 it would not; 69 no node answers; 77 not
permitted.";

pub(super) const EVENTS_HELP: &str = "\
One line for each change of the role: when (UTC), from what to what, under which epoch, why, and
for how long it had been what it was before. Without --file, the node is asked where its journal is.

Examples:
  The last ten, then whatever comes:
      failover-node events -n 10 --follow

  How often was the line lost this month?
      failover-node events -n 100000 --json | jq -r .cause | sort | uniq -c";

pub(super) const EXAMPLES: &str = "\
Examples:
  As a service; docs/failover-node.toml has every key with its default:
      failover-node check-config /etc/linekeeper/failover-node.toml
      failover-node --config /etc/linekeeper/failover-node.toml

  One of two or more hosts, by flags; the same on each, --node is the host's name:
      failover-node --group front-desk --line pms --key-file /etc/linekeeper/key \\
          --multicast 239.255.77.1:4100 --interface 10.0.0.11 \\
          --terminal-server 10.0.0.5:4101 -- /usr/local/bin/gateway --config gw.toml

  Three nodes on this machine, to try things:
      for n in a b c; do
          failover-node --group lab --node $n --line pms --key-file key \\
              --multicast 239.255.77.1:4100 --interface 127.0.0.1 \\
              --terminal-server 127.0.0.1:4101 --status /tmp/$n.status -- ./gateway &
      done

  A program that knows only serial ports opens /run/linekeeper/billing, on whichever node leads:
      failover-node … --bridge pty:/run/linekeeper/billing

  Who is it now, and what does it hear?
      failover-node status --status /tmp/a.status

COMMAND is killed, with all that it has started, as soon as this node may no longer write to the
line. It finds LINEKEEPER_EPOCH (a number that only grows: fence your database with it),
LINEKEEPER_LINE, LINEKEEPER_NODE, LINEKEEPER_GROUP and LINEKEEPER_ROLE in its environment. Each line
of its standard error becomes a line of this program's log, `payload-stderr`. SIGTERM ends it, with
half a second to finish.

SIGTERM or SIGINT: the line is given to another node, then the program ends. A second one ends it
at once. SIGHUP: the file is read again, and what can change does; heartbeats go on meanwhile.

Exit status of a node: 0 stopped in order, 64 wrong usage or configuration, 66 file unreadable, 69
network or status socket in use or not there, 71 the system refused, 73 the status socket cannot be
made, 75 stopped by a second signal or too slowly, 77 not permitted (as a key file that others may
read).";
