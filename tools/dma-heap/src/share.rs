// SPDX-License-Identifier: GPL-2.0

//! Giving a buffer to another process over a Unix socket.

use crate::buffer::Buffer;
use crate::error::Error;
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

impl Buffer {
    /// Sends the buffer's descriptor over a connected Unix socket, with a
    /// `note` of 1 to 32 bytes. The buffer lives on while it is on its way.
    ///
    /// # Errors
    ///
    /// [`Error::Share`]; EMSGSIZE for a note of another length.
    pub fn send(&self, socket: impl AsFd, note: &[u8]) -> Result<(), Error> {
        let fail = |errno| Error::Share { errno };
        if note.is_empty() || note.len() > MAX_NOTE {
            return Err(fail(Errno::MSGSIZE));
        }
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [self.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(fail(Errno::NOBUFS));
        }
        let flags = SendFlags::NOSIGNAL;
        let sent = rustix::net::sendmsg(socket, &[IoSlice::new(note)], &mut control, flags)
            .map_err(fail)?;
        if sent == note.len() {
            Ok(())
        } else {
            Err(fail(Errno::MSGSIZE))
        }
    }

    /// Receives what [`Buffer::send`] has sent: the buffer and the note.
    ///
    /// # Errors
    ///
    /// [`Error::Share`]; EPIPE if the other end was closed, EBADMSG if there
    /// was no descriptor in the message. [`Error::NotADmaBuf`] if the
    /// descriptor is of another kind.
    pub fn receive(socket: impl AsFd) -> Result<(Self, Vec<u8>), Error> {
        let fail = |errno| Error::Share { errno };
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut note = vec![0; MAX_NOTE];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut note)],
            &mut control,
            flags,
        )
        .map_err(fail)?;
        if received.bytes == 0 {
            return Err(fail(Errno::PIPE));
        }
        note.truncate(received.bytes);
        let fd: Option<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            })
            .next();
        let fd = fd.ok_or_else(|| fail(Errno::BADMSG))?;
        Ok((Self::from_fd(fd)?, note))
    }
}

/// Bytes of the longest note.
const MAX_NOTE: usize = 32;
