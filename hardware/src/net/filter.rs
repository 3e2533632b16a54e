//! Which frames vanish, as a program for the kernel.
//!
//! Classic BPF on `clsact` needs nothing beside iproute2 and the kernel's own options; netem, flower
//! and nftables are often not there. It drops at the bridge's port towards the receiver, so the
//! sender is told nothing, and no FIN and no RST gets out of a host that is cut.

use std::fmt::Write;

/// Frames that vanish on their way from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Whose frames.
    pub from: usize,
    /// Who does not get them.
    pub to: usize,
    /// Which ones.
    pub what: Traffic,
    /// How many of a hundred; 100 is a cut.
    pub percent: u8,
}

/// Kinds of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Every frame, address resolution included.
    Everything,
    /// UDP over IPv4 or IPv6.
    Datagrams,
}

impl Loss {
    /// All of it.
    pub const fn cut(from: usize, to: usize) -> Self {
        Self { from, to, what: Traffic::Everything, percent: 100 }
    }
}

/// The last byte of a host's hardware address, by which its frames are known.
pub(crate) fn mark(host: usize) -> u8 {
    u8::try_from(host + 1).unwrap_or(u8::MAX)
}

/// The program of the port towards `host`, as `tc` takes it.
pub(crate) fn program(host: usize, losses: &[Loss]) -> String {
    let mut code = Vec::new();
    for loss in losses.iter().filter(|loss| loss.to == host && loss.percent > 0) {
        code.extend(block(loss));
    }
    code.push(Op::new(RETURN, PASS));
    let mut text = code.len().to_string();
    for Op { code, yes, no, value } in code {
        let _ = write!(text, ",{code} {yes} {no} {value}");
    }
    text
}

/// The part of a program that knows one rule: it drops, or comes to its end.
fn block(loss: &Loss) -> Vec<Op> {
    let mut ops = vec![Op::new(BYTE, SOURCE), Op::new(EQUAL, u32::from(mark(loss.from))).or_end()];
    if loss.what == Traffic::Datagrams {
        // The protocol's place depends on the family.
        ops.extend([
            Op::new(HALF, TYPE),
            Op { yes: 3, ..Op::new(EQUAL, IPV6) },
            Op::new(EQUAL, IPV4).or_end(),
            Op::new(BYTE, PROTOCOL_4),
            Op::new(SKIP, 1),
            Op::new(BYTE, PROTOCOL_6),
            Op::new(EQUAL, UDP).or_end(),
        ]);
    }
    if loss.percent < 100 {
        ops.extend([Op::new(WORD, RANDOM), Op::new(BELOW, share(loss.percent)).or_end()]);
    }
    ops.push(Op::new(RETURN, DROP));
    let length = ops.len();
    for (index, op) in ops.iter_mut().enumerate().filter(|(_, op)| op.no == END) {
        op.no = length - index - 1;
    }
    ops.into_iter().map(Op::turned).collect()
}

/// That share of all numbers of 32 bits.
fn share(percent: u8) -> u32 {
    u32::MAX / 100 * u32::from(percent.min(100))
}

/// One instruction: what to do, how far to jump if so and if not, and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Op {
    code: u16,
    yes: usize,
    no: usize,
    value: u32,
}

impl Op {
    const fn new(code: u16, value: u32) -> Self {
        Self { code, yes: 0, no: 0, value }
    }

    /// Where the condition does not hold, the rule does not apply.
    const fn or_end(self) -> Self {
        Self { no: END, ..self }
    }

    /// "Below" is "not at least".
    fn turned(self) -> Self {
        match self.code {
            BELOW => Self { code: AT_LEAST, yes: self.no, no: self.yes, value: self.value },
            _ => self,
        }
    }
}

/// To the end of the block, which is not known yet.
const END: usize = usize::MAX;
/// Loads of the frame's bytes, and of a number that the kernel has for filters.
const WORD: u16 = 0x20;
const HALF: u16 = 0x28;
const BYTE: u16 = 0x30;
const SKIP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
/// No instruction of the kernel's.
const BELOW: u16 = 0xff35;
const RETURN: u16 = 0x06;
/// Where things are in a frame: last byte of the sender's hardware address, type, protocol.
const SOURCE: u32 = 11;
const TYPE: u32 = 12;
const PROTOCOL_4: u32 = 14 + 9;
const PROTOCOL_6: u32 = 14 + 6;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const UDP: u32 = 17;
/// Where Linux keeps a random number for filters: SKF_AD_OFF + SKF_AD_RANDOM.
const RANDOM: u32 = 0xffff_f000 + 56;
/// TC_ACT_SHOT, and TC_ACT_UNSPEC, which goes on as if there were no filter.
const DROP: u32 = 2;
const PASS: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with a program.
    fn drops(program: &str, frame: &[u8], random: u32) -> bool {
        let words = |text: &str| text.split(' ').map(|w| w.parse().unwrap()).collect::<Vec<u32>>();
        let ops: Vec<_> = program.split(',').skip(1).map(words).collect();
        assert_eq!(program.split(',').next(), Some(ops.len().to_string().as_str()));
        let (mut at, mut a) = (0, 0);
        loop {
            let [code, yes, no, k] = ops[at][..] else { panic!("{:?}", ops[at]) };
            at += 1;
            match code {
                0x30 => a = u32::from(frame[k as usize]),
                0x28 => {
                    a = u32::from(u16::from_be_bytes([frame[k as usize], frame[k as usize + 1]]))
                }
                0x20 if k == RANDOM => a = random,
                0x05 => at += k as usize,
                0x15 => at += if a == k { yes } else { no } as usize,
                0x35 => at += if a >= k { yes } else { no } as usize,
                0x06 => return k == DROP,
                _ => panic!("{code:#x}"),
            }
        }
    }

    fn frame(from: usize, kind: u16, protocol: u8) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[11] = mark(from);
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        frame[if kind == 0x86dd { 20 } else { 23 }] = protocol;
        frame
    }

    const ARP: u16 = 0x0806;

    #[test]
    fn a_cut_takes_all_frames_of_one_host_towards_another_and_no_others() {
        let losses = [Loss::cut(1, 2)];
        let program_2 = program(2, &losses);
        for (kind, protocol) in [(0x0800, 6), (0x0800, 17), (0x86dd, 6), (ARP, 0)] {
            assert!(drops(&program_2, &frame(1, kind, protocol), 0));
            assert!(!drops(&program_2, &frame(0, kind, protocol), 0));
            assert!(!drops(&program(1, &losses), &frame(2, kind, protocol), 0));
        }
    }

    #[test]
    fn a_loss_of_datagrams_spares_all_else_and_is_as_large_as_asked() {
        let datagrams = |from| Loss { from, to: 0, what: Traffic::Datagrams, percent: 20 };
        let program = program(0, &[datagrams(3), datagrams(1)]);
        for kind in [0x0800, 0x86dd] {
            assert!(drops(&program, &frame(1, kind, 17), share(20) - 1));
            assert!(drops(&program, &frame(3, kind, 17), 0));
            assert!(!drops(&program, &frame(1, kind, 17), share(20)));
            assert!(!drops(&program, &frame(1, kind, 6), 0));
        }
        assert!(!drops(&program, &frame(1, ARP, 17), 0));
        assert!(!drops(&program, &frame(2, 0x0800, 17), 0));
    }
}
