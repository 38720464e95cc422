//! Connections on glommio: sockets are read and written at once, and waited for through a ring.

use std::future::Future;
use std::io;
use std::time::Duration;

use glommio::net::{TcpListener, TcpStream};
use socket2::Socket;

use super::Executor;
use crate::net::tcp::into_glommio;

/// glommio.
pub(in crate::http) struct Ring;

impl Executor for Ring {
    // Of either family: glommio only receives, sends and polls.
    type Stream = TcpStream;
    type Listener = TcpListener;
    type Task = glommio::Task<()>;

    const ACCEPTS_AHEAD: bool = true;

    fn listener(socket: Socket) -> io::Result<Self::Listener> {
        into_glommio(socket)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) -> Self::Task {
        glommio::spawn_local(task)
    }

    fn detach(task: Self::Task) {
        drop(task.detach());
    }

    async fn sleep(duration: Duration) {
        glommio::timer::sleep(duration).await;
    }
}
