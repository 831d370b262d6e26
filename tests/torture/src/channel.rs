// SPDX-License-Identifier: GPL-2.0

//! Passing descriptors between the processes of a run, whichever of them live.

use dma_heap::Errno;
use rustix::cmsg_space;
use rustix::net::AddressFamily;
use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use rustix::net::SocketAddrUnix;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

/// Bytes beside a descriptor.
pub(crate) type Note = [u8; 8];

/// A socket at which others find the process by its number.
pub(crate) struct Channel {
    socket: OwnedFd,
    run: u32,
}

fn address(run: u32, index: usize) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new_abstract_name(format!("dmaheap-torture-{run}-{index}").as_bytes())
}

impl Channel {
    /// Of process `index` of a run.
    pub(crate) fn open(run: u32, index: usize) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        rustix::net::bind(&socket, &address(run, index)?)?;
        Ok(Self { socket, run })
    }

    /// Sends a descriptor to process `to`, which may be dead or busy.
    pub(crate) fn send(&self, to: usize, fd: BorrowedFd<'_>, note: &Note) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::NOBUFS);
        }
        rustix::net::sendmsg_addr(
            &self.socket,
            &address(self.run, to)?,
            &[IoSlice::new(note)],
            &mut control,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )
        .map(drop)
    }

    /// Takes a descriptor that was sent here; EAGAIN if there is none.
    pub(crate) fn receive(&self) -> Result<(Option<OwnedFd>, Note), Errno> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut note = Note::default();
        rustix::net::recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut note)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        )?;
        let fd = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            })
            .next();
        Ok((fd, note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_descriptor_arrives() -> Result<(), Errno> {
        let run = std::process::id();
        let (first, second) = (Channel::open(run, 0)?, Channel::open(run, 1)?);
        assert!(matches!(second.receive(), Err(Errno::AGAIN)));
        let (reader, _writer) = rustix::pipe::pipe()?;
        first.send(1, reader.as_fd(), b"a pipe 1")?;
        let (fd, note) = second.receive()?;
        assert!(fd.is_some());
        assert_eq!(&note, b"a pipe 1");
        let nobody = first.send(2, reader.as_fd(), &note);
        assert_eq!(nobody, Err(Errno::CONNREFUSED));
        Ok(())
    }
}
