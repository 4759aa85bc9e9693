//! The conversation with the kernel: the whole transaction in one message, then an answer to each part of it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

use crate::CaptureError;
use crate::batch::{Step, What};
use crate::message::HEADER;

/// The kernel answers while it takes the message; this only bounds a kernel that never does.
const DEADLINE: Duration = Duration::from_secs(5);
/// `NLMSG_ERROR`: also an acknowledgement, with error 0.
const ANSWER: u16 = 2;

/// Sends the steps as one transaction and reads the answers.
///
/// # Errors
/// [`CaptureError`]; nothing was changed then.
pub(crate) fn transact(steps: &[Step]) -> Result<(), CaptureError> {
    let socket = open()?;
    let mut bytes = Vec::new();
    for (sequence, step) in (1..).zip(steps) {
        bytes.extend(step.message.encode(sequence));
    }
    // Port 0 is the kernel.
    let sent = sendto(&socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
        .map_err(|error| CaptureError::refused(What::Transaction, error))?;
    if sent != bytes.len() {
        return Err(CaptureError::Unanswered("it took only a part of the transaction"));
    }
    confirmed(&socket, steps)
}

fn open() -> Result<OwnedFd, CaptureError> {
    let refused = |error| CaptureError::refused(What::Transaction, error);
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER)).map_err(refused)?;
    bind(&socket, &SocketAddrNetlink::new(0, 0)).map_err(refused)?;
    let limit = |kind| set_socket_timeout(&socket, kind, Some(DEADLINE));
    limit(Timeout::Recv).map_err(refused)?;
    Ok(socket)
}

/// Reads until every step that asked for an answer has one.
fn confirmed(socket: &OwnedFd, steps: &[Step]) -> Result<(), CaptureError> {
    let mut missing: Vec<u32> = (1..)
        .zip(steps)
        .filter(|(_, step)| step.what != What::Transaction)
        .map(|(number, _)| number)
        .collect();
    let mut buffer = vec![0; 64 * 1024];
    while !missing.is_empty() {
        let (read, whole) = match recv(socket, buffer.as_mut_slice(), RecvFlags::TRUNC) {
            Ok(read) => read,
            Err(Errno::AGAIN) => return Err(CaptureError::Unanswered("it did not answer in time")),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(CaptureError::system("the answer", error)),
        };
        if whole > read {
            return Err(CaptureError::Unanswered("an answer was too long"));
        }
        for answer in answers(buffer.get(..read).unwrap_or_default()) {
            let Answer { sequence, error } = answer?;
            let what = usize::try_from(sequence)
                .ok()
                .and_then(|number| steps.get(number.checked_sub(1)?))
                .map_or(What::Transaction, |step| step.what);
            if error != 0 {
                return Err(CaptureError::refused(what, Errno::from_raw_os_error(error)));
            }
            missing.retain(|number| *number != sequence);
        }
    }
    Ok(())
}

/// The kernel's word on one message.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    sequence: u32,
    /// 0, or the error's number.
    error: i32,
}

/// The answers in what was read at once.
fn answers(mut bytes: &[u8]) -> Vec<Result<Answer, CaptureError>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let Some((answer, length)) = answer(bytes) else {
            answers.push(Err(CaptureError::Unanswered("an answer cannot be read")));
            break;
        };
        answers.push(Ok(answer));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

fn answer(bytes: &[u8]) -> Option<(Answer, usize)> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let message = bytes.get(..length)?;
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let sequence = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
    let error = i32::from_ne_bytes(*message.get(HEADER..)?.first_chunk()?);
    (kind == ANSWER).then_some((Answer { sequence, error: error.checked_neg()? }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sequence: u32, number: i32) -> Vec<u8> {
        let mut bytes = 20_u32.to_ne_bytes().to_vec();
        bytes.extend(ANSWER.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(number.to_ne_bytes());
        bytes
    }

    #[test]
    fn answers_are_read_one_after_the_other() {
        let bytes = [error(2, 0), error(3, -1)].concat();
        let read: Vec<Answer> = answers(&bytes).into_iter().map(Result::unwrap).collect();
        assert_eq!(read, [Answer { sequence: 2, error: 0 }, Answer { sequence: 3, error: 1 }]);
    }

    #[test]
    fn what_is_no_answer_confirms_nothing() {
        let whole = error(2, 0);
        for length in 1..whole.len() {
            assert!(answers(&whole[..length])[0].is_err(), "{length}");
        }
        let mut other = whole.clone();
        other[4] = 3;
        assert!(answers(&other)[0].is_err());
        let mut endless = whole;
        endless[..4].copy_from_slice(&0_u32.to_ne_bytes());
        assert!(answers(&endless)[0].is_err());
    }
}
